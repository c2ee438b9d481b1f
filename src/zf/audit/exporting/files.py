"""The files that are handed over, each compared on its way out with what was sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

from zf.errors import ZfError
from zf.lean.records import Struct


class File(Struct, frozen=True):
    """One file to hand over; `pieces` gives its bytes, which must have this size and SHA-256."""

    path: str
    size: int
    digest: str
    pieces: Callable[[], Iterator[bytes]]


class Sealed(Struct, frozen=True):
    """A verified run: its folder and id, its files in order, when it ended in whole seconds."""

    run_dir: str
    run: str
    files: Sequence[File]
    ended: int


def of_bytes(path: str, data: bytes) -> File:
    """A file that is made for the export."""
    return File(path, len(data), sha256(data).hexdigest(), lambda: iter((data,)))


def below(folder: str, files: Iterable[File]) -> list[File]:
    """The same files in a folder."""
    return [File(f"{folder}/{f.path}", f.size, f.digest, f.pieces) for f in files]


def checked(file: File) -> Iterator[bytes]:
    """A file's bytes on their way out; ZfError as soon as they are not those that were sealed."""
    digest, left = sha256(), file.size
    for piece in file.pieces():
        digest.update(piece)
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left != 0 or digest.hexdigest() != file.digest:
        raise ZfError(
            f"{file.path} is not as it was sealed",
            code="ZF642",
            hint="zf verify says what else changed; nothing was exported",
        )
