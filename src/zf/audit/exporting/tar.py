"""A PAX archive: regular files only, in order, all with the same owner, mode and time."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from hashlib import sha256

from zf.audit.exporting.files import File, Sealed, checked
from zf.proof.files import whole_file


def contents(sealed: Sealed) -> list[File]:
    """What the archive has."""
    return list(sealed.files)


def write(output: str, top: str, files: Iterable[File], ended: int) -> str:
    """Write the archive, which appears when it is whole; its SHA-256."""
    digest = sha256()
    with whole_file(output) as stream:
        for piece in pieces(top, files, ended):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def pieces(top: str, files: Iterable[File], ended: int) -> Iterator[bytes]:
    """The archive's bytes, with its files below the folder `top`."""
    size = 0
    for file in files:
        info = tarfile.TarInfo(f"{top}/{file.path}")
        info.size, info.mtime, info.mode = file.size, ended, 0o644
        header = info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")
        yield header
        yield from checked(file)
        padding = -file.size % tarfile.BLOCKSIZE
        yield bytes(padding)
        size += len(header) + file.size + padding
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(size + end) % tarfile.RECORDSIZE)
