"""What is due among the tasks that are watched, what of it may begin now, and what of a run under
way a change ends. Pure: files, clocks and processes are asked outside.

A task is `fresh` while its last result is a success of a run that is over and nothing it depends on
has changed since. A cycle is a run of some of them; more than one goes on at a time where the
earlier one has tasks left that the change does not touch, and which share a machine with others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from zf.lean.records import Struct, field
from zf.model import Task, base_of
from zf.plan.topology import reachable

# How many runs may be built on each other, one on the one before: pruning keeps all that a run is
# built on, so an endless chain of them would never be pruned.
MOST_BUILT_ON = 8

WAITING, RUNNING, ENDED = "waiting", "running", "ended"


class Member(Struct, frozen=True):
    """A task that is watched, as far as it matters here."""

    needs: frozenset[str] = frozenset()
    alone: bool = False
    resources: frozenset[str] = frozenset()


def members(tasks: Mapping[str, Task]) -> dict[str, Member]:
    """Those of these tasks, which are all that are watched; needs outside of them are none."""
    return {
        name: Member(
            frozenset(need.task for need in task.needs if need.task in tasks),
            not task.parallel_safe,
            frozenset(task.resources),
        )
        for name, task in tasks.items()
    }


class Cycle(Struct):
    """A run under way: each of its tasks with how far it is; those that a change has ended; and how
    long the chain of runs is that it is built on.
    """

    tasks: dict[str, str]
    superseded: set[str] = field(default_factory=set)
    depth: int = 0


class Start(Struct, frozen=True):
    """The next cycle: its tasks, and for each need outside of them the run that met it."""

    tasks: frozenset[str]
    upstream: Mapping[str, str]
    depth: int


class Agenda:
    """The state of a watch; `due` is to be run as soon as may be, `stale` with the next cycle."""

    def __init__(self, watched: Mapping[str, Member]) -> None:
        self.due: set[str] = set()
        self.stale: set[str] = set(watched)
        self.failed: set[str] = set()
        # Of a task whose instances another task lists, the first of them that failed.
        self._failed_instances: dict[str, str] = {}
        # The run in which each task succeeded that is fresh.
        self.fresh: dict[str, str] = {}
        self.cycles: dict[str, Cycle] = {}
        self._depths: dict[str, int] = {}
        self._watched: Mapping[str, Member] = {}
        self._dependents: dict[str, list[str]] = {}
        self._set(watched)

    def _set(self, watched: Mapping[str, Member]) -> None:
        self._watched = watched
        self._dependents = {name: [] for name in watched}
        for name, member in watched.items():
            for need in member.needs:
                self._dependents[need].append(name)

    @property
    def unsettled(self) -> set[str]:
        """The watched tasks whose last result is no success, or older than the last change."""
        return (self.due | self.stale | self.failed) & self._watched.keys()

    @property
    def all_failed(self) -> list[str]:
        """The tasks that failed, and have not changed since, in the order of what is watched; of a
        task whose instances another one lists, such an instance.
        """
        found = (
            name if name in self.failed else self._failed_instances.get(name, "")
            for name in self._watched
        )
        return [name for name in found if name]

    def renew(
        self, watched: Mapping[str, Member], changed: Collection[str]
    ) -> dict[str, list[str]]:
        """Task files have changed: these are watched now, and of those the `changed` ones are new,
        or say something else. What this ends, by run.
        """
        gone = self._watched.keys() - watched.keys()
        self._set(watched)
        self._forget(gone)
        for name in gone:
            self.fresh.pop(name, None)
        ended = {
            run: [name for name in sorted(gone & cycle.tasks.keys()) if cycle.tasks[name] != ENDED]
            for run, cycle in self.cycles.items()
        }
        for run, names in ended.items():
            self.cycles[run].superseded.update(names)
        for run, names in self.changed(changed).items():
            ended[run] = [*ended.get(run, ()), *names]
        return {run: names for run, names in ended.items() if names}

    def changed(self, names: Iterable[str]) -> dict[str, list[str]]:
        """What these tasks read has changed: they and what needs them are due. By run, what of it
        is to be ended: what runs, and what would go on from what ran. What has not begun, and
        waits for nothing of this, will read the files as they are now.
        """
        touched = set(names) & self._watched.keys()
        invalid = reachable(touched, self._dependents.__getitem__)
        for name in invalid:
            self.fresh.pop(name, None)
            self.failed.discard(name)
            self._failed_instances.pop(name, None)
        spared: set[str] = set()
        ended: dict[str, list[str]] = {}
        for run, cycle in self.cycles.items():
            inside = invalid & cycle.tasks.keys()
            tainted = self._tainted(cycle, invalid)
            spared |= inside - tainted - cycle.superseded
            found = [n for n in sorted(tainted) if cycle.tasks[n] != ENDED]
            found = [n for n in found if n not in cycle.superseded]
            cycle.superseded |= tainted
            if found:
                ended[run] = found
        self.due |= invalid - spared
        self.stale -= self.due
        return ended

    def _tainted(self, cycle: Cycle, invalid: Collection[str]) -> set[str]:
        """Of these the tasks of a cycle that have begun, or build on what did before the change."""
        inside = {name for name in cycle.tasks if name in invalid}
        begun = [
            name
            for name in inside
            if cycle.tasks[name] != WAITING
            or any(need in invalid and need not in cycle.tasks for need in self._needs(name))
        ]
        return reachable(begun, lambda name: (n for n in self._dependents[name] if n in inside))

    def everything(self) -> dict[str, list[str]]:
        """All that is watched is to run again; what of it is to be ended, by run."""
        return self.changed(self._watched)

    def unsuccessful(self) -> bool:
        """What is not settled is to run again; whether that is anything."""
        wanted = self.unsettled - self._active()
        self.due |= wanted
        self.stale -= wanted
        return bool(wanted)

    # What becomes of cycles.

    def begun(self, run: str, start: Start) -> None:
        """A cycle has begun: its tasks are not due any more."""
        self.cycles[run] = Cycle(dict.fromkeys(start.tasks, WAITING), depth=start.depth)
        self._forget(start.tasks)

    def _forget(self, names: Collection[str]) -> None:
        self.due.difference_update(names)
        self.stale.difference_update(names)
        self.failed.difference_update(names)
        for name in names:
            self._failed_instances.pop(name, None)

    def started(self, run: str, task: str) -> None:
        """An attempt has begun."""
        if task in self.cycles[run].tasks:
            self.cycles[run].tasks[task] = RUNNING

    def retried(self, run: str, task: str) -> None:
        """An attempt that ended is to be tried again."""
        if task in self.cycles[run].tasks:
            self.cycles[run].tasks[task] = WAITING
            self.failed.discard(task)
        elif self._failed_instances.get(base_of(task)) == task:
            del self._failed_instances[base_of(task)]

    def ended(self, run: str, task: str, word: str) -> None:
        """A task has ended: `well`, `skipped`, `failed`, or else was not run to its end."""
        cycle = self.cycles[run]
        if task not in cycle.tasks:
            base = base_of(task)
            if word == "failed" and base in cycle.tasks.keys() - cycle.superseded:
                self._failed_instances.setdefault(base, task)
            return
        cycle.tasks[task] = ENDED
        if task in cycle.superseded or task not in self._watched:
            return
        if word == "well":
            self.fresh[task] = run
        elif word == "failed":
            self.failed.add(task)
        elif word != "skipped":
            self.stale.add(task)

    def over(self, run: str) -> None:
        """A cycle is over: what it did not come to is stale, and due where that is for a change."""
        cycle = self.cycles.pop(run)
        self._depths[run] = cycle.depth
        left = {name for name, word in cycle.tasks.items() if word != ENDED}
        left = (left - cycle.superseded) & self._watched.keys()
        self.stale |= left - self.due
        if cycle.superseded:
            # Its phase had no success for that alone, and its later phases did not begin.
            again = {n for n in cycle.tasks if n in self.stale}
            self.due |= again
            self.stale -= again
        used = {*self.fresh.values(), *self.cycles}
        self._depths = {r: d for r, d in self._depths.items() if r in used}

    def lost(self, run: str, start: Start) -> None:
        """A cycle came to nothing: there is no such run. What it was to build on may be gone."""
        self.cycles.pop(run, None)
        gone = {*start.upstream.values()}
        lost = {name for name, run in self.fresh.items() if run in gone}
        self.fresh = {name: run for name, run in self.fresh.items() if name not in lost}
        self.stale |= lost - self.due
        self.stale |= (start.tasks & self._watched.keys()) - self.due

    # What begins.

    def _active(self) -> set[str]:
        return {
            name
            for cycle in self.cycles.values()
            for name, word in cycle.tasks.items()
            if word != ENDED
        }

    def start(self) -> Start | None:
        """The cycle that may begin now; None when there is none, or it has to wait."""
        if not self.due:
            return None
        active = self._active()
        wanted = self.due | self.stale
        wanted |= self._needed(wanted, active)
        held = reachable(
            (name for name in wanted if self._waits(name, active)),
            lambda name: (n for n in self._dependents[name] if n in wanted),
        )
        tasks = wanted - held
        if not tasks & self.due or not self._fit(tasks, active):
            return None
        start = self._built(tasks)
        if start.depth <= MOST_BUILT_ON or active:
            return start
        # The chain ends here: what it would be built on is run once more.
        return self._built(tasks | reachable(start.upstream, self._needs))

    def _needs(self, name: str) -> Iterable[str]:
        return self._watched[name].needs

    def _needed(self, wanted: Collection[str], active: Collection[str]) -> set[str]:
        """What else has to run for these: needs that no run which is over has met."""
        found: set[str] = set()
        queue = [*wanted]
        while queue:
            for need in self._needs(queue.pop()):
                if need in wanted or need in found or need in active:
                    continue
                if self.fresh.get(need) is None or self.fresh[need] in self.cycles:
                    found.add(need)
                    queue.append(need)
        return found

    def _waits(self, name: str, active: Collection[str]) -> bool:
        return name in active or any(need in active for need in self._needs(name))

    def _fit(self, tasks: Collection[str], active: Collection[str]) -> bool:
        """Whether these can run beside what is under way."""
        beside = [self._watched[name] for name in active if name in self._watched]
        if not active:
            return True
        if len(beside) < len(active) or any(member.alone for member in beside):
            return False
        taken = frozenset().union(*(member.resources for member in beside))
        mine = [self._watched[name] for name in tasks]
        return not any(member.alone or member.resources & taken for member in mine)

    def _built(self, tasks: Collection[str]) -> Start:
        outside = {need for name in tasks for need in self._needs(name)} - set(tasks)
        upstream = {need: self.fresh[need] for need in sorted(outside)}
        depth = 1 + max((self._depths.get(run, 0) for run in upstream.values()), default=-1)
        return Start(frozenset(tasks), upstream, depth)
