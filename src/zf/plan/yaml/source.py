"""One file as text: read so that no file can harm or hang zf, and pointed into for messages.

Knows bytes, lines and columns; knows nothing of YAML.
"""

from __future__ import annotations

import os
import stat
from functools import cached_property
from typing import Literal, Protocol

from zf.errors import Problem
from zf.lean import lazy

# 20 000 tasks in one file are 2 to 3 MiB.
MAX_BYTES = 16 << 20
# Longer lines are shown only around their start: a message is for reading.
_SHOWN_CHARS = 200

# What YAML 1.2 calls not printable, and the three characters libyaml (YAML 1.1) takes for line
# breaks though YAML 1.2 and every editor do not: they would end a comment unseen.
_FORBIDDEN = lazy.pattern("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# ASCII without these. Of a text with nothing else the expression is not asked, which takes 1 ms to
# compile.
_PLAIN = bytes((*b"\t\n\r", *range(0x20, 0x7F)))
# Not blocking, because opening a named pipe would otherwise wait for a writer for ever.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_LINE_BREAK = lazy.pattern("\r\n|\n|\r")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = "\ufeff"


class Place(Protocol):
    """A line and column, both from 0: PyYAML's marks, or our own."""

    @property
    def line(self) -> int: ...

    @property
    def column(self) -> int: ...


class Source:
    """A file's text; `file` is the name messages use."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines without their breaks, as every editor counts them."""
        return _LINE_BREAK.split(self.text)

    def problem(
        self,
        code: str,
        message: str,
        start: Place,
        end: Place | None = None,
        *,
        hint: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """The finding with the line of text it is about and how much of that line to underline."""
        lines = self.lines
        line, column = start.line, start.column
        if line >= len(lines) or (line == len(lines) - 1 > 0 and not lines[line]):
            # The parser noticed at the end of the file: show the last line that has text.
            line = len(lines) - 1
            while line and not lines[line].strip():
                line -= 1
            column = len(lines[line])
        shown = lines[line]
        stop = end.column if end is not None and end.line == line else len(shown.rstrip())
        return Problem(
            code=code,
            message=message,
            file=self.file,
            line=line + 1,
            column=column + 1,
            length=max(1, stop - column) if end is not None else 1,
            source=shown[:_SHOWN_CHARS] if column < _SHOWN_CHARS else None,
            hint=hint,
            severity=severity,
        )


def read(path: str, file: str) -> Source | Problem | None:
    """The text of `path`, or what is wrong with it; None when there is nothing of that name."""
    try:
        data = _read_regular(path)
    except FileNotFoundError:
        if not os.path.lexists(path):
            return None
        return unreadable(file, "it is a symbolic link to nothing")
    except OSError as error:
        return unreadable(file, os.strerror(error.errno or 0))
    except _NotRegularError as error:
        return unreadable(file, f"it is {error}")
    if len(data) > MAX_BYTES:
        return Problem(
            code="ZF202",
            message=f"the file is larger than {MAX_BYTES} bytes ({MAX_BYTES >> 20} MiB)",
            file=file,
            hint="keep long scripts in files of their own and call them from `run`",
        )
    return _decode(data, file)


class _NotRegularError(Exception):
    pass


def _read_regular(path: str) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _NotRegularError(
                "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            )
        data = os.read(descriptor, status.st_size + 1)
        while len(data) != status.st_size and len(data) <= MAX_BYTES:
            # The file grew while we read it, or is one of those whose size is always 0.
            more = os.read(descriptor, MAX_BYTES)
            if not more:
                break
            data += more
    finally:
        os.close(descriptor)
    return data


def unreadable(file: str, why: str) -> Problem:
    """The finding that a file's text could not be had."""
    return Problem(code="ZF201", message=f"the file cannot be read: {why}", file=file)


def _decode(data: bytes, file: str) -> Source | Problem:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(data, error.start, file)
    found = None
    if not data.isascii() or data.translate(None, _PLAIN):
        found = _FORBIDDEN.search(text)
    if found is None:
        return Source(file, text)
    return _forbidden(text, found.start(), file)


def _not_utf8(data: bytes, offset: int, file: str) -> Problem:
    before = data[:offset].decode()
    looks_16 = data.startswith(_UTF16_MARKS)
    return Problem(
        code="ZF203",
        message=(
            "the file is UTF-16, not UTF-8"
            if looks_16
            else f"the file is not UTF-8: byte 0x{data[offset]:02x}"
        ),
        file=file,
        line=len(_LINE_BREAK.findall(before)) + 1,
        column=len(_LINE_BREAK.split(before)[-1]) + 1,
        hint="save it as UTF-8",
    )


def _forbidden(text: str, offset: int, file: str) -> Problem:
    char = text[offset]
    if offset == 0 and char == _UTF8_MARK:
        return Problem(
            code="ZF204",
            message="the file starts with a byte order mark (BOM)",
            file=file,
            line=1,
            column=1,
            hint="save it as UTF-8 without BOM",
        )
    lines = _LINE_BREAK.split(text[:offset])
    whole = _LINE_BREAK.split(text)[len(lines) - 1]
    return Problem(
        code="ZF205",
        message=f"the file holds the control character U+{ord(char):04X}",
        file=file,
        line=len(lines),
        column=len(lines[-1]) + 1,
        source=whole[:_SHOWN_CHARS] if len(lines[-1]) < _SHOWN_CHARS else None,
        hint="remove it, or write it as an escape inside double quotes",
    )
