"""What a look at a project found: tasks it could have, what was left out and why, and the text of
its zf.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from zf.adopt.writing import END, Path, project_text, shortest
from zf.lean.records import Struct, field, replace

# What others have may take longer than a task of zf may without being told: a first build, a suite.
TIMEOUT_S = 1800
HEAD = "`zf run` runs all of this, `zf run {name}` one task with what it needs."


class Proposed(Struct, frozen=True):
    """A task: its name, its keys, and a comment above it."""

    name: str
    keys: Mapping[str, Any]
    comment: str = ""

    def called(self, name: str, names: Mapping[str, str]) -> Proposed:
        """The task under another name, with the new names of what it needs."""
        keys = dict(self.keys)
        if "needs" in keys:
            keys["needs"] = [names.get(need, need) for need in keys["needs"]]
        return replace(self, name=name, keys=keys)


class Found(Struct, frozen=True):
    """What one kind of project has; `looked` are the files that said so, `images` what a container
    for its tasks is made of.
    """

    tasks: tuple[Proposed, ...] = ()
    left_out: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()
    image: str = ""

    def called(self, kind: str, taken: Iterable[str]) -> Found:
        """With names that are not taken."""
        taken = set(taken)
        names = {task.name: f"{task.name}-{kind}" for task in self.tasks if task.name in taken}
        tasks = tuple(task.called(names.get(task.name, task.name), names) for task in self.tasks)
        return replace(self, tasks=tasks)


class Proposal(Struct, frozen=True):
    """All that was found."""

    tasks: tuple[Proposed, ...] = ()
    left_out: tuple[str, ...] = ()
    looked: tuple[str, ...] = ()
    images: tuple[str, ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, found: Mapping[str, Found]) -> Self:
        """What several kinds have; the names that two of them have are told apart."""
        whole = cls()
        names = [task.name for one in found.values() for task in one.tasks]
        twice = {name for name in names if names.count(name) > 1}
        for kind, one in found.items():
            whole = whole.beside(one.called(kind.rpartition("-")[2], twice))
        return whole

    def beside(self, more: Found) -> Self:
        return replace(
            self,
            tasks=self.tasks + more.tasks,
            left_out=self.left_out + more.left_out,
            looked=(*dict.fromkeys(self.looked + more.looked),),
            images=(*dict.fromkeys((*self.images, *filter(None, [more.image]))),),
        )

    def after(self, first: Proposed) -> Self:
        """With a task that all others need."""
        others = tuple(
            task
            if "needs" in task.keys
            else replace(task, keys={"needs": [first.name], **task.keys})
            for task in self.tasks
        )
        return replace(self, tasks=(first, *others))

    @property
    def has_set_up(self) -> bool:
        return any(task.keys.get("cache") for task in self.tasks)

    def text(self) -> str:
        """The zf.yaml that says this."""
        document: dict[str, Any] = {}
        if self.has_set_up:
            document["cached"] = True
        defaults: dict[str, Any] = {}
        if sum("needs" not in task.keys for task in self.tasks) > 1 or _beside(self.tasks):
            defaults["parallel_safe"] = True
        if self.looked:
            defaults["timeout_sec"] = TIMEOUT_S
        if defaults:
            document["defaults"] = defaults
        document["tasks"] = {task.name: shortest(task.keys) for task in self.tasks}
        comments: dict[Path, str] = {
            ("tasks", task.name): task.comment for task in self.tasks if task.comment
        }
        if self.left_out:
            comments["tasks", END] = "\n".join(["Left out:", *self.left_out])
        if self.has_set_up:
            comments["cached",] = "What is set up is not set up again until its sources change."
        last = self.tasks[-1].name
        return project_text(document, comments, HEAD.format(name=last))


def _beside(tasks: Iterable[Proposed]) -> bool:
    """Whether two tasks could run at the same time: both need the same."""
    needs = [tuple(task.keys.get("needs", ())) for task in tasks]
    return len(needs) != len(set(needs))
