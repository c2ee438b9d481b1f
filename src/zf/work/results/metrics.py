"""What a task measured of itself: the file that `$ZF_METRICS` names, read after its steps.

The file lies beside the run, in a folder of the worker's that steps can write to; what is kept of
it goes into the proof. Anything may have been put in its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from zf.lean.records import Struct
from zf.metrics.budget import added, amounts
from zf.metrics.exposition import MAX_BYTES, MAX_SERIES, Metrics, read, text
from zf.work.results.channel import contents

_BYTES = ("utf-8", "surrogateescape")
_SAID = "what was written to $ZF_METRICS"


class Measured(Struct, frozen=True):
    """What a file says. `text` is that for the proof, empty for no series; `problem` is what is
    wrong with the file or its lines, `notes` tells of it with some of them quoted.
    """

    metrics: Metrics
    text: bytes
    problem: str
    notes: list[str]


class Meter:
    """While steps run, looks at what they have used of budgets with these names, and tells it."""

    def __init__(
        self, path: str, names: Iterable[str], tell: Callable[[Mapping[str, float]], None]
    ) -> None:
        self._path = path
        self._names = frozenset(names)
        self._tell = tell
        self._seen: tuple[int, int] | None = None
        self._last: Mapping[str, float] = {}
        # What was used before the file, or a counter in it, began anew.
        self._before: Mapping[str, float] = {}
        self.used: Mapping[str, float] = {}

    def __call__(self) -> None:
        """Look, and tell what has changed. What cannot be read is judged when the steps end."""
        try:
            info = os.lstat(self._path)
            seen = info.st_size, info.st_mtime_ns
            if seen == self._seen:
                return
            self._seen = seen
            data = contents(self._path, MAX_BYTES)
        except FileNotFoundError:
            data = b""
        except OSError:
            return
        # A line that is still being written is none yet.
        whole = data[: data.rfind(b"\n") + 1]
        self.take(amounts(read(whole).as_json(), self._names))

    def take(self, now: Mapping[str, float]) -> None:
        """What the file says now; what was used stays used, whatever becomes of the file."""
        gone = {name: last for name, last in self._last.items() if now.get(name, 0.0) < last}
        self._before, self._last = added(self._before, gone), now
        used = added(self._before, now)
        if used != self.used:
            self.used = used
            self._tell(used)


def read_measured(path: str, hide: Callable[[str], str]) -> Measured:
    """What the steps wrote to this file; `hide` takes out secrets."""
    try:
        data = contents(path, MAX_BYTES)
    except OSError as error:
        return _measured(Metrics(), f"{_SAID} cannot be read: {error.strerror}")
    metrics = read(hide(data.decode(*_BYTES)).encode(*_BYTES))
    if metrics.bad:
        return _measured(metrics, f"{_SAID} has {_lines(metrics.bad)} that cannot be read")
    if metrics.is_cut:
        most = f"{MAX_SERIES} series and {MAX_BYTES // 1024} KiB"
        return _measured(metrics, f"{_SAID} was cut at {most}")
    return _measured(metrics, "")


def _measured(metrics: Metrics, problem: str) -> Measured:
    notes = [": ".join([problem, *metrics.quoted[:1]]), *metrics.quoted[1:]] if problem else []
    return Measured(metrics, text(metrics.series.values()).encode(), problem, notes)


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"
