"""Another zf, which stands by for the next cycle: it has started, and imported what a run takes, by
the time something changes.

It is a process of its own, in a session of its own: whatever becomes of the run, the watcher goes
on, and Ctrl-C reaches it only through the watcher. It waits for its orders on stdin; when that ends
without any, or the watcher dies, it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import IO

# The module that it begins with.
MODULE = "zf.cli.cycle"
# How long one that has no orders may take to end.
_END_S = 2.0


class Standby:
    """One that waits. It has both ends of what it says later: `wake_fd` and `said` are read here,
    and `its_wake_fd` is the number of the other end of the first, there.
    """

    def __init__(self) -> None:
        """Raises OSError when no process can be started."""
        self.wake_fd, self.its_wake_fd = os.pipe()
        os.set_blocking(self.wake_fd, False)
        try:
            # Not `-m zf` alone: that would look for modules in the project's folder, too.
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(self.its_wake_fd,),
                start_new_session=True,
            )
        except OSError:
            os.close(self.wake_fd)
            raise
        finally:
            os.close(self.its_wake_fd)
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self._orders: IO[bytes] = self.process.stdin
        self.said: IO[bytes] = self.process.stderr
        os.set_blocking(self.said.fileno(), False)

    def order(self, data: bytes) -> None:
        """Have it go. Whether it does, its end says."""
        with suppress(BrokenPipeError):
            self._orders.write(data)
            self._orders.close()

    def is_there(self) -> bool:
        """Whether it still waits: something may have ended it."""
        return self.process.poll() is None

    def close(self) -> None:
        """It is not needed any more, or over."""
        with suppress(BrokenPipeError):
            self._orders.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.wake_fd)
        self.said.close()
