"""What `start_when` asks of the machine: its load, how long nothing was typed, its power supply."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from zf.server.queue.rules import Machine

_SUPPLIES = "/sys/class/power_supply"
_TERMINALS = ("/dev/pts", "/dev")


def look(now: float, supplies: str = _SUPPLIES) -> Machine:
    """The machine as it is `now`, in seconds since the epoch."""
    load = None
    with suppress(OSError):
        load = os.getloadavg()[0]
    return Machine(load, _idle_s(now), _on_ac_power(supplies))


def _idle_s(now: float) -> float | None:
    """For how long nothing was typed at any terminal, as `w` has it; since the machine was started
    where there is no terminal at all.
    """
    typed = max(_typed(), default=None)
    if typed is not None:
        return max(0.0, now - typed)
    with suppress(OSError), open("/proc/uptime", encoding="ascii") as file:
        return float(file.read().split()[0])
    return None


def _typed() -> Iterator[float]:
    for folder in _TERMINALS:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.removeprefix("tty").isdecimal():
                    with suppress(OSError):
                        yield entry.stat(follow_symlinks=False).st_atime


def _on_ac_power(supplies: str) -> bool:
    """Whether a mains adapter gives power; a machine that has no battery is on it."""
    has_battery = False
    try:
        names = os.listdir(supplies)
    except OSError:
        return True
    for name in names:
        kind = _word(f"{supplies}/{name}/type")
        if kind in {"Mains", "USB"} and _word(f"{supplies}/{name}/online") == "1":
            return True
        has_battery |= kind == "Battery" and _word(f"{supplies}/{name}/scope") != "Device"
    return not has_battery


def _word(path: str) -> str:
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        return file.read(64).strip()
    return ""
