"""How zf opens, writes and removes files: links never followed, whole or not at all, durable.

What lies in a proof may be a hostile task's, so a name is opened inside a folder that is itself
held open. Where a proof has its files is `layout.py`'s business.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

from zf.proof.layout import UNFINISHED

if TYPE_CHECKING:
    from typing import BinaryIO

_ANY = os.O_NOFOLLOW | os.O_CLOEXEC
# A folder; the second for a path given by the user, which may end in a link.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | _ANY
NAMED_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A file to be read. Opening a fifo would wait for a writer.
READ = os.O_RDONLY | os.O_NONBLOCK | _ANY
# A file that is not there yet.
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ANY
# A file that is read and only ever grows.
APPEND = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | _ANY

_WRITE_BYTES = 1024 * 1024
_WAYS_OUT = frozenset({"", ".", ".."})
# What file systems say that cannot sync a folder by itself, or have no need to: CIFS, some FUSE.
_NOT_FOR_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


# Opening


@contextmanager
def opened(name: str, flags: int = FOLDER, folder: int | None = None) -> Iterator[int]:
    """A descriptor for a moment, of a folder unless the flags say otherwise."""
    fd = os.open(name, flags, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def open_inside(folder: int, path: str) -> int:
    """A descriptor for a regular file below an open folder, whatever the path says.

    Raises OSError: ELOOP or ENOTDIR for a link on the way, EINVAL for a path that would lead out
    or for what is not a regular file.
    """
    above, slash, name = path.rpartition("/")
    if not slash:
        return open_regular(folder, name)
    here = open_folder_inside(folder, above)
    try:
        return open_regular(here, name)
    finally:
        os.close(here)


def open_folder_inside(folder: int, path: str) -> int:
    """The same for a folder."""
    first, *rest = path.split("/")
    here = open_folder(folder, first)
    for name in rest:
        try:
            below = open_folder(here, name)
        finally:
            os.close(here)
        here = below
    return here


def open_folder(folder: int, name: str) -> int:
    """A descriptor for the folder of this name in an open folder; OSError for all else."""
    _refuse_ways_out(name)
    return os.open(name, FOLDER, dir_fd=folder)


def open_regular(folder: int, name: str) -> int:
    """The same for a regular file."""
    _refuse_ways_out(name)
    fd = os.open(name, READ, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def _refuse_ways_out(name: str) -> None:
    if name in _WAYS_OUT or "/" in name:
        raise OSError(errno.EINVAL, "not a path inside the folder")


def is_folder(folder: int, name: str) -> bool:
    """Whether the name in an open folder is that of a folder, not of a link to one."""
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def digest_of(folder: int, name: str) -> str | None:
    """The SHA-256 of a regular file that can be read; None for anything else."""
    try:
        fd = open_regular(folder, name)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


# Writing


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however little the system takes at a time."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def write_new(path: str, data: bytes) -> str:
    """Write a file of a folder that is still made ready, and so needs no other name until it is
    whole; the SHA-256 of the data, which is on the disk then.
    """
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return sha256(data).hexdigest()


def write_json(path: str, value: Any, *, anyway: bool = False) -> str:
    """Write `value` canonically, whole or not at all; returns the SHA-256 of the bytes."""
    from zf.proof.canonical import canonical  # noqa: PLC0415 - git is asked before JSON is needed

    return write_pieces(path, (canonical(value),), anyway=anyway)


def write_pieces(path: str, pieces: Iterable[bytes], *, anyway: bool = False) -> str:
    """The same piece by piece, for what need not be in memory at once. With `anyway`, what is in
    the file's place is moved beside it.
    """
    digest = sha256()
    with whole_file(path, anyway=anyway) as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


@contextmanager
def whole_file(path: str, *, anyway: bool = False) -> Iterator[BinaryIO]:
    """A file to write to that takes its place, durably, only when the block ends well."""
    folder, name = os.path.split(path)
    fd, temporary = _temporary(folder, name)
    try:
        with os.fdopen(fd, "wb", buffering=_WRITE_BYTES) as stream:
            yield stream
            stream.flush()
            os.fsync(fd)
        if anyway and os.path.lexists(path):
            _move_beside(path)
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(folder)


def _temporary(folder: str, name: str) -> tuple[int, str]:
    """A new file beside the one to be written; a name that something else has is left to it."""
    mark = str(os.getpid())
    while True:
        path = os.path.join(folder, f".{name}.{mark}{UNFINISHED}")
        try:
            return os.open(path, NEW, 0o666), path
        except FileExistsError:
            mark = f"{os.getpid()}-{os.urandom(4).hex()}"


def _move_beside(path: str) -> None:
    """Free a place that is zf's own. What lay there is evidence: it stays, under another name."""
    beside = f"{path}.was-there"
    while os.path.lexists(beside):
        beside = f"{path}.was-there-{os.urandom(4).hex()}"
    os.rename(path, beside)


