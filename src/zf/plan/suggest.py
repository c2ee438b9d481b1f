"""Did you mean? The known name nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zf.model import Task

_TELLING = 3


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name a writer most likely meant, or None when none is close."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a message needs it

    names = sorted(known)
    folded = name.casefold()
    for other in names:
        if other.casefold() == folded:
            return other
    close = get_close_matches(name, names, n=1, cutoff=0.7)
    if close:
        return close[0]
    # An id without its number, or the other way round: short ones would match anything.
    longer = [other for other in names if len(name) >= _TELLING and name in other]
    return min(longer, key=lambda other: (len(other), other), default=None)


def phase_hint(name: str, known: list[str]) -> str:
    """What to do about a phase that is not known."""
    if not known:
        return "the project has no tasks yet"
    guess = nearest(name, known)
    listed = f"known phases: {', '.join(known)}"
    return f"did you mean '{guess}'? ({listed})" if guess else listed


def task_hint(name: str, tasks: Mapping[str, Task]) -> str:
    """What to do about a task that is not known."""
    guess = nearest(name, tasks)
    if guess is None:
        return "`zf list` shows every task"
    return f"did you mean '{guess}' (phase {tasks[guess].phase})?"
