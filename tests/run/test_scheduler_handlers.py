"""The rows about handlers of docs/reference/semantics.md, against the real scheduler."""

from __future__ import annotations

from collections import deque
from itertools import product

import pytest

from tests.support.semantics import rows
from tests.support.simulated import ended, plan_of, task
from zf.events import AttemptStarted, Cause, Interrupted, PhaseStarted, RunStarted, Status
from zf.model.handler import RUN_PHASE, WHEN
from zf.run.schedule.orders import EndRun, KillAttempt, Limits, StartAttempt, Tick
from zf.run.schedule.scheduler import Scheduler

# Those of the phase under way, of a later one, and of the run.
PLACES = ("A", "B", RUN_PHASE)
DEADLINE_S, PHASE_S = 100, 50
ROWS = {
    row[0].replace("`", ""): row[1:]
    for row in rows("What ends a whole run", "after | a handler of that phase")
}


def name_of(place, when):
    """So that the order of the names is that of `WHEN`."""
    return f"{place}-{WHEN.index(when)}-{when}"


HANDLERS = {name_of(*said): said for said in product(PLACES, WHEN)}


def plan():
    """A task in each of two phases, and for every place a handler for every end."""
    told = [
        task(
            name,
            phase=place,
            on_end={
                "when": [when],
                "phase": "" if place == RUN_PHASE else place,
                "repeatable": False,
                "required": False,
            },
        )
        for name, (place, when) in HANDLERS.items()
    ]
    tasks = [task("a"), task("b", phase="B"), *told]
    return plan_of(*tasks, phase_timeout_s=PHASE_S)


def scheduler(what=""):
    limits = {"deadline_s": DEADLINE_S} if what == "--deadline" else {}
    return Scheduler(plan(), Limits(1, **limits))


def killed_runner(s):
    """What the journal has of a run whose runner died while its first task ran."""
    for event in (
        RunStarted("r", ("A", "B", RUN_PHASE), 1, "", "", None, None, None),
        PhaseStarted("A", PHASE_S),
        AttemptStarted("a", 1, 0),
        ended("a", Status.LOST, cause=Cause.RUNNER),
    ):
        s.replay(event, 0)


def go_on(s, orders, end=Status.SUCCESS):
    """Which handlers run until the run has ended, where `a` comes to this end, and whatever else
    starts succeeds.
    """
    ran, left = [], deque(orders)
    while left:
        match left.popleft():
            case StartAttempt("a", attempt):
                left += s.handle(ended("a", end, attempt=attempt), 1)
            case StartAttempt(name, attempt):
                ran += [name] * (name in HANDLERS)
                left += s.handle(ended(name, attempt=attempt), 1)
            case KillAttempt(name, attempt, cause):
                by_clock = cause in {Cause.PHASE_TIMEOUT, Cause.DEADLINE}
                status = Status.TIMEOUT if by_clock else Status.CANCELLED
                left += s.handle(ended(name, status, attempt=attempt, cause=cause), DEADLINE_S)
            case EndRun():
                assert not left
                return ran
    raise AssertionError("the run has no end")


def ran_after(what):
    """Which handlers run after what a row names."""
    s = scheduler(what)
    if what == "zf was killed, zf seal":
        killed_runner(s)
        return go_on(s, s.give_up(1))
    first = s.start(0)
    match what:
        case "all went well":
            return go_on(s, first)
        case "a phase that failed":
            return go_on(s, first, Status.FAILURE)
        case "the phase timeout":
            return go_on(s, s.handle(Tick(), PHASE_S))
        case "--deadline":
            return go_on(s, s.handle(Tick(), DEADLINE_S))
        case "Ctrl-C, TERM, HUP":
            return go_on(s, s.handle(Interrupted(2, 1), 1))
        case "a second Ctrl-C, TERM or HUP":
            return go_on(s, s.handle(Interrupted(2, 1), 1) + s.handle(Interrupted(2, 2), 1))
    raise AssertionError(what)


def named(cells):
    """The handlers that the cells of a row name, in the order in which they run."""
    wanted = []
    for place, cell in zip(PLACES, cells, strict=True):
        said = cells[0] if cell.startswith("the same") else cell
        wanted += [name_of(place, when) for when in WHEN if f"`{when}`" in f"`{said}`"]
    return wanted


@pytest.mark.parametrize("what", [what for what in ROWS if "zf resume" not in what])
def test_each_row_is_what_happens(what):
    assert ran_after(what) == named(ROWS[what])


@pytest.mark.parametrize("end", [Status.SUCCESS, Status.FAILURE, Status.TIMEOUT])
def test_after_a_resume_they_are_for_what_the_run_comes_to(end):
    assert ROWS["zf was killed, zf resume"] == ["by what it then comes to", "the same", "the same"]
    alike = "all went well" if end is Status.SUCCESS else "a phase that failed"
    s = scheduler()
    killed_runner(s)
    assert go_on(s, s.handle(Tick(), 1), end) == named(ROWS[alike])


def test_the_table_has_every_end():
    assert len(ROWS) == 8
    assert {name for name in HANDLERS if name in named(ROWS["all went well"])} == {
        name_of(place, when) for place in PLACES for when in ("success", "always")
    }
