"""The verb that turns a language model's answer into metrics: usage."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zf.cli.options import one_of
from zf.errors import Exit, ZfError, printable

# An answer is text that somebody could read.
_MAX_BYTES = 64 * 1024 * 1024
_SOURCES = {
    "claude": "claude -p --output-format json, or an answer of Anthropic's API",
    "codex": "codex exec --json",
    "openai": "an answer of OpenAI's API",
}


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(usage)


def usage(
    source: Annotated[str, one_of("What the answer comes from.", _SOURCES, argument="SOURCE")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The answer; - is standard input.")],
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model, where the answer names none."),
    ] = None,
) -> int:
    """Print what a language model used, as lines for $ZF_METRICS: tokens, requests and cost."""
    from zf.metrics.usage import UsageError, lines

    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ZfError(f"cannot read {printable(file)}: {error.strerror}", code="ZF670") from None
    if len(data) > _MAX_BYTES:
        raise ZfError(f"{printable(file)} is larger than 64 MiB", code="ZF671")
    try:
        sys.stdout.write(lines(source, data, model))
    except UsageError as error:
        raise ZfError(
            f"{printable(file)} is no answer of {source}",
            code="ZF672",
            hint=f"it takes {error}",
        ) from None
    return Exit.OK
