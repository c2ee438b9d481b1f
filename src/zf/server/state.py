"""Where the server keeps what is its own: tokens, the audit, keys of requests, the queue.

`.zenflow/server` in the project, for its owner alone, and not offered to git. No part of any proof:
whatever is in there may be deleted while no server runs, and only tokens are lost by that.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from zf.plan.places import SERVER_FOLDER

_IGNORED = "# Made by zf for its server: tokens and records, kept, not committed.\n*\n"


def folder(root: str) -> str:
    """That folder of the project with this root, made if need be. Raises OSError."""
    path = f"{root}/{SERVER_FOLDER}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
        with open(f"{path}/.gitignore", "w", encoding="utf-8") as file:
            file.write(_IGNORED)
    return path


@contextmanager
def locked(path: str) -> Iterator[None]:
    """While it lasts, no other process changes the file at this path: for what is read, changed
    and written anew.
    """
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
