"""`audit.jsonl` in the server's folder: what was asked to change anything, and what was refused to
a caller that had a token. One JSON object a line.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

from zf.errors import printable
from zf.proof.files import APPEND, write_all

FILE = "audit.jsonl"
# As far back as is read for a page of it.
_READ_BYTES = 8 * 1024 * 1024
# Of what a caller wrote: a name that is no token's, a path.
_LONGEST = 300


class Audit:
    """The lines in a server's folder, written one at a time, each whole."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/{FILE}"
        self._lock = threading.Lock()

    def add(self, **facts: Any) -> None:
        """Write one line. Raises OSError."""
        line = json.dumps({name: _short(value) for name, value in facts.items()})
        with self._lock:
            fd = os.open(self._path, APPEND | os.O_CREAT, 0o600)
            try:
                write_all(fd, f"{line}\n".encode())
            finally:
                os.close(fd)

    def newest(self) -> Iterator[dict[str, Any]]:
        """The lines, newest first, as far as they lie in the last 8 MiB; none that is torn."""
        try:
            with open(self._path, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in reversed(lines):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


def _short(value: Any) -> Any:
    return printable(value[:_LONGEST]) if isinstance(value, str) else value
