"""Changed files that are still what a checkout writes: line endings, encodings, Git LFS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import file_digest
from io import BufferedReader

from zf.lean import lazy
from zf.lean.records import replace
from zf.proof.files import READ
from zf.proof.source.git import Asking
from zf.proof.source.repository import Commit, blobs, repository

_LFS = lazy.pattern(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
_MAX_POINTER = 1024
_PIECE = 1 << 20


def without_converted(asking: Asking, at: Commit, changes: list[bytes]) -> list[bytes]:
    """The changes but for files that are what a checkout writes with the commit's own attributes
    (`eol=crlf`, `ident`, an encoding): they are checked out beside, and compared byte for byte.
    """
    paths = {change: path for change, (_, path) in _contents_alone(changes).items()}
    if not paths:
        return changes
    folder = f"{asking.env['GIT_DIR']}/beside"
    beside = f"{folder}/files"
    os.makedirs(beside)
    # Its attributes come from the index, which is the commit's, as there are no files.
    with repository(folder, replace(at, top=beside), asking.env, asking.ear) as checking:
        checking.env["GIT_INDEX_FILE"] = f"{asking.env['GIT_DIR']}/index"
        given = b"".join(path + b"\0" for path in paths.values())
        # It fails if it cannot write one of them, which is a change then.
        checking.outcome(checking.start("checkout-index", "-q", "-z", "--stdin", given=given))
    return [
        change
        for change in changes
        if change not in paths
        or not _same_bytes(
            os.path.join(at.top, os.fsdecode(paths[change])),
            os.path.join(beside, os.fsdecode(paths[change])),
        )
    ]


def without_lfs(asking: Asking, changes: list[bytes]) -> list[bytes]:
    """The changes but for files that Git LFS put in the place of their pointers: those are
    compared with the pointer here, as its filter is whatever program the configuration names.
    """
    oids = _contents_alone(changes)
    if not oids:
        return changes
    given = b"".join(oid + b"\n" for oid, _ in oids.values())
    sizes = {}
    for line in asking.ask("cat-file", "--batch-check", given=given).splitlines():
        oid, _, rest = line.partition(b" ")
        sizes[oid] = rest.rpartition(b" ")[2]
    small = {oid for oid, size in sizes.items() if size.isdigit() and int(size) <= _MAX_POINTER}
    given = b"".join(oid + b"\n" for oid in sorted(small))
    texts = blobs(asking.ask("cat-file", "--batch", given=given)) if small else {}
    return [
        change
        for change in changes
        if change not in oids
        or not _is_pointed_at(
            texts.get(oids[change][0], b""),
            os.path.join(asking.folder, os.fsdecode(oids[change][1])),
        )
    ]


def _contents_alone(changes: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Those changes that are of nothing but a file's contents, with its committed name and path."""
    oids = {}
    for change in changes:
        words = change.split(b" ", 8)
        # 1 .M N... <mode HEAD> <mode index> <mode tree> <oid HEAD> <oid index> <path>
        if words[0] == b"1" and words[1] == b".M" and words[3] == words[5]:
            oids[change] = (words[6], words[8])
    return oids


def _is_pointed_at(pointer: bytes, path: str) -> bool:
    told = _LFS.fullmatch(pointer)
    if told is None:
        return False
    try:
        with _opened(path) as stream:
            if os.fstat(stream.fileno()).st_size != int(told[2]):
                return False
            return file_digest(stream, "sha256").hexdigest().encode() == told[1]
    except OSError:
        return False


def _same_bytes(path: str, other: str) -> bool:
    try:
        with _opened(path) as one, _opened(other) as two:
            if os.fstat(one.fileno()).st_size != os.fstat(two.fileno()).st_size:
                return False
            while piece := one.read(_PIECE):
                if piece != two.read(len(piece)):
                    return False
            return not two.read(1)
    except OSError:
        return False


def _opened(path: str) -> BufferedReader:
    return os.fdopen(os.open(path, READ), "rb")
