"""Faults on demand for whole-program tests: faults.c, built once, and aimed at one call of one zf.

Where it cannot be built (no Linux, no C compiler) the tests that need it are skipped with the reason.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("faults.c")
KILL, TEAR, SHORT, SWAP = "kill", "tear", "short", "swap"
_FOREVER = 10**9


@dataclass(frozen=True)
class Fault:
    """What is to happen at the `first` call by which `who` (runner, workers) changes anything, and
    at all after it up to the `last`: `what` is KILL, TEAR, SHORT, SWAP or an errno. `names` are the
    calls that count, all by default. SWAP moves the first of `swapped` to the place of the second.
    """

    who: str
    what: str | int
    first: int
    last: int = 0
    names: tuple[str, ...] = ()
    swapped: tuple[Path, Path] | None = None

    def env(self, log: Path) -> dict[str, str]:
        """What a zf is started with, so that it meets this fault; `log` gets the calls counted."""
        names = f",{','.join(self.names)}," if self.names else "*"
        words = (self.who, self.what, self.first, self.last or self.first, names, log)
        return {
            "LD_PRELOAD": str(library()),
            "ZF_FAULT": " ".join(map(str, words)),
            "ZF_SWAP": ":".join(map(str, self.swapped or ())),
            "PYTHONDONTWRITEBYTECODE": "1",
        }


def always(who: str, what: str | int, *names: str, first: int = 1) -> Fault:
    """The fault at every one of these calls, from the `first` on."""
    return Fault(who, what, first, _FOREVER, names)


class Clock:
    """Moves the clocks of a zf started with its `env`, workers included, and of nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._set(0.0, 0.0)

    @property
    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(library()), "ZF_CLOCK": str(self._path)}

    def go_on(self, seconds: float) -> None:
        """Let this much time pass: on both clocks."""
        self._set(seconds, seconds)

    def step(self, seconds: float) -> None:
        """Set the clock on the wall, as ntpd does, or a laptop that wakes up: on Linux the
        monotonic one stands still while it sleeps.
        """
        self._set(0.0, seconds)

    def _set(self, monotonic: float, real: float) -> None:
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(struct.pack("dd", monotonic, real))


def struck(log: Path) -> str:
    """The first call that the fault has struck, with its number; empty when none was."""
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.endswith(" STRUCK")), "")


@cache
def library() -> Path:
    """The compiled faults.c. Skips the test that asks where it cannot be made."""
    if sys.platform != "linux":
        pytest.skip("faults are laid over the calls of Linux")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build faults.c with")
    path = Path(tempfile.mkdtemp(prefix="zf-faults-"), "faults.so")
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Werror")
    subprocess.run([compiler, *flags, "-o", path, _SOURCE, "-ldl"], check=True)
    return path
