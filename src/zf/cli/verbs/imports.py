"""The verb that takes over the task files of other tools: import."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.options import AsJson, Directory
from zf.cli.project import path_shown
from zf.errors import ZfError
from zf.report.words import count

if TYPE_CHECKING:
    from zf.adopt.importers import Written

# Told here, too, so that no importer is imported before one is asked for.
TOOLS = ("github", "gitlab", "just", "make", "npm", "taskfile", "tox")
_LISTED = f"{', '.join(TOOLS[:-1])} or {TOOLS[-1]}"


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command("import")(import_tasks)


def _tool(word: str) -> str:
    if word not in TOOLS:
        raise typer.BadParameter(f"{word!r} is not {_LISTED}.")
    return word


def _tools(incomplete: str) -> list[str]:
    return [tool for tool in TOOLS if tool.startswith(incomplete)]


def import_tasks(
    tool: Annotated[
        str,
        typer.Argument(
            metavar="TOOL",
            callback=_tool,
            autocompletion=_tools,
            help=f"What the file is of: {_LISTED}.",
        ),
    ],
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="The file, or the folder that it is in.")
    ] = ".",
    folder: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Where to write zf.yaml and IMPORT.md. Default: the project that the file is of.",
        ),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option("--eval", help="Of make: run `make -pn`, which knows what functions come to."),
    ] = False,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> None:
    """Write zf.yaml from the task file of another tool, and IMPORT.md about what became of each
    part of it. Nothing is executed, nothing is overwritten.
    """
    from zf.adopt import importers

    if evaluate and tool != "make":
        raise ZfError("--eval is of make alone", hint="leave it out")
    written = importers.write(tool, path, folder, evaluate=evaluate)
    if as_json:
        print(json.dumps(_as_json(written)))
    else:
        print("\n".join(_told(written)))


def _as_json(written: Written) -> dict[str, object]:
    from zf.adopt.importers import report

    return {
        "files": [written.project_path, written.report_path],
        "tasks": [job.id for job in written.source.jobs],
        "constructs": report.tally(written.source),
        "by_hand": [{"task": job.id, "constructs": many} for job, many in written.source.by_hand()],
    }


def _told(written: Written) -> list[str]:
    from zf.adopt.importers import report

    source = written.source
    counted = report.tally(source)
    project, about = path_shown(written.project_path), path_shown(written.report_path)
    width = max(len(project), len(about))
    parts = ", ".join(f"{many} {verdict}" for verdict, many in counted.items() if many)
    lines = [
        f"{project:{width}}  {count(len(source.jobs), 'task')} from {source.file}",
        f"{about:{width}}  {parts}",
    ]
    waiting = [job.id for job, _ in source.by_hand()]
    if waiting:
        shown = ", ".join(waiting[:6]) + (" ..." if len(waiting) > 6 else "")
        does = "fails until its part is" if len(waiting) == 1 else "fail until their parts are"
        lines.append(f"{count(len(waiting), 'task')} {does} done by hand: {shown}")
    where = os.path.relpath(os.path.dirname(written.project_path))
    go_to = "" if where == "." else f"-C {where} "
    named = [] if source.runs_all else source.usual_ids()
    usual = "".join(f" {name}" for name in named if len(named) <= 5)
    first = f"what {about} leaves to do by hand, then " if {*waiting} & {*source.to_run()} else ""
    lines.append(f"next: {first}zf {go_to}{'run' + usual if usual or source.runs_all else 'list'}")
    return lines
