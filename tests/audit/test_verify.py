"""The five verdicts: what they say of good runs, and that each kind of harm is named."""

import json
import os
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import proof_bundles
from tests.support.forged_seal import seal
from tests.support.proof_bundles import BEGAN, COMMIT, FAILED, OK, Run
from zf.audit.expected import part_of
from zf.audit.findings import State
from zf.audit.verify import Expectations, verify
from zf.errors import ZfError
from zf.events import SCHEMA, AttemptStarted, Cause, RunEnded, RunResumed, RunStarted, Status
from zf.proof.canonical import canonical
from zf.proof.journal import GENESIS, Journal


def look(run: Path, /, **expected):
    return verify(str(run), Expectations(**expected), now=BEGAN + 60)


def kinds(run: Path, /, **expected) -> set[tuple[str, str, str | None]]:
    return {(f.verdict, f.kind, f.path) for f in look(run, **expected).findings}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    proof_bundles.full(folder, "full")
    proof_bundles.killed(folder, "killed")
    proof_bundles.small(folder, "small")
    return folder


@pytest.fixture
def full(built, tmp_path) -> Path:
    return Path(shutil.copytree(built / "full", tmp_path / "anywhere"))


@pytest.fixture
def killed(built, tmp_path) -> Path:
    return Path(shutil.copytree(built / "killed", tmp_path / "killed"))


def test_an_untouched_run_verifies_wherever_it_is(full):
    found = look(full)
    assert found.exit_code == 0
    assert found.findings == ()
    assert found.run == "full"
    assert [v.state for v in found.verdicts] == [
        State.PASSED,
        State.PASSED,
        State.UNSIGNED,
        State.NOT_CHECKED,
        State.PASSED,
    ]
    assert re.sub(r"\(.*KiB\)", "(...)", found.render()) == (
        "RESULT     FAILED       1 failed, 1 timed out, 1 blocked, 1 cancelled, 2 succeeded, "
        "1 skipped; exit code 1\n"
        "INTACT     PASSED       66 files (...), 7 task lists, 17 chained events\n"
        "COMPLETE   PASSED       7 of 7 planned tasks ended (1 flaky); closed, sealed\n"
        "AUTHENTIC  UNSIGNED     anyone with write access could have created this bundle\n"
        "EXPECTED   NOT CHECKED  nothing was expected\n"
        "TIMED      PASSED       17 events, clocks agree within 0.000 s"
    )


def test_a_killed_run_is_incomplete_and_says_what_is_missing(killed):
    found = look(killed)
    assert found.exit_code == 3
    assert [f.render() for f in found.findings] == [
        "COMPLETE [no_outcome] running: was still running",
        "COMPLETE [no_outcome] waiting: was never decided",
        "COMPLETE [open] events.jsonl: the run never ended",
        "COMPLETE [unsealed] MANIFEST.sha256: is not there: the run was not sealed",
    ]
    assert found.verdicts[0].state == State.PASSED
    assert "5 other files are in no" in found.verdicts[0].summary


def test_a_killed_run_with_a_torn_journal_is_incomplete_not_tampered(killed):
    with (killed / "events.jsonl").open("ab") as journal:
        journal.write(b'{"seq":5,"pr')
    assert look(killed).exit_code == 3


def test_a_killed_run_that_was_sealed_stays_incomplete(killed):
    seal(str(killed))
    found = look(killed)
    assert found.exit_code == 3
    assert "unsealed" not in {f.kind for f in found.findings}
    with (killed / "running" / "20-logs" / "step-0.log").open("ab") as log:
        log.write(b"more")
    assert look(killed).exit_code == 1


