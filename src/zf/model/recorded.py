"""The form in which a proof has a task, the way back from it, and the digests over it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import compress
from operator import attrgetter, ne
from typing import Any

from zf.lean.encoder import encoder
from zf.lean.records import astuple
from zf.model.service import recalled_service, recorded_service
from zf.model.task import Need, Step, Task

_OTHER_KEYS = {"steps": "commands", "start_after_s": "start_after"}


def _key(name: str) -> str:
    return _OTHER_KEYS.get(name) or (name + "ec" if name.endswith("_s") else name)


def _defaults_after(count: int) -> list[tuple[str, Any]]:
    silent = Task("", "", ())
    return [(name, getattr(silent, name)) for name in Task.__struct_fields__[count:]]


# What task.yaml, and so a proof, calls each field of a task.
TASK_KEYS: Mapping[str, str] = {name: _key(name) for name in Task.__struct_fields__}
_FIRST = [*TASK_KEYS][: [*TASK_KEYS].index("line") + 1]
_FIRST_KEYS = [TASK_KEYS[name] for name in _FIRST]
# The others, with their keys and defaults.
LATER = [(name, TASK_KEYS[name], default) for name, default in _defaults_after(len(_FIRST))]
_LATER_KEYS = [key for _, key, _ in LATER]
_LATER_DEFAULTS = [default for _, _, default in LATER]
_encode = encoder()


def recorded(task: Task) -> dict[str, Any]:
    """The task as it was loaded, defaults filled in, in the plain values of JSON: what a proof
    says of it and what tasks are compared by. `recalled` makes the task of it again.
    """
    first, later = _parts(task)
    return first | later if later else first


def _parts(task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    """What it says with the keys that have always been there, and with those that came later."""
    values = astuple(task)
    said = dict(zip(_FIRST_KEYS, values, strict=False))
    said["title"] = task.title or task.id
    said["needs"] = [
        {"task": need.task, "optional": need.optional, "require": need.require}
        for need in task.needs
    ]
    said["commands"] = _recorded_steps(task.steps)
    said["cleanup"] = _recorded_steps(task.cleanup)
    said["env"] = dict(task.env) if task.env else {}
    said["resources"] = dict(task.resources) if task.resources else {}
    said["budget"] = dict(task.budget) if task.budget else {}
    said["reports"] = dict(task.reports) if task.reports else {}
    rest = [*values][len(_FIRST) :]  # CPython 3.11 never reuses a tuple of 20, as it would be now
    if rest == _LATER_DEFAULTS:  # as nearly every task has them
        return said, {}
    # In C, as tasks with one of them are many: in Python each of the forty keys was a turn.
    later = dict(compress(zip(_LATER_KEYS, rest, strict=True), map(ne, rest, _LATER_DEFAULTS)))
    if task.services:
        later["services"] = [recorded_service(one) for one in task.services]
    return said, later


# What a task file calls those fields of a step that are recorded only where it says them.
_STEP_KEYS = {"timeout_s": "timeout_sec", "condition": "if"}
STEP_KEYS: Mapping[str, str] = {
    name: _STEP_KEYS.get(name, name) for name in Step.__struct_fields__[3:]
}
_step_values = attrgetter(*STEP_KEYS)
_PLAIN_STEP = _step_values(Step("", ""))


def recorded_step(step: Step) -> dict[str, Any]:
    """What a step says beside its name, script and line, by the keys of task files."""
    values = _step_values(step)
    if values == _PLAIN_STEP:
        return {}
    rows = zip(STEP_KEYS.values(), values, _PLAIN_STEP, strict=True)
    said = {key: value for key, value, default in rows if value != default}
    return said | {"env": dict(step.env)} if step.env else said


def _recorded_steps(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    return [
        {"name": step.name, "run": step.run, "line": step.line, **recorded_step(step)}
        for step in steps
    ]


STEP_FIELDS = {key: name for name, key in STEP_KEYS.items()}


def _recalled_step(step: Mapping[str, Any]) -> Step:
    fields: dict[str, Any] = {STEP_FIELDS.get(key, key): value for key, value in step.items()}
    fields["shell"] = tuple(fields.get("shell", ()))
    return Step(**fields)


def recalled(said: Mapping[str, Any]) -> Task:
    """The task of a recorded form; what an older zf did not record is as if it had not been said.

    Raises TypeError or KeyError for what was never one.
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value := said[key], list) else value
        for name, key in TASK_KEYS.items()
        if key in said
    }
    fields["needs"] = tuple(Need(**need) for need in said["needs"])
    fields["steps"] = tuple(map(_recalled_step, said["commands"]))
    fields["cleanup"] = tuple(map(_recalled_step, said["cleanup"]))
    if "services" in said:
        fields["services"] = tuple(map(recalled_service, said["services"]))
    return Task(**fields)


def definition_sha256(task: Task) -> str:
    """The digest of everything a task file says: two tasks with the same one do the same. What
    plan.json shows is that of the task without its secrets, which could be guessed from it.

    SHA-256, in hex, over the values of the recorded form, in its order, as JSON. Where steps stand
    in the file counts if the file is the task's alone: in a file of several tasks a line more above
    does not change those below. Keys that came later follow as one mapping, where there are any.
    """
    first, later = _parts(task)
    later.pop("origins", None)
    if task.file and not task.file.endswith("/task.yaml"):
        first["line"] = 0
        for step in (*first["commands"], *first["cleanup"]):
            step["line"] = 0
    values = [*first.values(), later] if later else [*first.values()]
    return sha256(_encode(values).encode("ascii")).hexdigest()


def script_sha256(task: Task) -> str:
    """The digest of what a task runs: one with the same id and the same digest took as long in an
    earlier run as it will now, whatever else its file says. As above of the task without secrets.

    SHA-256, in hex, over the commands of its steps and of its cleanup, as JSON.
    """
    said = [[step.run for step in task.steps], [step.run for step in task.cleanup]]
    return sha256(_encode(said).encode("ascii")).hexdigest()
