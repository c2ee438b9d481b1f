"""Where zf's own microseconds go: stage by stage, for the runner and for its workers.

`profile` runs zf under this module (`python -m benchmarks.stages OUT ZF-ARGUMENTS...`), which puts
a stopwatch around every function of zf and counts every call into the operating system. Forked
workers inherit both. Nothing in src/ knows of it. The watches run on CPU time, so that waiting for
a step, or for a busy machine, is in none of them. They cost about a microsecond a call: trust the
proportions, and take absolute times from the table.
"""

from __future__ import annotations

import _socket
import fcntl
import gc
import glob
import importlib
import inspect
import json
import os
import pkgutil
import select
import shutil
import signal
import sys
import tempfile
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import update_wrapper
from time import thread_time_ns
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from benchmarks import measure, shapes
from benchmarks.runners import RUN_ID, write_zf

# The longest prefix wins; a module in none of them is a stage of its own, so nothing can hide.
STAGES = {
    "zf.plan": "load",
    "zf.plan.graph": "plan",
    "zf.plan.draw": "plan",
    "zf.model": "plan",
    "zf.run.schedule": "schedule",
    "zf.run": "engine",
    "zf.work": "worker",
    "zf.work.pool": "IPC",
    "zf.work.control": "IPC",
    "zf.work.environment": "environment",
    "zf.work.supervise.supervisor": "spawn and contain",
    "zf.work.supervise.processes": "spawn and contain",
    "zf.work.supervise.cgroup": "spawn and contain",
    "zf.work.capture": "capture",
    "zf.redact.stream": "redact",
    "zf.redact.secret_search": "redact",
    "zf.redact.prefilter": "redact",
    "zf.redact.candidates": "redact",
    "zf.redact.secret_forms": "redact",
    "zf.redact.token_rules": "redact",
    "zf.proof": "seal",
    "zf.proof.tree": "proof files",
    "zf.proof.files": "proof files",
    "zf.proof.journal": "journal",
    "zf.events": "journal",
    "zf.report": "report",
    "zf.cli.display.progress": "report",
}
# In the os module, but no calls into the system.
_NO_CALLS = ("W", "fork", "fspath", "strerror", "waitstatus_to", "_exit", "get_exec", "cpu_count")


class Stopwatch:
    """CPU time spent in each function itself, without what it called; one thread only."""

    def __init__(self) -> None:
        self.self_ns: dict[str, int] = defaultdict(int)
        self.calls: dict[str, int] = defaultdict(int)
        self.system_ns: dict[str, int] = defaultdict(int)
        self.system_calls: dict[str, int] = defaultdict(int)
        self.collecting_ns = 0
        self._collecting_since = 0
        self.first_blocks = 0
        self.kept_blocks = 0
        # Functions under way: name, when it began, how long it has been in others.
        self._under_way: list[list[Any]] = []
        self._cost_ns = 0
        self._calibrate()

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed under this name."""
        under_way, self_ns, calls = self._under_way, self.self_ns, self.calls

        def timed(*args: Any, **kwargs: Any) -> Any:
            frame: list[Any] = [name, thread_time_ns(), 0]
            under_way.append(frame)
            try:
                return function(*args, **kwargs)
            finally:
                took = thread_time_ns() - frame[1]
                under_way.pop()
                self_ns[name] += took - frame[2]
                calls[name] += 1
                if under_way:
                    under_way[-1][2] += took + self._cost_ns

        return update_wrapper(timed, function)

    def count(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A call into the system: counted and timed, and left in its caller's own time too."""
        system_ns, system_calls = self.system_ns, self.system_calls

        def counted(*args: Any, **kwargs: Any) -> Any:
            start = thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                system_ns[name] += thread_time_ns() - start
                system_calls[name] += 1

        return counted

    def reset(self) -> None:
        """Begin again, in a forked child: what was counted so far is the parent's."""
        for counts in (self.self_ns, self.calls, self.system_ns, self.system_calls):
            counts.clear()
        self.first_blocks = blocks_in_use()
        self.collecting_ns = 0  # but for this one
        now = thread_time_ns()
        for frame in self._under_way:
            frame[1:] = [now, 0]

    def stop(self) -> None:
        """Take the time of what is still under way, too."""
        now = thread_time_ns()
        while self._under_way:
            name, began, in_others = self._under_way.pop()
            self.self_ns[name] += now - began - in_others
            if self._under_way:
                self._under_way[-1][2] += now - began

    def collecting(self, phase: str, _info: Mapping[str, int]) -> None:
        """For gc.callbacks."""
        if phase == "start":
            self._collecting_since = thread_time_ns()
        else:
            self.collecting_ns += thread_time_ns() - self._collecting_since

    def _calibrate(self) -> None:
        """What one stopwatch costs the function that calls a timed one."""
        timed, count = self.wrap("", int), 20_000
        start = thread_time_ns()
        for _ in range(count):
            timed()
        self._cost_ns = (thread_time_ns() - start - self.self_ns[""]) // count
        self.reset()


