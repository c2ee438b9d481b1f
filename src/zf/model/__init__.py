"""What the user wrote, after it was checked: tasks, steps, phases and the project, all frozen.

`plan/load.py` is the door that reads YAML and lets only valid values in; behind it nothing checks
them again. Plain records, so that a worker or a replayed plan needs no pydantic.
"""

from zf.model.executors import LOCAL, LOST_CAUSES, PLACEHOLDERS, POOL, POOL_NAME, Executor, fitting
from zf.model.names import (
    DEFAULT_PHASE,
    ID_PATTERN,
    OUTPUT_PATTERN,
    RESERVED_ENV,
    TASK_PATTERN,
    base_of,
    is_task_id,
    is_valid_id,
)
from zf.model.project import Asked, Flow, Loaded, Phase, Project, declares_inputs
from zf.model.recorded import (
    LATER,
    STEP_FIELDS,
    TASK_KEYS,
    definition_sha256,
    recalled,
    recorded,
    recorded_step,
    script_sha256,
)
from zf.model.service import Service
from zf.model.task import (
    CANCEL_RUNNING,
    DEFAULT_MAX_LOG_BYTES,
    LIMITS,
    NOTHING,
    QUEUE,
    REPLACE_QUEUED,
    Need,
    Step,
    Task,
    is_conditional,
    is_limited,
)

__all__ = [
    "CANCEL_RUNNING",
    "DEFAULT_MAX_LOG_BYTES",
    "DEFAULT_PHASE",
    "ID_PATTERN",
    "LATER",
    "LIMITS",
    "LOCAL",
    "LOST_CAUSES",
    "NOTHING",
    "OUTPUT_PATTERN",
    "PLACEHOLDERS",
    "POOL",
    "POOL_NAME",
    "QUEUE",
    "REPLACE_QUEUED",
    "RESERVED_ENV",
    "STEP_FIELDS",
    "TASK_KEYS",
    "TASK_PATTERN",
    "Asked",
    "Executor",
    "Flow",
    "Loaded",
    "Need",
    "Phase",
    "Project",
    "Service",
    "Step",
    "Task",
    "base_of",
    "declares_inputs",
    "definition_sha256",
    "fitting",
    "is_conditional",
    "is_limited",
    "is_task_id",
    "is_valid_id",
    "recalled",
    "recorded",
    "recorded_step",
    "script_sha256",
]
