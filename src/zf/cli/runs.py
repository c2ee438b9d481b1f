"""Verbs that look at runs, from their proofs alone: status, explain, logs."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.display.progress import remarks_of, remarks_of_task, style_of, tails_of
from zf.cli.options import AsJson, Directory, Tail, complete_run, complete_task, positive_lines
from zf.cli.project import path_shown, proofs_folder
from zf.errors import ZfError, printable
from zf.lean.record import replace

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.runs import RunRow
    from zf.report.waiting import Wait

RUN = typer.Argument(
    metavar="RUN",
    help="A run's id or the beginning of it, 'latest', or the path of a run's folder.",
    autocompletion=complete_run,
)
TASK = typer.Argument(metavar="TASK", help="A task's id.", autocompletion=complete_task)


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(status)
    app.command()(explain)
    app.command()(logs)


def find(run: str, *, own: bool = False) -> str:
    """The folder of the run that a user names: the one rule for RUN in every verb.

    What has a slash is the path of a folder, and nothing else is; all else is an id of the project,
    the beginning of one, or `latest`. A verb that changes a run, or builds on it, takes only those
    of its `own` project. Raises ZfError (exit 2) when there is no such run.
    """
    from zf.proof import read

    if "/" not in run:
        try:
            return read.find_run(proofs_folder(), run)
        except ZfError as error:
            if not os.path.isdir(run):
                raise
            raise ZfError(
                f"unknown run {printable(run)!r}",
                code=error.problems[0].code,
                hint=f"to name the folder, write ./{printable(run)}",
            ) from None
    path = run.rstrip("/") or "/"
    if not own:
        return path
    proofs = proofs_folder()
    name = os.path.basename(os.path.realpath(path))
    if os.path.realpath(path) != os.path.realpath(f"{proofs}/{name}"):
        raise ZfError(
            f"{printable(run)} is no run of this project",
            code="ZF610",
            hint=f"its runs are in {printable(proofs)}",
        )
    return read.find_run(proofs, name)


def status(
    run: Annotated[str | None, RUN] = None,
    limit: Annotated[
        int, typer.Option("-n", metavar="N", min=1, help="How many runs to list.")
    ] = 20,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """List the runs, newest first; or the tasks of one run."""
    from zf.proof import read
    from zf.report import runs, waiting

    style = style_of(sys.stdout)
    proofs = proofs_folder()
    if run is not None:
        run_dir = find(run)
        facts = facts_of(run_dir)
        if as_json:
            [row] = runs.as_json([_row_of(facts, os.path.dirname(run_dir) or ".")])
            tasks = {t.id: t.word for t in facts.tasks.values()}
            found = waiting.as_json(_waits(facts, run_dir))
            print(json.dumps({**row, "tasks": tasks, "waits": found}))
        else:
            print(runs.tasks_table(facts, style, _waits(facts, run_dir)), end="")
        return
    rows = [_row(proofs, name) for name in read.list_runs(proofs)[:limit]]
    print(json.dumps(runs.as_json(rows)) if as_json else runs.table(rows, style), end="")
    if as_json:
        print()


def _waits(facts: Facts, run_dir: str) -> dict[str, Wait]:
    """What each waiting task of a run waits for, if somebody runs it."""
    from zf.proof import layout, read
    from zf.report.waiting import waits
    from zf.run.lock import is_run

    if facts.exit_code is not None or not is_run(os.path.dirname(run_dir) or ".", facts.run):
        return {}
    with suppress(ZfError, KeyError, TypeError):
        limits = read.object_and_digest(run_dir, layout.RUN)[0]["limits"]
        facts.max_jobs, facts.resources = limits["max_jobs"], limits["resources"]
    return waits(facts, time.monotonic())


def _row(proofs: str, name: str) -> RunRow:
    from zf.report import runs

    try:
        return _row_of(facts_of(f"{proofs}/{name}"), proofs)
    except ZfError as error:
        return runs.unreadable(name, str(error))


def _row_of(facts: Facts, proofs: str) -> RunRow:
    from zf.report import runs
    from zf.run.lock import is_run

    row = runs.row(facts)
    # The journal of a run under way and that of a killed one look the same.
    alive = row.result == "unfinished" and is_run(proofs, row.run)
    return replace(row, result="running") if alive else row


def explain(
    run: Annotated[str, RUN] = "latest",
    task: Annotated[str | None, TASK] = None,
    tail: Tail = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Say why a run, or a task of it, came to what it came to. Reads the proof alone."""
    from zf.proof import read
    from zf.proof.layout import MANIFEST
    from zf.report import advice, blocked
    from zf.report import explain as telling
    from zf.report.excerpt import LOOK_LINES
    from zf.report.waiting import as_json as as_json_of
    from zf.run.lock import is_run

    run_dir = find(run)
    facts = facts_of(run_dir)
    style = style_of(sys.stdout)
    proof = path_shown(run_dir)
    most = positive_lines(tail)
    alive = facts.exit_code is None and is_run(os.path.dirname(run_dir), facts.run)
    sealed = os.path.lexists(f"{run_dir}/{MANIFEST}")
    if task is not None:
        refuse_unknown(facts, task)
        found = facts.tasks[task]
        log = read.log_tail(run_dir, task, facts.step_number(found), lines=LOOK_LINES)
        told = telling.task(
            facts,
            task,
            log=log,
            most=most,
            proof=proof,
            style=style,
            remarks=remarks_of_task(found, run_dir),
            alive=alive,
            sealed=sealed,
            wait=_waits(facts, run_dir).get(task),
        )
        print(told, end="")
        return
    tails = tails_of(facts, run_dir)
    if as_json:
        commands = advice.commands(facts, alive=alive, sealed=sealed, zf=style.zf)
        said = blocked.as_json(facts, tails=tails)
        print(json.dumps({**said, "next": commands, "waits": as_json_of(_waits(facts, run_dir))}))
    else:
        told = telling.run(
            facts,
            tails=tails,
            most=most,
            proof=proof,
            style=style,
            remarks=remarks_of(facts, run_dir),
            alive=alive,
            sealed=sealed,
            whole=True,
        )
        print(told, end="")


