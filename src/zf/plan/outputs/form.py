"""The keys of a task file about outputs: what a task hands on, and what it takes of its needs."""

from __future__ import annotations

from collections.abc import Mapping

from zf.model import OUTPUT_PATTERN, TASK_PATTERN
from zf.plan.form import Key, list_of, text

OUTPUT = f"^{OUTPUT_PATTERN}$"
# The task may have dots, the output has none.
OUTPUT_OF = f"^{TASK_PATTERN}\\.{OUTPUT_PATTERN}$"

OUTPUTS = Key(
    list_of(text(OUTPUT)),
    "Names of what the steps write to `$ZF_OUTPUT` for the tasks that need this one; one that is"
    " not written fails the task.",
)

FROM: Mapping[str, Key] = {
    "from": Key(
        text(OUTPUT_OF),
        "The output of a need that the variable holds: the task and the output, with a dot.",
        required=True,
        example="from: build.version",
    ),
}
