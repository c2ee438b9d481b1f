"""Verbs about task files, before anything runs: validate, list, plan, durations, schema."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import (
    AsJson,
    Directory,
    as_typers,
    complete_phase,
    complete_task,
    one_of,
)
from zf.cli.project import keep, open_project, path_shown, project_durations
from zf.errors import Exit, ZfError, printable
from zf.lean.records import replace
from zf.model import Asked, declares_inputs
from zf.report.words import count
from zf.settings import RunOptions, resolve

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from zf.model import Flow, Task


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(validate)
    app.command("list")(list_tasks)
    app.command()(plan)
    app.command()(durations)
    app.command()(schema)


def validate(
    resource: Annotated[list[str] | None, as_typers(RunOptions.resources)] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Check every task file and print all problems of all of them."""
    from zf.plan import load, places
    from zf.proof.durations.project import of_project
    from zf.run.host.machine import problems_here

    root, home = places.find_root(os.getcwd())
    given = RunOptions(typed={"resources": resource}).resources
    timeout = resolve(os.environ, default_run_id="validate").phase_timeout_s
    loaded = load.load(
        root, home, default_phase_timeout_s=timeout.value, asked=Asked(forced=timeout.given)
    )
    keep(loaded)
    tasks = list(loaded.flow.tasks.values()) if loaded.flow else []
    problems = list(loaded.problems)
    if loaded.flow is not None:
        problems += problems_here(loaded.flow, given)
        problems += filter(None, [of_project(root, home)[1]])
        problems.sort(key=lambda p: (p.file or "", p.line or 0, p.column or 0, p.code))
    errors = [problem for problem in problems if problem.severity == "error"]
    phases = len({task.phase for task in tasks})
    if as_json:
        found = {"valid": not errors, "tasks": len(tasks), "phases": phases}
        print(json.dumps({**found, "problems": [p.as_json() for p in problems]}))
        return Exit.USAGE if errors else Exit.OK
    for problem in problems:
        streams.say(sys.stderr, problem.render() + "\n")
    if not errors:
        print(f"{count(len(tasks), 'task')} in {count(phases, 'phase')}: valid")
        return Exit.OK
    files = len({problem.file for problem in problems})
    streams.say(sys.stderr, f"{count(len(errors), 'error')} in {count(files, 'file')}\n")
    return Exit.USAGE


def list_tasks(
    select: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--select",
            metavar="EXPR",
            autocompletion=complete_task,
            help="Only the tasks that EXPR selects, as --only of zf run takes it.",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """List the tasks, phase by phase, and what can be given to their runs."""
    flow = _selected(open_project(), select)
    if as_json:
        rows = [
            {
                "id": task.id,
                "title": task.title,
                "phase": task.phase,
                "needs": [need.task for need in task.needs],
                "file": task.file,
            }
            for task in flow.tasks.values()
        ]
        print(json.dumps(rows))
        return
    width = max((len(task_id) for task_id in flow.tasks), default=0)
    for phase in sorted({task.phase for task in flow.tasks.values()}):
        about = flow.project.phases.get(phase)
        print(f"{phase}  {printable(about.title)}" if about and about.title else phase)
        for task in flow.tasks.values():
            if task.phase == phase:
                title = "" if task.title == task.id else printable(task.title)
                print(f"  {task.id:{width}}  {title}".rstrip())
    if select is None and declares_inputs(flow.project):
        from zf.plan.inputs.shown import lines

        print("\n".join(lines(flow.project)))


def _selected(flow: Flow, select: str | None) -> Flow:
    if select is None:
        return flow
    from zf.plan.select.selected import selection
    from zf.run.selecting import Asked as Asking

    wanted = selection(select, "-s").of(flow.tasks, Asking(flow, os.environ))
    return replace(flow, tasks={name: t for name, t in flow.tasks.items() if name in wanted})


def _formats() -> Any:
    from zf.plan.draw import FORMATS

    return one_of("How to draw the plan.", {name: what for name, (_, what) in FORMATS.items()})


def plan(
    phases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHASE...",
            help="Phases, in run order; all without.",
            autocompletion=complete_phase,
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="TASK",
            help="Show instead what a task says in all, and which line says it.",
            autocompletion=complete_task,
        ),
    ] = None,
    as_json: AsJson = False,
    output_format: Annotated[str, _formats()] = "text",
    only: Annotated[str | None, as_typers(RunOptions.only)] = None,
    skip: Annotated[str | None, as_typers(RunOptions.skip)] = None,
    _directory: Directory = None,
) -> None:
    """Show what `zf run-phase` would do, of all phases if none is named: order, needs, what runs
    beside what, what runs alone.
    """
    from zf.plan import draw, graph
    from zf.plan.phases import phase_order

    if explain is not None:
        if phases or output_format != "text":
            raise ZfError("--explain is of one task, without phases and --format")
        _explain(explain, as_json=as_json)
        return
    if as_json and output_format != "text":
        raise ZfError("--json and --format exclude each other", hint="leave one out")
    settings = resolve(os.environ, default_run_id="plan")
    timeout_s = settings.phase_timeout_s.value
    flow = open_project(
        phase_timeout_s=timeout_s,
        asked=Asked(phases=tuple(phases or ()) or None, forced=settings.phase_timeout_s.given),
    )
    phases = phases or [*phase_order(flow.tasks, flow.project)]
    chosen, again = _left(flow, phases, RunOptions(typed={"only": only, "skip": skip}))
    the_plan = graph.plan_phases(
        flow,
        phases,
        phase_timeout_s=timeout_s,
        phase_timeout_forced=settings.phase_timeout_s.given,
        chosen=chosen,
        again=again,
    )
    if as_json:
        print(json.dumps(the_plan.as_json(), indent=2))
    else:
        print(draw.FORMATS[output_format][0](the_plan))


