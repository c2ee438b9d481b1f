"""Where tasks can run, as `zf workers` shows it: executors as zf.yaml has them, and the agents of
the runs that go on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zf.cli.display import streams
from zf.cli.display.progress import style_of
from zf.cli.project import facts_of, find_run, open_project, proofs_folder
from zf.errors import Exit, ZfError, printable
from zf.report.words import duration, without_colour
from zf.run.host import lock
from zf.run.host.workers import of_run

_AGENT = ("EXECUTOR", "STATE", "TASK", "MACHINE", "ZF", "SINCE", "HEARD")


def show(run: str | None, *, as_json: bool) -> None:
    """Print the executors with their slots, then the agents of each run that goes on."""
    flow = open_project(quiet=True)
    executors = [
        {
            "name": name,
            "slots": one.slots,
            "labels": list(one.labels),
            "start": list(one.start),
            "lease_sec": one.lease_s,
        }
        for name, one in flow.project.executors.items()
    ]
    runs = [_of_run(name) for name in _live(run)]
    if as_json:
        print(json.dumps({"executors": executors, "runs": runs}))
    else:
        streams.say(sys.stdout, "".join(f"{line}\n" for line in _lines(executors, runs)))


def drain(run: str | None, executor: str) -> None:
    """Ask the zf of a run to begin nothing more on an executor. Raises ZfError."""
    runs = _live(run)
    if not runs:
        raise ZfError(
            "no run goes on that could be asked",
            exit_code=Exit.FAILED,
            code="ZF777",
            hint="zf workers shows the executors of zf.yaml",
        )
    if len(runs) > 1:
        raise ZfError(
            f"{len(runs)} runs go on: {', '.join(runs)}",
            code="ZF777",
            hint=f"say which: zf workers drain {printable(executor)} --run {runs[0]}",
        )
    known = _of_run(runs[0])["executors"]
    if executor not in known:
        listed = ", ".join(known) or "none but this machine"
        raise ZfError(
            f"{printable(executor)!r} is no executor of run {runs[0]}",
            code="ZF777",
            hint=f"its executors: {listed}",
        )
    try:
        lock.order(proofs_folder(), runs[0], f"drain {executor}")
    except OSError as error:
        raise ZfError(
            f"run {runs[0]!r} takes no orders: {error.strerror}",
            exit_code=Exit.FAILED,
            code="ZF147",
            hint="ask as the user who runs it, from outside of its steps",
        ) from None
    streams.say(sys.stderr, f"asked {runs[0]} to begin nothing more on {executor}\n")


def _live(run: str | None) -> list[str]:
    """The runs that go on, or the one that is named, if it does."""
    proofs = proofs_folder()
    if run is not None:
        name = os.path.basename(find_run(run, own=True))
        if not lock.is_run(proofs, name):
            raise ZfError(
                f"run {name!r} does not go on",
                exit_code=Exit.FAILED,
                code="ZF777",
                hint=f"zf status {name} says what became of it",
            )
        return [name]
    if not os.path.isdir(lock.folder(proofs)):
        return []
    return sorted(map(os.path.basename, lock.live_runs(proofs, but="")))


def _of_run(run: str) -> dict[str, Any]:
    proofs = proofs_folder()
    return of_run(proofs, run, facts_of(f"{proofs}/{run}"))


def _lines(
    executors: Iterable[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> Iterable[str]:
    style = style_of(sys.stdout)
    declared = [
        (one["name"], f"{one['slots']}", ", ".join(one["labels"]), " ".join(one["start"]))
        for one in executors
    ]
    if declared:
        yield from _table([("EXECUTOR", "SLOTS", "LABELS", "COMMAND"), *declared], style.columns)
    elif any(run["agents"] for run in runs):  # of --executor dask://...
        yield "zf.yaml has no executors"
    else:
        yield "every task runs on this machine: zf.yaml has no executors"
    for run in runs:
        yield ""
        here = f"{len(run['here'])} of {run['max_jobs']} slots of this machine in use"
        drained = f"; drained: {', '.join(run['drained'])}" if run["drained"] else ""
        yield f"run {printable(run['run'])}: {here}{drained}"
        if run["agents"]:
            yield from _table([_AGENT, *map(_row, run["agents"])], style.columns)


def _row(agent: Mapping[str, Any]) -> tuple[str, ...]:
    heard = agent["heard_s"]
    machine = f"{agent['user']}@{agent['host']}" if agent["host"] else ""
    return (
        printable(agent["executor"]),
        agent["state"],
        printable(agent["task"] or ""),
        printable(machine),
        printable(str(agent["zf"] or "")),
        duration(agent["since_s"]),
        "" if heard is None else f"{duration(heard)} ago",
    )


def _table(rows: Sequence[tuple[str, ...]], columns: int) -> Iterable[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = without_colour(line).rstrip()
        yield f"{line[: columns - 1]}…" if columns and len(line) > columns else line
