"""The keys of an entry of `inputs:` in zf.yaml, one row each."""

from __future__ import annotations

from collections.abc import Mapping

from zf.inputs import TYPES
from zf.plan.files.patterns import NOT_BLANK
from zf.plan.form import (
    BOOL,
    STR,
    WRITTEN,
    Key,
    either,
    list_of,
    number,
    one_of,
    table,
    text,
)
from zf.typed import MAX_AMOUNT

# Spelt unlike the pattern of outputs' names, as messages go by it.
INPUT_NAME = "^[A-Za-z_][0-9A-Za-z_-]{0,63}$"

INPUT: Mapping[str, Key] = {
    "type": Key(
        one_of(*TYPES),
        "What it may be. Default: a choice where there are `options`, else what the default is, or"
        " a string.",
    ),
    "options": Key(
        list_of(STR, min_length=1),
        "What there is to choose from; of a list, what each of its entries may be.",
    ),
    "default": Key(
        WRITTEN,
        "Its value where none is given, taken as it is written. Without one it is empty.",
    ),
    "pattern": Key(
        text(NOT_BLANK),
        "A regular expression that the whole of a text is like; of a list, each of its entries.",
    ),
    "min": Key(
        number(least=-MAX_AMOUNT, most=MAX_AMOUNT),
        "The least that a number may be.",
    ),
    "max": Key(
        number(least=-MAX_AMOUNT, most=MAX_AMOUNT),
        "The most that a number may be.",
    ),
    "required": Key(
        BOOL,
        "Whether nothing runs unless it is given, and not empty.",
        default=False,
    ),
    "secret": Key(
        BOOL,
        "Whether its value is hidden everywhere; the proof has a salted digest of it. Default:"
        " whether it is a string that is called like a secret.",
    ),
    "description": Key(text(NOT_BLANK), "One line for people."),
}
# By name: the keys, or only a default.
INPUTS = table(text(INPUT_NAME), either(WRITTEN, INPUT))
OF_A_PROJECT = Key(
    INPUTS,
    "What can be given to a run, by name; steps have it as a variable.",
    default={},
    keys=INPUT,
)
OF_A_PHASE = Key(
    INPUTS,
    "What can be given to a run of the phase, by name; only its tasks know of it.",
    default={},
    keys=INPUT,
)
