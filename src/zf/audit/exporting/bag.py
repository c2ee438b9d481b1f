"""A BagIt bag (RFC 8493): the run as its payload, and the tag files that make it one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from zf.audit.exporting import tar
from zf.audit.exporting.files import File, Sealed, below, of_bytes
from zf.proof import checksums


def contents(sealed: Sealed) -> list[File]:
    """What the bag has."""
    if any("%" in file.path for file in sealed.files):
        # A bag's manifest gives % a meaning of its own, on which tools disagree; one archive as
        # payload means the same to all of them.
        payload = [_as_archive(sealed)]
    else:
        payload = below(f"data/{sealed.run}", sealed.files)
    digests = {file.path: file.digest for file in payload}
    size = sum(file.size for file in payload)
    tags = tag_files(sealed.run, digests, size, sealed.ended)
    return [*payload, *(of_bytes(name, data) for name, data in tags.items())]


def _as_archive(sealed: Sealed) -> File:
    def pieces() -> Iterator[bytes]:
        return tar.pieces(sealed.run, sealed.files, sealed.ended)

    digest, size = sha256(), 0
    for piece in pieces():
        digest.update(piece)
        size += len(piece)
    return File(f"data/{sealed.run}.tar", size, digest.hexdigest(), pieces)


def tag_files(run: str, digests: Mapping[str, str], size: int, ended: int) -> dict[str, bytes]:
    """The bag's files beside its payload, whose digests (by path, `data/...`) and size are given.

    Its date is the run's, so that the same run makes the same bag.
    """
    date = datetime.fromtimestamp(ended, UTC)
    files = {
        "bagit.txt": b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n",
        "bag-info.txt": (
            f"Bagging-Date: {date:%Y-%m-%d}\n"
            f"External-Description: Proof of a zf run\n"
            f"External-Identifier: {run}\n"
            f"Payload-Oxum: {size}.{len(digests)}\n"
        ).encode("ascii"),
        "manifest-sha256.txt": _list(digests),
    }
    tags = {name: sha256(data).hexdigest() for name, data in files.items()}
    return {**files, "tagmanifest-sha256.txt": _list(tags)}


def _list(digests: Mapping[str, str]) -> bytes:
    return "".join(checksums.line(digests[path], path) for path in sorted(digests)).encode("ascii")
