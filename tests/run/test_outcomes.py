"""The tables of docs/reference/semantics.md, row by row, against the real scheduler."""

from __future__ import annotations

import pytest

from tests.support.semantics import (
    CASES,
    CONDITIONS,
    HEAD,
    ROWS,
    end,
    outcome_of,
    rows,
    upstream,
)
from tests.support.simulated import ended, plan_of, task
from zf.events import Cause, Status
from zf.model import Need, Task
from zf.run.schedule.orders import Limits, NotRun
from zf.run.schedule.scheduler import Scheduler


def test_the_table_is_complete():
    assert {(row[0], row[1]) for row in ROWS} == {
        ("absent", "optional: true"),
        *((str(s), entry) for s in [*Status, "warned"] for entry in ("x", "require: done")),
    }
    assert len(ROWS) == 17
    assert [row[0] for row in rows("How a task can end")[1:]] == list(Status)


@pytest.mark.parametrize(("status", "entry", "column", "outcome"), CASES)
def test_each_row_is_what_happens(status, entry, column, outcome):
    need = Need(
        "x", optional=entry == "optional: true", require="done" if "done" in entry else "success"
    )
    asking = task("asking", [need], condition=CONDITIONS.get(column, column))
    check(status, asking, outcome)


@pytest.mark.parametrize("status", [*Status, "warned"])
def test_an_optional_need_that_is_there_is_like_any_other(status):
    plain = next(row for row in ROWS if row[:2] == [str(status), "x"])
    for column, outcome in zip(HEAD[2:], plain[2:], strict=True):
        asking = task(
            "asking", [Need("x", optional=True)], condition=CONDITIONS.get(column, column)
        )
        check(str(status), asking, outcome)


def check(status: str, asking: Task, outcome: str) -> None:
    s = Scheduler(plan_of(*upstream(status), asking), Limits(max_jobs=9))
    orders = s.start(0) + end(s, status)
    assert outcome_of("asking", orders) == outcome
    for order in orders:
        if isinstance(order, NotRun) and order.task == "asking":
            by_need = order.cause is Cause.NEED
            assert by_need or order.cause is Cause.CONDITION
            assert by_need == bool(order.needs)


LATER = {row[0]: row[1] for row in rows("In a later phase, after one that failed")[1:]}


@pytest.mark.parametrize(("status", "entry", "column", "outcome"), CASES)
def test_each_row_in_a_later_phase_after_one_that_failed(status, entry, column, outcome):
    need = Need(
        "x", optional=entry == "optional: true", require="done" if "done" in entry else "success"
    )
    condition = CONDITIONS.get(column, column)
    asking = task("asking", [need], phase="B", condition=condition)
    spoiler = task("spoiler")
    s = Scheduler(plan_of(*upstream(status), spoiler, asking), Limits(max_jobs=9))
    orders = s.start(0) + end(s, status) + s.handle(ended("spoiler", Status.FAILURE), 1)
    if column == "always()":
        wanted = {"as in the table": outcome}[LATER["any in the column `always()"]]
    elif outcome == "blocked" and status == "cancelled":
        wanted = LATER["blocked`, by a need that was itself `cancelled"]
    else:
        wanted = LATER["blocked" if outcome == "blocked" else "runs`, `skipped` or `failure"]
    assert outcome_of("asking", orders) == wanted


PAIRS = [
    pytest.param(*(word.strip("` ") for word in row[0].split(" and ")), row[1], id=row[0])
    for row in rows("More than one need")[1:]
]


@pytest.mark.parametrize(("first", "second", "outcome"), PAIRS)
@pytest.mark.parametrize("turned", [False, True])
def test_several_needs_whichever_ends_first(first, second, outcome, turned):
    asking = task("asking", ["x", "y"])
    plan = plan_of(*upstream(first, "x"), *upstream(second, "y"), asking)
    s = Scheduler(plan, Limits(max_jobs=9))
    orders = s.start(0)
    pair = [(first, "x"), (second, "y")]
    for status, name in reversed(pair) if turned else pair:
        orders += end(s, status, name)
    assert outcome_of("asking", orders) == outcome


def test_every_status_function_is_described():
    described = {row[0].partition("(")[0] for row in rows("The status functions")[1:]}
    asked = {column.partition("(")[0] for column in HEAD[2:] if "(" in column}
    assert described == asked
