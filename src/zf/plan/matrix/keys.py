"""The keys of a matrix in a task file: one row each."""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.form import BOOL, SCALAR, STR, Key, either_of, list_of, table, text, whole
from zf.plan.outputs.form import OUTPUT_OF
from zf.settings import MAX_INSTANCES
from zf.typed import MAX_AMOUNT

COUNTED: Mapping[str, Key] = {
    "count": Key(
        whole(1, MAX_INSTANCES),
        "How many there are: the values are 1, 2, ... up to this.",
        required=True,
        example="count: 3",
    ),
}

TAKEN: Mapping[str, Key] = {
    "from": Key(
        text(OUTPUT_OF),
        "The output of a need that lists the values, as JSON: the task and the output, with a dot.",
        required=True,
        example="from: plan.list",
    ),
}

AXIS = either_of(list_of(SCALAR, min_length=1), "from", TAKEN, COUNTED)
_LISTED = list_of(table(STR, SCALAR), min_length=1)
MATRIX: Mapping[str, Key] = {
    "from": Key(
        text(OUTPUT_OF),
        "The output of a need that says which instances there are, as JSON: a list of values, a"
        " list of mappings as in `include`, or a whole matrix. In place of axes.",
    ),
    "include": Key(
        _LISTED,
        "Instances to add, or values to add to those that agree with the rest of the entry.",
    ),
    "exclude": Key(_LISTED, "Instances to leave out: all that have these values."),
    "max_parallel": Key(
        whole(1, MAX_AMOUNT),
        "How many instances run at the same time. Default: as many as there are slots.",
    ),
    "fail_fast": Key(
        BOOL,
        "Whether an instance that fails ends the others, and keeps the rest from starting.",
        default=False,
    ),
}
