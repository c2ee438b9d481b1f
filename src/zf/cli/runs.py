"""Verbs that look at runs, from their proofs alone: status, explain, logs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.options import AsJson, Directory, complete_run, complete_task
from zf.cli.progress import wants_colour
from zf.cli.project import proofs_folder
from zf.errors import ZfError
from zf.record import replace

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.runs import RunRow

RUN = typer.Argument(metavar="RUN", help="A run's id, or 'latest'.", autocompletion=complete_run)
TASK = typer.Argument(metavar="TASK", help="A task's id.", autocompletion=complete_task)


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(status)
    app.command()(explain)
    app.command()(logs)


def status(
    run: Annotated[str | None, RUN] = None,
    limit: Annotated[int, typer.Option("-n", min=1, help="How many runs to list.")] = 20,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """List the runs, newest first; or the tasks of one run."""
    from zf.proof import read
    from zf.report import runs
    from zf.report.words import Style

    style = Style(wants_colour(sys.stdout))
    proofs = proofs_folder()
    if run is not None:
        facts = facts_of(read.find_run(proofs, run))
        if as_json:
            [row] = runs.as_json([_row_of(facts, proofs)])
            print(json.dumps({**row, "tasks": {t.id: t.word for t in facts.tasks.values()}}))
        else:
            print(runs.tasks_table(facts, style), end="")
        return
    rows = [_row(proofs, name) for name in read.list_runs(proofs)[:limit]]
    print(json.dumps(runs.as_json(rows)) if as_json else runs.table(rows, style), end="")
    if as_json:
        print()


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
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Say why a run, or a task of it, came to what it came to. Reads the proof alone."""
    from zf.proof import read
    from zf.report import blocked
    from zf.report import explain as telling
    from zf.report.words import Style

    run_dir = read.find_run(proofs_folder(), run)
    facts = facts_of(run_dir)
    style = Style(wants_colour(sys.stdout))
    proof = os.path.relpath(run_dir)
    if task is not None:
        refuse_unknown(facts, task)
        found = facts.tasks[task]
        log = read.log_tail(run_dir, task, facts.step_number(found))
        print(telling.task(facts, task, log=log, proof=proof, style=style), end="")
        return
    tails = {t.id: read.log_tail(run_dir, t.id, facts.step_number(t)) for t in facts.failed}
    if as_json:
        print(json.dumps(blocked.as_json(facts, tails=tails)))
    else:
        print(telling.run(facts, tails=tails, proof=proof, style=style), end="")


def logs(
    run: Annotated[str, RUN],
    task: Annotated[str, TASK],
    step: Annotated[
        int | None,
        typer.Option("--step", min=0, help="Only the step of this number, as in step-N.log."),
    ] = None,
    _directory: Directory = None,
) -> None:
    """Print what a task printed, byte for byte."""
    from zf.proof import read

    run_dir = read.find_run(proofs_folder(), run)
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
