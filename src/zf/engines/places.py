"""All places of a run that has executors: this machine's pool, and the agents elsewhere."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping, Sequence
from typing import Any

from zf.engines import checkout
from zf.engines.connection import Connection
from zf.engines.dask import pool as dask
from zf.engines.ends import Happening
from zf.engines.remote import Remote
from zf.events import Cause
from zf.lean.records import Struct
from zf.model import LOCAL, NOTHING, Executor, Task
from zf.proof.files import remove_tree, write_json
from zf.proof.known import Known
from zf.work.control import Told
from zf.work.pool import Pool
from zf.work.worker import Shared

# How often what other processes are told of the agents is written down anew.
_WRITE_S = 1.0
# In the scratch folder of the run.
WORKERS = "workers.json"


def around(pool: Pool, executors: Mapping[str, Executor], placed: Mapping[str, str]) -> Places:
    """The places of a run with these executors beside its pool; the project is packed as it lies
    there now. Raises OSError.
    """
    shared = pool.shared
    remove_tree(f"{shared.aside}/agents")  # of a runner that was killed
    archive = f"{shared.aside}/agents/checkout.tar"
    proofs = os.path.dirname(shared.run_dir)
    digest = checkout.make(shared.place.root, proofs, shared.environ, archive)
    executors, bridges = _bridged(executors, shared)
    selector = selectors.DefaultSelector()
    remote = Remote(executors, shared, pool.tasks, pool.known, selector, (archive, digest))
    remote.facts = pool.facts
    return Places(pool, remote, placed, selector, shared.aside, bridges)


def _bridged(
    executors: Mapping[str, Executor], shared: Shared
) -> tuple[Mapping[str, Executor], Sequence[dask.Bridge]]:
    """The executors, those that are pools with the commands that lead to them."""
    found = {
        name: dask.bridged(one, shared) for name, one in executors.items() if dask.is_pool(one)
    }
    commands = {name: one for name, (one, _) in found.items()}
    return {**executors, **commands}, [bridge for _, bridge in found.values()]


class Places(Struct):
    """An `Executor` of the engine's. `placed` is where each task that runs was put. It waits on the
    pool, which waits on the rest: one descriptor stands for all others.
    """

    pool: Pool
    remote: Remote
    placed: Mapping[str, str]
    selector: selectors.BaseSelector
    aside: str
    bridges: Sequence[dask.Bridge] = ()
    woken: bool = False
    _wakeup_fd: int | None = None
    _written_at: float = 0.0
    _closed: bool = False

    @property
    def tasks(self) -> Mapping[str, Task]:
        return self.pool.tasks

    @property
    def known(self) -> Known:
        return self.pool.known

    @property
    def facts(self) -> Mapping[str, Mapping[str, Any]]:
        return self.pool.facts

    @facts.setter
    def facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        self.pool.facts = self.remote.facts = facts

    @property
    def is_idle(self) -> bool:
        return self.pool.is_idle and self.remote.is_idle

    def extend(self, base: str, instances: Sequence[Mapping[str, Any]]) -> None:
        self.pool.extend(base, instances)
        self.remote.extend(base, instances)

    def start(
        self,
        task: str,
        attempt: int,
        slot: int,
        lease_fd: int | None = None,
        then: str | None = None,
        spent: Mapping[str, float] = NOTHING,
    ) -> None:
        """Give the attempt to the place that the scheduler has chosen for it."""
        where = self.placed[task]
        if where == LOCAL:
            self.pool.start(task, attempt, slot, lease_fd, then, spent)
        else:
            self.remote.start(task, attempt, where, spent)

    def end_phase(self, phase: str) -> Sequence[Told]:
        return self.pool.end_phase(phase)

    def rest(self, task: str) -> None:
        if not self.remote.attend(task, "rest"):
            self.pool.rest(task)

    def probe(self, task: str) -> None:
        if not self.remote.attend(task, "probe"):
            self.pool.probe(task)

    def conclude(self, task: str, cause: Cause, detail: str) -> None:
        if not self.remote.attend(task, "end", cause, detail):
            self.pool.conclude(task, cause, detail)

    def kill(self, task: str, cause: Cause, *, force: bool, detail: str = "") -> None:
        if not self.remote.kill(task, cause, force=force, detail=detail):
            self.pool.kill(task, cause, force=force, detail=detail)

    def wait(
        self, timeout_s: float | None, wakeup_fd: int | None, output_fd: int | None = None
    ) -> Sequence[Happening]:
        """What has come of attempts, here and elsewhere, as `Executor` says."""
        self._watch(wakeup_fd)
        due = self.remote.tick()
        if self.remote.ends.events:
            timeout_s = 0.0
        elif due is not None:
            left_s = max(0.0, due - time.monotonic())
            timeout_s = left_s if timeout_s is None else min(timeout_s, left_s)
        told: list[Any] = [*self.pool.wait(timeout_s, self._fileno(), output_fd)]
        self.woken = False
        for key, _ in self.selector.select(0) if self.pool.woken else ():
            if not isinstance(key.data, Connection):
                self.woken = True
            elif (agent := self.remote.agent_of(key.data)) is not None:
                self.remote.handle(agent)
        told += self.remote.ends.take()
        self._write()
        return told

    def _fileno(self) -> int:
        number: int = self.selector.fileno()  # type: ignore[attr-defined]  # of epoll and kqueue
        return number

    def _watch(self, wakeup_fd: int | None) -> None:
        if wakeup_fd != self._wakeup_fd:
            if self._wakeup_fd is not None:
                self.selector.unregister(self._wakeup_fd)
            if wakeup_fd is not None:
                self.selector.register(wakeup_fd, selectors.EVENT_READ, None)
            self._wakeup_fd = wakeup_fd

    def _write(self) -> None:
        now = time.monotonic()
        if now - self._written_at >= _WRITE_S:
            self._written_at = now
            write_json(f"{self.aside}/{WORKERS}", {"agents": self.remote.told(), "at": time.time()})

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.remote.close()
            for bridge in self.bridges:
                bridge.close()
            self.pool.close()
            self.selector.close()
