"""The form of every JSON file of a proof, as its schema has it: which fields, of which type.

The schemas are those that the reference publishes, so what is documented is what is checked.
Fields that a schema does not name are passed over: a later zf may write more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from zf.lean import lazy
from zf.lean.records import json_decode
from zf.model import ID_PATTERN, TASK_PATTERN
from zf.proof import layout

if TYPE_CHECKING:
    import json

    from zf.lean.forms import Draft4Validator, ValidationError
else:  # a sound file takes none of it
    json = lazy.module("json")

# Of one file; one that is wrong everywhere needs no longer list to be refused.
MAX_PROBLEMS = 20
# zf nests five deep; where a schema allows any value, this bounds it.
_MAX_DEPTH = 32
# What of JSON has more in it.
_HOLD = (dict, list)
# Of whole numbers: what other programs read without losing digits begins to end at 53 bits.
_MAX_INTEGER = 2**63 - 1
_MAX_NUMBER = 1e300
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas")
# Files of a run that have a form: the whole path, and the name of the form.
_FILES = tuple(
    (re.compile(place + path if name == "approval" else place + layout.pattern(path)), name)
    for place, path, name in (
        ("", layout.RUN, "run"),
        ("", layout.PLAN, "plan"),
        ("", layout.BLOCKED, "blocked"),
        (layout.TREE, layout.TASK, "recorded-task"),
        (layout.TREE, layout.COMMANDS_LIST, "commands"),
        (layout.TREE, layout.command_record("*"), "step"),
        (layout.TREE, layout.RENAMED, "artifacts"),
        (layout.TREE, layout.STATUS, "status"),
        (layout.TREE, layout.CACHE, "cache"),
        (layout.TREE, layout.OUTPUTS, "outputs"),
        (layout.TREE, layout.APPROVAL, "approval"),
        ("", f"{layout.ATTEST}/statement.json", "statement"),
        ("", f"{layout.ATTEST}/test-result.json", "test-result"),
    )
)
# What these patterns ask for, in words.
_CALLED = {
    f"^{ID_PATTERN}$": "an id",
    f"^{TASK_PATTERN}$": "the id of a task",
    "^[0-9a-f]{64}$": "a SHA-256",
    "^([0-9a-f]{64})?$": "a SHA-256, or empty",
    "^[0-9a-f]{40}([0-9a-f]{24})?$": "a git object",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$": "a time in UTC with microseconds",
}
_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}


def form_of(path: str) -> str | None:
    """The form that a file of a run has by its path; None for a file of no form."""
    if not path.endswith(".json"):
        return None
    return next((name for pattern, name in _FILES if pattern.fullmatch(path)), None)


def problems(form: str, value: Any) -> list[str]:
    """What is wrong with a file's value, at most `MAX_PROBLEMS` of it."""
    try:
        file = _schema_for(form, value)
    except ValueError as error:
        return [str(error)]
    if _is_deep(value):
        return ["it is nested too deeply"]
    return _told(_validator(file), value)


def event_problems(event: Mapping[str, Any], version: str | None) -> list[str]:
    """What is wrong with a line of the journal, whose first line says of which version it is."""
    if version is not None and version not in _event_versions():
        return [f"is of the form {version!r:.80}, which this zf does not know"]
    validator = _event_validator(event, version)
    if validator is not None:
        return _told(validator, event)
    # An event of no known type is told by the journal's account.
    is_newer = version is None and event.get("type") in _events("event.schema.json")
    return [f"{event['type']} is no event of version 1"] if is_newer else []


def compile_ahead(until: Callable[[], bool]) -> None:
    """Make what checks the files and events of an ordinary run, for later, until there is something
    else to do.
    """
    for form in ("run", "plan", "recorded-task", "commands", "step", "status", "cache"):
        if until():
            return
        _validator(f"{form}.schema.json").is_valid(None)
    for kind in _events("event.schema.json"):
        if until():
            return
        _validator_of(kind, "event.schema.json")


def sound(form: str, value: Any) -> Any:
    """The value without everything that is wrong: what is left has the types that were promised.

    An empty object when nothing is.
    """
    try:
        file = _schema_for(form, value)
    except ValueError:
        file = f"{form}.schema.json"
    return {} if _is_deep(value) else _sound(_validator(file), value)


def sound_event(event: Mapping[str, Any], version: str | None) -> dict[str, Any]:
    """The same for a line of the journal; of one without a known type, nothing is left."""
    validator = _event_validator(event, version if version in _event_versions() else None)
    return {"type": None} if validator is None else {"type": None} | _sound(validator, event)


def _told(validator: Draft4Validator, value: Any) -> list[str]:
    wrong = _errors(validator, value)
    told = []
    for error in wrong[:MAX_PROBLEMS]:
        place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.instance_path)
        told.append(f"{place.removeprefix('.') or 'it'} {_said(error)}")
    return told + ["and more of that kind"] * (len(wrong) > MAX_PROBLEMS)


def _errors(validator: Draft4Validator, value: Any) -> list[ValidationError]:
    try:
        if validator.is_valid(value):
            return []
        return list(validator.iter_errors(value))
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can spell and nothing can encode.
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        return list(validator.iter_errors(value))


