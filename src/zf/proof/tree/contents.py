"""The files of a tree as they lie there: hashed, and compared with what its list says."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

from zf.proof.checksums import is_safe_name, parse
from zf.proof.files import (
    FOLDER,
    READ,
    digest_of,
    is_folder,
    open_regular,
    opened,
    own_folder,
    remove,
    remove_tree,
    write_all,
)
from zf.proof.layout import ARTIFACTS, ATTEMPTS, OUTPUTS, TASK_LIST

# A verifier looks 64 folders deep, and an attempt's own lie four deep.
_MAX_DEPTH = 56
_PIECE_BYTES = 1024 * 1024
# Of one output, encoded, and of all that a task hands on, which JSON may take six times as much
# for: a control character is six there. A variable of Linux can take 128 KiB.
MAX_OUTPUT_BYTES = 64 * 1024
MAX_HANDED_BYTES = 1024 * 1024
_MAX_OUTPUTS_BYTES = 8 * MAX_HANDED_BYTES


def is_tree_of(run_dir: str, task: str, task_sha256: str) -> bool:
    """Whether the tree in the task's place is that of the attempt that ended with this list."""
    folder, _, name = TASK_LIST.partition("/")
    with suppress(OSError), opened(f"{run_dir}/{task}/{folder}") as fd:
        return digest_of(fd, name) == task_sha256
    return False


def checked_outputs(folder: str, task_sha256: str) -> dict[str, str]:
    """The outputs of a decided task, compared with its list, whose digest the caller knows. Raises
    OSError, or ValueError saying what is not as listed, or no output.
    """
    digest = checked_list(folder, task_sha256).get(OUTPUTS)
    if digest is None:
        return {}
    with os.fdopen(os.open(f"{folder}/{OUTPUTS}", READ), "rb") as stream:
        data = stream.read(_MAX_OUTPUTS_BYTES)
    if sha256(data).hexdigest() != digest:
        raise ValueError(f"{OUTPUTS} is not what it was when its task ended")
    values = json.loads(data)
    if not isinstance(values, dict) or not all(map(_is_output, values.values())):
        raise ValueError(f"{OUTPUTS} holds what is no output")
    return values


