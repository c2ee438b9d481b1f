"""What a task file says of its container that cannot be meant, or would let steps reach what the
container is to keep from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zf.model import LIMITS, is_limited
from zf.plan.walls.keys import HOST

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Task
    from zf.plan.drafts import Draft


def check_walls(drafts: Iterable[Draft], root: str, home: str) -> Iterator[Problem]:
    """Problems of tasks with a container; `home` is the folder that the proofs are in."""
    for draft in drafts:
        task = draft.task
        if task is None or not task.container:
            continue
        if task.sandbox:
            message = "a task has a sandbox or a container, not both"
            hint = "remove one; `network: false` of a container closes the network, too"
            yield draft.problem(("sandbox",), "ZF700", message, hint)
        if task.leave_running:
            message = "a container ends with its task, and all in it: `leave_running` keeps nothing"
            hint = "remove one of the two"
            yield draft.problem(("leave_running",), "ZF701", message, hint)
        if task.services and task.container["network"] != HOST:
            message = "the services of a task are on this machine's loopback, which is not in there"
            hint = "leave `network` out, or say `network: host`"
            yield draft.problem(("container", "network"), "ZF708", message, hint)
        if is_limited(task):
            key = next(key for key in LIMITS if getattr(task, key) is not None)
            message = f"`{key}` holds nothing in a container, which its engine limits"
            hint = "write it there: container: {memory: 512m, cpus: 2}"
            yield draft.problem((key,), "ZF709", message, hint)
        for index, why, hint in _bad_volumes(task, root, home):
            yield draft.problem(("container", "volumes", index), "ZF702", why, hint)


def _bad_volumes(task: Task, root: str, home: str) -> Iterator[tuple[int, str, str]]:
    proofs = os.path.realpath(f"{home}/proofs")
    for index, volume in enumerate(task.container.get("volumes", ())):
        source, _, target = str(volume).partition(":")
        target = target.partition(":")[0]
        if not source or not target.startswith("/"):
            hint = "write ./data:/data, /srv/data:/data:ro, or a volume by its name: cache:/cache"
            yield index, f"volume '{volume}' is no SOURCE:TARGET with an absolute target", hint
            continue
        where = os.path.normpath(target)
        if _meets(where, proofs) or _is_in(os.path.realpath(root), where):
            why = f"volume '{volume}' would lie over the project or its proofs"
            yield index, why, "choose another target"
        elif is_path(source) and _meets(os.path.realpath(os.path.join(root, source)), proofs):
            why = f"volume '{volume}' would show the proofs to the steps"
            yield index, why, "choose a folder that does not hold the proofs, and is not in them"


def is_path(source: str) -> bool:
    """Whether the source of a volume is a path, and not the name of a volume."""
    return "/" in source or source.startswith(".")


def _meets(path: str, folder: str) -> bool:
    return _is_in(path, folder) or _is_in(folder, path)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
