"""What tasks, phases, runs and outputs may be called, and the variables that no task may set."""

from __future__ import annotations

import re

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
# Of a task that runs: an id, and behind `@` which instance of a matrix it is.
TASK_PATTERN = ID_PATTERN + r"(?:@[A-Za-z0-9_=,.+-]{1,100})?"
_ID = re.compile(ID_PATTERN)
# Of an output of a task: no dot, so that `task.output` can be told apart from its end.
OUTPUT_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
_TASK = re.compile(TASK_PATTERN)
# The phase of a task that names none, in a project whose tasks name none.
DEFAULT_PHASE = "main"
# What zf itself tells every step; a task that set one of these would be overruled in silence.
RESERVED_ENV = frozenset(
    {
        "RUN_ID",
        "TASK_ID",
        "PHASE",
        "TASK_DIR",
        "ZENFLOW_ROOT",
        "PROOF_DIR",
        "ARTIFACTS_DIR",
        "NEEDS_DIR",
        "ZF_RUN_FACTS",
        "ATTEMPT",
        "STEP_INDEX",
        "COMPOSE_PROJECT_NAME",
        "ZF_COOKIE",
        "ZF_METRICS",
        "ZF_OUTPUT",
        "TRACEPARENT",
    }
)


def is_valid_id(text: str) -> bool:
    """Whether text may name a task, a phase or a run (it is used as a folder's name)."""
    return _ID.fullmatch(text) is not None


def is_task_id(text: str) -> bool:
    """Whether a task of a run may be called so: an id, or the name of an instance of a matrix."""
    return _TASK.fullmatch(text) is not None


def base_of(task: str) -> str:
    """The id in the task file: of `test@py=3.11` it is `test`, of others the whole."""
    return task.partition("@")[0]
