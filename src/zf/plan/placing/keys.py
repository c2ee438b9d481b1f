"""The keys that declare executors, and those of a task that choose among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.lean.validators import PydanticCustomError
from zf.model import LOCAL, NOTHING, PLACEHOLDERS, Executor
from zf.plan.files.patterns import ID, NOT_BLANK
from zf.plan.form import Key, Schema, checked, list_of, mapping, number, table, text, whole
from zf.typed import MAX_SECONDS

# What a lease may be: frames take their time, and half a day is no lease any more.
_LEAST_LEASE_S, _MAX_LEASE_S = 1, 43_200
_MAX_SLOTS = 10_000


def _known_placeholders(word: str) -> str:
    """The word, if all that looks like a placeholder in it is one."""
    rest = word
    for known in PLACEHOLDERS:
        rest = rest.replace(known, "")
    if "{" in rest or "}" in rest:
        shown = ", ".join(PLACEHOLDERS)
        message = f"'{word}' has braces that stand for nothing: there are {shown}"
        raise PydanticCustomError("placeholder", "{message}", {"message": message})
    return word


def _not_local(name: str) -> str:
    if name == LOCAL:
        raise PydanticCustomError("executor_local", "local")
    return name


_WORD: Schema = checked(text(NOT_BLANK), _known_placeholders)
_LABELS = list_of(text(ID))

EXECUTOR: Mapping[str, Key] = {
    "start": Key(
        list_of(_WORD, min_length=1),
        "The command, as words, whose stdin and stdout are those of a `zf agent`, wherever that"
        " runs. Of the task that is to run, `{cpus}` stands for its `resources.cpu` or 1,"
        " `{memory_mb}` for its `resources.mem_mb` or 1024, and `{task}` for its id.",
        required=True,
        example="start: [ssh, build-1, zf, agent]",
    ),
    "slots": Key(
        whole(1, _MAX_SLOTS), "How many tasks run there at once, each by an agent.", default=1
    ),
    "labels": Key(_LABELS, "What tasks may ask for with `labels`.", default=[]),
    "lease_sec": Key(
        number(least=_LEAST_LEASE_S, most=_MAX_LEASE_S),
        "Seconds without a word from the other side after which a task there is ended, and is lost"
        " here.",
        default=60,
    ),
    "start_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds the command may take until its agent speaks, such as the wait in a batch queue."
        " What an agent unpacks or copies before an attempt may take as long.",
        default=300,
    ),
}

_NAME = checked(text(ID), _not_local)
_NO_LOCAL = {"pydantic_js_updates": {"propertyNames": {"not": {"const": LOCAL}}}}

EXECUTORS = Key(
    table(_NAME, mapping(EXECUTOR), _NO_LOCAL),
    "Where tasks can run beside this machine, by name.",
    default={},
    keys=EXECUTOR,
)

PLACING: Mapping[str, Key] = {
    "executor": Key(
        text(ID),
        "The executor of zf.yaml on which the task runs; `local` for this machine, whatever"
        " `--executor` says.",
    ),
    "labels": Key(
        list_of(text(ID), min_length=1),
        "What an executor must have for the task to run there: any that has all of these.",
    ),
}


def executors_of(form: Mapping[str, Any]) -> Mapping[str, Executor]:
    """The executors that a valid `executors:` describes."""
    if not form:
        return NOTHING
    return {
        name: Executor(
            tuple(said["start"]),
            said.get("slots", 1),
            tuple(said.get("labels", ())),
            float(said.get("lease_sec", EXECUTOR["lease_sec"].default)),
            float(said.get("start_timeout_sec", EXECUTOR["start_timeout_sec"].default)),
        )
        for name, said in form.items()
    }
