"""The trees of earlier attempts, below that of the last one: moved aside, listed, kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256

from zf.proof import checksums, layout
from zf.proof.files import FOLDER, is_folder, open_inside, opened, remove
from zf.proof.tree.contents import hash_tree

# The checksum lists go last, as `is_tree_of` goes by them.
ASIDE_ORDER = (
    *layout.LOOSE,
    *(name for name in layout.FOLDERS if name != layout.CHECKSUMS),
    layout.CHECKSUMS,
)


def set_aside(path: str, attempt: int) -> bool:
    """Move the tree an earlier attempt left to `attempts/<attempt>/`; whether there are any now.

    Can be killed anywhere and repeated: it goes on where it stopped. Only a tree
    cut short before its start was on record can find its place taken; it goes to
    `attempts/<attempt>.1/` and so on.
    """
    left = [name for name in ASIDE_ORDER if os.path.lexists(f"{path}/{name}")]
    if not left:
        return os.path.lexists(f"{path}/{layout.ATTEMPTS}")
    if os.path.islink(f"{path}/{layout.ATTEMPTS}"):
        os.unlink(f"{path}/{layout.ATTEMPTS}")  # or the tree would be moved to where it leads
    target = base = layout.earlier_tree(path, attempt)
    count = 0
    while os.path.islink(target) or any(os.path.lexists(f"{target}/{name}") for name in left):
        count += 1
        target = f"{base}.{count}"
    os.makedirs(target, exist_ok=True)
    for name in left:
        os.rename(f"{path}/{name}", f"{target}/{name}")
    return True


def list_files(task_fd: int) -> bytes:
    """Checksums of every file of the earlier attempts, relative to the task's folder.

    Each attempt's own list is taken as it is; an attempt that never got one is hashed, and so is
    one whose list is none. What no proof can hold (a link, a name no list takes) goes.
    """
    digests: dict[str, str] = {}
    with opened(layout.ATTEMPTS, FOLDER, task_fd) as attempts:
        for attempt in os.listdir(attempts):
            if is_folder(attempts, attempt) and checksums.is_safe_name(attempt):
                digests.update(_attempt_digests(attempts, attempt))
            else:
                remove(attempts, attempt)
    return checksums.listing(digests).encode("ascii")


def _attempt_digests(attempts: int, attempt: str) -> dict[str, str]:
    prefix = f"{layout.ATTEMPTS}/{attempt}/"
    with suppress(OSError, ValueError):
        with os.fdopen(open_inside(attempts, f"{attempt}/{layout.TASK_LIST}"), "rb") as stream:
            listed = stream.read()
        found = checksums.parse(listed)
        if found:
            own = {prefix + layout.TASK_LIST: sha256(listed).hexdigest()}
            return own | {prefix + name: digest for name, digest in found.items()}
    with opened(attempt, FOLDER, attempts) as folder:
        return dict(hash_tree(folder, prefix))


def sweep(task_fd: int, listed: Collection[str]) -> list[str]:
    """Remove what is among the files of earlier attempts and in none of their lists; which."""
    folders = {os.path.dirname(path) for path in listed}
    for path in tuple(folders):
        parts = path.split("/")
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts))}
    folders |= {
        f"{layout.ATTEMPTS}/{n}/{name}" for n in _numbers(listed) for name in layout.FOLDERS
    }
    return list(_swept(task_fd, layout.ATTEMPTS, "", listed, folders))


def _numbers(listed: Collection[str]) -> set[str]:
    return {path.split("/")[1] for path in listed}


def _swept(
    parent: int, name: str, prefix: str, files: Collection[str], folders: Collection[str]
) -> Iterator[str]:
    path = prefix + name
    has_more = is_folder(parent, name)
    if path not in (folders if has_more else files):
        remove(parent, name)
        yield path
    elif has_more:
        with opened(name, FOLDER, parent) as below:
            for one in os.listdir(below):
                yield from _swept(below, one, f"{path}/", files, folders)