# After line 11 a first attempt had ended whose tree is by now set aside.
@pytest.mark.parametrize("kept", [*range(1, 11), *range(12, 17)])
def test_a_run_cut_after_any_line_is_incomplete(full, kept):
    (full / "MANIFEST.sha256").unlink()
    lines = (full / "events.jsonl").read_bytes().splitlines(keepends=True)
    (full / "events.jsonl").write_bytes(b"".join(lines[:kept]))
    found = look(full)
    assert found.exit_code == 3
    assert {f.verdict for f in found.findings} == {"COMPLETE"}


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def rehash(run: Path) -> None:
    """What somebody does who edits a task's file and repairs the lists, but not the journal."""
    for task in [run, *run.glob("*/attempts/*"), *run.glob("*")]:
        listed = task / "40-checksums" / "task.sha256"
        if listed.exists():
            names = [line[66:] for line in listed.read_text().splitlines()]
            listed.write_text(
                "".join(f"{sha256((task / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
            )
    seal(str(run))


LOG = "good/20-logs/step-0.log"


def test_a_log_that_is_blown_up_is_found_without_being_read(full, monkeypatch):
    """A sparse file takes no room, and can take hours to read."""
    read, readv = [], os.readv
    monkeypatch.setattr(os, "readv", lambda fd, blocks: read.append(readv(fd, blocks)) or read[-1])
    assert look(full).exit_code == 0
    before = sum(read)
    read.clear()
    os.truncate(full / LOG, 64 * 1024 * 1024)
    [finding] = look(full).findings
    assert (finding.verdict, finding.kind, finding.path) == ("INTACT", "changed", LOG)
    assert finding.message == "has 67108864 bytes, 6 were recorded"
    assert sum(read) <= before


STATUS = "99-summary/status.json"


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        pytest.param(
            lambda run: replace(run / LOG, b"hello", b"hullo"),
            {("INTACT", "changed", LOG)},
            id="a log edited",
        ),
        pytest.param(
            lambda run: (run / LOG).unlink(), {("INTACT", "missing", LOG)}, id="a log deleted"
        ),
        pytest.param(
            lambda run: (run / "good" / "note").write_text("x"),
            {
                ("INTACT", "surplus", "good/note"),
            },
            id="a file added",
        ),
        pytest.param(
            lambda run: (run / LOG).rename(run / "good/20-logs/step-1.log"),
            {("INTACT", "missing", LOG), ("INTACT", "surplus", "good/20-logs/step-1.log")},
            id="a file renamed",
        ),
        pytest.param(
            lambda run: (
                (run / LOG).unlink(),
                (run / LOG).symlink_to("../../bad/20-logs/step-0.log"),
            ),
            {("INTACT", "missing", LOG), ("INTACT", "odd", LOG)},
            id="a link to the same bytes",
        ),
        pytest.param(
            lambda run: ((run / "good").rename(run / "x"), (run / "good").symlink_to("x")),
            {("INTACT", "odd", "good"), ("INTACT", "surplus", "x"), ("INTACT", "missing", LOG)},
            id="a folder behind a link",
        ),
        pytest.param(
            lambda run: os.mkfifo(run / "good" / "fifo"),
            {("INTACT", "odd", "good/fifo")},
            id="a fifo",
        ),
        pytest.param(
            lambda run: (run / "extra").mkdir(),
            {("INTACT", "surplus", "extra")},
            id="a folder added",
        ),
        pytest.param(
            lambda run: (run / "good/30-artifacts/x").mkdir(),
            {("INTACT", "surplus", "good/30-artifacts/x")},
            id="an empty folder among artifacts",
        ),
        pytest.param(
            lambda run: (run / "MANIFEST.sha256").unlink(),
            {("COMPLETE", "unsealed", "MANIFEST.sha256")},
            id="the manifest deleted",
        ),
        pytest.param(
            lambda run: (run / "MANIFEST.sha256").write_bytes(b""),
            {("INTACT", "surplus", LOG), ("INTACT", "surplus", "run.json")},
            id="the manifest emptied",
        ),
        pytest.param(
            lambda run: replace(run / "MANIFEST.sha256", b"\n", b"\r\n"),
            {("INTACT", "manifest", "MANIFEST.sha256")},
            id="the manifest with another line end",
        ),
        pytest.param(
            lambda run: (run / "events.jsonl").unlink(),
            {("INTACT", "missing", "events.jsonl"), ("COMPLETE", "open", "events.jsonl")},
            id="the journal deleted",
        ),
        pytest.param(
            lambda run: (run / "plan.json").unlink(),
            {("INTACT", "missing", "plan.json"), ("COMPLETE", "unknown", "plan.json")},
            id="the plan deleted",
        ),
        pytest.param(
            lambda run: (run / "run.json").write_text("[]"),
            {("INTACT", "paper", "run.json"), ("INTACT", "changed", "run.json")},
            id="run.json no object",
        ),
        pytest.param(
            lambda run: replace(run / "run.json", b'{"', b'{"run_id":"x","'),
            {("INTACT", "paper", "run.json"), ("INTACT", "changed", "run.json")},
            id="a key twice",
        ),
        pytest.param(
            lambda run: (replace(run / "run.json", COMMIT.encode(), b"e" * 40), seal(str(run))),
            {("INTACT", "mismatch", "run.json")},
            id="another commit, sealed again",
        ),
        pytest.param(
            lambda run: (replace(run / "run.json", b'"full"', b'"fulk"'), seal(str(run))),
            {("INTACT", "mismatch", "run.json")},
            id="another run id, sealed again",
        ),
        pytest.param(
            lambda run: (replace(run / "run.json", b'"alice"', b'"mallory"'), seal(str(run))),
            {("INTACT", "mismatch", "run.json")},
            id="another user, sealed again",
        ),
        pytest.param(
            lambda run: ((run / "blocked.json").write_text("{}"), seal(str(run))),
            {("INTACT", "mismatch", "blocked.json")},
            id="a blocked.json that was not there, sealed again",
        ),
        pytest.param(
            lambda run: (replace(run / "plan.json", b"Task good", b"Task g00d"), seal(str(run))),
            {("INTACT", "mismatch", "plan.json")},
            id="the plan edited, sealed again",
        ),
        pytest.param(
            lambda run: (replace(run / LOG, b"hello", b"hullo"), seal(str(run))),
            {("INTACT", "mismatch", LOG)},
            id="a log edited, sealed again",
        ),
        pytest.param(
            lambda run: (replace(run / LOG, b"hello", b"hullo"), rehash(run)),
            {("INTACT", "mismatch", "good/40-checksums/task.sha256")},
            id="a log edited, every list repaired",
        ),
        pytest.param(
            lambda run: (
                replace(run / "flaky" / STATUS, b'"flaky": true', b'"flaky": false'),
                rehash(run),
            ),
            {
                ("INTACT", "mismatch", "flaky/40-checksums/task.sha256"),
                ("INTACT", "mismatch", "flaky/99-summary/status.json"),
            },
            id="a retry hidden",
        ),
        pytest.param(
            lambda run: (
                replace(
                    run / "bad" / STATUS, b': "failure",\n  "flaky"', b': "warned",\n  "flaky"'
                ),
                rehash(run),
            ),
            {
                ("INTACT", "mismatch", "bad/40-checksums/task.sha256"),
                ("INTACT", "mismatch", "bad/99-summary/status.json"),
            },
            id="a failure made a tolerated one",
        ),
        pytest.param(
            lambda run: (
                (run / "good").rename(run / "x"),
                (run / "flaky").rename(run / "good"),
                (run / "x").rename(run / "flaky"),
                seal(str(run)),
            ),
            {
                ("INTACT", "mismatch", "good/40-checksums/task.sha256"),
                ("INTACT", "mismatch", "good/99-summary/status.json"),
                ("INTACT", "missing", "flaky/attempts/1/40-checksums/task.sha256"),
            },
            id="two trees swapped, sealed again",
        ),
        pytest.param(
            lambda run: (shutil.copytree(run / "good", run / "more"), seal(str(run))),
            {("INTACT", "surplus", "more")},
            id="a tree added, sealed again",
        ),
        pytest.param(
            lambda run: (shutil.rmtree(run / "good"), seal(str(run))),
            {
                ("INTACT", "missing", "good/40-checksums/task.sha256"),
                ("COMPLETE", "no_outcome", "good"),
            },
            id="a tree deleted, sealed again",
        ),
        pytest.param(
            lambda run: replace(run / "flaky/attempts/1/20-logs/step-0.log", b"h", b"H"),
            {("INTACT", "changed", "flaky/attempts/1/20-logs/step-0.log")},
            id="an earlier attempt edited",
        ),
        pytest.param(
            lambda run: (run / "good" / "e\u0301").write_text("x"),
            {("INTACT", "name", "good/e\u0301"), ("INTACT", "surplus", "good/e\u0301")},
            id="a name beyond ASCII",
        ),
    ],
)
def test_harm_is_found_and_named(full, harm, expected):
    harm(full)
    assert expected <= kinds(full)
    assert look(full).exit_code == (3 if {v for v, _, _ in expected} == {"COMPLETE"} else 1)


