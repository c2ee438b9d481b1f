"""Verbs about the queue of a project: enqueue, queue, schedule. They work with and without a
server: what keeps the queue takes an order in, and where nothing does, the verb itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import AsJson, Directory, complete_phase
from zf.cli.project import open_project, program
from zf.errors import Exit, ZfError, printable

if TYPE_CHECKING:
    from zf.server.queue.fold import State

_WIDE = 60


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(enqueue)
    app.command()(queue)
    app.command()(schedule)


def enqueue(
    phases: Annotated[
        list[str] | None,
        typer.Argument(metavar="PHASE...", help="The phases.", autocompletion=complete_phase),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="TASK", help="A task with what it needs, in place of phases."
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input. Can be given again."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", help="Higher ones start first.")
    ] = 0,
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", metavar="SEC", help="Not started by then, it is expired."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", metavar="SEC", help="Its run is ended by then."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="A group of which only so many run at once."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="How many of the group. [default: 1]"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="KEY", help="The double of an item with this key is rejected."
        ),
    ] = None,
    scope: Annotated[
        Literal["while_queued", "while_active"] | None,
        typer.Option(
            "--scope",
            metavar="SCOPE",
            help="How long the key is taken: while_queued or while_active. [default: while_active]",
        ),
    ] = None,
    for_sec: Annotated[
        float | None,
        typer.Option(
            "--for",
            metavar="SEC",
            help="The key is taken for so many seconds.",
        ),
    ] = None,
    on_newer: Annotated[
        Literal["queue", "replace_queued", "cancel_running"] | None,
        typer.Option(
            "--on-newer",
            metavar="WHAT",
            help="What it does to older items of its group: queue, replace_queued, cancel_running."
            " [default: queue]",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Put a run of phases or tasks into the queue of the project's server."""
    from zf.proof.source.provenance import user_name
    from zf.server.queue import inbox, told
    from zf.server.queue.asked import item_of
    from zf.server.queue.items import MANUAL, Source

    if bool(phases) == bool(task):
        raise ZfError("enqueue takes phases, or tasks by --task")
    said: dict[str, Any] = {
        "phases": phases or [],
        "tasks": task or [],
        "inputs": _inputs(given or []),
        "priority": priority,
        "ttl_sec": ttl,
        "deadline_sec": deadline,
        "group": group,
        "limit": limit,
        "key": key,
        "scope": "for_sec" if for_sec is not None else scope,
        "for_sec": for_sec,
        "on_newer": on_newer,
    }
    source = Source(MANUAL, by=user_name(), via="cli")
    item = item_of(open_project(quiet=True), said, source)
    state = ordered(item.item, inbox.order_to_enqueue(item))
    row = told.row(state.entries[item.item])
    if as_json:
        print(json.dumps(row))
    elif row["state"] == "rejected":
        print(f"rejected: {row['item']}, {row['why']}")
    else:
        print(f"queued: {row['item']}")
    return Exit.FAILED if row["state"] == "rejected" else Exit.OK


def _inputs(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ZfError("-i: a value without a name", code="ZF271", hint="write NAME=VALUE")
        found[name] = value
    return found


def _folder() -> str:
    """The folder of the project's server."""
    from zf.plan import places
    from zf.server import state

    return state.folder(places.find_root(os.getcwd())[0])


def ordered(name: str, order: Mapping[str, Any]) -> State:
    """The queue once an order is taken in."""
    from zf.server.queue import inbox

    told = inbox.leave(_folder(), name, order)
    if told.state is None:
        raise ZfError(
            f"the queue is kept by {told.owner}, which has not taken the order in yet",
            exit_code=Exit.FAILED,
            code="ZF849",
            hint=f"it will once it goes on; {program()} queue shows it then",
        )
    if not told.owner:
        streams.say(sys.stderr, "nothing keeps the queue now: zf serve starts what it holds\n")
    return told.state


def queue(
    what: Annotated[
        Literal["list", "cancel"],
        typer.Argument(metavar="[list|cancel]", help="What to do."),
    ] = "list",
    items: Annotated[
        list[str] | None, typer.Argument(metavar="ITEM...", help="With cancel: which items.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="With list: show so many.")
    ] = 20,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """List the queue of the project's server, or cancel items of it."""
    from zf.server.queue import file, told

    if (what == "cancel") != bool(items):
        raise ZfError("zf queue lists; zf queue cancel ITEM cancels")
    if items:
        return _cancel(items)
    state = file.read(_folder())
    rows = told.rows(state, limit=limit)
    if as_json:
        print(json.dumps({"items": rows, "counts": told.counts(state)}))
        return Exit.OK
    for switch in told.switches(state):
        if switch["paused"]:
            print(f"paused: {switch['switch']}, by {printable(str(switch['by']))}")
    print("\n".join(_table(rows)) if rows else "the queue is empty")
    return Exit.OK


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    from zf.report.words import moment

    cells = [("ITEM", "STATE", "RUNS", "QUEUED", "FROM", "")]
    for row in rows:
        source = row["source"]
        cells.append(
            (
                row["item"],
                row["state"],
                " ".join([*row["phases"], *row["tasks"]])[:_WIDE],
                moment(row["queued_at"]),
                " ".join(filter(None, (source["kind"], source.get("name") or source.get("by")))),
                printable(row["why"] if row["why"] != row["state"] else "")[:_WIDE],
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]


def _cancel(items: Sequence[str]) -> int:
    from zf.proof.source.provenance import user_name
    from zf.server.queue import file, inbox

    before = file.read(_folder())
    for item in items:
        if item not in before.entries:
            raise ZfError(
                f"no item {printable(item)} in the queue", code="ZF846", hint="zf queue lists them"
            )
    failed = False
    for item in items:
        state = ordered(inbox.new_id(time.time()), {"cancel": item, "by": user_name()})
        entry = state.entries[item]
        was_over = not before.entries[item].is_open
        failed |= was_over
        said = "was over already" if was_over else "its run is asked to end"
        streams.say(
            sys.stderr, f"{item}: {entry.state if not (was_over or entry.is_open) else said}\n"
        )
    return Exit.FAILED if failed else Exit.OK


def schedule(
    what: Annotated[Literal["list"], typer.Argument(metavar="[list]", help="What to do.")] = "list",
    following: Annotated[
        int,
        typer.Option("--next", metavar="N", min=1, help="Show so many times of each."),
    ] = 1,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """List the schedules of the project, and when they are due."""
    from itertools import islice

    from zf.events import timestamp
    from zf.report.words import moment
    from zf.server.triggers.declared import schedules
    from zf.server.triggers.schedules import times

    assert what == "list"
    found, now = schedules(open_project(quiet=True)), time.time()
    due = {name: list(islice(times(one, now), following)) for name, one in found.items()}
    if as_json:
        listed = [
            {"schedule": name, "cron": one.cron, "tz": one.tz, "next": [*map(timestamp, due[name])]}
            for name, one in found.items()
        ]
        print(json.dumps(listed))
        return Exit.OK
    if not found:
        print("zf.yaml has no schedules")
    for name, one in found.items():
        print(f"{name}  {one.cron}  {one.tz}  {' '.join([*one.phases, *one.tasks])}")
        for at in due[name]:
            print(f"  {moment(timestamp(at))}")
    return Exit.OK
