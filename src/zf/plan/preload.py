"""Loading a project in a second process, while this one gets ready to run it.

The parsers and the model checker take 30 ms to import and every task 50 us to read: about as long
as the rest of zf takes to import. On two cores this saves a run of 200 tasks 16 ms, and the
runner, which lives as long as its run, never holds the parsers in its memory.

What was loaded comes back through a pipe as plain values in `marshal`'s form, which is only good
between two processes of one interpreter. That is what these are.
"""

from __future__ import annotations

import marshal
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any, NoReturn

from zf.errors import Problem
from zf.lean import lazy
from zf.model import NOTHING, Asked, Flow, Loaded, Need, Phase, Project, Step, Task

_EVERYTHING = Asked()


@contextmanager
def loading(
    root: str, home: str, *, default_phase_timeout_s: float, asked: Asked = _EVERYTHING
) -> Iterator[Callable[[], Loaded | None]]:
    """Begin to load the project; the function given waits for the result, and is called once.

    The result is None when the other process could not be started or died: then the
    caller loads the project itself. That process never outlives this context.
    """
    try:
        pid, results = _other_process(root, home, default_phase_timeout_s, asked)
    except OSError:
        yield lambda: None
        return
    with os.fdopen(results, "rb") as stream:
        try:
            yield lambda: _unpacked(stream.read())
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _other_process(
    root: str, home: str, default_phase_timeout_s: float, asked: Asked
) -> tuple[int, int]:
    """Its process id, and the descriptor its result comes from."""
    results, theirs = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(results)
        raise
    else:
        if pid == 0:
            _load_and_exit(theirs, root, home, default_phase_timeout_s, asked)
        return pid, results
    finally:
        os.close(theirs)


def _load_and_exit(
    results: int, root: str, home: str, default_phase_timeout_s: float, asked: Asked
) -> NoReturn:
    """The other process; it says nothing, not even why it fails: loading again will."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with lazy.compiling():  # 7 ms for a parser in Python, which libyaml spares us
            import yaml  # noqa: F401, PLC0415
        from zf.plan import load  # noqa: PLC0415 - this is the import the other side is spared

        loaded = load.load(root, home, default_phase_timeout_s=default_phase_timeout_s, asked=asked)
        with os.fdopen(results, "wb") as stream:
            stream.write(_packed(loaded))
    finally:
        os._exit(0)


def _packed(loaded: Loaded) -> bytes:
    problems = [_values(problem) for problem in loaded.problems]
    flow = loaded.flow
    if flow is None:
        return marshal.dumps((None, problems))
    project = {name: getattr(flow.project, name) for name in Project.__match_args__}
    project["resources"] = dict(flow.project.resources)
    project["phases"] = {name: _values(phase) for name, phase in flow.project.phases.items()}
    tasks = [_packed_task(task) for task in flow.tasks.values()]
    return marshal.dumps(((flow.root, flow.home, tasks, project), problems))


def _unpacked(data: bytes) -> Loaded | None:
    """What was packed; None when it is not all there, because the other process died."""
    try:
        packed, problems = marshal.loads(data)  # noqa: S302 - from a process of our own
    except (EOFError, ValueError, TypeError):
        return None
    del data
    found = tuple(Problem(*values) for values in problems)
    if packed is None:
        return Loaded(None, found)
    root, home, rows, project = packed
    project["phases"] = {name: Phase(*values) for name, values in project["phases"].items()}
    tasks = {}
    for number, row in enumerate(rows):
        task = _unpacked_task(row)
        tasks[task.id] = task
        rows[number] = None  # or 20 000 of them would be in memory twice
    return Loaded(Flow(root, home, tasks, Project(**project)), found)


_TASK = Task.__match_args__
_STEPS, _CLEANUP, _NEEDS, _ENV, _RESOURCES = map(
    _TASK.index, ("steps", "cleanup", "needs", "env", "resources")
)
_task_values = attrgetter(*_TASK)


def _packed_task(task: Task) -> list[Any]:
    values = [*_task_values(task)]
    for place in (_STEPS, _CLEANUP, _NEEDS):
        values[place] = [_values(one) for one in values[place]]
    for place in (_ENV, _RESOURCES):
        values[place] = dict(values[place])
    return values


def _unpacked_task(values: list[Any]) -> Task:
    for place, kind in ((_STEPS, Step), (_CLEANUP, Step), (_NEEDS, Need)):
        values[place] = tuple([kind(*one) for one in values[place]])
    for place in (_ENV, _RESOURCES):
        values[place] = values[place] or NOTHING
    return Task(*values)


def _values(one: Step | Need | Phase | Problem) -> tuple[Any, ...]:
    return tuple([getattr(one, name) for name in one.__match_args__])
