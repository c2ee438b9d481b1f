"""Closing a run: files that appear whole or not at all, the manifest, and who may sign it.

The manifest is put together from the checksum lists the tasks already wrote, so sealing costs a
small read per task however large its artifacts are. Whether those lists are true is not asked
here: `verify.py` asks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, BinaryIO, Protocol

from zf.errors import Exit, ZfError, printable
from zf.model import NOTHING
from zf.proof import checksums
from zf.proof.bundle import Bundle
from zf.proof.canonical import canonical
from zf.proof.journal import Journal, sync_folder

MANIFEST = "MANIFEST.sha256"
ATTEST = "attest"
TASK_LIST = "40-checksums/task.sha256"
STATUS = "99-summary/status.json"
ATTEMPTS_LIST = "40-checksums/attempts.sha256"
# A line is at most some hundred bytes: this is a million artifacts of one task.
MAX_LIST_BYTES = 256 * 1024 * 1024
_WRITE_BYTES = 1024 * 1024


class Signer(Protocol):
    """Whoever can sign: ssh-keygen with any key it knows, a DSSE key, later a remote service."""

    key_id: str

    def sign(self, name: str, data: bytes) -> Mapping[str, bytes]:
        """The files (by name) that hold the signature over the file `name` with these bytes."""
        ...


def write_json(path: str, value: Any) -> str:
    """Write `value` canonically, whole or not at all; returns the SHA-256 of the bytes."""
    data = canonical(value)
    write_file(path, data)
    return sha256(data).hexdigest()


def write_file(path: str, data: bytes) -> None:
    """Write the file whole or not at all, durably: temporary file, fsync, rename, fsync."""
    write_pieces(path, iter((data,)))


def write_pieces(path: str, pieces: Iterable[bytes]) -> str:
    """The same piece by piece, for what need not be in memory at once; returns the SHA-256."""
    digest = sha256()
    with whole_file(path) as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """A file to write to that takes its place, durably, only when the block ends well."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(fd, "wb", buffering=_WRITE_BYTES) as stream:
            yield stream
            stream.flush()
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def seal(run_dir: str, lists: Mapping[str, str] = NOTHING) -> str:
    """Write the run's MANIFEST.sha256 and return its SHA-256.

    It lists every file of the run but itself and `attest/`. A task without a checksum list (its
    worker died) has its files hashed here. `lists` are checksum lists that are known already, by
    task; the others are read.
    """
    with Bundle(run_dir) as bundle:
        lines = (line.encode("ascii") for line in _manifest_lines(run_dir, bundle, lists))
        return write_pieces(f"{run_dir}/{MANIFEST}", lines)


def close_killed(run_dir: str) -> str:
    """Seal a run whose runner is gone, as it is: it stays incomplete, but nothing can change any
    more without being seen. Returns the manifest's SHA-256.

    The caller holds the run's lock. Raises ZfError (exit 5) for a run that is sealed, and
    JournalDamagedError, changing nothing, for one whose journal is damaged.
    """
    if os.path.lexists(f"{run_dir}/{MANIFEST}"):
        raise ZfError(
            f"{printable(run_dir)} is sealed already",
            exit_code=Exit.RUN_ID_TAKEN,
            code="ZF604",
            hint="zf verify says what it is worth",
        )
    try:
        journal, _ = Journal.reopen(f"{run_dir}/events.jsonl")
    except OSError as error:
        raise ZfError(
            f"{printable(run_dir)} has no journal: {error.strerror}", code="ZF620"
        ) from None
    journal.close()
    drop_unfinished(run_dir)
    return seal(run_dir)


def drop_unfinished(run_dir: str) -> None:
    """Remove the files that were being written when the runner died."""
    for name in os.listdir(run_dir):
        if name.startswith(".") and name.endswith(".tmp"):
            os.unlink(f"{run_dir}/{name}")


def _manifest_lines(run_dir: str, bundle: Bundle, lists: Mapping[str, str]) -> Iterator[str]:
    """The manifest's lines in byte order of their paths.

    Ordering the entries by the prefix they give their lines is enough: a task's own lines are put
    in order one task at a time, so only one task's are ever in memory.
    """
    with os.scandir(run_dir) as scan:
        entries = [(e.name, e.is_dir(follow_symlinks=False), e) for e in scan]
    entries.sort(key=lambda item: os.fsencode(item[0]) + b"/" * item[1])
    for name, is_folder, entry in entries:
        if is_folder:
            if name != ATTEST:
                listed = lists.get(name, "")
                simple = listed and ATTEMPTS_LIST not in listed
                yield _told_lines(name, listed) if simple else _task_lines(bundle, name)
        elif entry.is_file(follow_symlinks=False) and not _is_manifest(name):
            yield _lines(_hashed(bundle, {name}))


def _is_manifest(name: str) -> bool:
    """The manifest, or the temporary file one is being written to."""
    return name == MANIFEST or name.startswith(f".{MANIFEST}.")


def _told_lines(task: str, listed: str) -> str:
    """The lines of a task whose list need not be read, which takes 30 us."""
    own = checksums.line(sha256(listed.encode("ascii")).hexdigest(), TASK_LIST)
    rows = sorted([*listed.splitlines(keepends=True), own], key=_path_of)
    return "".join([f"{row[:_DIGEST]}{task}/{row[_DIGEST:]}" for row in rows])


# A digest in hex and two spaces.
_DIGEST = 66


def _path_of(row: str) -> str:
    return row[_DIGEST:]


def _task_lines(bundle: Bundle, task: str) -> str:
    try:
        listed = _listed(bundle, f"{task}/", TASK_LIST)
        if ATTEMPTS_LIST in listed:
            listed |= _listed(bundle, f"{task}/", ATTEMPTS_LIST)
    except (FileNotFoundError, ValueError):
        return _lines(_hashed(bundle, bundle.inventory(task).files))
    return _lines({f"{task}/{path}": digest for path, digest in listed.items()})


def _listed(bundle: Bundle, prefix: str, name: str) -> dict[str, str]:
    """What a task's checksum list says, and its own digest."""
    listed = checksums.parse(bundle.read(prefix + name, MAX_LIST_BYTES))
    listed[name] = bundle.digests[prefix + name]
    return listed


def _hashed(bundle: Bundle, paths: Collection[str]) -> dict[str, str]:
    for path in sorted(paths):
        if not checksums.is_safe_path(path):
            raise ZfError(
                f"{path!r} has a name that checksum lists cannot hold",
                code="ZF602",
                hint="zf did not write it; move it out of the run's folder and seal again",
            )
    for path, why in bundle.hash(paths):
        raise ZfError(f"{path}: {why}", code="ZF603")
    return {path: bundle.digests[path] for path in paths}


def _lines(digests: Mapping[str, str]) -> str:
    return "".join(checksums.line(digests[path], path) for path in sorted(digests))
