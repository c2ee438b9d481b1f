"""What the keys of a file look like to the program: their checks, and JSON Schema for editors.

Which keys there are is in `schema.py`. They are pydantic's core schemas, not BaseModel classes:
importing pydantic's upper floor costs 60 ms, half of what a short run takes, and the values go on
into `model`'s own classes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zf.lean.records import Struct, field
from zf.lean.validators import PydanticCustomError, SchemaValidator, ValidationError
from zf.model import NOTHING, RESERVED_ENV
from zf.plan.files.patterns import ENV_GLOB, ENV_NAME

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# One of pydantic's core schemas.
Schema = Mapping[str, Any]

# As many as a project has different files; a server that lives for long keeps no more.
_MOST_VALIDATORS = 100
# What says which of its shapes a value has; no text of a file holds NUL.
_PLAIN, _LISTED, _MAPPED, _OTHER = _SHAPES = ("\0plain", "\0list", "\0mapping", "\0other")


class Key(Struct, frozen=True):
    """One key of a file: what it may hold and what it means.

    A required key has an `example` for the message that misses it; `keys` are those of the
    mappings it holds.
    """

    schema: Schema
    means: str
    default: object = None
    required: bool = False
    example: str = ""
    keys: Mapping[str, Key] = field(default_factory=dict)


class Form(Struct, frozen=True):
    """What one kind of file may say."""

    title: str
    keys: Mapping[str, Key]
    _validators: dict[frozenset[Any], SchemaValidator] = field(default_factory=dict)

    def errors(self, value: object) -> list[ErrorDetails]:
        """Everything that keeps `value` from being of this form."""
        try:
            self._validator(value).validate_python(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            for one in found:
                one["loc"] = tuple(part for part in one["loc"] if part not in _SHAPES)
            return found
        return []

    def _validator(self, value: object) -> SchemaValidator:
        """One for the keys that `value` has. To compile the patterns of all takes 4 to 10 ms, and
        most files have few of them, the same in one file as in the next.
        """
        said = frozenset(value if isinstance(value, dict) else ())
        found = self._validators.get(said)
        if found is None:
            if len(self._validators) == _MOST_VALIDATORS:
                self._validators.clear()
            keys = {name: key for name, key in self.keys.items() if key.required or name in said}
            found = self._validators[said] = SchemaValidator(mapping(keys))
        return found


def _schema(kind: str, **facts: Any) -> Schema:
    """A schema as pydantic wants it, which is a dict. Its own functions that make one would have
    to be imported first, which takes longer than reading 200 task files.
    """
    facts["type"] = kind
    if None in facts.values():
        return {name: fact for name, fact in facts.items() if fact is not None}
    return facts


STR = _schema("str")
BOOL = _schema("bool")


# Anything, for what is read as it is written; what editors are told of it.
WRITTEN = _schema(
    "any", metadata={"pydantic_js_updates": {"type": ["string", "number", "boolean", "array"]}}
)


# A text, a number or a boolean: what is meant is the text in the file. Nothing is asked that is
# written in Python, as every variable comes here.
SCALAR = _schema(
    "json-or-python",
    json_schema=_schema(
        "any", metadata={"pydantic_js_updates": {"type": ["string", "number", "boolean"]}}
    ),
    python_schema=_schema(
        "custom-error",
        schema=_schema("is-instance", cls=(str, bool, int, float)),
        custom_error_type="scalar_type",
        custom_error_message="not a single value",
    ),
)


def text(pattern: str, most: int | None = None) -> Schema:
    """One that matches, and has at most so many characters."""
    return _schema("str", pattern=pattern, max_length=most)


def one_of(*words: str) -> Schema:
    return _schema("literal", expected=list(words))


def whole(least: int, most: int) -> Schema:
    return _schema("int", ge=least, le=most)


def table(keys: Schema, values: Schema, metadata: dict[str, Any] | None = None) -> Schema:
    return _schema("dict", keys_schema=keys, values_schema=values, metadata=metadata)


def checked(plain: Schema, check: Callable[[str], str]) -> Schema:
    """What is of the plain form and passes the check."""
    function = {"type": "no-info", "function": check}
    return _schema("function-after", function=function, schema=plain)


def list_of(item: Schema, min_length: int | None = None) -> Schema:
    return _schema("list", items_schema=item, min_length=min_length)


def number(above: float | None = None, least: float | None = None, most: float = 0) -> Schema:
    return _schema("float", gt=above, ge=least, le=most, allow_inf_nan=False)


def either(plain: Schema, keys: Mapping[str, Key]) -> Schema:
    """A plain value, or a mapping with these keys."""
    return _shaped(
        {_PLAIN: plain, _MAPPED: mapping(keys)},
        lambda value: _MAPPED if isinstance(value, dict) else _PLAIN,
    )


def either_of(plain: Schema, key: str, those: Mapping[str, Key], keys: Mapping[str, Key]) -> Schema:
    """A plain value, or a mapping with the keys of `those` where it has this one, or else with
    these.
    """

    def shape(value: object) -> str:
        if not isinstance(value, dict):
            return _PLAIN
        return _OTHER if key in value else _MAPPED

    return _shaped({_PLAIN: plain, _OTHER: mapping(those), _MAPPED: mapping(keys)}, shape)


def one_or_list(plain: Schema) -> Schema:
    """A plain value, or a list of such values, which is not empty."""
    return word_or_list(plain, list_of(plain, min_length=1))


def text_or_number(word: Schema, count: Schema) -> Schema:
    """A text of this form, or such a number."""
    return _shaped(
        {_PLAIN: word, _OTHER: count},
        lambda value: _OTHER if isinstance(value, int) else _PLAIN,
    )


def word_or_list(word: Schema, listed: Schema) -> Schema:
    """A plain value, or a list of what is of another form."""
    return _shaped(
        {_PLAIN: word, _LISTED: listed},
        lambda value: _LISTED if isinstance(value, list) else _PLAIN,
    )


def bool_or_text(pattern: str) -> Schema:
    """`true`, `false` or a text."""
    return _shaped(
        {_PLAIN: text(pattern), _OTHER: BOOL},
        lambda value: _OTHER if isinstance(value, bool) else _PLAIN,
    )


def text_or_keys(pattern: str, keys: Mapping[str, Key]) -> Schema:
    """A text, a mapping with these keys, or `false` for none of it."""

    def shape(value: object) -> str:
        return _OTHER if value is False else _MAPPED if isinstance(value, dict) else _PLAIN

    none = _schema("literal", expected=[False])
    return _shaped({_PLAIN: text(pattern), _OTHER: none, _MAPPED: mapping(keys)}, shape)


def any_shape(plain: Schema, listed: Schema, keys: Mapping[str, Key]) -> Schema:
    """A text, a list, or a mapping with these keys; anything else is a mapping that went wrong."""
    shapes: dict[type, str] = {str: _PLAIN, list: _LISTED}
    return _shaped(
        {_PLAIN: plain, _LISTED: listed, _MAPPED: mapping(keys)},
        lambda value: shapes.get(type(value), _MAPPED),
    )


def _shaped(choices: Mapping[str, Schema], shape: Callable[[object], str]) -> Schema:
    return _schema("tagged-union", choices=choices, discriminator=shape)


def mapping(keys: Mapping[str, Key], others: Schema | None = None) -> Schema:
    """A mapping with these keys; with `others` as the form of any others, with those, too."""
    fields = {
        name: _schema(
            "typed-dict-field",
            schema=key.schema,
            required=key.required,
            metadata=_said_to_editors(key),
        )
        for name, key in keys.items()
    }
    # Every mapping says so for itself: a typed dict does not hand down the mode it was asked in.
    config = {"strict": True}
    behavior = "forbid" if others is None else "allow"
    return _schema(
        "typed-dict", fields=fields, extra_behavior=behavior, extras_schema=others, config=config
    )


def _said_to_editors(key: Key) -> dict[str, Any]:
    facts: dict[str, Any] = {"description": key.means}
    if key.default is not None:
        facts["default"] = key.default
    return {"pydantic_js_updates": facts}


def for_editors(title: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    """The JSON Schema of a kind of file, for editors and other programs."""
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - 60 ms, one verb needs it

    body = GenerateJsonSchema().generate(mapping(keys))
    _drop_titles(body)
    # Draft 7 is what editors know best, and nothing newer is used.
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": f"zf {title}"} | body


def _drop_titles(schema: dict[str, Any]) -> None:
    """Remove the titles pydantic makes up from the keys' names; close mappings of open names."""
    for key in schema.get("properties", {}).values():
        key.pop("title", None)
        _drop_titles(key)
    parts = (
        schema.get("items"),
        schema.get("additionalProperties"),
        *schema.get("patternProperties", {}).values(),
        *schema.get("oneOf", ()),
    )
    for inner in parts:
        if inner:
            _drop_titles(inner)
    if "patternProperties" in schema:
        schema["additionalProperties"] = False