def _left(flow: Flow, phases: Sequence[str], options: RunOptions) -> tuple[set[str] | None, str]:
    """What `--only` and `--skip` leave, None for all, and the command that adds needs."""
    if options.only is None and options.skip is None:
        return None, ""
    from zf.run.selecting import Selecting

    typed = Selecting.typed(options)
    selected = typed.of(flow, os.environ)
    names = selected.among(flow.tasks)
    selected.refuse_skipped(flow, [n for n in names if flow.tasks[n].phase in phases])
    return names, typed.with_needs(phases)


def _explain(name: str, *, as_json: bool) -> None:
    from zf.plan.refusals import refuse_task
    from zf.plan.resolve import explain
    from zf.redact.redactor import Redactor

    flow = open_project()
    tasks = [task for task in flow.tasks.values() if name in {task.id, task.base}]
    if not tasks:
        refuse_task(flow, name)
    hidden = Redactor(flow.tasks.values(), os.environ, flow.project).defined
    shown = map(hidden, tasks)
    if as_json:
        print(json.dumps([explain.as_json(flow.root, task) for task in shown], indent=2))
    else:
        print("\n\n".join(explain.text(flow.root, task) for task in shown))


def durations(
    write: Annotated[
        bool,
        typer.Option("--write", help="Write durations.json, for a checkout without runs."),
    ] = False,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Show how long tasks are expected to take, from earlier runs: the start order follows it."""
    from zf.model import script_sha256
    from zf.proof.durations import project, runs
    from zf.proof.layout import DURATIONS
    from zf.redact.redactor import Redactor
    from zf.run.host import lock

    flow = open_project()
    kept = project_durations(flow)
    hidden = Redactor(flow.tasks.values(), os.environ, flow.project).defined
    earlier = runs.earlier(flow.proofs, lock.folder(flow.proofs))
    told = {*earlier.tasks, *(kept.tasks if kept else ())}
    rows = [
        {"id": name, "script_sha256": script_sha256(hidden(task))}
        for task in flow.tasks.values()
        for name in _instances_told(task, told)
    ]
    if not write:
        said = list(project.table(rows, earlier, kept))
        print(json.dumps(said) if as_json else _durations_table(said))
        return
    found, changed = project.for_project(rows, earlier, kept)
    path = f"{flow.home}/{DURATIONS}"
    if changed:
        try:
            found.write(path)
        except OSError as error:
            raise ZfError(
                f"cannot write {path_shown(path)}: {error.strerror}",
                code="ZF109",
                hint="make it a file that can be written",
            ) from None
    if as_json:
        print(json.dumps({"file": path, "tasks": len(found.tasks), "changed": changed}))
    else:
        print(f"{path_shown(path)}: {count(len(found.tasks), 'task')}, {changed} changed")


def _instances_told(task: Task, told: Collection[str]) -> list[str]:
    """The instances of a task that runs tell of, where only they know which there are; or it."""
    from zf.model import base_of

    found = [name for name in told if base_of(name) == task.id != name] if task.matrix_from else []
    return sorted(found) or [task.id]


def _durations_table(said: Sequence[Mapping[str, Any]]) -> str:
    from zf.proof.layout import DURATIONS
    from zf.report.words import duration

    width = max([len("task"), *(len(row["task"]) for row in said)])
    lines = [f"{'task':{width}}  {'expected':>8}  from"]
    for row in said:
        expected = "-" if row["expected_s"] is None else duration(row["expected_s"])
        many = len(row["seconds"])
        source = {
            "runs": count(many, "run"),
            "file": DURATIONS,
            None: "no success of this script yet",
        }[row["from"]]
        lines.append(f"{row['task']:{width}}  {expected:>8}  {source}")
    return "\n".join(lines)


def schema(
    which: Annotated[
        Literal["task", "tasks", "project"],
        typer.Argument(metavar="FORM", help="Of task.yaml, of tasks/NAME.yaml, or of zf.yaml."),
    ] = "task",
) -> None:
    """Print the JSON Schema of task.yaml, for editors."""
    from zf.plan.files.forms import json_schema

    print(json.dumps(json_schema(which), indent=2))