def blocks_in_use() -> int:
    """How many small blocks of memory Python's objects take, garbage and spare ones left out.

    Python keeps thousands of freed tuples for the next ones; how many a fork inherits, and so how
    many blocks its first tasks take, depends on what its parent did last. A full collection gives
    them back.
    """
    gc.collect()
    return sys.getallocatedblocks()


def main(out: str, arguments: list[str]) -> None:
    """Run zf under stopwatches; every process of it leaves a JSON file in `out`."""
    watch = Stopwatch()
    runner = os.getpid()
    leave = os._exit
    if os.environ.get("BENCHMARKS_MEMORY"):
        tracemalloc.start()

    def role() -> str:
        if os.getpid() == runner:
            return "runner"
        return "loader" if "zf.plan.load.load" in watch.calls else "worker"

    def write_down() -> None:
        watch.stop()
        peak_bytes = tracemalloc.get_traced_memory()[1]
        # The runner kills its loader once it has what was loaded: there is a whole file, or none.
        whole, begun = f"{out}/{os.getpid()}.json", f"{out}/{os.getpid()}.begun"
        with open(begun, "w", encoding="utf-8") as file:
            counts = {
                "role": role(),
                "self_ns": watch.self_ns,
                "calls": watch.calls,
                "system_ns": watch.system_ns,
                "system_calls": watch.system_calls,
                "collecting_ns": watch.collecting_ns,
                "kept_blocks": watch.kept_blocks,
                "peak_bytes": peak_bytes,
            }
            json.dump(counts, file)
        os.rename(begun, whole)

    def write_down_and_leave(code: int) -> None:
        write_down()
        leave(code)

    _count_system_calls(watch)
    _time_functions(watch)
    _count_what_a_worker_keeps(watch)
    os._exit = write_down_and_leave  # type: ignore[assignment]  # does not return either
    os.register_at_fork(after_in_child=watch.reset)
    gc.callbacks.append(watch.collecting)
    sys.argv = ["zf", *arguments]
    from zf.__main__ import main as zf  # noqa: PLC0415 - only now is everything wrapped

    try:
        zf()
    finally:
        write_down()


def _count_system_calls(watch: Stopwatch) -> None:
    """Before zf is imported, which keeps some of these functions under names of its own."""
    for name, function in list(vars(os).items()):
        if isinstance(function, BuiltinFunctionType) and not name.startswith(_NO_CALLS):
            setattr(os, name, watch.count(name, function))
    for module, names in ((fcntl, ("fcntl", "flock")), (signal, ("pidfd_send_signal",))):
        for name in names:
            if hasattr(module, name):
                setattr(module, name, watch.count(name, getattr(module, name)))
    _socket.socketpair = _timed_socketpair(watch, _socket.socketpair)  # type: ignore[assignment]
    for name in ("poll", "epoll"):
        if hasattr(select, name):
            setattr(select, name, _timed_poll(watch, getattr(select, name)))
    select.select = watch.count("select", select.select)


def _timed_socketpair(watch: Stopwatch, pair: Callable[[], Any]) -> Callable[[], Any]:
    """The same for sockets."""
    names = ("send", "sendall", "sendmsg", "recv", "recv_into", "recvmsg")
    of = _socket.socket
    timed = type("Socket", (of,), {name: watch.count(name, getattr(of, name)) for name in names})
    return lambda: tuple(timed(fileno=one.detach()) for one in pair())


def _timed_poll(watch: Stopwatch, kind: Callable[..., Any]) -> Callable[..., Any]:
    """Poll objects are C types that take no new methods: an object around each, then."""

    class Poll:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            inner = kind(*args, **kwargs)
            self.poll = watch.count("poll", inner.poll)
            for name in ("register", "unregister", "modify", "close", "fileno"):
                if hasattr(inner, name):
                    setattr(self, name, getattr(inner, name))

    return Poll


def _time_functions(watch: Stopwatch) -> None:
    """Every function and method of zf that is written in Python."""
    zf = importlib.import_module("zf")
    modules = []
    for found in pkgutil.walk_packages(zf.__path__, "zf."):
        with suppress(ImportError):  # it needs an extra that is not installed, so no run uses it
            modules.append(importlib.import_module(found.name))
    timed: dict[int, Callable[..., Any]] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if _is_own(value, module):
                timed[id(value)] = watch.wrap(f"{module.__name__}.{name}", value)
            elif isinstance(value, type) and value.__module__ == module.__name__:
                _time_methods(watch, module, value)
    for module in modules:  # wherever a function was imported to
        for name, value in list(vars(module).items()):
            if id(value) in timed:
                setattr(module, name, timed[id(value)])


