"""The limits of a task: what holds each of them here, the command line that puts a step under them,
and whether it was one of them that failed it.

`memory_mb`, `pids_max` and `cpus` are held by a cgroup, for all processes of the task together,
where one can be made. Else memory is limited for each process (RLIMIT_AS), and processors by
affinity; a number of processes is held by nothing then, as RLIMIT_NPROC counts those of a user.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.events import Cause, Status
from zf.lean.records import Struct
from zf.model import LIMITS
from zf.proof import layout
from zf.work.limits.cgroups import Group, Place, give, places
from zf.work.shell import CANNOT_START
from zf.work.supervise.leftovers import cgroup_name

if TYPE_CHECKING:
    from zf.model import Task
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome

CGROUP, RLIMIT, AFFINITY, NICE = "cgroup", "rlimit", "affinity", "nice"
_CONTROLLER = {"memory_mb": "memory", "cpus": "cpu", "pids_max": "pids"}
_NO_CGROUP = "no cgroup with the controller '{}' can be made here"
_DELEGATE = (
    "run zf as root, or in a scope of its own: `systemd-run --user --scope -p Delegate=yes zf run`"
)
_END_BYTES = 16_384
# What programs say when the system gives them no more (strerror, and what languages make of it).
_SAYS = {
    "memory_mb": re.compile(
        r"cannot allocate memory|out of memory|MemoryError|bad_alloc|memory exhausted",
        re.IGNORECASE,
    ),
    "open_files": re.compile(r"too many open files", re.IGNORECASE),
}


class Unheld(Struct, frozen=True):
    """A limit that cannot be held here: which, why, and what to do."""

    key: str
    reason: str
    hint: str


def said(task: Task) -> dict[str, float]:
    """The limits that a task says, by their keys."""
    return {key: value for key in LIMITS if (value := getattr(task, key)) is not None}


def held_by(key: str, value: float, there: Mapping[str, Place]) -> str | Unheld:
    """What holds a limit here, or why nothing does."""
    if key in _CONTROLLER and _CONTROLLER[key] in there:
        return CGROUP
    if key == "nice":
        low = value < 0 and os.geteuid() != 0
        return Unheld(key, "only root may have less niceness", "say 0 or more") if low else NICE
    if key == "open_files":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and value > hard and os.geteuid() != 0:
            return Unheld(key, f"the system lets this user have {hard}", f"say {hard} or less")
        return RLIMIT
    if sys.platform != "linux":
        return Unheld(key, f"{sys.platform} does not hold it", "leave it out")
    if key == "memory_mb":
        return RLIMIT
    if key == "cpus" and value == int(value):
        return AFFINITY
    missing = _NO_CGROUP.format(_CONTROLLER[key])
    what = (
        "and whole processors alone can be held without"
        if key == "cpus"
        else ("and RLIMIT_NPROC counts all that its user runs, and does not bind root")
    )
    return Unheld(key, f"{missing}, {what}", _DELEGATE)


def unheld(task: Task, there: Mapping[str, Place]) -> Unheld | None:
    """The first limit of the task that cannot be held here."""
    found = (held_by(key, value, there) for key, value in said(task).items())
    return next((one for one in found if isinstance(one, Unheld)), None)


def begin(context: WorkerContext, task: Task, outcome: Outcome) -> Limits:
    """The limits of an attempt, which its outcome is told. Raises OSError."""
    name = cgroup_name(context.run_dir, context.pid)
    limits = Limits(task, f"{name}-limits-{outcome.attempt}")
    outcome.limits = limits.as_json()
    return limits


def refuse_unheld(tasks: Iterable[Task]) -> None:
    """Raises ZfError (exit 2) for a limit that cannot be held here, if there is one."""
    give()
    there = places()
    for task in tasks:
        if found := unheld(task, there):
            told = f"{found.key} of task '{task.id}' cannot be held here: {found.reason}"
            raise ZfError(told, code="ZF715", hint=found.hint)


class Limits:
    """The limits of one attempt, to be ended with it."""

    def __init__(self, task: Task, name: str) -> None:
        """`name` is that of the cgroup, if there is to be one. Raises OSError."""
        there = places()
        self._said = said(task)
        self._by = {key: held_by(key, value, there) for key, value in self._said.items()}
        for one in self._by.values():
            if isinstance(one, Unheld):
                raise OSError(f"{one.key} cannot be held: {one.reason}")
        wanted = {_CONTROLLER[k]: self._said[k] for k, by in self._by.items() if by == CGROUP}
        self._group = Group(name, wanted, there) if wanted else None
        self.words = ("/bin/sh", "sh", "-c", self._script())

    def as_json(self) -> dict[str, Any]:
        """What status.json says of them."""
        return {key: {"value": self._said[key], "by": by} for key, by in self._by.items()}

    def end(self, outcome: Outcome, log_end: Callable[[str, int], bytes]) -> None:
        """Nothing of the attempt runs any more: tell the outcome, and let the cgroup go."""
        self._judge(outcome, log_end)
        if self._group is not None:
            self._group.remove()

    def _judge(self, outcome: Outcome, log_end: Callable[[str, int], bytes]) -> None:
        """Name the limit as the cause, if a step failed for one of them."""
        killed = self._group.reached("memory") if self._group else 0
        refused = self._group.reached("pids") if self._group else 0
        if killed:
            many = "a process" if killed == 1 else f"{killed} processes"
            told = (
                f"memory_mb ({self._said['memory_mb']:g} MB) was reached: the kernel killed {many}"
            )
            self._name(outcome, Cause.OOM, told)
        elif refused:
            told = f"pids_max ({self._said['pids_max']:g}) was reached: {refused} times"
            self._name(outcome, Cause.LIMIT, f"{told} no process could be started")
        elif outcome.cause is Cause.EXIT and outcome.step is not None:
            end = log_end(layout.log(f"step-{outcome.step}"), _END_BYTES)
            self._name_by_log(outcome, end.decode("utf-8", "replace"))

    def _name_by_log(self, outcome: Outcome, text: str) -> None:
        """What a limit of a single process did shows in what that says of it, and nowhere else."""
        for key, pattern in _SAYS.items():
            if self._by.get(key) == RLIMIT and (found := pattern.search(text)):
                unit = " MB for each process" if key == "memory_mb" else " for each process"
                told = f"{key} ({self._said[key]:g}{unit}) was reached by what its log says"
                self._name(outcome, Cause.LIMIT, f"{told} ('{found[0]}')")
                return

    def _name(self, outcome: Outcome, cause: Cause, told: str) -> None:
        if outcome.status is Status.FAILURE and outcome.cause in _FOR_A_LIMIT:
            outcome.cause, outcome.detail = cause, f"{told}; {outcome.detail}"
        else:
            outcome.notes.append(told)

    def _script(self) -> str:
        """What a shell does that then becomes the step's: going in comes first, before the limits
        of the process itself.
        """
        lines = [
            f"echo 0 > {shlex.quote(folder)}/cgroup.procs"
            for folder in (self._group.folders if self._group else ())
        ]
        if self._by.get("memory_mb") == RLIMIT:
            lines.append(f"ulimit -v {round(self._said['memory_mb'] * 1024)}")
        if "open_files" in self._by:
            lines.append(f"ulimit -n {round(self._said['open_files'])}")
        words = []
        if "nice" in self._by:
            words += ["nice", "-n", str(round(self._said["nice"]))]
        if self._by.get("cpus") == AFFINITY:
            words += ["taskset", "-c", self._processors()]
        failed = f"{{ echo 'zf: the limits of the task cannot be set' >&2; exit {CANNOT_START}; }}"
        return "".join(f"{line} || {failed}; " for line in lines) + " ".join(
            ["exec", *words, '"$0"', '"$@"']
        )

    def _processors(self) -> str:
        able = sorted(os.sched_getaffinity(0))
        return ",".join(map(str, able[: round(self._said["cpus"])]))


_FOR_A_LIMIT = frozenset({Cause.EXIT, Cause.SIGNAL, Cause.SPAWN, Cause.SERVICE})