def test_an_unsealed_run_is_held_against_its_journal(full):
    (full / "MANIFEST.sha256").unlink()
    replace(full / LOG, b"hello", b"hullo")
    (full / "good" / "note").write_text("x")
    (full / "bad" / "20-logs" / "step-0.log").unlink()
    (full / "stray").write_text("x")
    assert {f for f in kinds(full) if f[0] == "INTACT"} == {
        ("INTACT", "changed", LOG),
        ("INTACT", "surplus", "good/note"),
        ("INTACT", "missing", "bad/20-logs/step-0.log"),
        ("INTACT", "surplus", "stray"),
    }
    assert look(full).exit_code == 1


def test_every_finding_is_told_at_once(full):
    replace(full / LOG, b"hello", b"hullo")
    (full / "run.json").unlink()
    replace(full / "events.jsonl", b"timeout", b"success")
    (full / "surplus").write_text("")
    assert {f.kind for f in look(full).findings} >= {"changed", "missing", "journal", "surplus"}


def test_hostile_names_are_shown_safely(full):
    os.makedirs(bytes(full) + b"/good/\xff\x1b[31m")
    (full / "good" / "a\nINTACT PASSED").write_text("")
    text = look(full).render()
    assert text.isprintable() or "\x1b" not in text.replace("\n", "")
    assert "good/\\udcff\\x1b[31m" in text
    assert "good/a\\nINTACT PASSED" in text
    json.dumps(look(full).as_json())


