"""Declared inputs and what was given for them -> their values, or every problem at once. Pure.

One check for the command line, files, variables, defaults and values that a proof kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from zf.errors import Problem
from zf.inputs import SOURCES, Given, Input, Value, entries, text_of
from zf.lean.records import Struct, replace
from zf.plan.suggest import nearest

# What Linux takes for one variable is twice as much; and for all of them, and the arguments, four
# times.
MAX_BYTES, MAX_TOTAL_BYTES = 64 * 1024, 512 * 1024
# Larger whole numbers are not exact in every reader of JSON.
MAX_NUMBER = 2**53 - 1

_INT = re.compile(r"-?[0-9]{1,16}")
_NUMBER = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,16})?")
# What cannot be given to a program: NUL, and bytes that are no UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_YES, _NO = frozenset({"yes", "on", "y", "1"}), frozenset({"no", "off", "n", "0"})
_SHOWN_CHARS = 60


class InputError(ValueError):
    """Why a text is no value of an input."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


class Declared(Struct, frozen=True):
    """An input of a run, and the phases whose tasks know of it; none are all."""

    input: Input
    phases: tuple[str, ...] = ()


class Said(Struct, frozen=True):
    """What was given for an input. `place` is how messages begin that are about it: a flag, a
    variable, a name in a file; `at` is where in a file, and a problem to be filled in.
    """

    name: str
    written: str | tuple[str, ...]
    source: str
    place: str
    at: Problem = Problem("", "")

    def problem(self, code: str, reason: str, hint: str | None = None) -> Problem:
        return replace(self.at, code=code, message=f"{self.place}: {reason}", hint=hint)


class Checked(Struct, frozen=True):
    """The values of all declared inputs that have one, and what is wrong: warnings, too."""

    values: Mapping[str, Given]
    problems: Sequence[Problem]


def check(
    declared: Mapping[str, Declared],
    said: Sequence[Said],
    elsewhere: Mapping[str, Collection[str]] | None = None,
) -> Checked:
    """The value of every input, by the best source that has one.

    `elsewhere` are inputs of phases that are not run, each with those: a flag for one is an error,
    while a file or a variable may be meant for other runs, too.
    """
    problems: list[Problem] = []
    by_name: dict[str, dict[str, list[Said]]] = {}
    for one in said:
        if one.name in declared:
            by_name.setdefault(one.name, {}).setdefault(one.source, []).append(one)
        elif (found := _unknown(one, declared, elsewhere or {})) is not None:
            problems.append(found)
    values: dict[str, Given] = {}
    for name, wanted in declared.items():
        given = _value(name, wanted, by_name.get(name, {}), problems)
        if given is not None:
            values[name] = given
    total = sum(len(_bytes(given.value)) for given in values.values())
    if total > MAX_TOTAL_BYTES:
        reason = f"the inputs together are longer than {MAX_TOTAL_BYTES} bytes"
        problems.append(Problem("ZF271", reason, hint="give the path of a file instead"))
    return Checked(values, problems)


def _unknown(
    one: Said, declared: Collection[str], elsewhere: Mapping[str, Collection[str]]
) -> Problem | None:
    if one.name in elsewhere:
        if one.source != "flag":
            return None
        phases = " and ".join(elsewhere[one.name])
        return one.problem("ZF270", f"this is an input of phase {phases}, which is not run")
    guess = nearest(one.name, {*declared, *elsewhere})
    hint = f"did you mean '{guess}'?" if guess else None
    if hint is None:
        names = ", ".join(sorted(declared))
        hint = f"declared: {names}" if names else "declare it in zf.yaml, under `inputs`"
    found = one.problem("ZF270", "there is no such input", hint)
    return replace(found, severity="warning") if one.source == "variable" else found


def _value(
    name: str, declared: Declared, said: Mapping[str, Sequence[Said]], problems: list[Problem]
) -> Given | None:
    """The value, if there is a good one; what was given is checked even where another comes
    first.
    """
    best: Given | None = None
    for source in SOURCES:
        given = said.get(source, ())
        if not given:
            continue
        try:
            value = value_of(declared.input, _together(declared.input, given))
        except InputError as error:
            problems.append(given[-1].problem("ZF271", str(error), error.hint))
            best = best or Given("", source)
            continue
        best = best or _given(value, source, declared)
    if best is not None:
        return best
    one = declared.input
    if one.required:
        problems.append(_missing(name, one))
        return None
    value = one.empty if one.default is None else one.default
    return _given(value, "default", declared)


def _given(value: Value, source: str, declared: Declared) -> Given:
    one = declared.input
    hidden = one.secret is True and value != ""
    return Given(value, source, declared.phases, hidden, may_be_shown=one.may_be_shown)


def _together(declared: Input, given: Sequence[Said]) -> str | tuple[str, ...]:
    """What a source says altogether: only a list may be given in parts."""
    if len(given) == 1:
        return given[0].written
    if declared.type != "list":
        raise InputError("it is given more than once", "give it once")
    found: list[str] = []
    for one in given:
        found += _entries(one.written)
    return tuple(found)


