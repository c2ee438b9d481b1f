"""The tables of docs/reference/semantics.md, and what it takes for a row of them to happen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.simulated import ended, task
from zf.events import CancelRequested, Status
from zf.model import Task
from zf.run.schedule.orders import NotRun, StartAttempt
from zf.run.schedule.scheduler import Scheduler

PAGE = (Path(__file__).parents[2] / "docs/reference/semantics.md").read_text()
# Conditions whose answer is the column's name.
CONDITIONS = {"none": "", "false": "1 == 2", "error": "${NOT_SET} == 'x'"}


def rows(heading: str, first: str = "") -> list[list[str]]:
    """The cells of the first table below a heading, its own heading row first; of a table whose
    `first` cell is given, the rows below that.
    """
    below = PAGE.split(f"\n## {heading}\n", 1)[1]
    if first:
        below = below.split(f"\n| {first} |", 1)[1].split("\n", 1)[1]
        below = f"\n{below}"
    table = below.split("\n|", 1)[1].split("\n\n", 1)[0]
    lines = [line for line in f"|{table}".splitlines() if not line.startswith("|---")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


HEAD, *ROWS = rows("From a need's end to the dependent's outcome")
CASES = [
    pytest.param(row[0], row[1], column, outcome, id=f"{row[0]}, {row[1]}, {column}")
    for row in ROWS
    for column, outcome in zip(HEAD[2:], row[2:], strict=True)
]


def upstream(status: str, name: str = "x") -> list[Task]:
    """The task `name`, and what it takes for it to be able to end in this way."""
    match status:
        case "absent":
            return []
        case "warned":
            return [task(name, allow_failure=True)]
        case "skipped":
            return [task(name, condition="false")]
        case "blocked":
            return [task(f"{name}-cause"), task(name, [f"{name}-cause"])]
    return [task(name)]


def end(s: Scheduler, status: str, name: str = "x") -> list:
    match status:
        case "absent" | "skipped":
            return []
        case "warned":
            return s.handle(ended(name, Status.FAILURE), 1)
        case "blocked":
            return s.handle(ended(f"{name}-cause", Status.LOST), 1)
        case "cancelled":
            s.handle(CancelRequested(name), 1)
    return s.handle(ended(name, Status(status)), 1)


def outcome_of(name: str, orders: list) -> str | None:
    for order in orders:
        if order == StartAttempt(name, 1):
            return "runs"
        if isinstance(order, NotRun) and order.task == name:
            return str(order.status)
    return None
