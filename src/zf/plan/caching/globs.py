"""Which files the globs of `sources` and `generates` name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathspec import PathSpec


def matching(globs: Iterable[str]) -> PathSpec[Any]:
    """What matches the paths, from the project root, that the globs name. They mean what those of
    `artifacts` do: a folder stands for everything in it. A `!` takes out what earlier ones named.
    """
    from pathspec import PathSpec  # noqa: PLC0415 - few tasks say what they read

    rooted = []
    for one in globs:
        sign, plain = ("!", one[1:]) if one[0] == "!" else ("", one)
        path = "/".join(part for part in plain.split("/") if part not in {"", "."})
        # That a folder stands for all in it does not follow for each wildcard by itself.
        rooted += [f"{sign}/{path}", f"{sign}/{path}/**"]
    return PathSpec.from_lines("gitignore", rooted)