def _missing(name: str, declared: Input) -> Problem:
    what = f": {declared.description}" if declared.description else ""
    variable = f"ZF_INPUT_{name.upper().replace('-', '_')}"
    flag = f"-i {name}={declared.options[0] if declared.options else '...'}"
    if declared.secret:
        hint = f"set {variable}, which no list of processes shows, or give {flag}"
    else:
        hint = f"give {flag}, or set {variable}"
    return Problem("ZF272", f"input '{name}' is required{what}", hint=hint)


# One value.


def value_of(declared: Input, written: str | tuple[str, ...]) -> Value:
    """The value that a text is, or that the entries of a list are. Raises InputError."""
    if declared.type == "list":
        listed = _entries(written)
        for entry in listed:
            _check_entry(declared, entry)
        value: Value = listed
    elif isinstance(written, tuple):
        raise InputError("is a list, but must be one value")
    else:
        value = _READ[declared.type](declared, written)
    if len(_bytes(value)) > MAX_BYTES:
        raise InputError(f"is longer than {MAX_BYTES} bytes", "give the path of a file instead")
    if declared.required and value in ("", ()):
        raise InputError("is required, and must not be empty")
    return value


def _entries(written: str | tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(written, tuple):
        return written
    try:
        return tuple(entries(written))
    except (ValueError, RecursionError):
        hint = """write a,b or '["a", "b"]'"""
        raise InputError("begins like a list in JSON, and is none of texts", hint) from None


def _check_entry(declared: Input, entry: str) -> None:
    if not entry:
        raise InputError("has an empty entry", "an entry that is empty could not be seen by steps")
    if "\n" in entry:
        raise InputError("has an entry of several lines", "steps get one entry a line")
    _choice(declared, entry) if declared.options else _string(declared, entry)


def _string(declared: Input, text: str) -> str:
    if found := _NO_TEXT.search(text):
        what = "NUL" if found[0] == "\0" else "bytes that are no UTF-8"
        raise InputError(f"holds {what}, which is no text for a program")
    if declared.pattern and (text or declared.required or declared.type == "list"):
        _match(declared, text)
    return text


def _match(declared: Input, text: str) -> None:
    from zf.plan.conditions.pattern import MAX_TEXT, compiled  # noqa: PLC0415 - few have a pattern

    if len(text) > MAX_TEXT:
        raise InputError(f"is longer than the {MAX_TEXT} characters that a pattern looks at")
    if not compiled(whole(declared.pattern)).search(text):
        raise InputError(f"{_quoted(declared, text)} is not of the form {declared.pattern}")


def whole(pattern: str) -> str:
    """The pattern of whole texts that are like this one."""
    return f"^(?:{pattern})$"


def _choice(declared: Input, text: str) -> str:
    if text not in declared.options:
        guess = nearest(text, declared.options)
        reason = f"{_quoted(declared, text)} is none of {', '.join(declared.options)}"
        raise InputError(reason, f"did you mean '{guess}'?" if guess else None)
    return text


def _bool(declared: Input, text: str) -> bool:
    lower = text.lower()
    if lower in {"true", "false"}:
        return lower == "true"
    meant = "true" if lower in _YES else "false" if lower in _NO else None
    hint = f"write {meant}" if meant else None
    raise InputError(f"{_quoted(declared, text)} is neither true nor false", hint)


def _int(declared: Input, text: str) -> int:
    if not _INT.fullmatch(text) or abs(int(text)) > MAX_NUMBER:
        reason = f"{_quoted(declared, text)} is not a whole number"
        raise InputError(reason, "write it in plain digits, such as 8080")
    return int(_within(declared, int(text)))


def _number(declared: Input, text: str) -> float:
    if not _NUMBER.fullmatch(text) or abs(float(text)) > MAX_NUMBER:
        raise InputError(f"{_quoted(declared, text)} is not a number", "write it like 8 or 0.25")
    value = float(text)
    return _within(declared, int(value) if value == int(value) else value)


def _within(declared: Input, value: float) -> float:
    if declared.least is not None and value < declared.least:
        raise InputError(f"{value} is less than {declared.least:.15g}")
    if declared.most is not None and value > declared.most:
        raise InputError(f"{value} is more than {declared.most:.15g}")
    return value


_READ: Mapping[str, Callable[[Input, str], Value]] = {
    "string": _string,
    "choice": _choice,
    "bool": _bool,
    "int": _int,
    "number": _number,
}


def _quoted(declared: Input, text: str) -> str:
    """The text for a message, which no secret stands in."""
    if declared.secret:
        return "the value"
    return f"'{text}'" if len(text) <= _SHOWN_CHARS else f"'{text[:_SHOWN_CHARS]}...'"


def _bytes(value: Value) -> bytes:
    return text_of(value).encode(errors="replace")
