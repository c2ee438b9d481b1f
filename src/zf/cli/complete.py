"""What a shell is answered on Tab, without the command-line parser: its import takes longer than a
reader of a prompt waits. What each verb takes is in `completion.json`, written from the parser's
own tables by tests/support/reference.py; the shells' scripts are the parser's, and so are the forms
of the answers.

Shells take what completion prints for code: zsh's script evaluates it, bash puts it on the line as
it stands. So names of a project are offered only if they hold no character that means anything to a
shell, and no other text of a file is offered: no titles.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

TYPE_CHECKING = False  # importing it takes 4 ms
if TYPE_CHECKING:
    from zf.cli.names import Names

_TABLE = "completion.json"
# At these, bash makes words of its own of what is one to zf.
_BREAKS = ("@", "=", ":")
# What may be on a line unquoted in every shell.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=,:+-]*")


class Offer(NamedTuple):
    """One thing that could be typed, and what it is, in zf's own words."""

    value: str
    about: str = ""


class Typed(NamedTuple):
    """The words before the one that is completed, and that one. Of what is offered, bash puts only
    what follows `cut` on its line.
    """

    before: Sequence[str]
    incomplete: str
    cut: str = ""


def answer(environ: Mapping[str, str]) -> int | None:
    """Answer the shell that asks; the exit code. None for one that the parser answers."""
    shell = environ.get("_ZF_COMPLETE", "").removeprefix("complete_")
    read, show = _SHELLS.get(shell, (None, None))
    if read is None or show is None:
        return None
    typed = read(environ)
    offered = []
    with suppress(OSError):
        offered = [one for one in offers(typed) if one.value.startswith(typed.incomplete)]
    told, code = show(offered, typed, environ)
    os.write(1, told.encode())
    return code


# What was typed.


def _typed_in_bash(environ: Mapping[str, str]) -> Typed:
    """Bash splits words at `@` and `=`, so it hands over `test@py=3` as five: made one again."""
    words: list[str] = []
    cut = ""
    at = int(environ["COMP_CWORD"])
    parts = _split(environ["COMP_WORDS"])
    for part in (parts + [""] * (at >= len(parts)))[: at + 1]:
        if words and part and (part in _BREAKS or words[-1][-1:] in _BREAKS):
            cut = words[-1] + (part if part in _BREAKS else "")
            words[-1] += part
        else:
            words.append(part)
            cut = ""
    return Typed(words[1:-1], words[-1], cut)


def _typed_elsewhere(environ: Mapping[str, str]) -> Typed:
    line = environ.get("_TYPER_COMPLETE_ARGS", "")
    words = _split(line)
    if len(words) > 1 and not line.endswith(" "):
        return Typed(words[1:-1], words[-1])
    return Typed(words[1:], "")


def _split(line: str) -> list[str]:
    """The words of a line that may end within quotes."""
    if "'" not in line and '"' not in line and "\\" not in line:
        return line.split()
    import shlex

    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words += lexer
    except ValueError:
        words.append(lexer.token)
    return words


# What can be typed.


def offers(typed: Typed) -> list[Offer]:
    """Everything that could stand where the incomplete word is."""
    table = _table()
    verb, wanted, place = "", "", 0
    for word in typed.before:
        if wanted:
            _go_to(wanted, word)
            wanted = ""
        elif word == "--":
            return []
        elif word.startswith("-"):
            wanted = _of(table[verb]["options"].get(word))[0]
        elif not verb:
            if word not in table:
                return []
            verb = word
        else:
            place += 1
    takes = table[verb]
    if wanted:
        return values(wanted, typed.incomplete)
    flag, equals, value = typed.incomplete.partition("=")
    if equals and flag in takes["options"]:
        kind = _of(takes["options"][flag])[0]
        return [Offer(f"{flag}={one.value}", one.about) for one in values(kind, value)]
    if flag.startswith("-"):
        return [Offer(name, _of(option)[1]) for name, option in takes["options"].items()]
    if not verb:
        return [Offer(name, of["about"]) for name, of in table.items() if name]
    kinds = takes["arguments"]
    if not kinds or (place >= len(kinds) and not takes["many"]):
        return []
    return values(kinds[min(place, len(kinds) - 1)], typed.incomplete)


def _of(option: Sequence[str] | None) -> tuple[str, str]:
    """What kind of value an option takes, and what it is."""
    return ("", "") if option is None else (option[0], option[1])


