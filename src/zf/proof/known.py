"""What the runner itself knows of its run's files: the digests it holds in memory until the seal.

Any process of the same user can write to a run's folder while the run goes on. So the seal names
what zf wrote, from here, and not what lies on the disk by then. Digests are kept as bytes and only
short lists whole: the largest runs have 100 000 tasks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

from zf.events import AttemptEnded, Event, RunEnded, RunStarted, ServiceEnded, TaskNotRun
from zf.lean.records import Struct, field
from zf.proof.layout import ARTIFACTS, BLOCKED, OUTPUTS, PAYLOAD, PLAN, RUN, earlier_tree


class Known(Struct):
    """`tops` are the files at the top of the run by name; `trees` the task.sha256 of each task, by
    the attempt that counts; `earlier` those of the attempts before it, as `task/attempts/K`.
    `lists` holds what some task.sha256 say, whole, so that these need not be read again; `leaving`
    are those of these tasks which have left something for others. `place` is the run folder's
    device and number, wherever it is moved. `odd` are the tasks in whose status.json something may
    be worth a remark; None when that is not known of all that ran.
    """

    tops: dict[str, str] = field(default_factory=dict)
    trees: dict[str, bytes] = field(default_factory=dict)
    earlier: dict[str, bytes] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    place: tuple[int, int] | None = None
    odd: dict[str, None] | None = field(default_factory=dict)

    def remember_place(self, run_dir: str) -> None:
        """Take the folder that is there now for the run's."""
        info = os.stat(run_dir)
        self.place = (info.st_dev, info.st_ino)

    def remark_on(self, task: str) -> None:
        """Something of this task may be worth a remark."""
        if self.odd is not None:
            self.odd[task] = None

    def take(self, event: Event) -> None:
        """Remember the digests in a line of the journal."""
        if isinstance(event, AttemptEnded):
            self.ended(event.task, event.attempt, event.task_sha256)
        elif isinstance(event, TaskNotRun):
            self.ended(event.task, 0, event.task_sha256)
        elif isinstance(event, RunStarted):
            self.tops |= {RUN: event.run_sha256, PLAN: event.plan_sha256}
        elif isinstance(event, ServiceEnded):
            if event.task is None:
                self.tops[event.log] = event.log_sha256
        elif isinstance(event, RunEnded) and event.blocked_sha256 is not None:
            self.tops[BLOCKED] = event.blocked_sha256

    def delivered(self, about: Mapping[str, Any]) -> None:
        """Remember what run.json says of what was delivered for the run."""
        if digest := delivered_sha256(about):
            self.tops[PAYLOAD] = digest

    def ended(self, task: str, attempt: int, task_sha256: str) -> None:
        """An attempt has ended, or (0) the task is not to be run; its tree has this digest."""
        if task in self.trees:
            self.earlier[earlier_tree(task, attempt - 1)] = self.trees[task]
        self.trees[task] = bytes.fromhex(task_sha256)

    def task_sha256(self, task: str) -> str:
        """The digest of the task's task.sha256 so far, in hex; empty while no attempt has ended."""
        digest = self.trees.get(task)
        return "" if digest is None else digest.hex()

    def take_list(self, task: str, listed: str | None) -> None:
        """Keep what the task's task.sha256 says; None for one that is not known, or too long."""
        if listed is None:
            self.lists.pop(task, None)
        else:
            self.lists[task] = listed
        if listed is not None and (_ARTIFACTS in listed or _OUTPUTS in listed):
            self.leaving.add(task)
        else:
            self.leaving.discard(task)

    def lists_for_others(self, tasks: Collection[str]) -> dict[str, str]:
        """The `task_sha256` of each of these tasks, but those known to have left nothing for the
        tasks that need them: neither artifacts nor outputs.
        """
        trees, lists, leaving = self.trees, self.lists, self.leaving
        if leaving.isdisjoint(tasks) and lists.keys() >= set(tasks):
            return {}  # quick where tasks have many needs
        return {
            task: trees[task].hex()
            for task in tasks
            if task in trees and (task not in lists or task in leaving)
        }


_ARTIFACTS, _OUTPUTS = f"  {ARTIFACTS}/", f"  {OUTPUTS}\n"


def delivered_sha256(about: Mapping[str, Any]) -> str:
    """The SHA-256 of what was delivered for a run, as its run.json says it; empty for nothing."""
    trigger = about.get("trigger")
    said = trigger.get("payload_sha256") if isinstance(trigger, Mapping) else None
    return said if isinstance(said, str) else ""