def test_a_very_deep_folder_is_not_followed_forever(full):
    os.makedirs(full / "good" / "/".join(["d"] * 100))
    assert any(f.kind == "odd" and "deeper" in f.message for f in look(full).findings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_said(full):
    (full / LOG).chmod(0)
    (full / "bad").chmod(0)
    assert {("INTACT", "unreadable", LOG), ("INTACT", "odd", "bad")} <= kinds(full)


def test_a_large_file_where_a_small_one_belongs_is_not_read(full, monkeypatch):
    monkeypatch.setattr("zf.audit.evidence.MAX_JSON_BYTES", 50_000)
    with (full / "run.json").open("ab") as stream:
        stream.truncate(10**12)
    messages = [f.message for f in look(full).findings if f.path == "run.json"]
    assert "larger than 50000 bytes" in messages


@pytest.mark.parametrize("name", ["absent", "file", "empty"])
def test_what_is_no_run_is_a_usage_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZfError) as raised:
        verify(str(tmp_path / name))
    assert raised.value.exit_code == 2


# Expectations


@pytest.mark.parametrize(
    ("expected", "finding"),
    [
        ({"run": "full"}, None),
        ({"run": "other"}, "run"),
        ({"commit": COMMIT}, None),
        ({"commit": COMMIT[:7]}, None),
        ({"commit": COMMIT[:6]}, "commit"),
        ({"commit": "e" * 40}, "commit"),
        ({"plan": "e" * 64}, "plan"),
        ({"head": "e" * 64}, "head"),
        ({"phases": ("A",)}, None),
        ({"phases": ("A", "B")}, "phase"),
        ({"clean_tree": True}, None),
        ({"max_age_s": 100.0}, None),
        ({"max_age_s": 10.0}, "max_age"),
    ],
)
def test_expectations(full, expected, finding):
    found = look(full, **expected)
    assert [f.kind for f in found.findings] == ([finding] if finding else [])
    assert found.exit_code == (4 if finding else 0)
    assert found.verdicts[3].state == (State.FAILED if finding else State.PASSED)
    assert found.verdicts[3].summary == ", ".join(expected)


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({"tasks": {"good": {"success"}, "bad": {"failure", "success"}}}, set()),
        ({"tasks": {"bad": {"success"}}}, {("task", "bad")}),
        ({"tasks": {"absent": {"success"}}}, {("task", "absent")}),
        ({"max_attempts": 2}, set()),
        ({"max_attempts": 1}, {("attempts", "flaky")}),
        ({"successful_phases": ("B",)}, {("phase", None)}),
        (
            {"successful_phases": ("A",)},
            {("phase", name) for name in ("bad", "slow", "held", "stopped")},
        ),
    ],
)
def test_expected_outcomes(full, expected, found):
    assert {(f.kind, f.path) for f in look(full, **expected).findings} == found


