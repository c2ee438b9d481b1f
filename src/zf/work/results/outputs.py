"""What a task hands on: the file that `$ZF_OUTPUT` names, read after its steps.

The form is that of `$GITHUB_OUTPUT`: `name=value`, or `name<<DELIMITER`, the lines of the value and
DELIMITER alone on a line. The last value of a name counts. What cannot be told for sure, such as a
value that is cut short, is no output: nothing in here guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from zf.errors import printable
from zf.lean.records import Struct
from zf.model import OUTPUT_PATTERN
from zf.proof.tree.contents import MAX_HANDED_BYTES, MAX_OUTPUT_BYTES
from zf.redact.secret_forms import SECRET_NAME_GLOBS, is_secret_name
from zf.redact.stream import STARS
from zf.work.results.channel import contents

_NAME = re.compile(OUTPUT_PATTERN.encode())
_SAID = "what was written to $ZF_OUTPUT"
_BOM = b"\xef\xbb\xbf"
_QUOTED = 60
_MOST_NOTES = 10


class Handed(Struct, frozen=True):
    """What a task hands on: the `values` of its declared outputs, without secrets; `problem` says
    which are lacking and why, `notes` what else is wrong.
    """

    values: Mapping[str, str]
    problem: str
    notes: list[str]


class Parsed(Struct, frozen=True):
    """The last value of each name, and what is wrong with lines, each with its number."""

    values: Mapping[str, bytes]
    bad: list[str]


def parse(data: bytes) -> Parsed:
    """Read the whole text of a file."""
    values: dict[str, bytes] = {}
    bad: list[str] = []
    lines = data.removeprefix(_BOM).split(b"\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if not line.strip():
            continue
        name, _, value = line.partition(b"=")
        heading, opens, delimiter = line.partition(b"<<")
        is_block = bool(opens) and len(heading) < len(name)
        if is_block:
            name = heading
        elif name == line:
            bad.append(f"line {number} is neither name=value nor name<<DELIMITER: {_quoted(line)}")
            continue
        end = number
        if is_block:
            end = _end_of(lines, number, delimiter)
            if not delimiter or end == len(lines):
                what = f"{_quoted(delimiter)} on a line of its own" if delimiter else "delimiter"
                bad.append(f"line {number} begins a value that never ends: no {what}")
                break
            value = b"\n".join(lines[number:end])
            end += 1
        if _NAME.fullmatch(name):
            values[name.decode()] = value
        else:
            bad.append(f"line {number} has a name that no output has: {_quoted(name)}")
        number = end
    return Parsed(values, bad)


def _end_of(lines: list[bytes], start: int, delimiter: bytes) -> int:
    """Which line is the delimiter; the number of lines where none is."""
    try:
        return lines.index(delimiter, start)
    except ValueError:
        return len(lines)


def _quoted(data: bytes) -> str:
    text = data[: _QUOTED + 1].decode("utf-8", "backslashreplace")
    return repr(text if len(data) <= _QUOTED else f"{text[:_QUOTED]}...")


def read_handed(
    path: str,
    declared: Collection[str],
    hide: Callable[[str], str],
    secret_names: Collection[str] = (),
) -> Handed:
    """What the steps wrote to this file, of which the task declares these names.

    `hide` takes secrets out of a text. An output whose name says that it is one (`secret_names` are
    globs, too) is redacted whole: what is handed on stands in the proof.
    """
    try:
        data = contents(path, MAX_HANDED_BYTES)
    except FileNotFoundError:
        return _handed({}, {}, declared, [])
    except OSError as error:
        return _handed({}, {}, declared, [f"{_SAID} cannot be read: {error.strerror}"])
    if len(data) > MAX_HANDED_BYTES:
        most = f"more than {MAX_HANDED_BYTES // 1024} KiB, of which nothing is kept"
        return _handed({}, {}, declared, [f"{_SAID} is {most}"])
    parsed = parse(data)
    notes = [hide(f"{_SAID}: {one}") for one in parsed.bad[:_MOST_NOTES]]
    values: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for name, value in parsed.values.items():
        if name not in declared:
            told = printable(hide(name))
            notes.append(f"output '{told}' is not kept: the task does not declare it in `outputs`")
        elif why := _unusable(value):
            wrong[name] = why
        else:
            plain = value.decode()
            is_secret = is_secret_name(name, (*secret_names, *SECRET_NAME_GLOBS))
            values[name] = STARS.decode() if is_secret and plain else hide(plain)
            if values[name] != plain:
                notes.append(f"output '{name}' holds a secret: it is handed on redacted")
    return _handed(values, wrong, declared, notes)


def _unusable(value: bytes) -> str:
    """Why a value cannot be handed on, as a variable has to hold it; nothing when it can."""
    if len(value) > MAX_OUTPUT_BYTES:
        return f"is larger than {MAX_OUTPUT_BYTES // 1024} KiB"
    if b"\0" in value:
        return "has a NUL character, which no variable can hold"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    return ""


def _handed(
    values: Mapping[str, str],
    wrong: Mapping[str, str],
    declared: Collection[str],
    notes: list[str],
) -> Handed:
    lacking = [
        f"output '{name}' {wrong.get(name, 'was not written to $ZF_OUTPUT')}"
        for name in dict.fromkeys(declared)
        if name not in values
    ]
    problem = "; ".join(lacking)
    if problem and notes:
        problem = f"{problem} ({notes[0]})"
    if len(notes) > _MOST_NOTES:
        more = len(notes) - _MOST_NOTES
        notes[_MOST_NOTES:] = [f"and {more} more notes on outputs"]
    return Handed({name: values[name] for name in sorted(values)}, problem, notes)