def _count_what_a_worker_keeps(watch: Stopwatch) -> None:
    """When it hears that there are no more orders, while all that it has is still there."""
    kind = importlib.import_module("zf.work.control").RunnerOrders
    heard = kind.next

    def counted(orders: object) -> object:
        order = heard(orders)
        if order is None:
            watch.kept_blocks = blocks_in_use() - watch.first_blocks
        return order

    kind.next = counted


def _time_methods(watch: Stopwatch, module: ModuleType, kind: type) -> None:
    for name, value in list(vars(kind).items()):
        label = f"{module.__name__}.{kind.__name__}.{name}"
        if isinstance(value, classmethod | staticmethod):
            if _is_own(value.__func__, module):
                setattr(kind, name, type(value)(watch.wrap(label, value.__func__)))
        elif _is_own(value, module):
            setattr(kind, name, watch.wrap(label, value))


def _is_own(value: object, module: ModuleType) -> bool:
    """Whether it is a plain function of this module: not imported, not made up by dataclass.

    Generators give their time to whoever consumes them, and are left alone.
    """
    return (
        isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and value.__code__.co_filename == module.__file__
        and not inspect.isgeneratorfunction(value)
        and not hasattr(value, "__wrapped__")
    )


def stage_of(function: str) -> str:
    """The stage a function belongs to, by the module it is in."""
    name = function
    while name:
        if name in STAGES:
            return STAGES[name]
        name = name.rpartition(".")[0]
    return "command line"


def watch_run(
    shape: shapes.Shape, jobs: int, *, memory: bool = False, shield: str = "never"
) -> list[dict[str, Any]]:
    """Run the graph with zf under stopwatches: what each of its processes counted."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder, out = (tempfile.mkdtemp(prefix="zf-stages-", dir=place) for _ in range(2))
    try:
        write_zf(shape, folder)
        env = measure.environment(PYTHONPATH=os.path.dirname(os.path.dirname(__file__)))
        if memory:
            env["BENCHMARKS_MEMORY"] = "1"
        words = ["run-phase", "A", "-j", str(jobs), "--run-id", RUN_ID, "--shield", shield]
        command = [sys.executable, "-m", "benchmarks.stages", out, *words]
        measure.run(command, folder, env)
        return reports(out)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(out)


def reports(out: str) -> list[dict[str, Any]]:
    """What the processes of a run left in this folder."""
    found = []
    for whole in glob.glob(f"{out}/*.json"):
        with open(whole, encoding="utf-8") as file:
            found.append(json.load(file))
    return found


def profile(shape: shapes.Shape, jobs: int = 2, most: int = 30) -> str:
    """A table of stages, of the functions that take most, and of calls into the system."""
    processes = watch_run(shape, jobs)
    count = len(shape)
    lines = [f"{shape.name}, -j{jobs}: microseconds of CPU per task, start-up left out\n"]
    stages: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    functions: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    system: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for process in processes:
        role = process["role"]
        for name, spent_ns in process["self_ns"].items():
            stages[stage_of(name)][role] += spent_ns / 1000 / count
            functions[role, name][0] += spent_ns / 1000 / count
            functions[role, name][1] += process["calls"].get(name, 0) / count
        for name, spent_ns in process["system_ns"].items():
            system[role, name][0] += spent_ns / 1000 / count
            system[role, name][1] += process["system_calls"][name] / count
        stages["(garbage collection, within the above)"][role] += (
            process["collecting_ns"] / 1000 / count
        )
    roles = ("runner", "loader", "worker")
    lines.append(f"{'stage':40}" + "".join(f" {role:>8}" for role in roles))
    for stage, by_role in sorted(stages.items(), key=lambda item: -sum(item[1].values())):
        lines.append(f"{stage:40}" + "".join(f" {by_role[role]:8.1f}" for role in roles))
    lines.append("")
    for title, rows in (("function, itself", functions), ("call into the system", system)):
        lines.append(f"{title:58} {'where':7} {'us/task':>8} {'calls/task':>10}")
        largest = sorted(rows.items(), key=lambda item: -item[1][0])[:most]
        for (role, name), (spent, calls) in largest:
            lines.append(f"{name:58} {role:7} {spent:8.1f} {calls:10.2f}")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(sys.argv[1], sys.argv[2:])