@pytest.mark.parametrize(
    ("limits", "rerun_of", "needs", "said"),
    [
        ({"only": None}, None, "checked", None),
        ({"only": "one"}, None, "checked", "in part"),
        ({"only": None}, "r0", "checked", "in part"),
        ({"only": None}, None, "not_checked", "without looking"),
        (None, None, "checked", "in part"),
        ({}, None, "checked", "in part"),
    ],
)
def test_an_old_proof_has_a_whole_phase_only_where_that_follows_from_it(
    limits, rerun_of, needs, said
):
    """In 0.1 there is no `whole`: only a run of one task, or of a part of another run, was not."""
    plan = {"phases": [{"name": "A"}], "needs": needs}
    why = part_of("A", {"limits": limits, "rerun_of": rerun_of}, plan)
    assert (why is None) == (said is None)
    assert said is None or said in why
    assert part_of("A", {}, plan) is not None
    assert part_of("B", {"limits": {"only": None}, "rerun_of": None}, plan) is not None


def test_the_digests_it_tells_can_be_expected(full):
    result = look(full).result
    plan = sha256((full / "plan.json").read_bytes()).hexdigest()
    assert result["manifest_sha256"] == sha256((full / "MANIFEST.sha256").read_bytes()).hexdigest()
    assert look(full, head=result["head"], plan=plan).exit_code == 0
    assert result["exit_code"] == 1
    assert result["counts"] == {
        "success": 2, "failure": 1, "blocked": 1, "timeout": 1, "skipped": 1, "cancelled": 1,
    }  # fmt: skip


def test_a_run_from_the_future_has_no_age(full):
    found = verify(str(full), Expectations(max_age_s=100.0), now=BEGAN - 3600)
    assert [f.kind for f in found.findings] == ["max_age"]


@pytest.mark.parametrize("dirty", [True, None])
def test_a_dirty_tree_is_not_clean(tmp_path, dirty):
    made = Run(tmp_path, dirty=dirty).plan().end()
    assert [f.kind for f in look(made.path, clean_tree=True).findings] == ["clean_tree"]


def test_tampering_weighs_more_than_the_rest(killed):
    assert look(killed, run="other").exit_code == 3
    (killed / "plan.json").write_text("{}")
    assert look(killed, run="other").exit_code == 1


def test_json_for_programs(full):
    found = look(full, run="other").as_json()
    assert found["exit_code"] == 4
    assert found["verdicts"]["EXPECTED"] == {"state": "failed", "summary": "run"}
    assert found["findings"] == [
        {
            "verdict": "EXPECTED",
            "kind": "run",
            "path": None,
            "message": "expected other, found 'full'",
        }
    ]


# Clocks


def timed(tmp_path, *moments: tuple[str, float]) -> Path:
    run = Run(tmp_path).plan()
    run.journal.close()
    (run.path / "events.jsonl").unlink()
    plan, run_json = (
        sha256((run.path / name).read_bytes()).hexdigest() for name in ("plan.json", "run.json")
    )
    journal = Journal.create(str(run.path / "events.jsonl"))
    started = RunStarted("r1", ("A",), 0, plan, "n", COMMIT, None, None, run_json, SCHEMA)
    journal.append(started, *moments[0])
    for wall, mono in moments[1:]:
        journal.append(RunEnded(0, {}, 1.0), wall, mono)
    journal.commit()
    journal.close()
    seal(str(run.path))
    return run.path


