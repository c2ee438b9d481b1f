"""The instances of a matrix taken together: the worst decides, and a name may mean all of them."""

from __future__ import annotations

import pytest

from tests.support.report_samples import ended, failed, plan, run_started, started
from zf.errors import ZfError
from zf.events import Status
from zf.report import explain, runs, summary
from zf.report.facts import Fold
from zf.report.task_facts import Base, TaskFacts, bases, grouped, named

IDS = ("a", "t@v=1", "t@v=2", "z", "t@v=3")


def facts(*events):
    planned = plan(dict.fromkeys(IDS, ()))
    for row in planned["tasks"]:
        if "@" in row["id"]:
            row |= {"base": "t", "matrix": {"v": row["id"][-1]}}
    fold = Fold(planned)
    fold.apply(run_started())
    for event in events:
        fold.apply(event)
    return fold.facts


ONE_FAILED = (
    started("t@v=1"),
    ended("t@v=1", Status.SUCCESS),
    started("t@v=2"),
    failed("t@v=2"),
    started("t@v=3"),
)


def base_of(*words):
    task = TaskFacts("x", "x", "A", "f", 1, 1.0, (), (), ())
    tasks = []
    for word in words:
        if word == "running":
            tasks.append(TaskFacts("x", "x", "A", "f", 1, 1.0, (), (), (), running=True))
        elif word == "waiting":
            tasks.append(task)
        else:
            warned, status = word == "warned", "failure" if word == "warned" else word
            of = {"status": Status(status), "warned": warned}
            tasks.append(TaskFacts("x", "x", "A", "f", 1, 1.0, (), (), (), **of))
    return Base("t", tuple(tasks))


@pytest.mark.parametrize(
    ("words", "together"),
    [
        (("success", "success"), "success"),
        (("success", "skipped"), "success"),
        (("skipped", "skipped"), "skipped"),
        (("success", "warned"), "warned"),
        (("success", "waiting", "running"), "running"),
        (("success", "waiting"), "waiting"),
        (("running", "cancelled"), "cancelled"),
        (("cancelled", "blocked"), "blocked"),
        (("blocked", "timeout", "failure", "success"), "failure"),
        (("lost", "failure"), "lost"),
    ],
)
def test_the_worst_decides(words, together):
    assert base_of(*words).conclusion == together
    assert base_of(*reversed(words)).conclusion == together


def test_a_name_means_a_task_or_every_instance():
    known = facts()
    assert named(known, "a") == ("a",)
    assert named(known, "t@v=2") == ("t@v=2",)
    assert named(known, "t") == ("t@v=1", "t@v=2", "t@v=3")
    with pytest.raises(ZfError, match="has no task 'u'"):
        named(known, "u")


def test_instances_stand_together_below_their_base():
    rows = [one.id for one in grouped(facts().tasks.values())]
    assert rows == ["a", "t", "t@v=1", "t@v=2", "t@v=3", "z"]
    assert bases(facts().tasks.values())["t"].told == "3 instances: 3 waiting"


def test_the_table_of_a_run_has_a_row_for_each_matrix():
    lines = runs.tasks_table(facts(*ONE_FAILED)).splitlines()
    assert lines[2].split()[:2] == ["t", "failure"]
    assert lines[2].endswith("3 instances: 1 success, 1 failure, 1 running")
    assert [line.split()[0] for line in lines[1:7]] == ["a", "t", *IDS[1:3], IDS[4], "z"]
    assert lines[3].startswith("  t@v=1")


def test_a_matrix_is_explained_with_each_of_its_instances():
    told = explain.base(facts(*ONE_FAILED), "t")
    assert told.startswith("t: failure\n  what:     3 instances: 1 success, 1 failure, 1 running\n")
    assert "  failure   t@v=2" in told
    assert explain.worth_telling(facts(*ONE_FAILED), named(facts(), "t")) == ["t@v=2"]
    assert explain.worth_telling(facts(*ONE_FAILED), ["a"]) == ["a"]


def test_the_summary_says_which_matrix_did_not_go_well():
    assert "\nt: failure, 3 instances: 1 success" in summary.summary(facts(*ONE_FAILED))
    well = [event for name in IDS for event in (started(name), ended(name, Status.SUCCESS))]
    assert "instances" not in summary.summary(facts(*well))
