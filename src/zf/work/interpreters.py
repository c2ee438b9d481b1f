"""How a step's script is handed to what runs it, and the command line that comes of that.

bash and other shells get it as an open file on descriptor 3, since they read a script piece by
piece while it runs; a `-c` is followed by its text; everything else gets the name of a file. The
`{0}` where that name is to stand is GitHub's (`shell` of a step in its workflow syntax).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from zf.lean import lazy

# The descriptor in the step. What the step starts inherits it: sealed, nothing can be done to it,
# and a script which opens 3 for a purpose of its own just replaces it.
FD = 3
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
_PLACES = ("/dev/fd", "/proc/self/fd")
USUAL_PATH = f"{_PLACES[0]}/{FD}"
_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"})
_TEXT_FOLLOWS = lazy.pattern(r"-[A-Za-z]*c")
PLACE = "{0}"

# Ways to hand a script over.
OPEN, TEXT, FILE = "open", "text", "file"


def bash_with(text: str) -> tuple[str, ...]:
    """Bash as a step has it, with a script that is part of its command line."""
    return (*BASH, "-c", text)


@cache
def script_path() -> str | None:
    """The name of the open file in the step; None where the system has no such names."""
    return next((f"{place}/{FD}" for place in _PLACES if os.path.exists(f"{place}/0")), None)


@cache
def bash_argv() -> tuple[str, ...]:
    """What bash is started with where nothing else is said."""
    return (*BASH, script_path() or USUAL_PATH)


def way(shell: Sequence[str]) -> str:
    """How this shell gets a script."""
    if any(PLACE in word for word in shell):
        return OPEN if _is_shell(shell) else FILE
    if len(shell) > 1 and _TEXT_FOLLOWS.fullmatch(shell[-1]):
        return TEXT
    return OPEN if _is_shell(shell) else FILE


def _is_shell(shell: Sequence[str]) -> bool:
    return not shell or os.path.basename(shell[0]) in _SHELLS


def command_line(
    shell: Sequence[str], script: str, arguments: Sequence[str] = ()
) -> tuple[str, ...]:
    """What is started, `script` being the name or the text that stands for it."""
    if any(PLACE in word for word in shell):
        words = (word.replace(PLACE, script) for word in shell[1:])
        return (shell[0], *words, *arguments)
    # A shell takes what follows a text for its own name.
    name = (shell[0],) if arguments and _is_shell(shell) and way(shell) == TEXT else ()
    return (*shell, script, *name, *arguments)


def shown_argv(
    shell: Sequence[str], arguments: Sequence[str] = (), *, by_file: bool = False
) -> tuple[str, ...]:
    """The same as a proof has it: with `{0}` for a text, or a file that is gone, which `by_file`
    every script is.
    """
    if by_file:
        return command_line(shell or BASH, PLACE, arguments)
    if not shell:
        return (*bash_argv(), *arguments)
    opened = script_path() or USUAL_PATH
    return command_line(shell, opened if way(shell) == OPEN else PLACE, arguments)
