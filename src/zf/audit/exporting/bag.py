"""The tag files that make a folder a BagIt bag (RFC 8493). Pure: digests in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from zf.proof import checksums


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
