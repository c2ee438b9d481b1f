"""The keys of a step, and of a cleanup command: one row each."""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.files.patterns import INSIDE, NOT_BLANK
from zf.plan.form import (
    BOOL,
    ENV,
    Key,
    checked,
    is_cleanup_condition,
    is_step_condition,
    list_of,
    number,
    one_of,
    text,
    word_or_list,
)
from zf.typed import MAX_SECONDS

# What `shell: WORD` stands for, as the beginning of a command line; empty for bash as zf calls it.
SHELLS: Mapping[str, tuple[str, ...]] = {
    "bash": (),
    "sh": ("sh", "-e"),
    # Unbuffered, so that its output comes in order and when it is printed.
    "python": ("python3", "-u"),
}
SHELL = word_or_list(one_of(*SHELLS), list_of(text(NOT_BLANK), min_length=1))

STEP: Mapping[str, Key] = {
    "name": Key(
        text(NOT_BLANK),
        "What the step is called in output and proofs. Default: `step-` and its number, from 0.",
    ),
    "run": Key(
        text(NOT_BLANK),
        "The step's script: for `bash --noprofile --norc -eo pipefail`, or for its `shell`.",
        required=True,
        example="run: make test",
    ),
    "shell": Key(
        SHELL,
        "What runs the script: `bash`, `sh`, `python`, or a command line such as `[node]`.",
    ),
    "env": Key(
        ENV,
        "Environment variables for this step alone, as in the task's `env`, over which they win.",
    ),
    "workdir": Key(
        text(INSIDE),
        "Where the step runs, relative to the project root. Default: as the task's other steps.",
    ),
    "timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds the step may take, within the time of the task; then the task is a `timeout`.",
    ),
    "if": Key(
        checked(text(NOT_BLANK), is_step_condition),
        "A condition without which the step is skipped; `failure()` and `always()` look at the"
        " steps before it.",
    ),
    "continue_on_error": Key(
        BOOL,
        "Whether the task goes on as if nothing were wrong when the step fails or takes too long.",
        default=False,
    ),
}

CLEANUP: Mapping[str, Key] = {
    **STEP,
    "if": Key(
        checked(text(NOT_BLANK), is_cleanup_condition),
        "A condition without which the command is skipped; `success()`, `failure()` and"
        " `cancelled()` look at what the steps came to.",
    ),
}
