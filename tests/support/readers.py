"""Readers of zf's output that are slow or stop, and a zf that is started with one."""

import fcntl
import os
import select
import signal
import subprocess

from tests.support.killed_runs import children
from tests.support.program import ZF

PAGE = 4096


def start(project, words, out, err):
    return subprocess.Popen(
        [*ZF, *words],
        cwd=project.root,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


class Pipe:
    """A pipe of one page; `full` from the start if asked for."""

    def __init__(self, *, full=False, non_blocking=False):
        self.read_fd, self.write_fd = os.pipe()
        fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, PAGE)
        self.filled = PAGE if full else 0
        if full:
            os.write(self.write_fd, b"f" * PAGE)
        os.set_blocking(self.write_fd, not non_blocking)

    def close(self):
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)

    def leave(self):
        os.close(self.read_fd)
        self.read_fd = -1

    def _is_full(self):
        return not select.select([], [self.write_fd], [], 0)[1]

    def read_slowly(self, process):
        """All that comes, a little each time the pipe is full; until the process has ended."""
        end = os.pidfd_open(process.pid)
        said = b""
        while not select.select([end], [], [], 0.01)[0]:
            if self._is_full():
                said += os.read(self.read_fd, PAGE)
        os.close(end)
        process.wait()
        os.close(self.write_fd)
        self.write_fd = -1
        while piece := os.read(self.read_fd, 65536):
            said += piece
        return said[self.filled :]


def wait_until_it_waits(process):
    """Until the process does nothing any more, and has no children: it waits for its reader."""
    calm, before = 0, []
    while calm < 20 and process.poll() is None:
        with open(f"/proc/{process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        now = [fields[0], *fields[11:13]]
        is_idle = now == before and now[0] == "S" and not children(process.pid)
        calm = calm + 1 if is_idle else 0
        before = now
        select.select([], [], [], 0.01)
