"""Where proofs go: tried out with files that are made there and removed again."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import suppress

from zf.doctor.finding import NOTE, OK, PROBLEM, Finding
from zf.doctor.here import Here
from zf.errors import printable
from zf.proof.files import remove_tree, sync_folder, write_new
from zf.proof.layout import LOCKS
from zf.run.host import lock
from zf.run.opening import not_writable

_MIB, _GIB = 1 << 20, 1 << 30
_LITTLE_BYTES, _FEW_FILES = 512 * _MIB, 10_000
_TRIED_BYTES = 64 * 1024
# Of which the locks and the order of writes are in the hands of another machine, or of a program.
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "glusterfs", "afs"}


def proofs(here: Here) -> Iterator[Finding]:
    """Whether a run could be recorded: written, made to last, locked; and what is left of room."""
    folder = here.proofs or here.folder
    if not folder:
        return
    there = folder
    while not os.path.lexists(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    tried = f"{there}/{LOCKS}.doctor-{os.getpid()}"
    try:
        os.mkdir(tried)
        notes = [*_try_out(tried)]
    except OSError as error:
        raise not_writable(folder, error) from None
    finally:
        remove_tree(tried)
    yield from _room(there)
    yield from notes
    yield from _file_system(there)


def _try_out(folder: str) -> Iterator[Finding]:
    """Do with files what a run does. Raises OSError where that is not possible."""
    write_new(f"{folder}/Name", os.urandom(_TRIED_BYTES))
    sync_folder(folder)
    fd = os.open(f"{folder}/Name", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
    os.rename(f"{folder}/Name", f"{folder}/name")
    if os.path.lexists(f"{folder}/NAME"):
        found = "the file system does not tell A from a: no two tasks or runs may differ by that"
        yield Finding("proofs", NOTE, found)
    if error := _makes_no_fifo(f"{folder}/fifo"):
        yield from _without_fifos(error)


def _makes_no_fifo(path: str) -> str:
    try:
        os.mkfifo(path)
    except OSError as error:
        return error.strerror or "it is refused"
    return ""


def _without_fifos(why: str) -> Iterator[Finding]:
    """As `run.host.lock` looks for another place for them."""
    place = f"{lock.ORDERS_FOLDER}-{os.geteuid()}"
    with suppress(FileExistsError, OSError):
        os.mkdir(place, 0o700)
    tried = f"{place}/doctor-{os.getpid()}"
    elsewhere = _makes_no_fifo(tried)
    with suppress(OSError):
        os.unlink(tried)
    if not elsewhere:
        found = f"no fifo can be made beside proofs ({why}): runs take orders in {place}"
        yield Finding("proofs", NOTE, found)
        return
    found = f"no fifo can be made, there ({why}) or in {place} ({elsewhere}): zf cancel cannot work"
    yield Finding("proofs", NOTE, found, f"make {place} a folder of yours, with mode 0700")


def _room(there: str) -> Iterator[Finding]:
    at = os.statvfs(there)
    free, files = at.f_frsize * at.f_bavail, at.f_favail
    told = f"{free / _GIB:.1f} GiB" if free >= _GIB else f"{free / _MIB:.0f} MiB"
    # Some file systems, such as btrfs, make files without having counted them before.
    few = at.f_files > 0 and files < _FEW_FILES
    if few:
        told += f" and room for {files} files"
    if free < _LITTLE_BYTES or few:
        yield Finding("proofs", NOTE, f"only {told} free in {there}", "remove what is not needed")
        return
    yield Finding("proofs", OK, f"{told} free in {there}: written, locked and made to last")


def _file_system(there: str) -> Iterator[Finding]:
    kind = _kind_of(os.path.realpath(there)) if sys.platform == "linux" else ""
    if kind in _REMOTE or kind.startswith("fuse."):
        found = f"they are on {printable(kind)}: how well locks and writes hold is up to its server"
        yield Finding("proofs", NOTE, found, "a disk of this machine is faster, and sure")


def _kind_of(path: str) -> str:
    """The type of the file system that a path is on, by the longest mount point above it."""
    best, kind = "", ""
    with suppress(OSError), open("/proc/self/mountinfo", errors="surrogateescape") as stream:
        for line in stream:
            fields = line.split(" ")
            point = fields[4].replace("\\040", " ")
            inside = path == point or path.startswith(f"{point.rstrip('/')}/")
            if inside and len(point) >= len(best):
                best, kind = point, fields[fields.index("-") + 1]
    return kind


def working_directory(here: Here) -> Iterator[Finding]:
    """Whether there is one, and it can be read."""
    if not here.folder:
        # As the command line refuses every other verb there.
        remedy = "cd to a folder that exists, or name the project's folder with -C"
        yield Finding("folder", PROBLEM, "the working directory is gone", remedy)
        return
    try:
        os.listdir(".")
    except OSError as error:
        if error.errno != errno.EACCES:
            raise
        found = f"{here.folder} cannot be read: {error.strerror}"
        yield Finding("folder", PROBLEM, found, f"chmod u+rx {here.folder}")
