"""The form of every JSON file of a proof, as its schema has it: which fields, of which type.

The schemas are those that the reference publishes, so what is documented is what is checked. Only
the words of JSON Schema that they use are known here. Fields that a schema does not name are passed
over: a later zf may write more.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from zf.proof import layout

# Of one file; one that is wrong everywhere needs no longer list to be refused.
MAX_PROBLEMS = 20
# zf nests five deep; where a schema allows any value, this bounds it.
_MAX_DEPTH = 32
# What other programs read without losing digits begins to end at 53 bits; this is beyond any of it.
_MAX_INTEGER = 2**63
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas")
# Files of a run that have a form: the whole path, and the name of the form.
_FILES = tuple(
    (re.compile(place + layout.pattern(path)), name)
    for place, path, name in (
        ("", layout.RUN, "run"),
        ("", layout.PLAN, "plan"),
        ("", layout.BLOCKED, "blocked"),
        (layout.TREE, layout.TASK, "recorded-task"),
        (layout.TREE, layout.COMMANDS_LIST, "commands"),
        (layout.TREE, layout.command_record("*"), "step"),
        (layout.TREE, layout.RENAMED, "artifacts"),
        (layout.TREE, layout.STATUS, "status"),
        ("", f"{layout.ATTEST}/statement.json", "statement"),
        ("", f"{layout.ATTEST}/test-result.json", "test-result"),
    )
)
# What these patterns ask for, in words.
_CALLED = {
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$": "an id",
    "^[0-9a-f]{64}$": "a SHA-256",
    "^[0-9a-f]{40}([0-9a-f]{24})?$": "a git object",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$": "a time in UTC with microseconds",
}
_TYPES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda v: type(v) is dict),
    "array": ("a list", lambda v: type(v) is list),
    "string": ("a text", lambda v: type(v) is str),
    "boolean": ("true or false", lambda v: type(v) is bool),
    "integer": (
        "a whole number",
        lambda v: type(v) is int and -_MAX_INTEGER < v < _MAX_INTEGER,
    ),
    "number": ("a number", lambda v: type(v) in {int, float} and _is_finite(v)),
    "null": ("null", lambda v: v is None),
}
_UNSOUND: Any = object()

# What is wrong with a value: each problem with its place below the value, and nothing for most.
Found = Sequence[tuple[str, str]]
Check = Callable[[Any], Found]
_NOTHING: Found = ()


def form_of(path: str) -> str | None:
    """The form that a file of a run has by its path; None for a file of no form."""
    if not path.endswith(".json"):
        return None
    return next((name for pattern, name in _FILES if pattern.fullmatch(path)), None)


def problems(form: str, value: Any) -> list[str]:
    """What is wrong with a file's value, at most `MAX_PROBLEMS` of it."""
    try:
        schema = _schema_for(form, value)
    except ValueError as error:
        return [str(error)]
    return _told(_compiled(schema)(value))


def event_problems(event: Mapping[str, Any], version: str | None) -> list[str]:
    """What is wrong with a line of the journal, whose first line says of which version it is."""
    if version is not None and version not in _event_versions():
        return [f"is of the form {version!r:.80}, which this zf does not know"]
    kind = event.get("type")
    check = _event_checks(version).get(kind) if type(kind) is str else None
    if check is None:
        return []  # an event of no known type, which the journal's account tells
    return _told(check(event))


def sound(form: str, value: Any) -> Any:
    """The value without everything that is wrong: what is left has the types that were promised.

    An empty object when nothing is.
    """
    try:
        schema = _schema_for(form, value)
    except ValueError:
        schema = f"{form}.schema.json"
    left = _cleaned(_load(schema), value, schema)
    return {} if left is _UNSOUND else left


def sound_event(event: Mapping[str, Any], version: str | None) -> dict[str, Any]:
    """The same for a line of the journal; its type is left as it is."""
    kind = event.get("type")
    version = version if version in _event_versions() else None
    file = _event_file(version)
    schema = _load(file)["$defs"].get(kind) if type(kind) is str else None
    left = _UNSOUND if schema is None else _cleaned(schema, event, file)
    return {"type": None} if left is _UNSOUND else left


def _told(found: Found) -> list[str]:
    told = [f"{place.removeprefix('.') or 'it'} {text}" for place, text in found[:MAX_PROBLEMS]]
    return told + ["and more of that kind"] * (len(found) > MAX_PROBLEMS)


# Which schema holds


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


def _event_file(version: str | None) -> str:
    return "v1/event.schema.json" if version is None else "event.schema.json"


@cache
def _event_checks(version: str | None) -> Mapping[str, Check]:
    file = _event_file(version)
    kinds = _load(file)["$defs"]
    return {name: _compile(schema, file) for name, schema in kinds.items()}


@cache
def _load(file: str) -> Any:
    with open(f"{_FOLDER}/{file}", "rb") as stream:
        return json.load(stream)


@cache
def _compiled(file: str) -> Check:
    return _compile(_load(file), file)


# Schemas as functions: a journal has millions of lines, and nearly all of them are in order.


def _compile(schema: Mapping[str, Any], file: str) -> Check:
    if "$ref" in schema:
        return _referred(schema["$ref"], file)
    if "oneOf" in schema or "anyOf" in schema:
        return _any_of([_compile(part, file) for part in schema.get("oneOf") or schema["anyOf"]])
    checks = tuple(_checks_of(schema, file))
    if len(checks) == 1:
        return checks[0]

    def check(value: Any) -> Found:
        for part in checks:
            found = part(value)
            if found:
                return found  # of a wrong type, say: the rest would only say so again
        return _NOTHING

    return check


