"""An output cannot be forged: not its value, not its name, not by making all else fit. A verifier
that was written from the convention alone agrees.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import Project
from zf.audit.expected import Expectations
from zf.audit.findings import State
from zf.audit.verify import verify

HANDED = "30-outputs.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    project = Project(tmp_path_factory.mktemp("outputs") / "project")
    script = 'echo "version=$ATTEMPT" >> $ZF_OUTPUT; test "$ATTEMPT" = 2'
    project.task("build", script, outputs=["version"], max_retries=1)
    project.task("part", "echo a=1 >> $ZF_OUTPUT; exit 3", outputs=["a", "b"], allow_failure=True)
    project.task("plain", "true", needs=["build"])
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    return project.proof("r")


def edit(path: Path, change: Callable[[dict], object]) -> None:
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def rewrite(run: Path, tree: str, values: object) -> None:
    (run / tree / HANDED).write_text(json.dumps(values) + "\n")


def list_it(run: Path, tree: str) -> None:
    """Put the file into the list of its tree, where it was not."""
    listed = run / tree / "40-checksums/task.sha256"
    rows = [line[66:] for line in listed.read_text().splitlines()]
    rows = sorted({*rows, HANDED}, key=str.encode)
    listed.write_text("".join(f"{'0' * 64}  {row}\n" for row in rows))


def say_it(run: Path, task: str) -> None:
    """Have journal and status name the digest of the file as it is now."""
    path = run / task / HANDED
    digest = sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    edit(run / task / "99-summary/status.json", lambda said: said.update(outputs_sha256=digest))
    lines = []
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        is_end = event["type"] == "attempt_ended" and event["task"] == task
        if is_end and not (run / task / f"attempts/{event['attempt']}").exists():
            event["outputs_sha256"] = digest
        lines.append(json.dumps(event, separators=(",", ":")) + "\n")
    (run / "events.jsonl").write_text("".join(lines))


def in_journal(run: Path, task: str, digest: str) -> None:
    status = run / task / "99-summary/status.json"
    before = status.read_text()
    said = json.loads(before)["outputs_sha256"]
    text = (run / "events.jsonl").read_text()
    assert said in text
    (run / "events.jsonl").write_text(text.replace(said, digest))


def value_alone(run: Path) -> None:
    rewrite(run, "build", {"version": "3"})


def value_of_an_earlier_attempt(run: Path) -> None:
    rewrite(run, "build/attempts/1", {"version": "3"})


def file_gone(run: Path) -> None:
    (run / "build" / HANDED).unlink()


def file_of_a_task_without_any(run: Path) -> None:
    rewrite(run, "plain", {"version": "3"})
    list_it(run, "plain")


def value_and_journal(run: Path) -> None:
    rewrite(run, "build", {"version": "3"})
    in_journal(run, "build", sha256((run / "build" / HANDED).read_bytes()).hexdigest())


def value_and_status(run: Path) -> None:
    rewrite(run, "build", {"version": "3"})
    digest = sha256((run / "build" / HANDED).read_bytes()).hexdigest()
    edit(run / "build/99-summary/status.json", lambda said: said.update(outputs_sha256=digest))


def digest_gone_from_the_status(run: Path) -> None:
    edit(run / "build/99-summary/status.json", lambda said: said.pop("outputs_sha256"))


def name_that_was_not_planned(run: Path) -> None:
    rewrite(run, "build", {"version": "2", "more": "1"})
    say_it(run, "build")


def name_that_was_not_planned_of_a_failure(run: Path) -> None:
    rewrite(run, "part", {"a": "1", "more": "1"})
    say_it(run, "part")


def name_gone_from_a_success(run: Path) -> None:
    rewrite(run, "build", {})
    say_it(run, "build")


def everything_gone_from_a_success(run: Path) -> None:
    (run / "build" / HANDED).unlink()
    say_it(run, "build")


def value_that_is_no_text(run: Path) -> None:
    rewrite(run, "build", {"version": 2})
    say_it(run, "build")


def value_twice(run: Path) -> None:
    (run / "build" / HANDED).write_text('{"version": "2", "version": "3"}\n')
    say_it(run, "build")


def no_object(run: Path) -> None:
    rewrite(run, "build", ["version"])
    say_it(run, "build")


def outputs_of_any_plan(run: Path) -> None:
    """What a task hands on without being planned to, in a row of the plan that is forged, too."""
    edit(run / "plan.json", lambda plan: plan["tasks"][0].update(outputs=["version", "more"]))


def outputs_of_any_task(run: Path) -> None:
    edit(run / "build/00-meta/task.json", lambda task: task.update(outputs=["version", "more"]))


FORGED = [
    value_alone,
    value_of_an_earlier_attempt,
    file_gone,
    file_of_a_task_without_any,
    value_and_journal,
    value_and_status,
    digest_gone_from_the_status,
    name_that_was_not_planned,
    name_that_was_not_planned_of_a_failure,
    name_gone_from_a_success,
    everything_gone_from_a_success,
    value_that_is_no_text,
    value_twice,
    no_object,
    outputs_of_any_plan,
    outputs_of_any_task,
]


def repair(run: Path) -> None:
    """Make all lists, the journal and the seal anew."""
    proof_mutations.repair_lists(run)
    proof_mutations.repair_journal(run)
    seal(str(run))


def test_the_run_itself_is_whole_for_both(run):
    assert json.loads((run / "build" / HANDED).read_text()) == {"version": "2"}
    assert json.loads((run / "build/attempts/1" / HANDED).read_text()) == {"version": "1"}
    assert json.loads((run / "part" / HANDED).read_text()) == {"a": "1"}
    assert verify(str(run)).exit_code == 0
    assert independent_verifier.verify(str(run)) == (True, True)


@pytest.mark.parametrize("forged", FORGED)
def test_whatever_is_forged_is_found_by_both(run, tmp_path, forged):
    copy = tmp_path / "r"
    shutil.copytree(run, copy)
    forged(copy)
    repair(copy)
    found = verify(str(copy))
    assert found.verdicts[0].state == State.FAILED, found.render()
    assert independent_verifier.verify(str(copy))[0] is False


def test_what_makes_everything_anew_is_found_by_the_head_alone(run, tmp_path):
    """As SECURITY.md says: in an unsigned run, nothing else can find it. So the tests above fail
    for what they forge, and for nothing that their repair would leave.
    """
    copy, head = tmp_path / "r", verify(str(run)).result["head"]
    shutil.copytree(run, copy)
    rewrite(copy, "build", {"version": "3"})
    say_it(copy, "build")
    repair(copy)
    assert verify(str(copy)).exit_code == 0
    assert independent_verifier.verify(str(copy)) == (True, True)
    assert verify(str(copy), Expectations(head=head)).exit_code == 4
