"""The whole logs of a run inside its page: packed, compressed, and the largest left out before the
page grows too large. Pure.

A pack is one compressed text of several logs: thousands of small logs one by one would cost more in
their frames than in their lines.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from zf.events import Status
from zf.lean.records import Struct

if TYPE_CHECKING:
    from zf.report.formats.recorded import LogFile, RecordedRun
    from zf.report.task_facts import TaskFacts

# What a browser unpacks and looks through without a pause.
MOST_LOG_BYTES = 64 * 1024 * 1024
_PACK_BYTES = 512 * 1024
# zlib makes nothing smaller than this.
_BEST_RATIO = 1032
# Once so many packs did not fit, what comes after them would not either.
_MOST_TRIES = 3
_LEVEL = 6


class Log(Struct, frozen=True):
    """A log that there is: of which attempt of which task, and how many bytes."""

    task: str
    attempt: int
    file: LogFile
    # That of an earlier attempt lies elsewhere.
    newest: bool


class Packs:
    """Which logs a page has, and which not; both are known when all blocks are made."""

    def __init__(self, run: RecordedRun) -> None:
        self._run = run
        # Task -> [attempt, command, pack, first byte, bytes] of each of its logs.
        self.index: dict[str, list[list[Any]]] = {}
        self.left_out: list[Log] = []
        self._packs = 0

    def blocks(self, room: int) -> Iterator[bytes]:
        """The packs as elements of the page, of at most `room` bytes altogether."""
        tried = 0
        for group in _groups(self._logs()):
            smallest = sum(log.file.bytes for log in group) // _BEST_RATIO
            packed = None
            if tried < _MOST_TRIES and smallest < room and group[0].file.bytes <= MOST_LOG_BYTES:
                packed = self._packed(group, room)
                tried += packed is None
            if packed is None:
                self.left_out += group
                continue
            yield packed
            room -= len(packed)

    def _logs(self) -> list[Log]:
        """Every log, first those of what went wrong; then the smaller ones before the larger."""
        run = self._run
        ranked: list[tuple[Any, ...]] = []
        causes = {cause.task: number for number, cause in enumerate(run.facts.causes)}
        for order, task in enumerate(run.facts.tasks.values()):
            for log in _of_task(run, task):
                if log.file.bytes:
                    rank = _rank(task)
                    place = log.file.bytes if rank > 1 else causes.get(task.id, order)
                    ranked.append((rank, place, order, not log.newest, len(ranked), log))
        return [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:-1])]

    def _packed(self, group: list[Log], room: int) -> bytes | None:
        """The element for these logs, and their rows of the index; None when there is no room."""
        squeeze = zlib.compressobj(_LEVEL)
        squeezed, raw = bytearray(), 0
        rows = []
        for log in group:
            first = raw
            for piece in self._run.log_pieces(
                log.task, None if log.newest else log.attempt, log.file.name
            ):
                raw += len(piece)
                squeezed += squeeze.compress(piece)
                if len(squeezed) * 4 > room * 3:
                    return None
            rows.append((log.task, [log.attempt, log.file.name, self._packs, first, raw - first]))
        squeezed += squeeze.flush()
        element = b'<script type="text/plain" id="pack-%d">%s</script>\n' % (
            self._packs,
            b64encode(squeezed),
        )
        if len(element) > room:
            return None
        self._packs += 1
        for task, row in rows:
            self.index.setdefault(task, []).append(row)
        return element


def _groups(logs: Iterable[Log]) -> Iterator[list[Log]]:
    group: list[Log] = []
    size = 0
    for log in logs:
        if group and size + log.file.bytes > _PACK_BYTES:
            yield group
            group, size = [], 0
        group.append(log)
        size += log.file.bytes
    if group:
        yield group


def _of_task(run: RecordedRun, task: TaskFacts) -> Iterator[Log]:
    for attempt in range(1, task.attempt + 1):
        newest = attempt == task.attempt
        for file in run.logs(task.id, None if newest else attempt):
            yield Log(task.id, attempt, file, newest)


def _rank(task: TaskFacts) -> int:
    if task.status is Status.SUCCESS:
        return 1 if task.flaky else 2
    return 1 if task.warned else 0