def sync_folder(folder: str) -> None:
    """Make the folder's entries durable, where the file system has a way to."""
    with opened(folder or ".", NAMED_FOLDER) as fd:
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in _NOT_FOR_FOLDERS:
                raise


# Removing


def remove(folder: int, name: str) -> None:
    """Remove a file, or a folder however deep: what lies two levels down is moved up one, so this
    needs neither recursion nor long paths. Raises OSError (EBUSY) for a mount.
    """
    if not _make_open(folder, name):
        os.unlink(name, dir_fd=folder)
        return
    with opened(name, FOLDER, folder) as top:
        refuse_mount(top, folder)
        lifted = set[str]()
        while names := os.listdir(top):
            for one in names:
                _lift(top, one, lifted)
    os.rmdir(name, dir_fd=folder)


def _lift(top: int, name: str, lifted: set[str]) -> None:
    """Remove a file from an open folder, or a folder whose own folders are moved up beside it. One
    that was moved is no mount, as the kernel moves none (EBUSY): to ask takes longer than the rest.
    """
    if not _make_open(top, name):
        os.unlink(name, dir_fd=top)
        return
    with opened(name, FOLDER, top) as below:
        if name not in lifted:
            refuse_mount(below, top)
        with os.scandir(below) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for one, is_below in found:
            if is_below:
                up = f".lifted.{name[:8]}.{len(lifted)}"
                os.rename(one, up, src_dir_fd=below, dst_dir_fd=top)
                lifted.add(up)
            else:
                os.unlink(one, dir_fd=below)
    os.rmdir(name, dir_fd=top)


def _make_open(folder: int, name: str) -> bool:
    """Give the owner all rights to a folder; whether it is one, and no link to one."""
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, 0o700, dir_fd=folder)
    return stat.S_ISDIR(mode)


def remove_tree(path: str) -> None:
    """Remove a folder of ours with all that is in it, if it is there and as far as that goes."""
    with suppress(OSError):
        os.rmdir(path)
    if not os.path.lexists(path):
        return
    with suppress(OSError):
        parent, name = os.path.split(path)
        with opened(parent or ".", NAMED_FOLDER) as folder:
            remove(folder, name)
            return
    if _holds_mount(path):
        return
    from shutil import rmtree  # noqa: PLC0415 - 2 ms, and hardly ever does something stand in the way

    rmtree(path, ignore_errors=True)


def _holds_mount(path: str) -> bool:
    """Whether something is mounted below a folder, which `rmtree` would empty, too."""
    below = os.fsencode(os.path.realpath(path)) + b"/"
    for character in b"\\ \t\n":  # as the kernel writes them there
        below = below.replace(bytes((character,)), b"\\%03o" % character)
    with suppress(OSError), open("/proc/self/mounts", "rb") as stream:
        return any(line.split(b" ")[1].startswith(below) for line in stream)
    return False


def refuse_mount(folder: int, parent: int) -> None:
    """Raise OSError for a folder on another mount than its parent: what is in there is not ours."""
    if os.fstat(folder).st_dev != os.fstat(parent).st_dev or _mount(folder) != _mount(parent):
        raise OSError(errno.EBUSY, "a folder is mounted in the proof")


def _mount(fd: int) -> str:
    """What the kernel calls the mount that an open file is on; nothing where it does not say."""
    with suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as stream:
        return next((line for line in stream if line.startswith("mnt_id:")), "")
    return ""


# Links


def link(target: str, folder: str, name: str) -> None:
    """Make `folder`/`name` a link to the target, whatever stands there now, or in place of the
    folder; another task may be making the same link. Raises OSError.
    """
    fd = own_folder(folder)
    try:
        with suppress(OSError):  # it is no link
            if os.readlink(name, dir_fd=fd) == target:
                return
        temporary = f".{name}.{os.getpid()}"
        _make_way(fd, temporary)
        os.symlink(target, temporary, dir_fd=fd)
        try:
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        except IsADirectoryError:
            _make_way(fd, name)
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
    finally:
        os.close(fd)


def _make_way(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        remove(folder, name)


def own_folder(path: str) -> int:
    """A folder that is itself at this path, open; made if it is not there."""
    with suppress(FileExistsError):
        os.makedirs(path)
    try:
        return os.open(path, FOLDER)
    except OSError as error:
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise
    with suppress(FileNotFoundError):
        os.unlink(path)
    with suppress(FileExistsError):
        os.mkdir(path)
    return os.open(path, FOLDER)
