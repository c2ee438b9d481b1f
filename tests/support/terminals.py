"""A terminal of its own for a real zf: its keys, its size, and what is to be seen on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from tests.support.program import ZF, Project

PATIENCE_S = 60.0


class Terminal:
    """A pseudo terminal with zf, or a shell, as the leader of its session."""

    # So much is read from it at once.
    bite_bytes = 65536

    def __init__(
        self, project: Project, *words: str, argv: tuple[str, ...] = ZF, **env: str
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(24, 80)
        self.modes_before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.said = ""
        self._seen = 0
        variables: Mapping[str, str] = {**project.env, "TERM": "xterm", "ZF": shlex.join(ZF), **env}

        def take() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*argv, *words],
            cwd=project.root,
            env=variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take,  # noqa: PLW1509 - no thread is in sight of the tests
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self._ours >= 0:
            self.hang_up()

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def modes(self) -> list[Any]:
        """As they are now: `termios.tcgetattr`."""
        return termios.tcgetattr(self._theirs)

    def foreground(self) -> int:
        """The process group that its keys go to, ^C among them."""
        return os.tcgetpgrp(self._ours)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until this is to be seen, after what was expected before."""
        until = time.monotonic() + PATIENCE_S
        while True:
            found = re.compile(pattern, re.MULTILINE).search(self.said, self._seen)
            if found:
                self._seen = found.end()
                return found
            assert time.monotonic() < until, f"no {pattern!r} in {self.said!r}"
            if not self._read():
                assert self.process.poll() is None, f"no {pattern!r} in {self.said!r}"

    def hang_up(self) -> None:
        """Take the terminal away, as closing its window does."""
        os.close(self._theirs)
        os.close(self._ours)
        self._ours = self._theirs = -1

    def is_raw(self) -> bool:
        """Whether bytes are handed on as they are typed."""
        return not self.modes()[3] & termios.ICANON

    def jobs(self) -> list[int]:
        """The processes of this session that are zf."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if os.getsid(int(pid)) == self.process.pid:
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        if b"zf\0run\0" in cmdline.read():
                            found.append(int(pid))
        return found

    def is_stopped(self, pid: int) -> bool:
        return self._stat(pid)[0] == "T"

    def is_of(self, pids: list[int]) -> bool:
        """Whether these have it: they run, in its foreground group."""
        stats = map(self._stat, pids)
        return all(state != "T" and group == foreground for state, group, foreground in stats)

    @staticmethod
    def _stat(pid: int) -> tuple[str, str, str]:
        with open(f"/proc/{pid}/stat") as stat:
            state, _, group, _, _, foreground, *_ = stat.read().rpartition(")")[2].split()
        return state, group, foreground

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.2)[0]:
            return False
        self.said += os.read(self._ours, self.bite_bytes).decode(errors="replace")
        return True

    def ends(self) -> int:
        """Read on until the process has ended; its exit code."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, self.said
            self._read()
        while self._read():
            pass
        return self.process.returncode
