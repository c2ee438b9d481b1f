"""What texts of the two files may hold: patterns, conditions, names and values of variables."""

from __future__ import annotations

from collections.abc import Mapping

from zf.lean.validators import PydanticCustomError
from zf.model import ID_PATTERN, NOTHING, RESERVED_ENV
from zf.plan.form import SCALAR, checked, list_of, table, text

# Patterns are ECMAScript's and Rust's common ground: editors check them too.
ID = f"^{ID_PATTERN}$"
NOT_BLANK = r"\S"
ENV_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
ENV_GLOB = r"^[A-Za-z0-9_*?\[\]!-]+$"
# One part of a path: anything but `..`; the first part is not empty, so the path is relative.
_PART = r"(?:\.|[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)"
INSIDE = f"^{_PART}(?:/{_PART}?)*$"
METRIC_NAME = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"


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
ENV = table(_ENV_NAME, SCALAR, _NOT_RESERVED)
