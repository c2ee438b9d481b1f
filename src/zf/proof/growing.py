"""Files of a run that are still written: its journal, and the logs of an attempt, read on from
where one was.

As careful as `read.py`. What is read on is the file that was begun with: a tree that is moved aside
when another attempt begins is known by its folder, whatever its path is by then.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError, printable
from zf.events import from_json
from zf.proof.files import NAMED_FOLDER, open_folder_inside, open_inside, open_regular, opened
from zf.proof.journal import MAX_LINE_BYTES, Chain, Line
from zf.proof.layout import JOURNAL, LOGS, earlier_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 64 * 1024
# A line longer than this is given in pieces, so that memory stays flat.
_LONGEST_LINE = 64 * 1024
_A_LOOK = 1024 * 1024
# No task has steps with longer numbers.
_MOST_DIGITS = 9
# Of what a task printed last, as much as a wide terminal shows of one line, colours included.
_END_BYTES = 4096


class GrowingJournal:
    """The journal of a run that may still go on; ZfError when it cannot be opened."""

    def __init__(self, run_dir: str) -> None:
        try:
            with opened(run_dir, NAMED_FOLDER) as folder:
                self._stream = os.fdopen(open_inside(folder, JOURNAL), "rb")
        except OSError as error:
            shown = printable(f"{run_dir}/{JOURNAL}")
            raise ZfError(f"{shown}: {error.strerror}", code="ZF611") from None
        status = os.fstat(self._stream.fileno())
        # Device and inode: another file may come to lie at its path.
        self.file = status.st_dev, status.st_ino
        self._chain: Chain | None = Chain()
        self._offset = 0

    def close(self) -> None:
        self._stream.close()

    @property
    def offset(self) -> int:
        """The byte behind the last line that was read."""
        return self._offset

    @property
    def head(self) -> str:
        """The SHA-256 of the last line that was read, in hex; empty after damage."""
        return "" if self._chain is None else self._chain.head

    def more(self) -> Iterator[Line]:
        """The lines written since the last call; none any more after one that is damaged."""
        for data in self.objects():
            try:
                line = Line(data["seq"], data["wall"], data["mono"], from_json(data))
            except (ValueError, TypeError):
                self._chain = None
                return
            yield line

    def objects(self) -> Iterator[dict[str, Any]]:
        """The same as the objects that the lines are, whether or not they are events: for what
        passes them on.
        """
        while self._chain is not None:
            self._stream.seek(self._offset)
            raw = self._stream.readline(MAX_LINE_BYTES + 1)
            if not raw.endswith(b"\n"):
                return
            self._offset += len(raw)
            try:
                data = self._chain.accept(raw[:-1])
            except ValueError:
                self._chain = None
                return
            yield data


class AttemptLog:
    """What one attempt printed, as it grows: step after step, then its cleanup."""

    def __init__(
        self, run_dir: str, task: str, attempt: int, first_step: int = 0, only: int | None = None
    ) -> None:
        """`first_step` is the number of the first step in file names; `only` that of the one step
        to be read.
        """
        self._run_dir = run_dir
        self._task = task
        self._attempt = attempt
        self._first = first_step
        self._only = None if only is None else f"step-{only}"
        self._command = f"step-{first_step}"
        self._offset = 0
        # Device and inode of the folder, once it was seen.
        self._folder: tuple[int, int] | None = None

    def pieces(self, *, ended: bool = False) -> Iterator[tuple[str, bytes]]:
        """What was printed since the last call, with the name of the command (`step-0`); an empty
        piece for a log that has nothing new. `ended` says that nothing more will be printed.
        """
        with suppress(OSError):
            folder = self._opened_folder(ended=ended)
            if folder is None:
                return
            try:
                for command, piece in self._pieces(folder):
                    if self._only in {None, command}:
                        yield command, piece
            finally:
                os.close(folder)

    def last_line(self) -> tuple[bytes, float] | None:
        """What the newest log ends with, a line of it at most, and when that was written, in
        seconds since the epoch. None before there is a log.
        """
        with suppress(OSError):
            folder = self._opened_folder(ended=False)
            if folder is None:
                return None
            try:
                while (name := self._next(folder)) is not None:
                    self._command = name
                fd = open_regular(folder, f"{self._command}.log")
                try:
                    status = os.fstat(fd)
                    end = os.pread(fd, _END_BYTES, max(0, status.st_size - _END_BYTES))
                finally:
                    os.close(fd)
            finally:
                os.close(folder)
            # A progress bar returns to the start of its line.
            lines = end.replace(b"\r", b"\n").split(b"\n")
            return next((line for line in reversed(lines) if line.strip()), b""), status.st_mtime
        return None

    def _pieces(self, folder: int) -> Iterator[tuple[str, bytes]]:
        while True:
            yield from self._grown(folder)
            following = self._next(folder)
            if following is None:
                return
            # The next command has begun, so this log is complete: what came in between.
            yield from self._grown(folder)
            self._command = following
            self._offset = 0

    def _grown(self, folder: int) -> Iterator[tuple[str, bytes]]:
        try:
            stream = os.fdopen(open_regular(folder, f"{self._command}.log"), "rb")
        except OSError:
            return  # no log yet, or none of this step
        with stream:
            stream.seek(self._offset)
            piece: bytes | None = None
            while piece != b"":
                piece = stream.read(_PIECE_BYTES)
                self._offset += len(piece)
                yield self._command, piece

    def _next(self, folder: int) -> str | None:
        """The command after this one, if it has begun: steps may be skipped, and a cleanup comes
        whatever step was last.
        """
        kind, _, number = self._command.partition("-")
        following = f"{kind}-{int(number) + 1}"
        with suppress(FileNotFoundError):
            os.stat(f"{following}.log", dir_fd=folder, follow_symlinks=False)
            return following
        here = kind == "cleanup", int(number)
        later = [place for place in map(_place, os.listdir(folder)) if place and place > here]
        if not later:
            return None
        is_cleanup, next_number = min(later)
        return f"{'cleanup' if is_cleanup else 'step'}-{next_number}"

    def _opened_folder(self, *, ended: bool) -> int | None:
        """The folder of its logs, wherever it is now."""
        aside = earlier_tree(self._task, self._attempt)
        with opened(self._run_dir, NAMED_FOLDER) as run:
            if not ended and self._folder is None and not self._is_begun(run):
                return None
            # Looked for at its last place after its first: it may be moved meanwhile.
            for tree in (aside, self._task, aside):
                with suppress(OSError):
                    folder = open_folder_inside(run, f"{tree}/{LOGS}")
                    if self._is_ours(run, folder, tree):
                        return folder
                    os.close(folder)
        return None

    def _is_begun(self, run: int) -> bool:
        """Whether what lies in the task's folder can be this attempt's: the tree of the one before
        is moved aside a little after the start is told.
        """
        if self._attempt <= 1:
            return True
        before = earlier_tree(self._task, self._attempt - 1)
        with suppress(OSError):
            os.close(open_folder_inside(run, f"{before}/{LOGS}"))
            return True
        return False

    def _is_ours(self, run: int, folder: int, tree: str) -> bool:
        status = os.fstat(folder)
        place = (status.st_dev, status.st_ino)
        if self._folder is None:
            if tree == self._task:
                aside = earlier_tree(self._task, self._attempt)
                with suppress(OSError):
                    os.close(open_folder_inside(run, f"{aside}/{LOGS}"))
                    return False  # it was moved just now, and this is the next attempt's
            self._folder = place
        return place == self._folder


def _place(name: str) -> tuple[bool, int] | None:
    """Where a log comes among those of a task: after all steps, and its number."""
    kind, _, number = name.removesuffix(".log").partition("-")
    sound = kind in {"step", "cleanup"} and number.isascii() and number.isdecimal()
    return (kind == "cleanup", int(number)) if sound and len(number) < _MOST_DIGITS else None


class LogLines:
    """The same as lines of text."""

    def __init__(self, log: AttemptLog) -> None:
        self._log = log
        self._command = ""
        self._partial = b""

    def more(self) -> list[str]:
        """Whole lines written since the last call, as many as fit into a look: a task may print
        faster than this reads.
        """
        lines: list[str] = []
        left = _A_LOOK
        for command, piece in self._log.pieces():
            lines += self._split(command, piece)
            left -= len(piece)
            if left <= 0:
                break
        return lines

    def rest(self) -> Iterator[str]:
        """All lines not yet given, the unfinished last one too, of an attempt that has ended."""
        for command, piece in self._log.pieces(ended=True):
            yield from self._split(command, piece)
        yield from self._flush()

    def _split(self, command: str, piece: bytes) -> list[str]:
        # What a step left without a newline is a line all the same.
        lines = self._flush() if command != self._command else []
        self._command = command
        *whole, self._partial = (self._partial + piece).split(b"\n")
        lines += map(_decoded, whole)
        if len(self._partial) >= _LONGEST_LINE:
            lines += self._flush()
        return lines

    def _flush(self) -> list[str]:
        lines = [_decoded(self._partial)] if self._partial else []
        self._partial = b""
        return lines


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").removesuffix("\r")
