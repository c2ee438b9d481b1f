"""Points into files that were read before, for messages about what shows only later."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Literal

from zf.errors import Problem
from zf.plan.files.place import Loc
from zf.plan.yaml import source, yaml12
from zf.plan.yaml.position import marks_inside
from zf.plan.yaml.source import Source


class Pointer:
    """Points into a file that was read before, for messages."""

    def __init__(self, path: str, file: str) -> None:
        self._file = file
        found = source.read(path, file)
        self._source = found if isinstance(found, Source) else None
        self._document = yaml12.read(found) if isinstance(found, Source) else yaml12.Document()

    def problem(
        self,
        loc: Loc,
        code: str,
        message: str,
        hint: str | None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        if self._source is None or self._document.root is None:  # changed since it was read
            return Problem(code, message, self._file, hint=hint, severity=severity)
        node = self._document.node_at(loc)
        start, end = node.start_mark, node.end_mark
        return self._source.problem(code, message, start, end, hint=hint, severity=severity)

    def inside(
        self,
        loc: Loc,
        at: int,
        length: int,
        code: str,
        message: str,
        hint: str | None,
    ) -> Problem:
        """The same for some characters of the text at `loc`, counted from 0."""
        if self._source is None or self._document.root is None:
            return Problem(code, message, self._file, hint=hint)
        node = self._document.node_at(loc)
        start, end = marks_inside(self._source, node, at, length)
        return self._source.problem(code, message, start, end, hint=hint)


def pointer_to(path: str, file: str) -> Pointer:
    """Points into a file, which is read again, once for all that is wrong if it stays the same."""
    try:
        about = os.stat(path)
    except OSError:  # gone since it was read
        return Pointer(path, file)
    return _read_again(path, file, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=4)
def _read_again(path: str, file: str, _changed_ns: int, _inode: int) -> Pointer:
    return Pointer(path, file)
