"""Whether the machine is too busy for another task, and what that cost. Pure.

Readings come in as values; `run/host/machine.py` takes them.
"""

from __future__ import annotations

from zf.events import ThrottleEntered, ThrottleLeft
from zf.run.schedule.orders import LoadSampled, Throttle


class Gate:
    """Open without a throttle. Each change is an event; a replayed run is told of them."""

    def __init__(self, throttle: Throttle | None) -> None:
        self._throttle = throttle
        self._closed_at: float | None = None
        self._kept_since: float | None = None
        self._held_s = 0.0

    @property
    def closed(self) -> bool:
        return self._closed_at is not None

    def sample(self, load: LoadSampled, now: float) -> ThrottleEntered | ThrottleLeft | None:
        """What this reading changes."""
        reason = self._too_busy(load)
        if reason and not self.closed:
            self.close(now)
            return ThrottleEntered(reason, load.cpu_percent, load.free_mem_mb)
        return None if reason else self.open(now)

    def close(self, now: float) -> None:
        if self._closed_at is None:
            self._closed_at = now
            self._held_s = 0.0

    def open(self, now: float) -> ThrottleLeft | None:
        """Nothing if it was open."""
        if self._closed_at is None:
            return None
        self.keep(waiting=False, now=now)
        left = ThrottleLeft(round(now - self._closed_at, 3), round(self._held_s, 3))
        self._closed_at = None
        return left

    def keep(self, *, waiting: bool, now: float) -> None:
        """Whether, from now on, a task waits for nothing but this gate."""
        if self._kept_since is not None:
            self._held_s += now - self._kept_since
        self._kept_since = now if waiting else None

    def _too_busy(self, load: LoadSampled) -> str:
        limit = self._throttle
        if limit is None:
            return ""
        if load.cpu_percent > limit.cpu_percent:
            return f"CPU at {load.cpu_percent:.0f} %, above {limit.cpu_percent:g} %"
        if load.free_mem_mb < limit.min_free_mem_mb:
            return f"{load.free_mem_mb:.0f} MB free, below {limit.min_free_mem_mb:g} MB"
        return ""