def _is_output(value: object) -> bool:
    """Whether a variable can hold it."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        return len(value.encode()) <= MAX_OUTPUT_BYTES
    except UnicodeEncodeError:
        return False


def checked_list(folder: str, task_sha256: str) -> dict[str, str]:
    """The files of a decided task with their SHA-256, from its list, whose digest the caller knows.
    Raises OSError, or ValueError where it is another list.
    """
    with os.fdopen(os.open(f"{folder}/{TASK_LIST}", READ), "rb") as stream:
        data = stream.read()
    if sha256(data).hexdigest() != task_sha256:
        raise ValueError("their list is not what it was when their task ended")
    return parse(data)


def checked_artifacts(folder: str, task_sha256: str) -> str:
    """The artifacts of a decided task, compared with its list, whose digest the caller knows: where
    they are, or an empty text if there are none. Raises OSError, or ValueError saying what is not
    as listed.
    """
    listed = _listed_artifacts(folder, task_sha256)
    if not listed:
        return ""
    top = f"{folder}/{ARTIFACTS}"
    with opened(top) as fd:
        _compare(_hashes(fd), listed)
    return top


def copy_artifacts(folder: str, task_sha256: str, target: str) -> bool:
    """Copy the artifacts of a decided task, compared on their way as above; whether there are any.
    A copy that is there and sound stays as it is: something may be reading it.
    """
    listed = _listed_artifacts(folder, task_sha256)
    if not listed:
        return False
    if _is_sound(target, listed):
        return True
    parent, name = os.path.split(target)
    os.close(own_folder(parent))
    copy = f"{parent}/.{name}.{os.getpid()}"
    remove_tree(copy)
    try:
        with opened(f"{folder}/{ARTIFACTS}") as fd:
            _compare(_copied(fd, copy), listed)
        if not _is_sound(target, listed):  # another may have made it meanwhile
            remove_tree(target)
            os.rename(copy, target)
    finally:
        remove_tree(copy)
    return True


def compare_tree(found: Mapping[str, str], folder: str, task_sha256: str) -> None:
    """See that the files found in a tree that came from elsewhere, with their SHA-256, are those of
    its list, and that the list is that with this digest. Raises OSError, or ValueError saying what
    is not as listed.
    """
    listed = checked_list(folder, task_sha256)
    listed[TASK_LIST] = task_sha256
    earlier = {name: listed.pop(name) for name in [*listed] if name.startswith(f"{ATTEMPTS}/")}
    if earlier:
        raise ValueError(f"{min(earlier)} is of an earlier attempt")
    _compare(found.items(), listed)


def _listed_artifacts(folder: str, task_sha256: str) -> dict[str, str]:
    prefix = f"{ARTIFACTS}/"
    return {
        name.removeprefix(prefix): digest
        for name, digest in checked_list(folder, task_sha256).items()
        if name.startswith(prefix)
    }


def _is_sound(copy: str, listed: Mapping[str, str]) -> bool:
    with suppress(OSError, ValueError), opened(copy) as fd:
        _compare(_hashes(fd), listed)
        return True
    return False


def _compare(found: Iterable[tuple[str, str | None]], listed: Mapping[str, str]) -> None:
    """See that the files found are these and no others; ValueError if not."""
    missing = set(listed)
    for name, digest in found:
        if name not in missing:
            raise ValueError(f"{name} was not there when its task ended")
        if digest != listed[name]:
            raise ValueError(f"{name} is not what it was when its task ended")
        missing.discard(name)
    if missing:
        raise ValueError(f"{min(missing)} is not there any more")


def _hashes(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str | None]]:
    """Everything below an open folder that is no folder, with its SHA-256; None for what is no file
    that can be read. Nothing is changed.
    """
    for name in sorted(os.listdir(folder)):
        if not is_folder(folder, name):
            yield prefix + name, digest_of(folder, name)
            continue
        if depth == _MAX_DEPTH:
            raise ValueError(f"{prefix}{name} was not there when its task ended")
        with opened(name, FOLDER, folder) as below:
            yield from _hashes(below, f"{prefix}{name}/", depth + 1)


def _copied(
    folder: int, target: str, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str | None]]:
    """The same while it is copied: each file with the SHA-256 of the bytes in its copy."""
    os.mkdir(target)
    for name in sorted(os.listdir(folder)):
        if not is_folder(folder, name):
            yield prefix + name, _copy(folder, name, f"{target}/{name}")
            continue
        if depth == _MAX_DEPTH:
            raise ValueError(f"{prefix}{name} was not there when its task ended")
        with opened(name, FOLDER, folder) as below:
            yield from _copied(below, f"{target}/{name}", f"{prefix}{name}/", depth + 1)
    info = os.fstat(folder)
    os.chmod(target, stat.S_IMODE(info.st_mode) | stat.S_IRWXU)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _copy(folder: int, name: str, target: str) -> str | None:
    """Copy a regular file with its rights and times; the SHA-256 of the copy, None for else."""
    try:
        source = open_regular(folder, name)
    except OSError:
        return None
    digest = sha256()
    with os.fdopen(source, "rb", buffering=0) as stream, open(target, "xb", buffering=0) as copy:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
            write_all(copy.fileno(), piece)
        info = os.fstat(source)
        os.fchmod(copy.fileno(), stat.S_IMODE(info.st_mode) & 0o777 | stat.S_IRUSR)
        os.utime(copy.fileno(), ns=(info.st_atime_ns, info.st_mtime_ns))
    return digest.hexdigest()


def hash_tree(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every regular file below an open folder with its SHA-256. Links, whatever else is no file,
    what cannot be read or lies too deep, and names that no checksum list takes are removed: no
    proof can hold them.
    """
    for name in sorted(os.listdir(folder)):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not is_safe_name(name) or (depth == _MAX_DEPTH and stat.S_ISDIR(mode)):
            remove(folder, name)
        elif stat.S_ISDIR(mode):
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(name, stat.S_IMODE(mode) | stat.S_IRWXU, dir_fd=folder)
            with opened(name, FOLDER, folder) as below:
                yield from hash_tree(below, f"{prefix}{name}/", depth + 1)
        else:
            digest = digest_of(folder, name)
            if digest is None:
                remove(folder, name)
            else:
                yield prefix + name, digest
