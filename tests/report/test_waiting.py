"""Why tasks wait, from plan, limits and events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.report_samples import ended, failed, plan, run_started, started
from zf.events import (
    Event,
    LeaseAwaited,
    PhaseStarted,
    RetryScheduled,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.report import live, waiting
from zf.report.facts import Facts, Fold

LIMITS = {"max_jobs": 3, "resources": {"gpu": 2}}
NOW = 110.0
# Keys of the plan that tell the tasks apart; the others are ready from the start.
KEYS: dict[str, dict[str, Any]] = {
    "alone": {"parallel_safe": False},
    "alone2": {"parallel_safe": False},
    "gpu": {"resources": {"gpu": 2}},
    "gpu2": {"resources": {"gpu": 1}},
    "deploy": {"concurrency": "prod"},
    "deploy2": {"concurrency": "prod"},
    "late": {"start_after_s": 60.0},
    "t@v=1": {"base": "t", "matrix": {"v": "1"}, "max_parallel": 1},
    "t@v=2": {"base": "t", "matrix": {"v": "2"}, "max_parallel": 1},
}


def midway(*events: Event, needs: dict[str, tuple[str, ...]] | None = None) -> Facts:
    """A run of these tasks that began at 100, each event a second later."""
    planned = plan(needs or dict.fromkeys(("a", "b", "c", *KEYS), ()))
    for row in planned["tasks"]:
        row.update(KEYS.get(row["id"], {}))
    fold = Fold(planned, LIMITS)
    for second, event in enumerate((run_started(), PhaseStarted("E", 60), *events)):
        fold.apply(event, 100.0 + second)
    return fold.facts


BUSY = ThrottleEntered("CPU at 99 %, above 90 %", 99, 1000)


@pytest.mark.parametrize(
    ("events", "task", "why", "tasks", "told"),
    [
        ([], "a", "turn", (), None),
        ([started("a")], "b", "turn", ("alone", "alone2"), None),
        ([started("a")], "alone", "alone", ("a",), "to run alone, after a"),
        ([started("alone")], "a", "exclusive", ("alone",), "for alone, which runs alone"),
        ([started("alone")], "alone2", "exclusive", ("alone",), "for alone, which runs alone"),
        ([started("gpu")], "gpu2", "resource", ("gpu",), "for 1 gpu, 0 free: gpu has 2"),
        ([started("gpu2")], "gpu", "resource", ("gpu2",), "for 2 gpu, 1 free: gpu2 has 1"),
        ([started("gpu2"), ended("gpu2")], "gpu", "turn", (), None),
        (
            [started("deploy")],
            "deploy2",
            "concurrency",
            ("deploy",),
            "for 'prod', which deploy has",
        ),
        (
            [LeaseAwaited("deploy", "prod", "run x")],
            "deploy",
            "lease",
            (),
            "for 'prod', held by run x",
        ),
        (
            [started("t@v=1")],
            "t@v=2",
            "matrix",
            ("t@v=1",),
            "for t@v=1: max_parallel of its matrix is 1",
        ),
        ([started("t@v=1"), ended("t@v=1")], "t@v=2", "turn", (), None),
        ([started(n) for n in "abc"], "gpu", "slot", (), "for a slot: 3 of 3 are taken"),
        (
            [started("a"), BUSY],
            "b",
            "throttle",
            (),
            f"for the machine to be less busy: {BUSY.reason}",
        ),
        ([BUSY], "b", "turn", (), None),
        ([started("a"), BUSY, ThrottleLeft(1, 1)], "b", "turn", ("alone", "alone2"), None),
        (
            [started("a"), failed("a"), RetryScheduled("a", 2, 9)],
            "a",
            "retry",
            (),
            "for attempt 2, in 3s",
        ),
        ([started("a"), failed("a"), RetryScheduled("a", 2, 1)], "a", "turn", (), None),
        ([], "late", "start_after", (), "for its start_after, in 50s"),
    ],
)
def test_why_a_task_waits(events, task, why, tasks, told):
    found = waiting.waits(midway(*events), NOW)
    wait = found[task]
    assert wait.why == why
    if tasks:
        assert wait.tasks == tasks
    if told is not None:
        assert wait.told == told
    assert waiting.as_json(found)[task]["told"] == f"waits {wait.told}"


def test_a_need_comes_before_all_else_and_a_phase_before_that():
    facts = midway(started("a"), needs={"a": (), "b": (), "c": ("a", "b"), "gpu": ()})
    assert waiting.waits(facts, NOW)["c"].told == "for a (running), b (waiting)"
    facts.phase = "D"
    assert waiting.waits(facts, NOW)["c"] == waiting.Wait("phase", told="for phase E")


def test_what_runs_or_has_ended_waits_for_nothing():
    facts = midway(started("a"), ended("a"), started("b"))
    assert {"a", "b"}.isdisjoint(waiting.waits(facts, NOW))


def test_the_board_says_it():
    tasks = dict.fromkeys(("a", "gpu", "gpu2", "deploy", "deploy2"), ())
    facts = midway(started("gpu"), started("deploy"), needs=tasks)
    told = live.board(facts, NOW, columns=120)
    assert told[-1] == "  waiting: 1 for 1 gpu, 0 free: gpu has 2  1 for 'prod', which deploy has"
    facts = midway(*map(started, "abc"), needs=dict.fromkeys("abcde", ()))
    told = live.board(facts, NOW, columns=120)
    assert told[-1] == "  waiting: 2 for a slot: 3 of 3 are taken"
    assert live.board(facts, NOW, columns=120, rows=4) == told[:-1]