def logs(
    run: Annotated[str, RUN],
    task: Annotated[str, TASK],
    step: Annotated[
        int | None,
        typer.Option(
            "--step", metavar="N", min=0, help="Only the step of this number, as in step-N.log."
        ),
    ] = None,
    _directory: Directory = None,
) -> None:
    """Print what a task printed, byte for byte."""
    from zf.proof import read

    run_dir = find(run)
    facts = facts_of(run_dir)
    refuse_unknown(facts, task)
    first = facts.first_step
    steps = [step] if step is not None else range(first, first + len(facts.tasks[task].steps))
    found = False
    for number in steps:
        try:
            for piece in read.log_pieces(run_dir, task, number):
                sys.stdout.buffer.write(piece)
        except ZfError:
            continue  # a step that was not reached has no log
        found = True
    if not found:
        raise ZfError(
            f"no log of {task!r} in run {facts.run!r}: it is {facts.tasks[task].word}",
            code="ZF131",
            hint=f"zf explain {facts.run} {task} says why",
        )


def facts_of(run_dir: str) -> Facts:
    """What a run's plan and journal say, as far as they go."""
    from zf.proof import read
    from zf.report.facts import build

    return build(read.plan_json(run_dir), read.journal(run_dir).events)


def refuse_unknown(facts: Facts, task: str) -> None:
    """Raises ZfError (exit 2) for a task that a run did not plan."""
    if task not in facts.tasks:
        raise ZfError(
            f"run {facts.run!r} has no task {task!r}",
            code="ZF130",
            hint=f"zf status {facts.run} lists its tasks",
        )
