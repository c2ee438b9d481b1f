"""The standard streams as they are in real life: closed, full, with nobody at the other end.

Writing to them never fails here: it tells whether anybody can have read it, and that is all.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import IO


def make_ready() -> None:
    """Let there be three streams, and let none of them balk at a character it has no bytes for.

    Where zf was started with one of 0, 1, 2 closed (`zf list >&-`) Python has no stream, and the
    next file opened would come to lie there.
    """
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(fd, True)
        os.close(fd)
        sys.stdin = sys.stdin or _opened(0, "r")
        sys.stdout = sys.stdout or _opened(1, "w")
        sys.stderr = sys.stderr or _opened(2, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _opened(fd: int, mode: str) -> IO[str]:
    return os.fdopen(fd, mode, encoding="utf-8", closefd=False)


def say(stream: IO[str], text: str) -> bool:
    """Write at once; False when that is not possible, and then nothing is ever written again."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        silence(stream)
        return False
    return True


def silence(stream: IO[str]) -> None:
    """Send what is still buffered, and all that is to come, nowhere. Python would try again at
    exit, and change zf's exit code.
    """
    with suppress(OSError):
        fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(fd, stream.fileno())
        os.close(fd)
