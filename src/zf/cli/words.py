"""Command-line words taken as they are, so that a run need not import pydantic to get its `str`s;
and help pages that show what to type, without the parser's own types.

typer builds a pydantic adapter for every parameter it converts; importing pydantic for that takes
50 ms, a third of a short run. Nearly all parameters here are words, which convert to themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from typer import Abort
from typer.core import TyperCommand, TyperGroup

from zf.cli.groups import GROUPS, OR
from zf.settings import OPTIONS


class _AsTyped:
    """Stands where typer keeps a parameter's converter, and lets pass what needs no conversion.

    A version of typer that keeps it elsewhere never looks here, and is only slower.
    """

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """What typer makes of the value, without asking typer where that is the value itself."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        wanted = param.type_descriptor.annotation
        values, one = (value, get_args(wanted)[0]) if many else ((value,), wanted)
        choices = param.type_descriptor.choices
        if all(v in choices if choices else type(v) is one for v in values):
            return list(values) if many else value
        param._runtime_param = None  # noqa: SLF001 # typer then makes its own, with its messages
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


# What `--install-completion` does for most, and the reference page has.
_LEFT_OUT = {"--show-completion"}
_ALONE = {f: f"{f}={o.alone}" for o in OPTIONS.values() if o.alone for f in o.flags}

# What follows `--`, which the parser would take for more names.
_ARGUMENTS = OPTIONS["arguments"]

_converter = _AsTyped()


# `RUN <str>`: the argument says what it is by its name.
_TYPE = re.compile(r"(?<=[^ ]) <[^<>|]*>$")
# `--output <group|quiet>`: what can be typed.
_CHOICES = re.compile(r"<([^<>]*[|][^<>]*)>$")
# `[default: 20; x>=1]`: refused where it is typed, in words.
_RANGE = re.compile(r"; x>=\d+(?=\])|  \[x>=\d+\]$")


class _Words:
    """Gives every parameter of a command that converter, the ones typer adds itself included."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc] # typer's, mixed in below
        for param in params:
            if getattr(param, "_runtime_param", _converter) is None:
                param._runtime_param = _converter  # noqa: SLF001 # there is no public place for it
        return params

    def help_rows(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """The arguments and options as they are typed, each with its help text: what help pages,
        the manual and the reference are made of.
        """
        rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                name = _CHOICES.sub(r"\1", _TYPE.sub("", record[0])).replace(" [=", "[=")
                rows[kind].append((name, _RANGE.sub("", record[1])))
        if self.name in _ARGUMENTS.verbs:  # type: ignore[attr-defined] # of the command mixed in
            words = f"{_ARGUMENTS.flags[0]} {_ARGUMENTS.metavar}"
            rows["Options"].append((words, _ARGUMENTS.help))
        return rows


def _usage(pieces: list[str]) -> list[str]:
    """`{RUN}` is `RUN`, as in every manual page; `{PHASE...}...` is `PHASE...`, and `[PHASE...]...`
    is `[PHASE]...`.
    """
    plain = (piece.replace("...]...", "]...") for piece in pieces)
    return [re.sub(r"^[{](.*?)(?:[.]{3})?[}]", r"\1", piece) for piece in plain]


class Verb(_Words, TyperCommand):
    """One verb of zf."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line."""
        return _usage(super().collect_usage_pieces(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments and options, as they are typed."""
        for kind, listed in self.help_rows(ctx).items():
            if listed:
                with formatter.section(kind):
                    formatter.write_dl(listed)

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - wrapped, not cut
        """Its line in the list of verbs: the whole sentence."""
        return " ".join((self.help or "").partition("\n\n")[0].split())

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its words. An option that may stand alone has another value only where that is part
        of the same word: what follows `--fail-fast` is the name of a phase.
        """
        end = args.index("--") if "--" in args else len(args)
        words = [_ALONE.get(word, word) for word in args[:end]]
        if self.name not in _ARGUMENTS.verbs:
            return super().parse_args(ctx, [*words, *args[end:]])
        rest = super().parse_args(ctx, words)
        ctx.meta[_ARGUMENTS.name] = args[end + 1 :]
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Carry it out. Ctrl-C goes past click, which would print a line on a stderr that may have
        stopped.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Abort from None


class Verbs(_Words, TyperGroup):
    """zf itself."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb; of a word that is none, what was meant by it."""
        word = args[0]
        if word not in self.commands and not word.startswith("-") and not ctx.resilient_parsing:
            from zf.cli import meant

            meant.refuse(word, args[1:], self.commands)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """The verbs in groups, one line each."""
        width = max(map(len, self.commands), default=0)
        for group, rows in self.grouped():
            with formatter.section(group):
                formatter.write_dl([(f"{verb:<{width}}", line) for verb, line in rows])

    def grouped(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """The groups that have verbs, and their lines: of a verb, or of several with `|`."""
        for group, verbs in GROUPS.items():
            rows = [
                (named, line)
                for named, line in verbs.items()
                if any(verb in self.commands for verb in named.split(OR))
            ]
            if rows:
                yield group, rows

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The verbs first: what is looked for."""
        self.format_commands(ctx, formatter)
        rows = self.help_rows(ctx)["Options"]
        with formatter.section("Options"):
            formatter.write_dl([row for row in rows if row[0] not in _LEFT_OUT])
