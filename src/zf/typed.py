"""What was typed for an option, or is in a variable -> its value, or what it must be.

Each takes the text, or the words where there may be several, and the flag or variable that has it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Literal

from zf.errors import ZfError

SHIELD_MODES = AUTO, ALWAYS, NEVER = "auto", "always", "never"
# More of anything than there can be, and exact in every reader of JSON.
MAX_AMOUNT = 2**53 - 1
# Ten years: longer is a typing error, and still far from overflowing any clock.
MAX_SECONDS = 315_360_000


def fails_fast(text: str, _source: str) -> bool | Literal["now"]:
    return "now" if text == "now" else text == "on"


def shield(text: str, source: str) -> str:
    if text in SHIELD_MODES:
        return text
    raise _bad(source, text, "auto, always or never")


def engine(text: str, source: str) -> str:
    if engine_words(text):
        return text
    raise _bad(source, text, "podman, docker, or a command line that begins with one of them")


def engine_words(text: str) -> list[str]:
    """The command line that a container engine is; empty where the text is none, and for `auto`
    that word alone.
    """
    from shlex import split  # noqa: PLC0415 - 2 ms, and hardly ever needed

    try:
        words = split(text)
    except ValueError:
        return []
    name = words[0].rpartition("/")[2] if words else ""
    is_known = words == [AUTO] or any(one in name for one in ("podman", "docker"))
    return words if is_known else []


def up_to(most: int) -> Callable[[str, str], int]:
    def whole(text: str, source: str) -> int:
        # int() alone would take "4_0", " 4" and Arabic digits, which are mistakes.
        if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most:
            return int(text)
        raise _bad(source, text, f"a whole number from 1 to {most}")

    return whole


def seconds(text: str, source: str) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if 0 <= value <= MAX_SECONDS:
        return value
    raise _bad(source, text, "a number of seconds, such as 90 or 0.5")


def positive_seconds(text: str, source: str) -> float:
    value = seconds(text, source)
    if value > 0:
        return value
    raise _bad(source, text, "a number of seconds above 0")


def amounts(typed: Sequence[str], source: str) -> dict[str, int]:
    found = {}
    for text in typed:
        name, _, amount = text.partition("=")
        if not name or not (amount.isascii() and amount.isdigit()):
            raise _bad(source, text, "NAME=N, such as db=1")
        if len(amount) > len(str(MAX_AMOUNT)) or int(amount) > MAX_AMOUNT:
            raise _bad(source, text, f"NAME=N with an N of {MAX_AMOUNT} at most")
        found[name] = int(amount)
    return found


def named_values(typed: Sequence[str], source: str) -> tuple[str, ...]:
    """The words as they are: values are not for messages, as one may be secret."""
    if all("=" in text and text[0] != "=" for text in typed):
        return tuple(typed)
    raise ZfError(f"{source} wants NAME=VALUE, such as env=prod", code="ZF110")


def words(typed: Sequence[str], _source: str) -> tuple[str, ...]:
    return tuple(typed)


def axes(typed: Sequence[str], source: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in typed:
        axis, equals, value = text.partition("=")
        if not axis or not equals:
            raise _bad(source, text, "AXIS=VALUE, such as py=3.12")
        found[axis] = tuple(dict.fromkeys((*found.get(axis, ()), value)))
    return found


def refuse_dash(text: str | None, source: str) -> None:
    """Raises ZfError for `-`, which is never meant as the name of a file."""
    if text == "-":
        raise _bad(source, text, "the name of a file, such as ./- or /dev/stdout")


def file_named(text: str, source: str) -> str:
    """The file's whole path, from where it was typed: zf may go elsewhere."""
    refuse_dash(text, source)
    if text and not os.path.isdir(text):
        return os.path.abspath(text)
    raise _bad(source, text, "the name of a file")


def collector(text: str, source: str) -> str:
    """The URL of a collector, or `env`, which stands for the one that the environment names."""
    if text == "env" or text.startswith(("http://", "https://")):
        return text
    raise _bad(source, text, "a URL, such as http://localhost:4318")


def _bad(source: str, text: str, wanted: str) -> ZfError:
    return ZfError(f"{source} is {text!r}, but must be {wanted}", code="ZF110")