@pytest.mark.parametrize(
    ("second", "mono", "kind"),
    [(10.0, 11.0, None), (10.0, 31.0, "drift"), (-50.0, 0.5, "back"), (1.0, -20.0, "back")],
)
def test_clocks_that_part_are_doubtful(tmp_path, second, mono, kind):
    run = timed(
        tmp_path, (proof_bundles.moment(60), 1.0), (proof_bundles.moment(60 + second), mono)
    )
    found = look(run)
    assert found.exit_code == 0
    assert found.verdicts[4].state == (State.DOUBTFUL if kind else State.PASSED)
    assert kind is None or kind in {f.kind for f in found.findings}


def test_an_attempt_that_ends_before_it_starts_is_doubtful(tmp_path):
    run = Run(tmp_path).plan(one=())
    run.second = 30
    real = proof_bundles.moment
    proof_bundles.moment = lambda second: real(59 - second)
    try:
        run.attempt("one")
    finally:
        proof_bundles.moment = real
    run.end()
    found = look(run.path)
    assert ("TIMED", "order") in {(f.verdict, f.kind) for f in found.findings}


def test_a_resumed_run_has_a_new_monotonic_clock(tmp_path):
    made = Run(tmp_path).plan(one=())
    made.journal.append(RunResumed(0), proof_bundles.moment(4000), 5.0)
    made.second = 4001
    made.journal.append(AttemptStarted("one", 1, 0), proof_bundles.moment(4001), 6.0)
    made.journal.commit()
    made.journal.close()
    assert look(made.path).verdicts[4].state == State.PASSED
    made = Run(tmp_path, "r2").plan(one=())
    made.journal.append(RunResumed(0), proof_bundles.moment(-30), 5.0)
    made.journal.commit()
    made.journal.close()
    assert "back" in {f.kind for f in look(made.path).findings}


# Stories that contradict themselves


def story(tmp_path, *bodies: dict) -> Path:
    """A run whose journal chains, whatever its lines say."""
    made = Run(tmp_path).plan(one=())
    made.journal.close()
    lines = (made.path / "events.jsonl").read_bytes().splitlines()[:1]
    for number, body in enumerate(bodies, start=1):
        prev = sha256(lines[-1]).hexdigest()
        envelope = {"seq": number, "prev": prev, "wall": proof_bundles.moment(number), "mono": 1.0}
        lines.append(json.dumps(envelope | {"run": "r1"} | body).encode())
    (made.path / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return made.path


BEGIN = {"type": "attempt_started", "task": "one", "attempt": 1, "slot": 0}
END = {"type": "attempt_ended", "task": "one", "attempt": 1, "status": "success"}


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ([{"type": "run_started"}], "the run starts again"),
        ([{"type": "made_up"}], "an event of no known type"),
        ([{"type": ["run_ended"]}], "an event of no known type"),
        ([BEGIN | {"run": "r2"}], "is of another run"),
        ([BEGIN, BEGIN | {"attempt": 2}], "an attempt starts out of order"),
        ([BEGIN | {"attempt": 2}], "an attempt starts out of order"),
        ([END], "an attempt ends that was not under way"),
        ([BEGIN, END, END], "an attempt ends that was not under way"),
        ([BEGIN, END | {"status": "fine"}], "an unknown status"),
        ([BEGIN, END | {"status": {}}], "an unknown status"),
        ([BEGIN, END, END | {"type": "task_not_run"}], "is said not to have run"),
        ([BEGIN | {"task": ["one"]}], "names no task"),
        ([END | {"task": None}], "names no task"),
        ([{"type": "run_ended"}, BEGIN], "something happened after the run ended"),
        ([BEGIN | {"wall": "yesterday"}], "clocks do not show a time"),
        ([BEGIN | {"wall": "2026-11-21"}], "clocks do not show a time"),
        ([BEGIN | {"mono": 10**400}], "clocks do not show a time"),
        ([BEGIN | {"mono": 1e999}], "is not JSON"),
        ([BEGIN | {"task": "two"}], "a task that was not planned: 'two'"),
    ],
)
def test_a_story_that_contradicts_itself_is_tampering(tmp_path, bodies, said):
    found = look(story(tmp_path, *bodies))
    assert any(said in f.message for f in found.findings if f.verdict == "INTACT")
    assert found.exit_code == 1


