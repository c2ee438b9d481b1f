"""Trees as deterministic archives (PAX): the same files make the same bytes, wherever they lie.

What comes out of an archive is written below one folder and nowhere else: files, folders and, where
they are wanted, links, which are made last so that nothing is written through one.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from copy import copy
from functools import lru_cache
from hashlib import sha256
from typing import IO, Any, Self

from zf.proof.files import NEW, READ, write_all
from zf.work.agent.frames import PIECE_BYTES

# Any time that every archive format, zip too, can say: files that were checked out have no other.
_MTIME = 315_619_200  # 1980-01-02
_MAX_DEPTH = 200
_KINDS = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE})


class UnpackError(ValueError):
    """An archive that is none, or holds what it may not; the message says what."""


def files_below(folder: str, *, but: Iterable[str] = ()) -> list[str]:
    """Everything below a folder, relative to it and sorted, folders before what is in them; but
    these and what is in them.
    """
    left = frozenset(but)
    found: list[str] = []
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(f"{folder}/{prefix}") as entries:
            for entry in entries:
                path = prefix + entry.name
                if path in left:
                    continue
                found.append(path)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{path}/")
    return sorted(found)


def pack(folder: str, paths: Iterable[str]) -> Iterator[bytes]:
    """The archive of these paths below a folder, piece by piece. What is gone by now, and what is
    neither file, folder nor link, is left out. Raises OSError.
    """
    size = 0
    for path in paths:
        for piece in _member(folder, path):
            size += len(piece)
            yield piece
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(size + end) % tarfile.RECORDSIZE)


def _member(folder: str, path: str) -> Iterator[bytes]:
    whole = f"{folder}/{path}"
    try:
        info = os.lstat(whole)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(info.st_mode):
        yield _header(path, tarfile.SYMTYPE, 0o777, 0, os.readlink(whole))
    elif stat.S_ISDIR(info.st_mode):
        yield _header(path, tarfile.DIRTYPE, 0o755, 0)
    elif stat.S_ISREG(info.st_mode):
        mode = 0o755 if info.st_mode & stat.S_IXUSR else 0o644
        fd = os.open(whole, READ)
        try:
            size = left = os.fstat(fd).st_size
            yield _header(path, tarfile.REGTYPE, mode, size)
            while left:
                piece = os.read(fd, min(left, PIECE_BYTES))
                if not piece:
                    raise OSError(f"{path} became shorter while it was read")
                left -= len(piece)
                yield piece
        finally:
            os.close(fd)
        yield bytes(-size % tarfile.BLOCKSIZE)


# The trees of attempts are much alike, and to make a header takes as long as to read a file.
@lru_cache(512)
def _header(path: str, kind: bytes, mode: int, size: int, leads_to: str = "") -> bytes:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mtime, entry.mode, entry.size = kind, _MTIME, mode, size
    entry.linkname = leads_to
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


@lru_cache(512)
def _taken_apart(header: bytes, encoding: str, errors: str) -> Any:
    return tarfile.TarInfo.frombuf(header, encoding, errors)


class _Member(tarfile.TarInfo):
    """What the archive's reader makes of a header: taken apart once, as headers are made once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member: Self = copy(_taken_apart(bytes(buf), encoding, errors))
        return member


def unpack(archive: IO[bytes], target: str, *, links: bool) -> dict[str, str]:
    """Write out what is in an archive, below a folder that is made for it; the SHA-256 of each
    file. `links` says whether it may hold any: those of a project lead where they lead, a proof has
    none. Raises UnpackError and OSError, and leaves what it has written then.
    """
    os.makedirs(target, mode=0o755)
    found: list[tuple[str, str]] = []
    digests: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=archive, mode="r:", tarinfo=_Member) as members:
            for member in members:
                _write(archive, member, target, found, digests)
    except tarfile.TarError as error:
        raise UnpackError(str(error)) from None
    if found and not links:
        raise UnpackError(f"{found[0][0].removeprefix(target + '/')!r:.200} is a link")
    for path, leads_to in found:
        os.symlink(leads_to, path)
    return digests


def _write(
    archive: IO[bytes],
    member: tarfile.TarInfo,
    target: str,
    links: list[tuple[str, str]],
    digests: dict[str, str],
) -> None:
    name, parts = member.name, member.name.split("/")
    if len(parts) > _MAX_DEPTH or not all(map(_is_plain, parts)):
        raise UnpackError(f"{name!r:.200} is no path below one folder")
    if member.type not in _KINDS or member.sparse is not None:
        raise UnpackError(f"{name!r:.200} is neither file, folder nor link")
    path = f"{target}/{name}"
    if member.isdir():
        _make_folder(path)
    elif member.issym():
        _make_folder(os.path.dirname(path))
        links.append((path, member.linkname))
    else:
        digests[name] = _write_file(archive, member, path)


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except OSError:
        os.makedirs(path, mode=0o755, exist_ok=True)


def _write_file(archive: IO[bytes], member: tarfile.TarInfo, path: str) -> str:
    mode = 0o755 if member.mode & 0o100 else 0o644
    try:
        fd = os.open(path, NEW, mode)
    except FileNotFoundError:  # what is in a folder may come without it
        _make_folder(os.path.dirname(path))
        fd = os.open(path, NEW, mode)
    with open(fd, "wb", buffering=0) as stream:
        archive.seek(member.offset_data)
        digest, left = sha256(), member.size
        while piece := archive.read(min(left, PIECE_BYTES)):
            digest.update(piece)
            write_all(stream.fileno(), piece)
            left -= len(piece)
        if left:
            raise UnpackError(f"{member.name!r:.200} is cut short")
        os.utime(stream.fileno(), (member.mtime, member.mtime))
    return digest.hexdigest()


def _is_plain(name: str) -> bool:
    return name not in {"", ".", ".."} and "\0" not in name
