"""A log by its lines, however large it is: windows, the end, and a search, none of which reads more
than it has to.

A sparse index says how many lines end before each block of the file. It is made when it is first
needed, block by block, grows with the file, and is kept in memory alone. The end of a log needs
none, so a log of a gigabyte opens at once and has its line numbers a moment later.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO

from zf.lean.records import Struct
from zf.proof import read

# Large enough that a gigabyte has a thousand of them, small enough that going through one takes
# some milliseconds.
_BLOCK_BYTES = 1024 * 1024
# Of a longer line only the beginning is kept: the whole of it is in the file.
LINE_BYTES = 16 * 1024
# A window has no more lines than a page may hold, and no more bytes than it can carry.
MOST_LINES, _WINDOW_BYTES = 5000, 4 * 1024 * 1024
# How many indexes are remembered, 8 bytes for each block of their files.
_MOST_KEPT = 64
_NEWLINE = b"\n"


class Line(Struct, frozen=True):
    """The beginning of a line, without its newline, and how many bytes the whole of it has."""

    text: bytes
    bytes: int


class Window(Struct, frozen=True):
    """Lines that follow each other. `first` is the number of the first one, counted from 1, and
    None where nothing has counted that far yet; `end` is the byte at which the next one begins.
    """

    first: int | None
    lines: tuple[Line, ...]
    start: int
    end: int


class Found(Struct, frozen=True):
    """Lines in which a text stands, by number. `next` is the byte from which to go on, None at the
    end of the file; `lines` is how many lines are before that.
    """

    numbers: tuple[int, ...]
    next: int | None
    lines: int


class LineIndex:
    """How many newlines stand before each block of one file. Every call may come from any thread;
    `stream` is the file, opened anew for the call.
    """

    def __init__(self) -> None:
        self._before: list[int] = [0]
        # Bytes that were counted, and newlines in them.
        self._scanned = 0
        self._newlines = 0
        self._last = _NEWLINE
        self._lock = Lock()

    def count(self, stream: BinaryIO, within_s: float | None = None) -> bool:
        """Count on to the end of the file, or for so long; whether the end was reached."""
        until = None if within_s is None else time.monotonic() + within_s
        with self._lock:
            size = os.fstat(stream.fileno()).st_size
            if size < self._scanned:  # another file has taken its place
                self._before, self._scanned, self._newlines = [0], 0, 0
                self._last = _NEWLINE
            stream.seek(self._scanned)
            while self._scanned < size:
                room = _BLOCK_BYTES - self._scanned % _BLOCK_BYTES
                piece = stream.read(min(room, size - self._scanned))
                if not piece:
                    break
                self._newlines += piece.count(_NEWLINE)
                self._scanned += len(piece)
                self._last = piece[-1:]
                if self._scanned % _BLOCK_BYTES == 0:
                    self._before.append(self._newlines)
                if until is not None and time.monotonic() > until:
                    break
            return self._scanned >= size

    @property
    def lines(self) -> int:
        """How many lines were counted; one that is not ended yet is one."""
        return self._newlines + (self._last != _NEWLINE)

    def offset(self, stream: BinaryIO, number: int) -> int:
        """The byte at which this line begins, counted from 1; the end of what was counted where
        there is none.
        """
        wanted = number - 1  # so many newlines are before it
        if wanted <= 0:
            return 0
        if wanted > self._newlines:
            return self._scanned
        block = bisect_left(self._before, wanted) - 1
        stream.seek(block * _BLOCK_BYTES)
        piece = stream.read(_BLOCK_BYTES)
        return block * _BLOCK_BYTES + _after(piece, wanted - self._before[block])

    def number(self, stream: BinaryIO, offset: int) -> int | None:
        """The number of the line that begins at this byte; None where that was not counted yet."""
        if offset > self._scanned:
            return None
        block = min(offset // _BLOCK_BYTES, len(self._before) - 1)
        stream.seek(block * _BLOCK_BYTES)
        return 1 + self._before[block] + stream.read(offset % _BLOCK_BYTES).count(_NEWLINE)


def _after(piece: bytes, wanted: int) -> int:
    """Where in a block the line after so many newlines begins: halves are counted, since to look
    for each newline takes ten times as long.
    """
    low, high = 0, len(piece)
    while high - low > 256:
        middle = (low + high) // 2
        there = piece.count(_NEWLINE, low, middle)
        if there >= wanted:
            high = middle
        else:
            low, wanted = middle, wanted - there
    for _ in range(wanted):
        low = piece.index(_NEWLINE, low) + 1
    return low


def window(index: LineIndex, stream: BinaryIO, first: int, count: int) -> Window:
    """At most `count` lines from this one on, counted from 1; the last ones for a number behind
    them.
    """
    index.count(stream)
    first = max(1, min(first, index.lines))
    start = index.offset(stream, first)
    lines, end = _lines(stream, start, count)
    return Window(first, lines, start, end)


def tail(index: LineIndex, stream: BinaryIO, count: int, within_s: float) -> Window:
    """The last lines, with their numbers if these are known after so many seconds."""
    counted = index.count(stream, within_s)
    start = _start_of_tail(stream, count)
    lines, end = _lines(stream, start, count)
    return Window(index.number(stream, start) if counted else None, lines, start, end)


def _start_of_tail(stream: BinaryIO, count: int) -> int:
    size = end = stream.seek(0, os.SEEK_END)
    wanted = count
    while end > 0 and size - end < _WINDOW_BYTES:
        start = max(0, end - _BLOCK_BYTES)
        stream.seek(start)
        piece = stream.read(end - start)
        if end == size and piece.endswith(_NEWLINE):
            wanted += 1  # the one that ends the last line begins none
        there = piece.count(_NEWLINE)
        if there >= wanted:
            return start + _after(piece, there - wanted + 1)
        wanted -= there
        end = start
    return end if end == 0 else _next_line(stream, end)


def _next_line(stream: BinaryIO, offset: int) -> int:
    """Where the first line behind this byte begins, or this byte in the midst of an endless one."""
    stream.seek(offset)
    found = stream.read(_WINDOW_BYTES).find(_NEWLINE)
    return offset if found < 0 else offset + found + 1


def _lines(stream: BinaryIO, start: int, count: int) -> tuple[tuple[Line, ...], int]:
    """Whole lines from this byte on, as many as a window has room for; and where they end."""
    stream.seek(start)
    found: list[Line] = []
    end = start
    room = _WINDOW_BYTES
    while len(found) < min(count, MOST_LINES) and room > 0:
        line = stream.readline(LINE_BYTES)
        if not line:
            break
        size = len(line)
        if not line.endswith(_NEWLINE):
            size += _rest(stream)
        end += size
        room -= len(line)
        ended = line.endswith(_NEWLINE) or size > len(line)
        found.append(Line(line.removesuffix(_NEWLINE), size - 1 if ended else size))
    return tuple(found), end


def _rest(stream: BinaryIO) -> int:
    """How many bytes are left of a line."""
    size = 0
    while piece := stream.readline(_BLOCK_BYTES):
        size += len(piece)
        if piece.endswith(_NEWLINE):
            break
    return size


def search(stream: BinaryIO, text: str, start: int, before: int, most: int) -> Found:
    """Lines from byte `start` on (`before` lines are before it) that have this text, whatever the
    case of its ASCII letters; at most so many of them, and of at most 256 MiB at a time.
    """
    wanted = text.encode("utf-8", "surrogateescape").lower()
    numbers: list[int] = []
    at, newlines, carried = start, before, b""
    # A place behind the end is none that a file system need know.
    stream.seek(min(start, stream.seek(0, 2)))
    until = start + 256 * _BLOCK_BYTES
    while at < until:
        fresh = stream.read(_BLOCK_BYTES)
        if not fresh:
            return Found(tuple(numbers), None, newlines)
        piece = carried + fresh.lower()
        told = 0
        place = piece.find(wanted)
        while place >= 0:
            newlines += piece.count(_NEWLINE, told, place)
            if len(numbers) >= most:
                return Found(tuple(numbers), at - len(carried) + place, newlines)
            if not numbers or numbers[-1] != newlines + 1:
                numbers.append(newlines + 1)
            told = place
            line_end = piece.find(_NEWLINE, place)
            place = -1 if line_end < 0 else piece.find(wanted, line_end)
        # What may be the beginning of the text is looked at again with what follows it.
        keep = min(len(wanted) - 1, len(piece) - told)
        carried = piece[len(piece) - keep :] if keep else b""
        newlines += piece.count(_NEWLINE, told, len(piece) - keep)
        at += len(fresh)
    return Found(tuple(numbers), at - len(carried), newlines)


class _Kept:
    """The indexes in memory, by file, the one used longest ago given up first."""

    def __init__(self) -> None:
        self._by_file: OrderedDict[tuple[int, int], LineIndex] = OrderedDict()
        self._lock = Lock()

    def of(self, stream: BinaryIO) -> LineIndex:
        status = os.fstat(stream.fileno())
        key = (status.st_dev, status.st_ino)
        with self._lock:
            index = self._by_file.setdefault(key, LineIndex())
            self._by_file.move_to_end(key)
            while len(self._by_file) > _MOST_KEPT:
                self._by_file.popitem(last=False)
        return index


_kept = _Kept()


@contextmanager
def opened(run_dir: str, path: str) -> Iterator[tuple[LineIndex, BinaryIO]]:
    """A log of a run and its index; raises ZfError when it cannot be opened."""
    with read.open_file(run_dir, path) as stream:
        yield _kept.of(stream), stream
