"""Keeping the proofs of cycles from filling the disk: the newest stay, and what these build on.

`zf prune` does it, as a process of its own that the watch does not wait for: it leaves a tombstone
for each run, and keeps what is referred to, held, or in use. Cycles of another watch that goes on
are left to that one, which alone knows what its next cycles build on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from contextlib import suppress

from zf.lean import lazy
from zf.proof import read
from zf.run.host import lock

# As a watch names its runs; the group is the number of its process.
_OF_WATCH = lazy.pattern(r"\d{8}-\d{6}-(\d+)-w\d+")
_EVERY = 10
# So many are named to one zf prune, oldest first.
_MOST_NAMED = 200


class Tidy:
    """Prunes cycles beyond the newest `keep` every now and then; None keeps all."""

    def __init__(self, proofs: str, keep: int | None) -> None:
        self._proofs = proofs
        self._keep = keep
        self._over = 0
        self._process: subprocess.Popen[bytes] | None = None

    def over(self, in_use: Collection[str]) -> None:
        """A cycle is over; the next ones build on those that are `in_use`."""
        self._over += 1
        is_busy = self._process is not None and self._process.poll() is None
        if self._keep is None or self._over % _EVERY or is_busy:
            return
        named = old_cycles(read.list_runs(self._proofs), self._keep, in_use)
        if not named:
            return
        words = [
            "prune",
            "--yes",
            "--reason",
            f"a cycle of zf watch, not of the newest {self._keep}",
        ]
        with suppress(OSError):  # the next time
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zf", *words, *named],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """Wait for what is being removed: killed, it would be left to the next zf prune."""
        if self._process is not None:
            self._process.wait()


def old_cycles(runs: Collection[str], keep: int, in_use: Collection[str]) -> list[str]:
    """Of these runs, newest first, the cycles beyond the newest `keep` that are not in use; the
    oldest of them, if they are many. Cycles of other watches that go on are not counted.
    """
    of_watch = {run: int(found[1]) for run in runs if (found := _OF_WATCH.fullmatch(run))}
    others = {pid for pid in {*of_watch.values()} - {os.getpid()} if lock.is_alive(pid)}
    cycles = [run for run, pid in of_watch.items() if pid not in others][keep:]
    return [run for run in cycles if run not in in_use][-_MOST_NAMED:]