# What texts may hold.


def _not_reserved(name: str) -> str:
    if name in RESERVED_ENV:
        raise PydanticCustomError("env_reserved", "reserved")
    return name


def is_condition(text: str, without: Mapping[str, str] = NOTHING) -> str:
    """The text; `without` are functions that have no meaning in it, and what to write instead."""
    from zf.plan.conditions.condition import ConditionError, parse  # noqa: PLC0415 - few tasks have one

    try:
        functions = parse(text).functions
    except ConditionError as error:
        raise _no_condition(str(error), error.at, error.length, error.hint) from None
    for name in functions & without.keys():
        message = f"{name}() says nothing here"
        raise _no_condition(message, text.index(name), len(name), without[name])
    return text


def _no_condition(message: str, at: int, length: int, hint: str | None) -> PydanticCustomError:
    facts = {"message": message, "at": at, "length": length, "hint": hint}
    return PydanticCustomError("condition", "{message}", facts)


def is_step_condition(text: str) -> str:
    """A condition of a step, which can look at the steps before it."""
    return is_condition(text, _NOT_IN_STEPS)


def is_cleanup_condition(text: str) -> str:
    """A condition of a cleanup command, which can look at what the steps came to."""
    return is_condition(text, _NOT_IN_CLEANUP)


_NOT_IN_CLEANUP = {"status": "statuses of needs are for the `condition` of the task"}
_NOT_IN_STEPS = _NOT_IN_CLEANUP | {
    "cancelled": "no step starts once its task is cancelled: write it as a `cleanup` command"
}


# A function is not something an editor can run: the same rule in its language.
_NOT_RESERVED = {"pydantic_js_updates": {"propertyNames": {"not": {"enum": sorted(RESERVED_ENV)}}}}
_ENV_NAME = checked(text(ENV_NAME), _not_reserved)
ENV_GLOBS = list_of(text(ENV_GLOB))


def env_of(values: Schema) -> Schema:
    """Variables with such values."""
    return table(_ENV_NAME, values, _NOT_RESERVED)


ENV = env_of(SCALAR)
