"""Checksum lists as sha256sum, busybox and shasum all read them: GNU lines in byte order.

Pure text in, text out. No escapes: a name that would need one is not safe and never gets in.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter

from zf.lean import lazy

# Printable ASCII but the backslash, which starts an escape. A lone `-` is standard input to every
# tool, a leading space is lost by some; `.` and `..` would lead elsewhere.
_NAME = r"(?!\.{1,2}(?:[/\n]|\Z)|-(?:[/\n]|\Z)| )[ -.0-\[\]-~]+"
_SAFE_NAME = lazy.pattern(_NAME)
# A line is at most some hundred bytes: this is a million artifacts of one task.
MAX_LIST_BYTES = 256 * 1024 * 1024
_LINE = lazy.pattern(f"([0-9a-f]{{64}})  ({_NAME}(?:/{_NAME})*)\n")


def is_safe_name(name: str) -> bool:
    """Whether every checksum tool writes and reads this file name unchanged."""
    return _SAFE_NAME.fullmatch(name) is not None


def is_safe_path(path: str) -> bool:
    """The same for a relative path with `/` between its names."""
    return all(map(is_safe_name, path.split("/")))


def line(digest: str, path: str) -> str:
    """One line of a list, newline included."""
    return f"{digest}  {path}\n"


def listing(digests: Mapping[str, str]) -> str:
    """A whole list, in byte order of the paths (all of them ASCII)."""
    rows = "\n".join(map("  ".join, map(_digest_first, sorted(digests.items()))))
    return f"{rows}\n" if rows else ""


_digest_first = itemgetter(1, 0)


def told(text: str) -> dict[str, str]:
    """The same as `parse` of a list that zf itself has made, and so known to be one."""
    return {row[66:]: row[:64] for row in text.splitlines()}


def parse(data: bytes) -> dict[str, str]:
    """Path -> SHA-256 of a whole list; ValueError when it is not exactly in form and order."""
    text = data.decode("ascii")
    found = _LINE.findall(text)
    # The matches cannot overlap, so they cover the text exactly when their lengths add up to its.
    if sum(len(path) for _, path in found) + 67 * len(found) != len(text):
        number = next(
            n
            for n, row in enumerate(text.splitlines(keepends=True), start=1)
            if not _LINE.fullmatch(row)
        )
        raise ValueError(f"line {number} is not a checksum line")
    for (_, before), (_, after) in pairwise(found):
        if before >= after:
            problem = "occurs twice" if before == after else "is out of order"
            raise ValueError(f"{after!r} {problem}")
    return {path: digest for digest, path in found}