def _referred(name: str, file: str) -> Check:
    if name.startswith("#/$defs/"):
        return _compile(_load(file)["$defs"][name.removeprefix("#/$defs/")], file)
    folder = os.path.dirname(file)
    return _compiled(f"{folder}/{name}" if folder else name)


def _any_of(parts: list[Check]) -> Check:
    def check(value: Any) -> Found:
        closest: Found | None = None
        for part in parts:
            found = part(value)
            if not found:
                return found
            if closest is None or len(found) < len(closest):
                closest = found
        return closest or _NOTHING

    return check


def _checks_of(schema: Mapping[str, Any], file: str) -> Iterator[Check]:
    kinds = schema.get("type")
    if kinds is not None:
        yield _typed([kinds] if isinstance(kinds, str) else kinds)
    if "const" in schema or "enum" in schema:
        yield _one_of([schema["const"]] if "const" in schema else schema["enum"])
    elif kinds is None:
        yield _anything
    if "pattern" in schema:
        yield _like(schema["pattern"])
    if "minimum" in schema:
        yield _at_least(schema["minimum"])
    if "properties" in schema or isinstance(schema.get("additionalProperties"), dict):
        yield _object(schema, file)
    elif kinds is not None and "object" in kinds:
        yield _anything
    if "items" in schema:
        yield _list(_compile(schema["items"], file))
    elif kinds is not None and "array" in kinds:
        yield _anything


def _typed(kinds: Iterable[str]) -> Check:
    rows = [_TYPES[kind] for kind in kinds]
    tests = tuple(test for _, test in rows)
    wanted = " or ".join(name for name, _ in rows)

    def check(value: Any) -> Found:
        for test in tests:
            if test(value):
                return _NOTHING
        return _not(value, wanted)

    return check


def _one_of(allowed: list[Any]) -> Check:
    known = frozenset((type(item), item) for item in allowed)
    wanted = repr(allowed[0]) if len(allowed) == 1 else f"one of {', '.join(map(repr, allowed))}"

    def check(value: Any) -> Found:
        kind = type(value)
        if kind is dict or kind is list or (kind, value) not in known:
            return _not(value, wanted)
        return _NOTHING

    return check


def _like(pattern: str) -> Check:
    # `$` would also match before a newline at the end, `\d` the digits of every script.
    matches = re.compile(pattern.removeprefix("^").removesuffix("$"), re.ASCII).fullmatch
    wanted = _CALLED.get(pattern, f"a text like {pattern}")

    def check(value: Any) -> Found:
        if type(value) is str and matches(value) is None:
            return _not(value, wanted)
        return _NOTHING

    return check


def _at_least(low: float) -> Check:
    def check(value: Any) -> Found:
        if type(value) in {int, float} and value < low:
            return _not(value, f"at least {low}")
        return _NOTHING

    return check


def _object(schema: Mapping[str, Any], file: str) -> Check:
    parts = {key: _compile(part, file) for key, part in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    others = schema.get("additionalProperties")
    other = _compile(others, file) if isinstance(others, dict) else None

    def check(value: Any) -> Found:
        if type(value) is not dict:
            return _NOTHING
        wrong: list[tuple[str, str]] = []
        if not value.keys() >= required:
            wrong = [("", f"lacks {key}") for key in sorted(required - value.keys())]
        for key, item in value.items():
            part = parts.get(key, other)
            if part is not None and (found := part(item)):
                wrong += [(f".{key}{place}", text) for place, text in found]
        return wrong

    return check


def _list(item: Check) -> Check:
    def check(value: Any) -> Found:
        if type(value) is not list:
            return _NOTHING
        wrong: list[tuple[str, str]] = []
        for number, one in enumerate(value):
            if found := item(one):
                wrong += [(f"[{number}]{place}", text) for place, text in found]
                if len(wrong) > MAX_PROBLEMS:
                    break
        return wrong

    return check


def _anything(value: Any) -> Found:
    """A value of any type, but one that every program can read."""
    rest = [(value, 0)]
    while rest:
        one, depth = rest.pop()
        if depth > _MAX_DEPTH:
            return [("", "is nested too deeply")]
        kind = type(one)
        if kind is dict or kind is list:
            rest += [(item, depth + 1) for item in (one.values() if kind is dict else one)]
        elif kind in {int, float} and not _is_finite(one):
            return [("", "holds a number that is out of range")]
    return _NOTHING


def _is_finite(number: float) -> bool:
    return math.isfinite(number) if type(number) is float else abs(number) < _MAX_INTEGER


def _not(value: Any, wanted: str) -> Found:
    kind = type(value)
    shown = "a list" if kind is list else "an object" if kind is dict else f"{value!r:.80}"
    return [("", f"is {shown}, not {wanted}")]


def _cleaned(schema: Mapping[str, Any], value: Any, file: str) -> Any:
    """The value without its unsound parts, or `_UNSOUND` where it is one itself."""
    if not _compile(schema, file)(value):
        return value
    if type(value) is dict and "properties" in schema:
        rows = {
            key: _cleaned(part, value[key], file)
            for key, part in schema["properties"].items()
            if key in value
        }
        return {key: item for key, item in rows.items() if item is not _UNSOUND}
    if type(value) is list and "items" in schema:
        items = (_cleaned(schema["items"], item, file) for item in value)
        return [item for item in items if item is not _UNSOUND]
    return _UNSOUND