def _sound(validator: Draft4Validator, value: Any) -> Any:
    """A copy of the value without the places that errors name; {} when that is all of it."""
    places = {
        tuple(error.instance_path)
        for error in _errors(validator, value)
        if type(error.kind).__name__ != "Required"
    }
    if () in places:
        return {}
    left = json.loads(json.dumps(value))
    # From the end, so that what is left in a list keeps its place until its turn comes.
    for *path, last in sorted(places, reverse=True):
        holder = left
        for key in path:
            holder = holder[key]
        del holder[last]
    return left


def _said(error: ValidationError) -> str:
    """The finding in zf's words."""
    kind: Any = error.kind
    value = error.instance
    shown = "a list" if type(value) is list else "an object" if type(value) is dict else None
    wrong = f"is {shown or f'{value!r:.80}'}, not"
    match type(kind).__name__:
        case "Required":
            return f"lacks {kind.property}"
        case "AnyOf" | "OneOfNotValid":
            return _said(min(kind.context, key=len)[0])
        case "Type":
            return f"{wrong} {' or '.join(_TYPES[name] for name in kind.types)}"
        case "Enum":
            known = json.loads(json.dumps(kind.options))
            return f"{wrong} {'one of ' * (len(known) > 1)}{', '.join(map(repr, known))}"
        case "Pattern":
            return f"{wrong} {_CALLED.get(kind.pattern, f'a text like {kind.pattern}')}"
        case "Minimum":
            return f"{wrong} at least {kind.limit}"
    return f"is wrong: {error.message:.200}"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        rows = [one.values() if type(one) is dict else one for one in level if type(one) in _HOLD]
        if not rows:
            return False
        level = [item for row in rows for item in row]
    return bool(level)


# Which schema holds.


def _schema_for(form: str, value: Any) -> str:
    """The schema's file; ValueError for a version that is not known here.

    commands.json is the one form that lost its `schema` key: it is a list since version 2.
    """
    known = _versions(form)
    said = value.get("schema") if type(value) is dict else None
    if type(said) is str and said in known:
        return known[said]
    if type(said) is str and said.startswith(f"zf/{form.removeprefix('recorded-')}/"):
        raise ValueError(f"is of the form {said!r:.80}, which this zf does not know")
    if form == "commands" and type(value) is dict:
        return f"v1/{form}.schema.json"
    return f"{form}.schema.json"


@cache
def _versions(form: str) -> Mapping[str, str]:
    """`zf/status/v1` -> the file of its schema, for every version there is."""
    files = (f"v1/{form}.schema.json", f"{form}.schema.json")
    there = (file for file in files if os.path.exists(f"{_FOLDER}/{file}"))
    schemas = ((_load(file).get("properties", {}).get("schema", {}), file) for file in there)
    return {schema["const"]: file for schema, file in schemas if "const" in schema}


@cache
def _event_versions() -> frozenset[str]:
    """What the first event of a journal may say of its version; in version 1 it says nothing."""
    said = _load("event.schema.json")["$defs"]["run_started"]["properties"].get("schema", {})
    return frozenset({said["const"]} if "const" in said else said.get("enum", ()))


def _event_validator(event: Mapping[str, Any], version: str | None) -> Draft4Validator | None:
    kind, file = event.get("type"), f"{'v1/' if version is None else ''}event.schema.json"
    return _validator_of(kind, file) if type(kind) is str and kind in _events(file) else None


def _events(file: str) -> Mapping[str, Any]:
    """The schemas of all events, by type."""
    return cast("Mapping[str, Any]", _load(file)["$defs"])


@cache
def _validator_of(kind: str, file: str) -> Draft4Validator:
    """Of each type by itself, when one is met: a journal has few, and each is quickly made."""
    return _compiled(_strict(_events(file)[kind], file))


@cache
def _validator(file: str) -> Draft4Validator:
    return _compiled(_strict(_load(file), file))


def _compiled(schema: Mapping[str, Any]) -> Draft4Validator:
    from zf.lean.forms import Draft4Validator  # noqa: PLC0415 - a run has no use for it

    return Draft4Validator({key: row for key, row in schema.items() if key != "$schema"})


@cache
def _load(file: str) -> Any:
    with open(f"{_FOLDER}/{file}", "rb") as stream:
        return json_decode(stream.read())


def _strict(schema: Any, file: str) -> Any:
    """The schema as this zf holds files to it: no field is too many, numbers are within bounds.

    In words of draft 4, in which a whole number has no fraction, not even `.0`.
    """
    if isinstance(schema, list):
        return [_strict(one, file) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if not schema.get("$ref", "#").startswith("#"):
        other = os.path.join(os.path.dirname(file), schema["$ref"])
        return _strict(_load(other), other)
    strict = {key: _strict(part, file) for key, part in schema.items()}
    if strict.get("additionalProperties") is False:
        del strict["additionalProperties"]
    if "const" in strict:
        strict["enum"] = [strict.pop("const")]
    kinds = strict.get("type", ())
    for kind, most in (("integer", _MAX_INTEGER), ("number", _MAX_NUMBER)):
        if kind == kinds or (isinstance(kinds, list) and kind in kinds):
            strict = {"minimum": -most, "maximum": most, **strict}
    return strict
