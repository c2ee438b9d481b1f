"""How busy the machine is and how much of it there is, read with psutil; `gate.py` judges it."""

from __future__ import annotations

from zf.run.schedule.orders import LoadSampled

_MB = 1024 * 1024
# psutil compares with the reading before; over less time than this the answer is noise.
MIN_INTERVAL_S = 0.2


class Sampler:
    """Readings of this machine's load. A run without a throttle makes none, and pays nothing."""

    def __init__(self, now: float, interval_s: float) -> None:
        import psutil  # noqa: PLC0415 - 20 ms that only a run with a throttle pays

        self._psutil = psutil
        self._interval_s = max(interval_s, MIN_INTERVAL_S)
        self._sampled_at = now
        psutil.cpu_percent()  # from here on

    def due_at(self) -> float:
        """When the next reading is wanted."""
        return self._sampled_at + self._interval_s

    def sample(self, now: float) -> LoadSampled | None:
        """A reading over the time since the last one; nothing when that was just now."""
        if now < self.due_at():
            return None
        self._sampled_at = now
        available = self._psutil.virtual_memory().available
        return LoadSampled(self._psutil.cpu_percent(), round(available / _MB, 1))


def machine_resources() -> dict[str, int]:
    """What `resources` may claim of CPUs and memory if no setting says how much there is."""
    import psutil  # noqa: PLC0415 - only tasks that ask for resources pay for it

    process = psutil.Process()
    # Fewer than the machine has where this process may not use them all (not told on macOS).
    usable = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else None
    cpus = usable or psutil.cpu_count() or 1
    return {"cpu": cpus, "mem_mb": psutil.virtual_memory().total // _MB}
