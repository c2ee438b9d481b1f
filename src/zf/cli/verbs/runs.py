"""Verbs that look at runs, from their proofs alone: status, explain, logs."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zf.cli.display.progress import style_of
from zf.cli.display.records import (
    outputs_of,
    outputs_of_task,
    remarks_of,
    remarks_of_task,
    tails_of,
)
from zf.cli.options import RUN, TASK, AsJson, Directory, as_typers
from zf.cli.project import facts_of, find_run, path_shown, proofs_folder
from zf.errors import ZfError, in_shell
from zf.inputs import told as told_of
from zf.lean.records import replace
from zf.model import base_of
from zf.settings import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zf.report.facts import Facts
    from zf.report.runs import RunRow
    from zf.report.task_facts import TaskFacts
    from zf.report.waiting import Wait
    from zf.report.words import Style

# So many runs are looked at for a task that was named in the place of a run.
_FEW = 20


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(status)
    app.command()(explain)
    app.command()(logs)


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
    from zf.report.task_facts import bases

    style = style_of(sys.stdout)
    proofs = proofs_folder()
    if run is not None:
        run_dir = _found(run, "explain")
        facts, about = facts_of(run_dir), _about(run_dir)
        row = _row_of(facts, run_dir, style)
        waits = _waits(facts, run_dir) if row.result in {"running", "waiting"} else {}
        if as_json:
            tasks = {t.id: t.word for t in facts.tasks.values()}
            used = {t.id: dict(t.measures) for t in facts.tasks.values() if t.measures}
            together = {name: base.conclusion for name, base in bases(facts.tasks.values()).items()}
            found = {"tasks": tasks, "measures": used, "waits": waiting.as_json(waits)}
            found |= {"matrices": together} if together else {}
            outputs = outputs_of(facts, run_dir)
            found |= {"outputs": outputs} if outputs else {}
            found |= {key: about[key] for key in ("inputs", "arguments") if key in about}
            print(json.dumps({**runs.as_json([row])[0], **found}))
        else:
            facts.given = told_of(about, every=True)
            print(runs.tasks_table(facts, style, waits, row.advice), end="")
        return
    rows = [_row(f"{proofs}/{name}", style) for name in read.list_runs(proofs)[:limit]]
    if as_json:
        print(json.dumps(runs.as_json(rows)))
    else:
        print(runs.table(rows, style), end="")


def _about(run_dir: str) -> Mapping[str, Any]:
    """What run.json says, where that can be read."""
    from zf.proof.read import run_json

    with suppress(ZfError):
        return run_json(run_dir)
    return {}


def _state(facts: Facts, run_dir: str) -> dict[str, bool]:
    """Whether a run that has not ended is `alive`, which its journal cannot say, and `sealed`."""
    from zf.proof.layout import MANIFEST
    from zf.run.host.lock import has_runner

    alive = facts.exit_code is None and has_runner(os.path.dirname(run_dir) or ".", facts.run)
    return {"alive": alive, "sealed": os.path.lexists(f"{run_dir}/{MANIFEST}")}


def _waits(facts: Facts, run_dir: str) -> dict[str, Wait]:
    """What each waiting task of a run that goes on waits for."""
    from zf.proof import layout, read
    from zf.report.waiting import waits

    with suppress(ZfError, KeyError, TypeError):
        limits = read.object_and_digest(run_dir, layout.RUN)[0]["limits"]
        facts.max_jobs, facts.resources = limits["max_jobs"], limits["resources"]
    return waits(facts, time.monotonic())


def _row(run_dir: str, style: Style) -> RunRow:
    from zf.report import runs

    try:
        return _row_of(facts_of(run_dir), run_dir, style)
    except ZfError as error:
        return runs.unreadable(os.path.basename(run_dir), str(error))


def _row_of(facts: Facts, run_dir: str, style: Style) -> RunRow:
    from zf.report import advice, runs

    row = runs.row(facts)
    if facts.exit_code is not None:
        return row
    state = _state(facts, run_dir)
    if state["alive"]:
        return replace(row, result="running")
    return replace(row, advice=tuple(advice.lines(facts, **state, zf=style.zf)))


def explain(
    run: Annotated[str, RUN] = "latest",
    task: Annotated[str | None, TASK] = None,
    tail: Annotated[str | None, as_typers(RunOptions.tail)] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Say why a run, or a task of it, came to what it came to. Reads the proof alone."""
    from zf.proof import read
    from zf.report import advice, blocked
    from zf.report import explain as telling
    from zf.report.excerpt import LOOK_LINES
    from zf.report.task_facts import named
    from zf.report.waiting import as_json as as_json_of

    run_dir = _found(run, "" if task else "explain")
    facts = facts_of(run_dir)
    facts.given = told_of(_about(run_dir))
    style = style_of(sys.stdout)
    state = _state(facts, run_dir)
    waits = _waits(facts, run_dir) if state["alive"] or facts.result == "waiting" else {}
    common: dict[str, Any] = {
        "most": RunOptions(typed={"tail": tail}).tail,
        "proof": path_shown(run_dir),
        "style": style,
        **state,
    }
    if task is not None:
        names = named(facts, task)
        if task not in names:
            print(telling.base(facts, task, style=style))
        for name in telling.worth_telling(facts, names):
            found = facts.tasks[name]
            log = read.log_tail(run_dir, name, facts.step_number(found), lines=LOOK_LINES)
            told = telling.task(
                facts,
                name,
                log=log,
                remarks=remarks_of_task(found, run_dir),
                cases=_failed_cases(run_dir, found),
                outputs=_handed_on(run_dir, found),
                wait=waits.get(name),
                **common,
            )
            print(told, end="")
        return
    tails = tails_of(facts, run_dir)
    if as_json:
        commands = advice.commands(facts, **state, zf=style.zf)
        said = blocked.as_json(facts, tails=tails)
        print(json.dumps({**said, "next": commands, "waits": as_json_of(waits)}))
    else:
        notes = remarks_of(facts, run_dir)
        common["outputs"] = outputs_of(facts, run_dir)
        print(telling.run(facts, tails=tails, remarks=notes, whole=True, **common), end="")


