"""Durations of earlier runs in the whole program: the second run's order, and `zf durations`."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.program import Project


@pytest.fixture
def uneven(project: Project) -> Project:
    """Three tasks, of which the last by its name takes longest."""
    for name, seconds in (("a", 0), ("b", 0), ("z", 0.3)):
        project.task(name, f"sleep {seconds}", parallel_safe=True)
    return project


def started(project: Project, run: str) -> list[str]:
    journal = (project.root / "proofs" / run / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in journal]
    return [event["task"] for event in events if event["type"] == "attempt_started"]


def weights(project: Project, run: str) -> dict[str, float | None]:
    plan = json.loads((project.root / "proofs" / run / "plan.json").read_text())
    return {row["id"]: row.get("weight_s") for row in plan["tasks"]}


def run(project: Project, name: str, *more: str) -> None:
    done = project.zf("run-phase", "A", "-j", "1", "--run-id", name, *more)
    assert done.code == 0, done.err


def test_the_second_run_begins_with_what_takes_longest(uneven):
    run(uneven, "r1")
    run(uneven, "r2")
    assert weights(uneven, "r1") == {"a": None, "b": None, "z": None}
    assert started(uneven, "r1") == ["a", "b", "z"]
    assert all(weights(uneven, "r2").values())
    assert started(uneven, "r2")[0] == "z"
    assert uneven.zf("verify", "r2").code == 0


def test_a_changed_script_has_no_duration_and_other_changes_keep_it(uneven):
    run(uneven, "r1")
    uneven.task("z", "sleep 0", parallel_safe=True)
    uneven.task("a", "sleep 0", parallel_safe=True, title="Anew", timeout_sec=9)
    rows = {row["task"]: row["from"] for row in listed(uneven)}
    assert rows == {"a": "runs", "b": "runs", "z": None}


def listed(project: Project) -> list[dict[str, object]]:
    done = project.zf("durations", "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_the_table(uneven):
    run(uneven, "r1")
    run(uneven, "r2")
    uneven.task("new", "true")
    done = uneven.zf("durations")
    assert (done.code, done.err) == (0, "")
    assert re.sub(r"0\.\ds", "N.Ns", done.out) == (
        "task  expected  from\n"
        "a         N.Ns  2 runs\n"
        "b         N.Ns  2 runs\n"
        "new          -  no success of this script yet\n"
        "z         N.Ns  2 runs\n"
    )


def test_a_bare_checkout_goes_by_the_file_of_the_project(uneven):
    run(uneven, "r1")
    done = uneven.zf("durations", "--write")
    assert (done.code, done.out, done.err) == (0, "durations.json: 3 tasks, 3 changed\n", "")
    again = uneven.zf("durations", "--write")
    assert again.out == "durations.json: 3 tasks, 0 changed\n"
    (uneven.root / "proofs").rename(uneven.root / "elsewhere")
    assert {row["from"] for row in listed(uneven)} == {"file"}
    run(uneven, "r2")
    assert started(uneven, "r2")[0] == "z"
    written = json.loads(uneven.zf("durations", "--write", "--json").out)
    assert written["file"].endswith("/durations.json")
    assert written["tasks"] == 3


def test_a_file_of_no_use_is_told_and_nothing_hangs_on_it(uneven):
    broken = uneven.root / "durations.json"
    broken.write_text('{"schema": "zf/durations/v1",\n"tasks": {\n<<<<<<< HEAD\n')
    told = (
        "durations.json:3: warning[ZF109]: the durations of earlier runs cannot be used: JSON is"
        " malformed: object keys must be strings\n"
        "  hint: zf durations --write writes it anew; it decides nothing but the start order\n"
    )
    done = uneven.zf("run-phase", "A", "--run-id", "r1")
    assert (done.code, done.err.startswith(told)) == (0, True)
    checked = uneven.zf("validate")
    assert (checked.code, checked.err) == (0, told)
    assert uneven.zf("durations", "--write").code == 0
    assert uneven.zf("validate").err == ""


def test_where_the_file_cannot_be_written_is_said(uneven):
    run(uneven, "r1")
    (uneven.root / "durations.json").mkdir()
    done = uneven.zf("durations", "--write")
    assert done.code == 2
    assert "error[ZF109]: cannot write durations.json: " in done.err


def test_a_secret_in_a_script_is_not_in_its_digest(project):
    """A reader of the file could otherwise try values until the digest is right."""
    for secret in ("hunter2hunter2", "correcthorse99"):
        project.task("t", f"echo {secret}", env={"API_TOKEN": secret}, parallel_safe=True)
        run(project, f"r-{secret}")
    [row] = listed(project)
    assert len(row["seconds"]) == 2
