"""The machine that a run is on: whether zf can run there at all, whether it has what tasks ask for,
and how busy it is, read with psutil; `schedule/limits/gate.py` judges that.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator, Mapping

from zf.errors import Problem, ZfError
from zf.lean.records import replace
from zf.model import NOTHING, Flow, Project, Task
from zf.redact.redactor import secret_axes
from zf.run.schedule.orders import LoadSampled
from zf.run.schedule.ready import impossible

# What the runner has open besides a socket for each worker.
_OPEN_FILES = 20
_MB = 1024 * 1024
# psutil compares with the reading before; over less time than this the answer is noise.
MIN_INTERVAL_S = 0.2


def refuse_unfit(slots: int) -> None:
    """Raises ZfError (exit 2) if a run with this many workers cannot work here: what it inherited
    from its parent, and what is mounted. Else every task would fail, each without the cause's name.
    """
    if not os.path.exists(os.devnull):
        raise ZfError(
            f"there is no {os.devnull}, which every step reads from",
            code="ZF126",
            hint="mount or fill /dev, as containers and chroots usually have it",
        )
    if sys.platform == "linux" and not os.path.exists("/proc/self/stat"):
        raise ZfError(
            "/proc is not mounted, and without it zf cannot tell which processes a task left",
            code="ZF126",
            hint="mount -t proc proc /proc",
        )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and slots + _OPEN_FILES > hard:
        most = max(1, hard - _OPEN_FILES)
        raise ZfError(
            f"{slots} tasks at once need {slots + _OPEN_FILES} open files, and the limit is {hard}",
            code="ZF126",
            hint=f"raise it (ulimit -Hn), or run fewer at once: -j {most}",
        )


def no_process(error: OSError) -> ZfError:
    """Why a run is refused for which no worker can be forked."""
    return ZfError(
        f"no worker process can be started: {error.strerror}",
        code="ZF126",
        hint="raise the limit on processes (ulimit -u) or on memory, or end other processes",
    )


class Sampler:
    """Readings of this machine's load. A run without a throttle makes none, and pays nothing."""

    def __init__(self, now: float, interval_s: float) -> None:
        import psutil  # noqa: PLC0415 - 20 ms that only a run with a throttle pays

        self._psutil = psutil
        self._interval_s = max(interval_s, MIN_INTERVAL_S)
        self._sampled_at = now
        psutil.cpu_percent()  # from here on

    def due_at(self) -> float:
        """When the next reading is wanted."""
        return self._sampled_at + self._interval_s

    def sample(self, now: float) -> LoadSampled | None:
        """A reading over the time since the last one; nothing when that was just now."""
        if now < self.due_at():
            return None
        self._sampled_at = now
        available = self._psutil.virtual_memory().available
        return LoadSampled(self._psutil.cpu_percent(), round(available / _MB, 1))


def problems_here(flow: Flow, given: Mapping[str, int]) -> Iterator[Problem]:
    """What valid files ask of the place they run in and would not find: resources, of which the
    flags say that there is what is `given`, and folders to run in.
    """
    from zf.plan import drafts  # noqa: PLC0415 - it brings the parsers along

    there_is = available(flow.tasks.values(), flow.project, given)
    said = {*flow.project.resources, *given}
    for name, lacking in impossible(flow.tasks, there_is):
        problem = drafts.too_much(flow.root, flow.tasks[name], lacking, there_is.get(lacking, 0))
        # What this machine lacks, the one that runs the task may have.
        here = lacking in there_is and lacking not in said
        yield replace(problem, severity="warning") if here else problem
    yield from secret_axes(flow.tasks.values(), flow.project)
    for task in flow.tasks.values():
        # What it needs may make the folder. Without needs it may only be there already.
        if not task.needs and not os.path.isdir(f"{flow.root}/{task.workdir}"):
            yield drafts.no_workdir(flow.root, task)


def available(
    tasks: Iterable[Task], project: Project, given: Mapping[str, int]
) -> Mapping[str, int]:
    """How much there is of what these tasks ask for in `resources`: what flags say (`given`), then
    the project file, then the machine itself. Nothing where they ask for nothing.
    """
    if not any(task.resources for task in tasks):
        return NOTHING
    return {**machine_resources(), **project.resources, **given}


def machine_resources() -> dict[str, int]:
    """What there is of CPUs and memory if no setting says so."""
    import psutil  # noqa: PLC0415 - only tasks that ask for resources pay for it

    process = psutil.Process()
    # Fewer than the machine has where this process may not use them all (not told on macOS).
    usable = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else None
    cpus = usable or psutil.cpu_count() or 1
    return {"cpu": cpus, "mem_mb": psutil.virtual_memory().total // _MB}
