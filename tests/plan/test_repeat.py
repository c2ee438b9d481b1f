"""The keys of `repeat`: its page, and what a task becomes that leaves most of them out."""

import json
import re
from pathlib import Path

import pytest

from zf.model.repeat import Repeat
from zf.plan.gates.keys import REPEAT, converted

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "monitors.md"


def test_the_page_lists_every_key():
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text())
    assert [name for name, _, _ in rows] == [*REPEAT]
    for (_, default, means), key in zip(rows, REPEAT.values(), strict=True):
        assert means == key.means
        if key.default is not None:
            text = key.default if isinstance(key.default, str) else json.dumps(key.default)
            assert default == f"`{text}`"


def test_what_is_left_out_is_filled_in():
    found = converted({"repeat": {"limit": 3}})
    assert found["repeat"] == {
        "until": "success",
        "interval_sec": 10.0,
        "probe_timeout_sec": 60.0,
        "limit": 3,
    }
    watch = converted({"repeat": {"for_sec": 900}, "timeout_sec": 5})
    assert watch["repeat"]["fail_after"] == 1
    assert "timeout_s" not in watch


@pytest.mark.parametrize("said", [{"limit": 100}, {"for_sec": 900}, {"limit": 3, "for_sec": 5000}])
def test_a_time_that_is_not_said_is_enough_for_all_probes(said):
    found = converted({"repeat": said})
    assert found["timeout_s"] >= Repeat.of(found["repeat"]).longest_s
    assert found["timeout_s"] >= 300
