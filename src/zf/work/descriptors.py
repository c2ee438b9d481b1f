"""File descriptors of the runner: which numbers it leaves alone, and how many it may have."""

from __future__ import annotations

import os
import resource

# Two descriptors a worker, at the most slots there can be.
_FILES = 20_480


def occupy_standard_fds() -> None:
    """Where zf was started with one of 0, 1, 2 closed, nothing of ours may come to lie there: a
    step's own would be laid over it.
    """
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)


def raise_file_limit() -> tuple[int, int]:
    """Make room for a descriptor per worker; the limits as they were, which are the steps' own."""
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limits
