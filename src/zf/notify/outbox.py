"""The outbox: a file for each message that has to reach a channel, until it has, or is given up.

Beside the runs, in `proofs/.outbox`. A message is there before the first attempt to send it and is
removed after the attempt that succeeded, so it arrives at least once; its id is always the same, by
which a receiver knows it again. An attempt that failed is made again later and later, for a day.
What has not arrived by then stays as a dead letter until it is sent by hand, or dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from zf.lean.records import Struct, asdict, convert, replace
from zf.proof.files import write_json

FOLDER = ".outbox"
# Seconds from one attempt to the next, the last one again and again; and how long it goes on.
DELAYS_S = (10.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0)
GIVEN_UP_AFTER_S = 24 * 3600.0
_SUFFIX = ".json"


class Letter(Struct, frozen=True):
    """A message for one channel. Moments in seconds since the epoch; `due_at` is None for a dead
    letter; `failed` says why the last attempt did not succeed.
    """

    id: str
    channel: str
    written_at: float
    due_at: float | None
    message: Mapping[str, Any]
    attempts: int = 0
    failed: str = ""

    def after_failure(self, why: str, now: float) -> Letter:
        """The letter once an attempt to send it has failed."""
        delay_s = DELAYS_S[min(self.attempts, len(DELAYS_S) - 1)]
        is_dead = now + delay_s > self.written_at + GIVEN_UP_AFTER_S
        due_at = None if is_dead else now + delay_s
        return replace(self, attempts=self.attempts + 1, failed=why, due_at=due_at)


class Outbox:
    """The outbox of the project whose proofs are in this folder. Raises OSError where that cannot
    be written.
    """

    def __init__(self, proofs: str) -> None:
        self.folder = f"{proofs}/{FOLDER}"

    def put(self, letter: Letter) -> None:
        """Keep the letter, in place of what there is of it."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        write_json(self._path(letter.id), asdict(letter))

    def remove(self, letter: Letter) -> None:
        """The letter has arrived, or is not wanted any more."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(letter.id))

    def letters(self) -> Sequence[Letter]:
        """All letters, the oldest first; what is no letter is passed over."""
        try:
            names = [name for name in os.listdir(self.folder) if name.endswith(_SUFFIX)]
        except FileNotFoundError:
            return []
        found = [letter for name in names if (letter := self._read(name)) is not None]
        return sorted(found, key=lambda letter: (letter.written_at, letter.id))

    def due(self, now: float) -> Sequence[Letter]:
        """Those that are to be sent by now."""
        return [one for one in self.letters() if one.due_at is not None and one.due_at <= now]

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this process is the one that sends, for as long as the context lasts."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        lock = os.open(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(lock)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}{_SUFFIX}"

    def _read(self, name: str) -> Letter | None:
        try:
            with open(f"{self.folder}/{name}", "rb") as file:
                letter = convert(json.load(file), Letter)
        except (OSError, ValueError, TypeError):
            return None
        return letter if f"{letter.id}{_SUFFIX}" == name else None
