"""`on_end` of zf.yaml: the keys of a handler beside those of a task, and handlers as tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zf.lean.records import replace
from zf.model.handler import RUN_PHASE, WHEN
from zf.plan.files.place import Loc, Place
from zf.plan.form import BOOL, Key, one_of, one_or_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.errors import Problem
    from zf.model import Task
    from zf.plan.drafts import Draft
    from zf.plan.files.reading import Project, TaskSaid

HANDLING: Mapping[str, Key] = {
    "when": Key(
        one_or_list(one_of(*WHEN)),
        "Which end it is for: `success`, `failure`, `timeout`, `interrupted`, or `always`.",
        required=True,
        example="when: failure",
    ),
    "required": Key(
        BOOL,
        "Whether its own failure is one of the phase, or of the run.",
        default=False,
    ),
    "repeatable": Key(
        BOOL,
        "Whether it is run again by what resumes the run, if zf was killed while it ran.",
        default=False,
    ),
}
# They run after all others, once, where their phase is.
NOT_OF_HANDLERS = frozenset(
    {
        *("phase", "needs", "matrix", "priority", "queue_timeout_sec", "deadline_sec"),
        *("start_after", "cache", "sources", "generates", "repeat", "leave_running", "tags"),
        *("allow_failure", "allow_timeout", "approval", "executor", "labels"),
    }
)


def handlers(project: Project, made: Callable[[TaskSaid], Draft]) -> list[Draft]:
    """The handlers that zf.yaml has, as tasks."""
    drafts: list[Draft] = []
    for loc, phase, item in _listed(project.said):
        draft = made(_said(project, loc, phase, item))
        drafts.append(draft)
        draft.needs = ()
        if draft.task is None:
            continue
        when = item["when"]
        held = {
            "phase": phase,
            "when": [when] if isinstance(when, str) else list(when),
            "required": item.get("required", False),
            "repeatable": item.get("repeatable", False),
        }
        draft.task = replace(draft.task, phase=phase or RUN_PHASE, needs=(), on_end=held)
    return drafts


def check_handlers(drafts: list[Draft]) -> Iterator[Problem]:
    """A phase that is called like that of the handlers of the run."""
    if not any(d.task and d.task.on_end and not d.task.on_end["phase"] for d in drafts):
        return
    for draft in drafts:
        if draft.task and not draft.task.on_end and draft.task.phase == RUN_PHASE:
            yield draft.problem(
                ("phase",),
                "ZF757",
                f"phase '{RUN_PHASE}' is that of the run's own handlers",
                "choose another name for the phase",
            )


def split(tasks: list[Task], order: list[Draft]) -> tuple[list[Task], tuple[Task, ...]]:
    """The tasks of the project, and the handlers, in the order in which they were listed."""
    by_id = {task.id: task for task in tasks if task.on_end}
    rest = [task for task in tasks if not task.on_end]
    return rest, tuple(by_id[draft.id] for draft in order if draft.id in by_id)


def _listed(said: Mapping[str, Any]) -> Iterator[tuple[Loc, str, dict[str, Any]]]:
    """Each with where it stands, and the phase it is of."""
    for index, item in enumerate(said.get("on_end", ())):
        yield ("on_end", index), "", item
    for phase, of in said.get("phases", {}).items():
        for index, item in enumerate(of.get("on_end", ())):
            yield ("phases", phase, "on_end", index), phase, item


def _said(project: Project, loc: Loc, phase: str, item: dict[str, Any]) -> TaskSaid:
    from zf.plan.files.reading import TaskSaid  # noqa: PLC0415 - it reads files

    file = project.file
    assert file is not None  # it has this item
    node = file.document.node_at(loc)
    name = item.get("id") or f"{phase}{'-' if phase else ''}on_end-{loc[-1]}"
    said = {key: value for key, value in item.items() if key not in HANDLING}
    place = Place(file.path, file.file, loc)
    line = node.start_mark.line + 1
    return TaskSaid(place, name, line, said, node, file, [], f"handler '{name}'")
