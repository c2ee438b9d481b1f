"""Verbs about task files, before anything runs: validate, list, plan, schema."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Literal

import typer

from zf.cli import streams
from zf.cli.options import AsJson, Directory, complete_phase
from zf.cli.project import open_project
from zf.errors import Exit, ZfError, printable
from zf.settings import DEFAULT_PHASE_TIMEOUT_S


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(validate)
    app.command("list")(list_tasks)
    app.command()(plan)
    app.command()(schema)


def validate(as_json: AsJson = False, _directory: Directory = None) -> int:
    """Check every task file and print all problems of all of them."""
    from zf.plan import load, places

    root, home = places.find_root(os.getcwd())
    loaded = load.load(root, home, default_phase_timeout_s=DEFAULT_PHASE_TIMEOUT_S)
    ok = loaded.flow is not None
    tasks = list(loaded.flow.tasks.values()) if loaded.flow else []
    phases = len({task.phase for task in tasks})
    if as_json:
        found = {"valid": ok, "tasks": len(tasks), "phases": phases}
        print(json.dumps({**found, "problems": [p.as_json() for p in loaded.problems]}))
        return Exit.OK if ok else Exit.USAGE
    for problem in loaded.problems:
        streams.say(sys.stderr, problem.render() + "\n")
    if ok:
        print(f"{_count(len(tasks), 'task')} in {_count(phases, 'phase')}: valid")
        return Exit.OK
    errors = sum(problem.severity == "error" for problem in loaded.problems)
    files = len({problem.file for problem in loaded.problems})
    streams.say(sys.stderr, f"{_count(errors, 'error')} in {_count(files, 'file')}\n")
    return Exit.USAGE


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def list_tasks(as_json: AsJson = False, _directory: Directory = None) -> None:
    """List the tasks, phase by phase."""
    flow = open_project()
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


Format = Literal["text", "mermaid", "dot"]


def plan(
    phases: Annotated[
        list[str],
        typer.Argument(
            metavar="PHASE...", help="Phases, in run order.", autocompletion=complete_phase
        ),
    ],
    as_json: AsJson = False,
    output_format: Annotated[
        Format, typer.Option("--format", help="How to draw the plan.")
    ] = "text",
    _directory: Directory = None,
) -> None:
    """Show what `zf run-phase` would do: order, needs, what runs beside what, what runs alone."""
    from zf.plan import draw, graph

    if as_json and output_format != "text":
        raise ZfError("--json and --format exclude each other", hint="leave one out")
    the_plan = graph.plan_phases(open_project(), phases, phase_timeout_s=DEFAULT_PHASE_TIMEOUT_S)
    if as_json:
        print(json.dumps(the_plan.as_json(), indent=2))
    else:
        print(
            {"text": draw.text, "mermaid": draw.mermaid, "dot": draw.dot}[output_format](the_plan)
        )


def schema(
    which: Annotated[
        Literal["task", "project"], typer.Argument(help="task.yaml's or zf.yaml's.")
    ] = "task",
) -> None:
    """Print the JSON Schema of task.yaml, for editors."""
    from zf.plan.schema import json_schema

    print(json.dumps(json_schema(which), indent=2))