def test_a_story_that_begins_in_the_middle_is_tampering(tmp_path):
    made = Run(tmp_path).plan(one=())
    made.journal.close()
    line = {"seq": 0, "prev": GENESIS, "wall": proof_bundles.moment(0), "mono": 1.0} | BEGIN
    (made.path / "events.jsonl").write_text(json.dumps(line) + "\n")
    assert any("not run_started" in f.message for f in look(made.path).findings)


def test_a_thousand_contradictions_are_told_in_a_hundred(tmp_path):
    found = look(story(tmp_path, *[{"type": "x"}] * 1000))
    assert sum(f.kind == "journal" for f in found.findings) == 100


def test_an_endless_line_is_tampering(killed, monkeypatch):
    monkeypatch.setattr("zf.proof.journal.MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr("zf.audit.verify.MAX_LINE_BYTES", 10_000)
    with (killed / "events.jsonl").open("ab") as journal:
        journal.write(b"x" * 20_000)
    assert ("INTACT", "journal", "events.jsonl") in kinds(killed)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({}, "tasks is an object, not a list"),
        ([{"id": "../up"}], "plans a task without a good id"),
        ([{"id": "one"}, {"id": "one"}], "plans a task without a good id"),
        (["one"], "tasks[0] is 'one', not an object"),
        ([], "has not as many tasks"),
    ],
)
def test_a_plan_that_is_none_is_tampering(tmp_path, tasks, said):
    made = Run(tmp_path).plan(one=())
    made.journal.close()
    (made.path / "plan.json").write_bytes(canonical({"tasks": tasks}))
    assert any(said in f.message for f in look(made.path).findings)


def test_an_outcome_told_differently_in_two_places_is_tampering(tmp_path):
    """A task that repairs everything below it still has the journal against it."""
    made = Run(tmp_path).plan(one=())
    made.attempt("one", FAILED)
    path = made.path / "one/99-summary/status.json"
    status = json.loads(path.read_text()) | {"status": "success", "exit_code": 0}
    status["measures"]["peak_memory_bytes"] = 1
    path.write_bytes(canonical(status | {"task_id": "two", "run_id": "r2"}))
    made.end()
    messages = {f.message for f in look(made.path).findings if str(made.path / f.path) == str(path)}
    assert messages >= {
        "status is 'success' here, 'failure' in the journal",
        "exit_code is 0 here, 7 in the journal",
        "measures: peak_memory_bytes is not what the journal says",
        "belongs to another task",
        "belongs to another run",
    }


@pytest.mark.parametrize("data", [None, b"{}\n", b'{"a":1,"a":1}\n'])
def test_a_blocked_json_that_the_journal_names_must_be_that_one(tmp_path, data):
    made = Run(tmp_path).plan()
    made.tell(RunEnded(1, {}, 1.0, blocked_sha256="e" * 64))
    made.journal.close()
    if data is not None:
        (made.path / "blocked.json").write_bytes(data)
    seal(str(made.path))
    assert {f.path for f in look(made.path).findings} == {"blocked.json"}


def test_a_retried_task_counts_once_and_keeps_both_trees(tmp_path):
    made = Run(tmp_path).plan(one=())
    made.attempt("one", FAILED)
    made.attempt("one", OK, attempt=2)
    made.end()
    assert look(made.path).exit_code == 0
    replace(made.path / "one/attempts/1/99-summary/status.json", b"failure", b"success")
    assert look(made.path).exit_code == 1


def test_a_run_that_was_interrupted_may_take_a_task_up_later(tmp_path):
    made = Run(tmp_path).plan(one=(), two=())
    made.not_run("two", Status.CANCELLED, Cause.INTERRUPT)
    made.attempt("one")
    made.end()
    assert look(made.path).exit_code == 0


def test_files_with_a_leading_dot_that_an_upload_left_out_are_named_as_the_cause(full):
    (full / "slow/99-summary/.timeout_killed").unlink()
    found = look(full)
    assert found.exit_code == 1
    [hint] = [f for f in found.findings if f.kind == "hidden"]
    assert "include-hidden-files: true" in hint.message
    assert "zf export" in hint.message
    (full / "slow/20-logs/step-0.log").unlink()
    assert "hidden" not in {f.kind for f in look(full).findings}
