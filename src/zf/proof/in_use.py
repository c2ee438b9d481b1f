"""Keeping a run where it is while this process reads it or builds on it: a shared lock on its
journal, until the command is over. What removes runs asks for that lock alone.

Not the lock on the run's id, which its runner and what signs it want for themselves.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zf.proof.files import APPEND, READ
from zf.proof.layout import JOURNAL

# The descriptors that hold runs, by their journals' paths.
_kept: dict[str, int] = {}


def keep(run_dir: str) -> None:
    """Hold a run until `let_go`, or until this process and those it has forked end. One whose
    journal cannot be opened or locked is not held: what reads it will tell of that.

    Raises FileNotFoundError when the run has just been removed.
    """
    path = os.path.realpath(f"{run_dir}/{JOURNAL}")
    if path not in _kept and (fd := _shared(path)) is not None:
        _kept[path] = fd


@contextmanager
def kept(run_dir: str) -> Iterator[None]:
    """The same for a moment."""
    fd = _shared(f"{run_dir}/{JOURNAL}")
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _shared(path: str) -> int | None:
    try:
        fd = os.open(path, READ)
    except OSError:
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(path) from None
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)  # what removes a run has it for a moment only
    except OSError:
        os.close(fd)
        return None
    if not _is_at(fd, path):
        os.close(fd)
        raise FileNotFoundError(path)
    return fd


def let_go() -> None:
    """The command is over."""
    while _kept:
        os.close(_kept.popitem()[1])


def alone(run_dir: str) -> int | None:
    """A descriptor that keeps every other process from reading the run, for what is to remove it;
    None while another one keeps it.

    Raises OSError when there is no such run.
    """
    path = f"{run_dir}/{JOURNAL}"
    fd = os.open(path, APPEND)
    with suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            return fd
    os.close(fd)
    return None


def _is_at(fd: int, path: str) -> bool:
    try:
        there = os.lstat(path)
    except OSError:
        return False
    held = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)
