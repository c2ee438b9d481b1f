"""The names in a project that completion offers, remembered from one Tab to the next: to read the
files of 5 000 tasks takes half a second, to see that none has changed 20 ms.

They are kept in the user's own cache (`$XDG_CACHE_HOME/zf/names`, or `~/.cache`), with the files
and folders that were read for them and one hash of how those were. It may be deleted at any time.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

from msgspec import DecodeError, Struct, field
from msgspec.json import decode, encode

from zf.errors import ZfError
from zf.plan import places

_SCHEMA = "zf/names/v1"
# A file that was written so shortly ago may be written again without being seen to.
_SETTLED_S = 0.05
# Audit events of a path that is looked at, which is their first argument.
_LOOKS = {"open", "os.listdir", "os.scandir"}


class Names(Struct):
    """What can be named in a project; `read` are the paths it was read from, and `seen` one hash
    of how these were.
    """

    phases: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    # Of each input the values it may have, where its declaration lists them.
    inputs: dict[str, list[str]] = field(default_factory=dict)
    axes: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    seen: str = ""
    schema: str = ""

    def safe(self, pattern: re.Pattern[str]) -> Names:
        """The same with only those that match as a whole."""

        def those(names: Iterable[str]) -> list[str]:
            return list(filter(pattern.fullmatch, names))

        inputs = {name: those(self.inputs[name]) for name in those(self.inputs)}
        return Names(
            phases=those(self.phases),
            tasks=those(self.tasks),
            tags=those(self.tags),
            inputs=inputs,
            axes=those(self.axes),
        )


def of_project() -> Names | None:
    """The names in the project at hand. One whose files are no good at the moment has those that
    it had; None without any.
    """
    try:
        root, home = places.find_root(os.getcwd())
    except (ZfError, OSError):
        return None
    path = _path(root)
    kept = _kept(path)
    if kept is not None and kept.seen == _seen(kept.read):
        return kept
    found = _loaded(root, home)
    if found is None:
        return kept
    with suppress(OSError):
        _keep(path, found)
    return found


def _path(root: str) -> str:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{cache}/zf/names/{sha256(os.fsencode(root)).hexdigest()[:32]}.json"


def _kept(path: str) -> Names | None:
    try:
        with open(path, "rb") as file:
            kept = decode(file.read(), type=Names)
    except (OSError, DecodeError, UnicodeDecodeError):
        return None
    return kept if kept.schema == _SCHEMA else None


def _keep(path: str, found: Names) -> None:
    newest = max((s.st_mtime for s in map(_stat, found.read) if s is not None), default=0.0)
    if newest > time.time() - _SETTLED_S:
        return
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "xb") as file:
        file.write(encode(found))
    os.rename(temporary, path)


def _seen(paths: Iterable[str]) -> str:
    """A hash of how these files and folders are now."""
    told = [
        "-" if s is None else f"{s.st_mtime_ns} {s.st_size} {s.st_ino}" for s in map(_stat, paths)
    ]
    return sha256("\n".join(told).encode()).hexdigest()


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _loaded(root: str, home: str) -> Names | None:
    """The names as the files have them now; None when these are no good."""
    from zf.plan.load import load
    from zf.settings import DEFAULT_PHASE_TIMEOUT_S

    # That a folder comes into being changes what is read.
    paths = {f"{root}/{name}": None for name in (".zenflow", ".zenflow/tasks", "tasks")}
    is_over = False

    def look(event: str, args: tuple[object, ...]) -> None:
        if is_over or event not in _LOOKS or not isinstance(args[0], str):
            return
        if args[0].startswith(f"{root}/"):
            paths[args[0]] = None

    sys.addaudithook(look)  # of this process, which ends with the answer
    flow = load(root, home, default_phase_timeout_s=DEFAULT_PHASE_TIMEOUT_S).flow
    is_over = True
    if flow is None:
        return None
    tasks, project = flow.tasks.values(), flow.project
    inputs = [project.inputs, *(phase.inputs for phase in project.phases.values())]
    axes = (f"{axis}={value}" for task in tasks for axis, value in task.matrix.items())
    return Names(
        phases=sorted({task.phase for task in tasks}),
        tasks=list(dict.fromkeys(name for task in tasks for name in (task.base, task.id) if name)),
        tags=sorted({tag for task in tasks for tag in task.tags}),
        inputs={name: _values(one) for of in inputs for name, one in of.items()},
        axes=list(dict.fromkeys(axes)),
        read=list(paths),
        seen=_seen(paths),
        schema=_SCHEMA,
    )


def _values(declared: object) -> list[str]:
    if getattr(declared, "type", "") == "bool":
        return ["true", "false"]
    return [str(option) for option in getattr(declared, "options", ())]
