"""Numbers of processes used again on purpose: run as the first process of a pid namespace.

`unshare --pid --fork --mount-proc python tests/support/pid_reuse.py CASE FOLDER`. There the next number to
be given out can be chosen, so that strangers get the very numbers that zf has on record.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.support.program import Project
from zf.work.supervise import leftovers, processes


def stranger(pid: int) -> subprocess.Popen[bytes]:
    """A process that has nothing to do with zf and has this number."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    process = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env={}
    )
    assert process.pid == pid, f"{process.pid} is not {pid}"
    return process


def await_text(path: Path, end: str = "\n", of: int | None = None) -> None:
    """Until the other side, the child `of`, has written its line; there is nothing to be woken by."""
    while not (path.exists() and path.read_text().endswith(end)):
        assert of is None or os.waitpid(of, os.WNOHANG) == (0, 0), "it ended without a word"
        time.sleep(0.01)


def is_alive(process: subprocess.Popen[bytes]) -> bool:
    # An answer, because one that was signalled just now may not have died yet.
    try:
        process.stdin.write(b"there?\n")
        process.stdin.flush()
    except BrokenPipeError:
        return False
    return process.stdout.readline() == b"there?\n"


def ours(run_dir: str) -> subprocess.Popen[bytes]:
    cookie = leftovers.cookie(run_dir, "t", 1)
    return subprocess.Popen(["sleep", "300"], env={leftovers.COOKIE: cookie})


def gone(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def before_it_is_pinned(folder: Path) -> None:
    """It is found by its cookie; when it is pinned its number is a stranger's."""
    pinned, found, strangers = leftovers._pin, ours(str(folder)), []

    def pin(pid: int) -> int | None:
        if pid == found.pid and not strangers:
            gone(found)
            strangers.append(stranger(pid))
        return pinned(pid)

    leftovers._pin = pin
    assert leftovers.end(str(folder)) == 0
    assert is_alive(strangers[0])


def after_it_is_pinned(folder: Path) -> None:
    """It is pinned and looked at; when it is signalled its number is a stranger's."""
    signals, found, strangers = leftovers.signal, ours(str(folder)), []
    send = signals.pidfd_send_signal

    def late(fd: int, number: int) -> None:
        gone(found)
        strangers.append(stranger(found.pid))
        send(fd, number)

    signals.pidfd_send_signal = late
    assert leftovers.end(str(folder)) == 0
    assert is_alive(strangers[0])


def below_a_worker(folder: Path) -> None:
    """A grandchild was listed; when it is signalled its number is a stranger's."""
    # Whoever looks is a process of its own: the stranger must not be its descendant.
    looker = os.fork()
    if looker == 0:
        os._exit(_looks_below(folder))
    found = folder / "pid"
    await_text(found, of=looker)
    other = stranger(int(found.read_text()))
    (folder / "reused").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(looker, 0)[1]) == 0
    assert is_alive(other)


def _looks_below(folder: Path) -> int:
    processes.become_subreaper()
    tree = processes.SubreaperTree()
    leader = subprocess.Popen(
        ["bash", "-c", "sleep 300 & echo $!; read; wait; echo reaped; sleep 300"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    grandchild = int(leader.stdout.readline())
    listed = processes.below

    def below(pids: list[int]) -> list[int]:
        found = listed(pids)
        assert grandchild in found
        os.kill(grandchild, signal.SIGKILL)
        leader.stdin.write("\n")
        leader.stdin.flush()
        assert leader.stdout.readline() == "reaped\n"
        (folder / "pid").write_text(f"{grandchild}\n")
        await_text(folder / "reused", "")
        return found

    processes.below = below
    tree.send(signal.SIGKILL, leader.pid, [])
    return 0


def a_whole_run(folder: Path) -> None:
    """Runner, workers and steps are dead and all their numbers are others'; then zf comes back."""
    project = Project(folder / "project")
    project.task("10-a", "echo $$ > pid; exec sleep 300", timeout_sec=600)
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    for line in process.stderr:
        if "start" in line and "10-a" in line:
            break
    step = project.root / "pid"
    await_text(step)
    dead = [process.pid, *processes.children(process.pid), int(step.read_text())]
    process.send_signal(signal.SIGSTOP)
    for pid in reversed(dead):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    _reap()
    strangers = [stranger(pid) for pid in sorted(dead)]
    assert project.zf("status", "r1").code == 0
    assert project.zf("cancel", "r1").code != 0
    again = project.popen("resume", "r1", "-v")
    for line in again.stderr:
        if "start" in line and "10-a" in line:
            break
    again.send_signal(signal.SIGTERM)
    again.communicate()
    assert again.returncode == 143
    assert project.status("r1", "10-a")["attempt"] == 2
    assert all(map(is_alive, strangers))


def _reap() -> None:
    """As the first process of the namespace this one inherits all orphans; all are dying."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


CASES = {
    case.__name__: case
    for case in (before_it_is_pinned, after_it_is_pinned, below_a_worker, a_whole_run)
}

if __name__ == "__main__":
    CASES[sys.argv[1]](Path(sys.argv[2]))
    print("kept")
