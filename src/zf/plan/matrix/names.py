"""What instances of a matrix are called: `test@py=3.11,os=a`. Pure.

A name is a folder on every file system, so it has few characters, is short, and differs from others
in more than case. A value that cannot stand in it as it is gets a form that can: what is left of
its characters, and the beginning of its SHA-256. docs/reference/matrix.md has the rules.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from zf.instances import matrix_variable

# Of what stands behind the `@`: with the longest id a folder's name stays below the 255 bytes that
# file systems have for it.
MAX_TAIL = 100
_MAX_VALUE = 32
_PLAIN = re.compile(rf"[A-Za-z0-9._+-]{{0,{_MAX_VALUE - 1}}}[A-Za-z0-9_+-]")
# A value that looks like a form below could be mistaken for one.
_MARKED = re.compile(r".*-[0-9a-f]{8}")
_KEPT = 20
# Stands for the axes that are left out of a name that would be too long.
REST = "etc"
_REST_DIGITS = 12
# Keys of `matrix:` that are no axes.
OWN_KEYS = ("from", "include", "exclude", "max_parallel", "fail_fast")
# `etc` stands in names for what is left out.
TAKEN = (REST, "from")
AXIS = re.compile("[A-Za-z_][A-Za-z0-9_-]{0,63}")
MAX_VALUE = 1000


def marked(value: str) -> str:
    """The form of a value that cannot stand in a name as it is."""
    kept = re.sub(r"[^A-Za-z0-9._+]+", "-", value)[:_KEPT].strip("-.") or "x"
    return f"{kept}-{sha256(value.encode()).hexdigest()[:8]}"


def forms(values: Iterable[str]) -> dict[str, str]:
    """How each of the values of one axis stands in a name; no two alike where case is ignored."""
    every = set(values)
    plain = {value for value in every if _PLAIN.fullmatch(value) and not _MARKED.fullmatch(value)}
    alike = Counter(value.casefold() for value in plain)
    return {
        value: value if value in plain and alike[value.casefold()] == 1 else marked(value)
        for value in every
    }


def name_of(
    base: str,
    values: Mapping[str, str],
    forms_of: Mapping[str, Mapping[str, str]],
    whole: Mapping[str, str],
) -> str:
    """The name of one instance by the values that tell it apart; `forms_of` are the forms of each
    axis's values, `whole` is all that it has.
    """
    parts = [f"{axis}={forms_of[axis][value]}" for axis, value in values.items()]
    if len(",".join(parts)) <= MAX_TAIL:
        return f"{base}@{','.join(parts)}"
    rest = f"{REST}={digest(whole)}"
    while parts and len(",".join([*parts, rest])) > MAX_TAIL:
        parts.pop()
    return f"{base}@{','.join([*parts, rest])}"


def digest(values: Mapping[str, str]) -> str:
    """What stands for all values of an instance where its name would be too long with them."""
    said = json.dumps(dict(values), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(said.encode()).hexdigest()[:_REST_DIGITS]


def known(values: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, str]:
    """The values of an instance by the variables that tell them."""
    found = {matrix_variable(axis): value for axis, value in values.items()}
    return found | {
        f"{matrix_variable(axis)}_COUNT": str(count)
        for axis, count in counts.items()
        if axis in values
    }


def variables(values: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, str]:
    """The environment variables that tell an instance its values."""
    # What stands for a variable in other values of `env` stands for itself here.
    return {name: value.replace("${", "$${") for name, value in known(values, counts).items()}


def twice(names: Sequence[str]) -> str | None:
    """The first of the names that is another's where case is ignored, if there is one."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return None
