"""Names of another tool -> ids of zf, each once; and names of environment variables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from zf.model import is_valid_id

_MOST = 100
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_NO_VARIABLE = re.compile(r"[^A-Za-z0-9_]+")


def ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each name: the name itself where it can be one. No two differ in case only."""
    listed = list(dict.fromkeys(names))
    # Names that are ids keep theirs, whatever comes before them.
    listed.sort(key=lambda name: not is_valid_id(name))
    taken: set[str] = set()
    found: dict[str, str] = {}
    for name in listed:
        base = as_id(name)
        one, number = base, 2
        while one.lower() in taken:
            one, number = f"{base}-{number}", number + 1
        taken.add(one.lower())
        found[name] = one
    return found


def as_id(name: str) -> str:
    """The text made an id: every run of foreign characters a `-`."""
    if is_valid_id(name) and len(name) <= _MOST:
        return name
    made = _FOREIGN.sub("-", name).strip("-._")[:_MOST].rstrip("-._")
    return made or "task"


def as_variable(name: str) -> str:
    """The text made the name of an environment variable."""
    made = _NO_VARIABLE.sub("_", name)
    return f"_{made}" if made[:1].isdigit() or not made else made


def as_input(name: str) -> str:
    """The text made the name of an input."""
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:64]
    return f"i-{made}"[:64] if not made or made[0].isdigit() else made


def is_variable(name: str) -> bool:
    """Whether an environment variable may be called so."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