def _failed_cases(run_dir: str, task: TaskFacts) -> list[str]:
    from zf.proof import read
    from zf.report.remarks import failed_cases

    if task.tests:
        with suppress(ZfError):
            return failed_cases(read.status_json(run_dir, task.id))
    return []


def _handed_on(run_dir: str, task: TaskFacts) -> list[str]:
    from zf.report.remarks import handed_on

    return handed_on(outputs_of_task(task, run_dir))


def logs(
    run: Annotated[str, RUN] = "latest",
    task: Annotated[str | None, TASK] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Go on until the task or the run has ended, over retries."
        ),
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt", metavar="N", min=1, help="Of attempt N, in place of the last one."
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only of tasks that failed.")] = False,
    step: Annotated[
        int | None,
        typer.Option(
            "--step", metavar="N", min=0, help="Only the step of this number, as in step-N.log."
        ),
    ] = None,
    _directory: Directory = None,
) -> None:
    """Print what a task printed, byte for byte; or, line by line, what all tasks of a run did."""
    from zf.cli.display.logs import Reading, Wanted

    run_dir = _found(run, "" if task else "logs")
    reading = Reading(run_dir, Wanted(task, attempt, step, failed))
    if follow:
        reading.follow()
    else:
        reading.print_all()


def _found(run: str, verb: str) -> str:
    """The run's folder; of a task that stands in the place of the run it is said which `verb` tells
    of a task, if one does.
    """
    try:
        return find_run(run)
    except ZfError as error:
        newest = _run_with(run) if verb else ""
        hint = f"for the task of this name: zf {verb} {newest} {in_shell(run)}"
        if newest:
            raise ZfError(str(error), code=error.problems[0].code, hint=hint) from None
        raise


def _run_with(task: str) -> str:
    """How the newest run that has a task of this name is called, if one of the last few has."""
    from zf.proof import read

    runs: list[str] = []
    with suppress(ZfError):
        runs = read.list_runs(proofs_folder())[:_FEW]
    for number, run in enumerate(runs):
        with suppress(ZfError):
            rows = read.grown_plan(f"{proofs_folder()}/{run}")["tasks"]
            if any(task in {row["id"], base_of(row["id"])} for row in rows):
                return in_shell(run) if number else "latest"
    return ""
