"""What every event must have, whichever it is: a new one is found wanting here."""

from __future__ import annotations

from hashlib import sha256

import pytest

from zf.events import TYPES, from_json
from zf.proof.known import Known


@pytest.mark.parametrize("name", TYPES)
def test_a_digest_that_an_event_tells_is_known_to_the_runner(name):
    """The seal names what the journal vouches for, so no digest in it may go by."""
    kind = TYPES[name]
    digests = {f: sha256(f.encode()).hexdigest() for f in kind.__struct_fields__ if "sha256" in f}
    event = kind(**{f: digests.get(f, f if f == "task" else 1) for f in kind.__struct_fields__})
    known = Known()
    known.take(event)
    held = {*known.tops.values(), *(digest.hex() for digest in known.trees.values())}
    assert held == set(digests.values())


def test_of_measures_only_numbers_are_taken():
    """Whatever reads a run adds them up, and a run may come from anywhere."""
    event = dict.fromkeys(TYPES["attempt_ended"].__struct_fields__, "x") | {
        "type": "attempt_ended",
        "status": "success",
        "cause": "",
    }
    good = {"cpu_user_s": 0.5, "read_bytes": 0, "peak_memory_bytes": None, "source": "wait4"}
    bad = {"a": "1", "b": -1, "c": float("nan"), "d": [1], "e": True, "f": 10**30}
    assert from_json(event | {"measures": {**bad, **good}}).measures == good
    del event["measures"]
    assert from_json(event).measures == {}
