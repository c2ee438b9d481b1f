"""Verbs that pause what a server does, and let it go on: pause, unpause, drain."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from zf.cli.display import streams
from zf.cli.options import Directory
from zf.cli.verbs.queued.queue import ordered
from zf.errors import Exit, ZfError, printable

_WORDS = ("all", "schedules", "webhooks", "reaper", "reconcile")
What = Annotated[
    str,
    typer.Argument(
        metavar="WHAT",
        help="What: all, schedules, webhooks, reaper, reconcile, or queue with a GROUP.",
    ),
]
Group = Annotated[
    str | None,
    typer.Argument(metavar="[GROUP]", help="With queue: the group; default is that of no group."),
]


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(pause)
    app.command()(unpause)
    app.command()(drain)


def pause(what: What, group: Group = None, _directory: Directory = None) -> int:
    """Pause what the project's server does by itself, until it is unpaused."""
    return _set(_switch(what, group), is_off=True)


def unpause(what: What, group: Group = None, _directory: Directory = None) -> int:
    """Let the project's server go on with what was paused."""
    return _set(_switch(what, group), is_off=False)


def drain(
    off: Annotated[bool, typer.Option("--off", help="Start what waits again.")] = False,
    _directory: Directory = None,
) -> int:
    """Let what runs end, and start nothing more of the queue."""
    return _set("drain", is_off=not off)


def _switch(what: str, group: str | None) -> str:
    if what == "queue" and group:
        return f"queue {group}"
    if group is None and what in (*_WORDS, "drain"):
        return what
    raise ZfError(
        f"there is nothing to pause that is called {printable(what)!r}",
        code="ZF848",
        hint=f"{', '.join(_WORDS)}, or queue GROUP",
    )


def _set(switch: str, *, is_off: bool) -> int:
    from zf.proof.source.provenance import user_name
    from zf.server.queue import inbox

    order = {"switch": switch, "is_off": is_off, "by": user_name()}
    state = ordered(inbox.new_id(time.time()), order)
    word = "off" if switch in state.off else "on"
    streams.say(sys.stderr, f"{switch}: {word}\n")
    return Exit.OK
