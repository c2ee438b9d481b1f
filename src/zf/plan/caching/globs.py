"""Which files the globs of `sources` and `generates` name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zf.lean.records import Struct

# What makes a pattern more than a name; gitignore also takes blanks at its end away.
_SPECIAL = frozenset("*?[\\ \t")


class Matching(Protocol):
    """Tells which paths, from the project root, some globs name."""

    def match_file(self, file: str, /) -> bool: ...


def matching(globs: Iterable[str]) -> Matching:
    """What matches the paths, from the project root, that the globs name. They mean what those of
    `artifacts` do: a folder stands for everything in it. A `!` takes out what earlier ones named.
    """
    rules = []
    for one in globs:
        taken_out = one[0] == "!"
        parts = one[taken_out:].split("/")
        rules.append((taken_out, "/".join(part for part in parts if part not in {"", "."})))
    if all(path and not _SPECIAL & {*path} for _, path in rules):
        return _Names(tuple(rules))
    from pathspec import PathSpec  # noqa: PLC0415 - 20 ms, which plain names can do without

    rooted = []
    for taken_out, path in rules:
        sign = "!" * taken_out
        # That a folder stands for all in it does not follow for each wildcard by itself.
        rooted += [f"{sign}/{path}", f"{sign}/{path}/**"]
    return PathSpec.from_lines("gitignore", rooted)


class _Names(Struct, frozen=True):
    """Globs without wildcards: each, with whether it takes out, is a file or all of a folder."""

    rules: tuple[tuple[bool, str], ...]

    def match_file(self, file: str, /) -> bool:
        for taken_out, path in reversed(self.rules):
            if file == path or file.startswith(f"{path}/"):
                return not taken_out
        return False
