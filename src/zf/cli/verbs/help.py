"""Verbs that tell how zf is used: help."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zf.cli.display.progress import style_of
from zf.cli.groups import VERBS
from zf.cli.project import program
from zf.errors import Exit, ZfError, printable

KEYS = "keys"


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command("help")(help_)


def _offered(incomplete: str) -> list[str]:
    from zf.cli.keys import names

    return [name for name in (KEYS, *VERBS, *names()) if name.startswith(incomplete)]


def help_(
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="WORD",
            help="A verb, a key of a file, or keys for all of these.",
            autocompletion=_offered,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="After keys: this key, though a verb is called so, too.",
            autocompletion=_offered,
        ),
    ] = None,
) -> int:
    """Show how a verb is used, or what a key of task.yaml or zf.yaml means."""
    from zf.cli import keys

    style = style_of(sys.stdout)
    if key is not None and word != KEYS:
        raise ZfError(f"help takes one word; of a key that is a verb, too: help {KEYS} WORD")
    if word == KEYS and key is None:
        print(keys.page(style), end="")
        return Exit.OK
    if word is None or (word in VERBS and key is None):
        return _page(word)
    found = keys.one(key or word, style)
    if not found:
        raise _unknown(key or word)
    print(found, end="")
    return Exit.OK


def _page(verb: str | None) -> int:
    """What `zf VERB --help` prints, and that the word is a key, too."""
    from zf.cli import keys
    from zf.cli.main import run

    code = run([*([verb] if verb else []), "--help"])
    if verb in keys.names():
        print(f"\n{program()} help {KEYS} {verb} tells of the key `{verb}`.")
    return code


def _unknown(word: str) -> ZfError:
    from zf.cli import keys
    from zf.plan.suggest import nearest
    from zf.plan.yaml import elsewhere

    hint = elsewhere.anywhere(word)
    if hint is None and (near := nearest(word, [*VERBS, *keys.names()])):
        hint = f"did you mean {near!r}?"
    return ZfError(
        f"there is no verb and no key {printable(word)!r}",
        hint=hint or f"zf --help lists the verbs, zf help {KEYS} the keys",
    )
