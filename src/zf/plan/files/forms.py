"""The three kinds of file: task.yaml, a file of several tasks, and zf.yaml, of `schema`'s rows.

A form is built when the first file asks for it: most projects need one or two of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from zf.lean.records import replace
from zf.model import LATER, Task, recorded
from zf.plan.files.patterns import ID, INSIDE, NOT_BLANK
from zf.plan.form import Form, Key, any_shape, for_editors, list_of, mapping, table, text
from zf.plan.schema import TASK

# Lists to which a task, a template or the defaults of a file may add.
ADDING = ("needs", "pass_env", "artifacts", "secrets")
# Mappings whose entries come from every place that has one for their key.
MERGED = ("env", "resources")

_ADDED: Mapping[str, Key] = {
    f"{name}+": replace(TASK[name], means=f"More `{name}`, beside those from elsewhere.")
    for name in ADDING
}
ONE_TASK: Mapping[str, Key] = {**TASK, **_ADDED}
# What defaults and templates may say of tasks.
LAYER: Mapping[str, Key] = {
    name: replace(key, default=None) for name, key in ONE_TASK.items() if name not in {"id", "use"}
}

# What a file of several tasks may say, and zf.yaml, too.
FILE_KEYS = ("include", "defaults", "templates", "tasks")


@cache
def file_keys() -> Mapping[str, Key]:
    """The keys of a file of several tasks."""
    return {
        "include": Key(
            list_of(text(INSIDE)),
            "Further files of tasks and templates, by their paths from the project root.",
        ),
        "defaults": Key(
            mapping(LAYER),
            "What the tasks of this file say unless they, or templates they use, say otherwise.",
            keys=LAYER,
        ),
        "templates": Key(
            table(text(ID), mapping(LAYER)),
            "What tasks take over by `use`, by name; every task of the project may use it.",
            keys=LAYER,
        ),
        "tasks": Key(
            table(
                text(ID),
                any_shape(text(NOT_BLANK), TASK["commands"].schema, ONE_TASK),
            ),
            "Tasks by their ids: the keys of a task file; or a script, or a list of steps, alone.",
            keys=ONE_TASK,
        ),
    }


@cache
def project_keys(*, whole: bool = True) -> Mapping[str, Key]:
    """The keys of zf.yaml; not `whole`: those that say nothing of tasks."""
    from zf.plan.files.project_keys import PROJECT  # noqa: PLC0415 - not of a task file

    if not whole:
        return PROJECT
    defaults = replace(
        file_keys()["defaults"],
        means="What the tasks of the project say unless their file, templates they use, or they"
        " themselves say otherwise.",
    )
    return {**PROJECT, **file_keys(), "defaults": defaults}


Which = Literal["task", "tasks", "project"]


@cache
def task_form() -> Form:
    return Form("task file", ONE_TASK)


@cache
def file_form() -> Form:
    return Form("file of tasks", file_keys())


@cache
def project_form(*, whole: bool = True) -> Form:
    """The form of zf.yaml; not `whole`: of one which has no tasks, nor says anything of them."""
    return Form("project file", project_keys(whole=whole))


def within(form: Form, loc: tuple[int | str, ...]) -> tuple[Form, tuple[int | str, ...]]:
    """Where a place in a file is inside a task, defaults or a template: the form of that, and the
    place in it.
    """
    if loc[0] == "defaults" and len(loc) > 1:
        return Form("defaults", LAYER), loc[1:]
    if loc[0] in {"tasks", "templates"} and len(loc) > 2:
        kind = str(loc[0]).removesuffix("s")
        if isinstance(loc[2], int):  # a task that is a list of steps
            return Form(f"{kind} '{loc[1]}'", ONE_TASK), ("commands", *loc[2:])
        return Form(f"{kind} '{loc[1]}'", ONE_TASK if kind == "task" else LAYER), loc[2:]
    return form, loc


def with_defaults(keys: Mapping[str, Key]) -> Mapping[str, Key]:
    """The keys of a task file, each with what `Task` has when it is not written, if anything."""
    silent = recorded(Task("", "", ())) | {key: default for _, key, default in LATER}
    silent = {key: dict(one) if isinstance(one, Mapping) else one for key, one in silent.items()}
    silent["commands"] = None  # without them nothing would be done
    return {
        name: key
        if key.required or silent.get(name) in (None, "")
        else replace(key, default=silent[name])
        for name, key in keys.items()
    }


def json_schema(which: Which) -> dict[str, Any]:
    """The JSON Schema of a kind of file, for editors and other programs."""
    if which == "task":
        return for_editors(task_form().title, with_defaults(ONE_TASK))
    if which == "tasks":
        return for_editors(file_form().title, file_keys())
    return for_editors(project_form().title, project_keys())
