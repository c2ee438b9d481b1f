"""What every event must have, whichever it is: a new one is found wanting here."""

from __future__ import annotations

from hashlib import sha256

import pytest

from zf.events import TYPES, from_json
from zf.proof.known import Known


@pytest.mark.parametrize("name", TYPES)
def test_a_digest_that_an_event_tells_is_known_to_the_runner(name):
    """The seal names what the journal vouches for, so no digest in it may go by. That of outputs is
    of a file which task.sha256 lists; that of a late result, of one beside the runs.
    """
    kind = TYPES[name]
    digests = {f: sha256(f.encode()).hexdigest() for f in kind.__struct_fields__ if "sha256" in f}
    event = kind(**{f: digests.get(f, f if f == "task" else 1) for f in kind.__struct_fields__})
    known = Known()
    known.take(event)
    held = {*known.tops.values(), *(digest.hex() for digest in known.trees.values())}
    # What is approved, and what a stranger handed in, is no file of the run; the log of a service
    # of a task is listed in the task's tree.
    no_file = {"outputs_sha256", "statement_sha256", "log_sha256"} | {"sha256"} & {*digests}
    assert held == {digest for f, digest in digests.items() if f not in no_file}


ENDED = {
    "type": "attempt_ended",
    "task": "a",
    "attempt": 1,
    "status": "success",
    "exit_code": 0,
    "signal": None,
    "cause": "",
    "detail": "",
    "step": None,
    "started_at": "2026-01-01T00:00:00.000000Z",
    "completed_at": "2026-01-01T00:00:01.000000Z",
    "duration_s": 1.0,
    "task_sha256": "0" * 64,
}


def test_of_measures_only_numbers_are_taken():
    """Whatever reads a run adds them up, and a run may come from anywhere."""
    good = {"cpu_user_s": 0.5, "read_bytes": 0, "peak_memory_bytes": None, "source": "wait4"}
    bad = {"a": "1", "b": -1, "c": float("nan"), "d": [1], "e": True, "f": 10**30}
    assert from_json(ENDED | {"measures": {**bad, **good}}).measures == good
    assert from_json(ENDED).measures == {}


def test_of_metrics_only_series_are_taken():
    """Whatever reads a run sorts them, adds them up and writes them as lines of text."""
    good = {"name": "a:b", "type": "gauge", "unit": "", "labels": {"x": "y"}, "value": 4}
    bad = [
        good | changed
        for changed in (
            {"labels": "x"},
            {"labels": {"x": 1}},
            {"labels": {'x="1"} 1\nz{y': "1"}},
            {"name": "a 1\nb"},
            {"name": None},
            {"type": "other"},
            {"type": []},
            {"unit": 1},
            {"value": "1"},
            {"value": 10**400},
            {"value": float("nan")},
        )
    ]
    bad += [{key: good[key] for key in good if key != left_out} for left_out in good]
    taken = from_json(ENDED | {"metrics": [*bad, good]}).metrics
    assert taken == [good]
    assert type(taken[0]["value"]) is float


def test_of_tests_only_counts_and_names_are_taken():
    good = {"total": 1, "failed": 1, "errors": 0, "skipped": 0, "names": ["a"]}
    assert from_json(ENDED | {"tests": good}).tests == good
    for changed in ({"errors": "1"}, {"total": 10**30}, {"names": [1]}, {"names": None}):
        assert from_json(ENDED | {"tests": good | changed}).tests == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"completed_at": ["x"]},
        {"detail": {"a": 1}},
        {"task": ["a"]},
        {"status": "splendid"},
        {"attempt": True},
        {"attempt": 10**30},
        {"duration_s": "1"},
        {"duration_s": 10**400},
        {"tests": []},
        {"metrics": ["x"]},
    ],
)
def test_a_field_of_another_type_is_no_event(changed):
    """A journal from elsewhere is read by every verb: what sorts and adds up relies on types."""
    with pytest.raises(ValueError, match=r"at `|number"):
        from_json(ENDED | changed)


EXTENDED = {
    "type": "plan_extended",
    "base": "t",
    "of": 1,
    "instances": [{"id": "t@x=a", "matrix": {"x": "a"}, "sha256": "0" * 64}],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 3},
        {"id": None},
        {"matrix": 3},
        {"matrix": {"x": 1}},
        {"sha256": 3},
        {"needs": 3},
        {"needs": [3]},
        {"weight_s": "x"},
    ],
    ids=str,
)
def test_an_instance_has_its_form_or_its_line_is_none(wrong):
    """What reads a journal goes by ids and needs of instances, whatever wrote them."""
    assert from_json(EXTENDED).instances == EXTENDED["instances"]
    [instance] = EXTENDED["instances"]
    with pytest.raises(ValueError, match="Expected"):
        from_json(EXTENDED | {"instances": [instance | wrong]})
