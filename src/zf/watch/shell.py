"""A shell that a watch has opened: `zf shell TASK`, which has the terminal until it is left.

It runs in the watch's process group: when its bash ends, that gives the terminal back to this
group. Meanwhile the watch begins nothing and shows nothing.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

# How long it may take to end once it has been told to.
_END_S = 2.0


class Shell:
    """One that is open. `fd` becomes readable when it has been left."""

    def __init__(self, words: Sequence[str], folder: str | None) -> None:
        """Have another zf open it, called with these words in this folder, or in the current one.
        Raises OSError.
        """
        self.fd, self._told = os.pipe()
        # What is started in the shell may stay, so no descriptor of its tells of its end.
        self._waiting = threading.Thread(target=self._wait, daemon=True)
        try:
            command = [sys.executable, "-P", "-m", "zf", *words]
            self._process = subprocess.Popen(command, cwd=folder)
        except OSError:
            os.close(self.fd)
            os.close(self._told)
            raise
        try:
            self._waiting.start()
        except RuntimeError as error:
            self._process.kill()  # it has not come to a shell yet
            self._wait()
            os.close(self.fd)
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def _wait(self) -> None:
        self._process.wait()
        os.close(self._told)

    def is_left(self) -> bool:
        """Whether it is over."""
        return self._process.returncode is not None

    def end(self) -> None:
        """Have it end, as when its terminal is gone; the second time whatever it makes of that."""
        self._process.terminate()

    def close(self) -> None:
        """It is over, or has to be."""
        while not self.is_left():
            self.end()
            self._waiting.join(_END_S)
        os.close(self.fd)