def _table() -> dict[str, Any]:
    from msgspec.json import decode

    with open(f"{os.path.dirname(__file__)}/{_TABLE}", "rb") as file:
        found: dict[str, Any] = decode(file.read())
    return found


def _go_to(kind: str, word: str) -> None:
    """`-C DIR` that was typed: the names are those of the project there."""
    if kind == "folder":
        with suppress(OSError):
            os.chdir(os.path.expanduser(word))


def values(kind: str, incomplete: str) -> list[Offer]:
    """What a word of a kind could be: one of `=a|b`, or a name in the project at hand."""
    if kind.startswith("="):
        return [Offer(choice) for choice in kind[1:].split("|")]
    if kind == "run":
        return [Offer(run) for run in _runs()]
    named = _KINDS.get(kind)
    if named is None:
        return []
    from zf.cli.names import of_project

    names = of_project()
    return [] if names is None else [Offer(name) for name in named(names.safe(_SAFE), incomplete)]


# Where the name that is being typed begins in an expression.
_LAST_NAME = re.compile(r"[\s+!&|(]")


def _expression(names: Names, incomplete: str) -> Iterable[str]:
    """Ids, and what stands in `tag(` or `phase(`, at the end of what was typed so far."""
    begun = len(incomplete) - len(_LAST_NAME.split(incomplete)[-1])
    before = incomplete[:begun]
    inside = re.search(r"(\w+)\($", before)
    known: Mapping[str, Iterable[str]] = {"tag": names.tags, "phase": names.phases}
    if inside and inside[1] in known:
        return [f"{before}{name})" for name in known[inside[1]]]
    if inside and inside[1] == "failed":
        return [f"{before}{run})" for run in _runs()]
    return [f"{before}{name}" for name in names.tasks]


def _input(names: Names, incomplete: str) -> Iterable[str]:
    name, equals, _ = incomplete.partition("=")
    if equals:
        return [f"{name}={value}" for value in names.inputs.get(name, ())]
    return [f"{name}=" for name in names.inputs]


_KINDS: Mapping[str, Callable[[Names, str], Iterable[str]]] = {
    "phase": lambda names, _: names.phases,
    "task": lambda names, _: names.tasks,
    "named": lambda names, _: [*names.phases, *names.tasks],
    "expression": _expression,
    "input": _input,
    "axis": lambda names, _: names.axes,
}


def _runs() -> list[str]:
    """Runs of the project at hand, newest first."""
    from zf.errors import ZfError
    from zf.plan.places import find_root
    from zf.proof.read import list_runs

    try:
        runs = list_runs(f"{find_root(os.getcwd())[1]}/proofs")
    except ZfError:
        return []
    return [run for run in runs if _SAFE.fullmatch(run)]


# What each shell is told.


def _shown_in_bash(offered: list[Offer], typed: Typed, _: Mapping[str, str]) -> tuple[str, int]:
    return "".join(f"{one.value.removeprefix(typed.cut)}\n" for one in offered), 0


def _shown_in_zsh(offered: list[Offer], _typed: Typed, _: Mapping[str, str]) -> tuple[str, int]:
    if not offered:
        return "_files\n", 0
    told = [
        f'"{_quoted(one.value)}"' + (f':"{_quoted(one.about)}"' if one.about else "")
        for one in offered
    ]
    return "_arguments '*: :((" + "\n".join(told) + "))'\n", 0


def _quoted(text: str) -> str:
    """As the parser's own answer has it."""
    for char, instead in (('"', '""'), ("'", "''"), ("$", r"\$"), ("`", r"\`"), (":", r"\\:")):
        text = text.replace(char, instead)
    return text


def _shown_in_fish(offered: list[Offer], _: Typed, environ: Mapping[str, str]) -> tuple[str, int]:
    if environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        return "", 0 if offered else 1  # 1: it completes the names of files
    told = (one.value + (f"\t{one.about}" if one.about else "") for one in offered)
    return "".join(f"{line}\n" for line in told), 0


_SHELLS: Mapping[str, tuple[Callable[..., Typed], Callable[..., tuple[str, int]]]] = {
    "bash": (_typed_in_bash, _shown_in_bash),
    "zsh": (_typed_elsewhere, _shown_in_zsh),
    "fish": (_typed_elsewhere, _shown_in_fish),
}
