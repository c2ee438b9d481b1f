"""Bringing an earlier result back: what its task generated, into the project, and its artifacts and
outputs, into the tree of the attempt that it counts for.

Every byte is compared with the proof that it comes from while it is copied.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.proof.files import FOLDER, NEW, open_inside, opened, write_all
from zf.proof.journal import decode
from zf.proof.layout import ARTIFACTS, CACHE, LOOSE, METRICS, RENAMED
from zf.proof.tree.artifacts import Collected, copy_to
from zf.work.caching.files import DIRECTORY, LINK, Generated
from zf.work.caching.parts import digest

if TYPE_CHECKING:
    from zf.proof.tree.store import TaskTree
    from zf.work.caching.lookup import Origin

_BLOCK_BYTES = 1024 * 1024


class NotRestoredError(Exception):
    """What was generated is not as it was, and cannot be brought back; the message says why."""


def generates(root: str, now: Generated, origin: Origin) -> bool:
    """Have what the task generated as it was; whether anything had to be brought back.

    Files come back from the result's artifacts, where these have them. Raises NotRestoredError, and
    OSError for what cannot be written.
    """
    entries, artifacts = lacking(now, origin), _originals(origin)
    for path, entry in entries.items():
        if entry == DIRECTORY:
            with opened(root) as top:
                os.close(_made(top, path.split("/")))
        else:
            _bring_back(root, path, entry, origin, artifacts[path])
    return bool(entries)


def lacking(now: Generated, origin: Origin) -> dict[str, str]:
    """What of the generated files is not as it was, by path. Raises NotRestoredError where not all
    of that can be brought back.
    """
    recorded = origin.record.get("generates")
    recorded = recorded if isinstance(recorded, dict) else {}
    wanted = dict(_entries(recorded.get("files")))
    there = dict(now.files)
    for folder, said in _entries(recorded.get("folders")):
        entries = now.folders.get(folder, {})
        if isinstance(said, dict) and said.get("sha256") == digest(dict(entries)):
            continue
        listed = said.get("entries") if isinstance(said, dict) else None
        if not isinstance(listed, dict):
            raise NotRestoredError(f"folder {folder!r} is not as the task left it")
        wanted |= {f"{folder}/{name}": entry for name, entry in listed.items()}
        there |= {f"{folder}/{name}": entry for name, entry in entries.items()}
    surplus = sorted(there.keys() - wanted.keys())
    if surplus:
        raise NotRestoredError(f"{surplus[0]!r} is there, which the task did not leave")
    entries = {path: entry for path, entry in wanted.items() if there.get(path) != entry}
    artifacts = _originals(origin)
    for path, entry in entries.items():
        if entry == DIRECTORY and path not in there:
            continue
        stored = artifacts.get(path)
        if stored is None or not _fits(entry, origin.artifacts()[stored]):
            what = "is not as the task left it" if path in there else "is not there any more"
            raise NotRestoredError(f"{path!r} {what}, and no artifact holds it")
    return entries


def _entries(said: Any) -> list[tuple[str, Any]]:
    return sorted(said.items()) if isinstance(said, dict) else []


def _originals(origin: Origin) -> dict[str, str]:
    """Its artifacts by what they are called in the project -> by what they are in the proof."""
    names = {name: name for name in origin.artifacts()}
    if RENAMED in origin.listed:
        data = _read(origin, RENAMED)
        for row in decode(data).get("renamed", ()):
            names.pop(row["stored"], None)
            if "original" in row:
                names[row["original"]] = row["stored"]
    return names


def _fits(entry: str, sha256: str) -> bool:
    """Whether an artifact is what an entry is about; of one of a list, the time will tell."""
    mode, _, rest = entry.partition(" ")
    if mode == LINK or not rest:
        return False
    return rest == sha256 or " " in rest


def _bring_back(root: str, path: str, entry: str, origin: Origin, stored: str) -> None:
    *folders, name = path.split("/")
    with opened(root) as top:
        here = _made(top, folders)
    temporary = f".{name}.{os.getpid()}.zf"
    mode, _, rest = entry.partition(" ")
    try:
        target = os.open(temporary, NEW, 0o777 if mode == "100755" else 0o666, dir_fd=here)
        try:
            _copy(origin, stored, target)
            if " " in rest:  # of a folder that is told by modes and times
                when = int(rest.split(" ")[1])
                os.fchmod(target, int(mode, 8))
                os.utime(target, ns=(when, when))
            os.rename(temporary, name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            os.unlink(temporary, dir_fd=here)
            raise
        finally:
            os.close(target)
    finally:
        os.close(here)


def _copy(origin: Origin, stored: str, target: int) -> None:
    """Copy an artifact. Raises OSError for one that is not as it is listed."""
    seen = sha256()
    with (
        opened(origin.folder) as folder,
        os.fdopen(open_inside(folder, f"{ARTIFACTS}/{stored}"), "rb") as stream,
    ):
        while block := stream.read(_BLOCK_BYTES):
            seen.update(block)
            write_all(target, block)
    if seen.hexdigest() != origin.listed[f"{ARTIFACTS}/{stored}"]:
        raise OSError(f"{stored} is not what it was when its task ended")


def tree(origin: Origin, into: TaskTree, found: Collected) -> None:
    """Copy the result's artifacts, and what else of it later tasks take, into a tree. Raises
    OSError for what is not as it is listed.
    """
    for name, listed in origin.artifacts().items():
        *folders, last = name.split("/")
        with found.telling(name), opened(origin.folder) as folder:
            source = open_inside(folder, f"{ARTIFACTS}/{name}")
            target = _made(into.folder(ARTIFACTS), folders)
            try:
                if copy_to(name, source, target, last, found) != listed:
                    raise OSError(f"{name} is not what it was when its task ended")
            finally:
                os.close(source)
                os.close(target)
            into.wrote(f"{ARTIFACTS}/{name}", listed)
            found.keep(name, name)
    # Of what lies beside: outputs count, what was measured did not happen again.
    for path in (RENAMED, *LOOSE):
        if path in origin.listed and path not in {CACHE, METRICS}:
            into.write(path, _read(origin, path))


def _made(top: int, folders: list[str]) -> int:
    """An open folder below an open one, made where it is not there; no link is followed."""
    here = os.dup(top)
    for name in folders:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=here)
        below = os.open(name, FOLDER, dir_fd=here)
        os.close(here)
        here = below
    return here


def _read(origin: Origin, path: str) -> bytes:
    with opened(origin.folder) as folder, os.fdopen(open_inside(folder, path), "rb") as stream:
        data = stream.read()
    if sha256(data).hexdigest() != origin.listed[path]:
        raise OSError(f"{path} is not what it was when its task ended")
    return data
