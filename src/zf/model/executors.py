"""Executors: where tasks run that do not run on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zf.lean.records import Struct

# What a task names to run on this machine whatever `--executor` says: no executor can be called so.
LOCAL = "local"
# What `--executor` begins with where it names a pool of Dask workers, dask://HOST:PORT, and what
# that is called as an executor.
POOL, POOL_NAME = "dask://", "dask"
DEFAULT_LEASE_S = 60.0
DEFAULT_START_TIMEOUT_S = 300.0
# What the command of an executor may tell of why an attempt there was lost.
LOST_CAUSES = ("node", "preempted", "evicted", "oom", "walltime", "unreachable")
# What each of these stands for in `start`, of the task that is to run.
PLACEHOLDERS = ("{cpus}", "{memory_mb}", "{task}")


class Executor(Struct, frozen=True):
    """One entry of `executors:`. `start` is the command whose stdin and stdout are an agent's;
    `slots` is how many of them run at once, and each runs one task at a time.
    """

    start: tuple[str, ...] = ()
    slots: int = 1
    labels: tuple[str, ...] = ()
    # How long an attempt goes on when nothing is heard of the runner, or of the agent.
    lease_s: float = DEFAULT_LEASE_S
    # How long the command may take until its agent speaks.
    start_timeout_s: float = DEFAULT_START_TIMEOUT_S


def fitting(
    executor: str, labels: Iterable[str], by_default: str, executors: Mapping[str, Executor]
) -> tuple[str, ...]:
    """The executors that a task may run on, by what it says itself and by what the run says for
    those that say nothing: `LOCAL` for this machine, nothing where there is no place for it.
    """
    wanted = frozenset(labels)
    if wanted:
        return tuple(
            name
            for name, one in executors.items()
            if wanted <= {*one.labels} and executor in {"", name}
        )
    name = executor or by_default or LOCAL
    return (name,) if name == LOCAL or name in executors else ()
