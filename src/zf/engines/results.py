"""Results of agents: taken in piece by piece, compared with what was said of them, and put into the
run, or into the quarantine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any

from zf.events import AttemptEnded, from_json
from zf.lean import lazy
from zf.proof import layout
from zf.proof.files import FOLDER, opened, sync_folder, whole_file, write_all
from zf.proof.tree.contents import compare_tree
from zf.work.agent.archive import UnpackError, unpack
from zf.work.agent.frames import PIECE_BYTES

_IN_MEMORY_BYTES = 4 * 1024 * 1024
# What an agent may call the log that it sends a part of.
_LOG = lazy.pattern(r"(?:step|cleanup)-[0-9]{1,9}\.log")
# All of a tree but its outcome, which comes last.
_BEFORE_OUTCOME = (
    *(name for name in layout.FOLDERS if name != layout.SUMMARY),
    *layout.LOOSE,
)


class BadResultError(ValueError):
    """What an agent sent is not what it said it would be; the message says of what."""


class Incoming:
    """The archive of one attempt while it comes: in memory, as files that come and go cost more
    than all the rest, and in the folder if it is large. Raises OSError.
    """

    def __init__(self, folder: str) -> None:
        self.file = SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=folder)  # noqa: SIM115 - closed below
        self._digest, self._bytes = sha256(), 0

    def take(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._bytes += len(piece)
        self.file.write(piece)

    def is_as(self, header: Mapping[str, Any]) -> bool:
        """Whether it is what the agent's last word says of it."""
        return (self.sha256, self._bytes) == (header.get("sha256"), header.get("bytes"))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let go of what came."""
        self.file.close()


def complete(incoming: Incoming | None, header: Mapping[str, Any]) -> Incoming:
    """What came, if it is what its agent named at last. Raises BadResultError."""
    if incoming is None or not incoming.is_as(header):
        raise BadResultError("the proof that came is not the one it named")
    return incoming


def ended(header: Mapping[str, Any], task: str, attempt: int) -> AttemptEnded:
    """How the agent says that the attempt ended. Raises BadResultError."""
    try:
        event = from_json(header["event"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadResultError(f"its end has not the form of one: {error!r:.200}") from None
    if not isinstance(event, AttemptEnded) or (event.task, event.attempt) != (task, attempt):
        raise BadResultError("its end is that of another attempt")
    return event


def put(incoming: Incoming, staged: str, run_dir: str, event: AttemptEnded) -> None:
    """Put what came in the place of the attempt's tree; the journal may name it once `sync` has
    made it durable. `staged` is where it is made ready; what lies beside that afterwards is of no
    use, and goes with the scratch folder. Raises BadResultError, and OSError where it cannot be
    written.
    """
    incoming.file.seek(0)
    try:
        compare_tree(unpack(incoming.file, staged, links=False), staged, event.task_sha256)
    except (UnpackError, ValueError) as error:
        raise BadResultError(str(error)) from None
    _move(staged, f"{run_dir}/{event.task}")


def sync(folder: str) -> None:
    """Make all that lies below durable: one call where the system has it for a whole file system
    (Linux), which takes 2 ms where a call for each file takes 60.
    """
    if (sync_all := _syncfs()) is not None:
        with opened(folder, FOLDER) as fd:
            sync_all(fd)
        return
    for top, _, names in os.walk(folder, topdown=False):
        for name in names:
            fd = os.open(f"{top}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_folder(top)


@cache
def _syncfs() -> Callable[[int], None] | None:
    import ctypes  # noqa: PLC0415 - only where a result comes from elsewhere

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return None

    def sync_all(fd: int) -> None:
        if call(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return sync_all


def _move(staged: str, tree: str) -> None:
    """What was kept there meanwhile, logs as they came, gives way; earlier attempts stay."""
    with suppress(OSError):  # mostly nothing was
        os.rename(staged, tree)
        return
    came, there = os.listdir(staged), os.listdir(tree)
    away = f"{staged}.away"
    if layout.ATTEMPTS not in there:
        os.rename(tree, away)
        os.rename(staged, tree)
        return
    os.mkdir(away)
    for name in there:
        if name != layout.ATTEMPTS:
            os.rename(f"{tree}/{name}", f"{away}/{name}")
    for name in (*(one for one in _BEFORE_OUTCOME if one in came), layout.SUMMARY):
        os.rename(f"{staged}/{name}", f"{tree}/{name}")


def append_log(run_dir: str, task: str, name: object, piece: bytes) -> None:
    """Keep what an attempt has printed, for what follows it; in the end the tree that comes has the
    whole of it. Raises BadResultError for what is no log, and OSError.
    """
    if not isinstance(name, str) or not _LOG.fullmatch(name):
        raise BadResultError(f"it calls a log {name!r:.80}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    logs = f"{run_dir}/{task}/{layout.LOGS}"
    try:
        fd = os.open(f"{logs}/{name}", flags, 0o666)
    except FileNotFoundError:
        os.mkdir(logs)
        fd = os.open(f"{logs}/{name}", flags, 0o666)
    try:
        write_all(fd, piece)
    finally:
        os.close(fd)


def quarantine(proofs: str, run: str, incoming: Incoming, name: str) -> None:
    """Keep what came too late, beside the runs: it is evidence, and counts for nothing."""
    folder = f"{proofs}/{layout.QUARANTINE}/{run}"
    os.makedirs(folder, exist_ok=True)
    incoming.file.seek(0)
    with whole_file(f"{folder}/{name}.tar") as stream:
        shutil.copyfileobj(incoming.file, stream, PIECE_BYTES)


def earlier_lists(run_dir: str, task: str) -> dict[str, str]:
    """The lists of the attempts before, by the names of their folders: the tree of the next one
    names all of them.
    """
    found: dict[str, str] = {}
    folder = f"{run_dir}/{task}/{layout.ATTEMPTS}"
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            with suppress(OSError), open(f"{folder}/{name}/{layout.TASK_LIST}", "rb") as stream:
                found[name] = stream.read().decode("ascii", "replace")
    return found
