"""The keys of tasks: one row each; those of zf.yaml are in `files/project_keys.py`.

A new key is a row in `TASK` (or `PROJECT`, `PHASE` there; `STEP` in `steps/keys.py`) and a field in
`model`, which has its default; checks, messages, JSON Schema, editors and what a proof records
follow from these.
A new field of a task goes below `line` in `model.Task`: tasks that do not use it keep their digests
(`model.definition_sha256`).
"""

from __future__ import annotations

from collections.abc import Mapping

from zf.model import CANCEL_RUNNING, DEFAULT_PHASE, LOST_CAUSES, QUEUE
from zf.plan.caching.keys import CACHING
from zf.plan.files.patterns import ENV_NAME, ID, INSIDE, METRIC_NAME, NOT_BLANK
from zf.plan.form import (
    BOOL,
    ENV_GLOBS,
    SCALAR,
    STR,
    Key,
    checked,
    either,
    env_of,
    is_condition,
    list_of,
    mapping,
    number,
    one_of,
    one_or_list,
    table,
    text,
    whole,
)
from zf.plan.gates.approval import APPROVING
from zf.plan.gates.keys import GATES
from zf.plan.matrix.keys import AXIS, MATRIX
from zf.plan.outputs.form import FROM, OUTPUTS
from zf.plan.placing.keys import PLACING
from zf.plan.services.keys import SERVICES
from zf.plan.steps.keys import CLEANUP, SHELL, STEP
from zf.plan.walls.keys import WALLS
from zf.plan.walls.limits import LIMITS
from zf.settings import MAX_TAIL_LINES
from zf.typed import MAX_AMOUNT, MAX_SECONDS

MAX_RETRIES = 1000
MAX_PRIORITY = 1_000_000

_AMOUNT = whole(1, MAX_AMOUNT)
_EXIT_CODE = whole(1, 255)
BUDGET = table(text(METRIC_NAME), number(above=0, most=MAX_AMOUNT))

NEED: Mapping[str, Key] = {
    "task": Key(
        STR,
        "The id of the needed task.",
        required=True,
        example="task: 10-build",
    ),
    "optional": Key(
        BOOL,
        "Whether the need is dropped when its task is absent from the run.",
        default=False,
    ),
    "require": Key(
        one_of("success", "done"),
        "What the task must have come to: `success`, or `done` for any end.",
        default="success",
    ),
    "matrix": Key(
        one_of("same"),
        "Of a task with a matrix, need only the instances with the same values.",
    ),
}

CONCURRENCY: Mapping[str, Key] = {
    "group": Key(text(ID), "The group.", required=True, example="group: deploy"),
    "on_newer": Key(
        one_of(QUEUE, CANCEL_RUNNING),
        "What a run does to an older one whose task has the group: waits, or ends that task.",
        default=QUEUE,
    ),
}

EXIT_CODES: Mapping[str, Key] = {
    "exit_codes": Key(
        list_of(_EXIT_CODE, min_length=1),
        "The exit codes of the failures that are meant.",
        required=True,
        example="exit_codes: [42]",
    ),
}

RETRY_WORDS = ("failure", "timeout", "lost", *LOST_CAUSES)

ARTIFACT: Mapping[str, Key] = {
    "path": Key(
        text(INSIDE),
        "A glob of files to copy into the proof, relative to the project root.",
        required=True,
        example="path: report/*.xml",
    ),
    "required": Key(
        BOOL,
        "Whether the task fails when no file could be kept for it.",
        default=False,
    ),
}

REPORTS: Mapping[str, Key] = {
    "junit": Key(
        list_of(text(INSIDE), min_length=1),
        "Globs of JUnit XML files, relative to the project root or to `$ARTIFACTS_DIR`.",
        required=True,
        example="junit: [build/test-results/*.xml]",
    ),
}

TASK: Mapping[str, Key] = {
    "id": Key(
        text(ID),
        "The task's name: letters, digits, `.`, `_`, `-`. Default: what its place calls it, with"
        " which a written one agrees.",
    ),
    "title": Key(text(NOT_BLANK), "One line for people. Default: the id."),
    "phase": Key(
        text(ID),
        "The phase the task belongs to: `zf run E` runs every task with `phase: E`. It may be"
        " left out where no task of the project names one.",
        default=DEFAULT_PHASE,
    ),
    "use": Key(
        one_or_list(text(ID)),
        "Templates of zf.yaml that say what the task does not; of several the last one wins.",
    ),
    "tags": Key(
        list_of(text(ID)),
        "Words by which the task can be found, beside its id and phase.",
    ),
    "needs": Key(
        list_of(either(STR, NEED)),
        "Ids of the tasks that must have succeeded before this one starts.",
        keys=NEED,
    ),
    "matrix": Key(
        mapping(MATRIX, others=AXIS),
        "Axes and their values: the task is run once for each combination.",
        keys=MATRIX,
    ),
    "condition": Key(
        checked(text(NOT_BLANK), is_condition),
        "An expression that decides whether the task runs; when false, the task is skipped.",
    ),
    "parallel_safe": Key(
        BOOL,
        "Whether other tasks may run at the same time. When false, the task runs alone.",
    ),
    "timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds that all steps together may take; cleanup has its own limit.",
    ),
    "silence_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds a step may go without any output before the task ends as `timeout`.",
    ),
    "queue_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds the task may wait for its turn, once nothing else keeps it from starting.",
    ),
    "deadline_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds from the start of the run by which the task must have ended.",
    ),
    "start_after": Key(
        number(least=0, most=MAX_SECONDS),
        "Seconds from the start of the run before which the task does not start.",
    ),
    "allow_failure": Key(
        either(BOOL, EXIT_CODES),
        "Whether a failure, or one with these exit codes, is tolerated: a warning to dependents.",
        keys=EXIT_CODES,
    ),
    "allow_timeout": Key(BOOL, "Whether a timeout is tolerated: a warning, and dependents go on."),
    "max_retries": Key(whole(0, MAX_RETRIES), "How many more times the task may be tried."),
    "retry_delay_sec": Key(
        number(least=0, most=MAX_SECONDS),
        "Seconds before the first retry; doubled each time, shortened by up to a tenth.",
    ),
    "retry_max_delay_sec": Key(
        number(least=0, most=MAX_SECONDS),
        "Seconds that no retry waits longer than.",
    ),
    "retry_on": Key(
        either(list_of(one_of(*RETRY_WORDS), min_length=1), EXIT_CODES),
        "After which ends the task is tried again; or after which exit codes of failures.",
        keys=EXIT_CODES,
    ),
    "resources": Key(
        table(text(ID), _AMOUNT),
        "How much the task takes of what is scarce: `cpu`, `mem_mb`, and names of your own.",
    ),
    "priority": Key(
        whole(-MAX_PRIORITY, MAX_PRIORITY),
        "Tasks with a higher one start first when several could.",
    ),
    "concurrency": Key(
        either(text(ID), CONCURRENCY),
        "A group of tasks of which only one runs at a time, in whatever runs on this machine.",
        keys=CONCURRENCY,
    ),
    "workdir": Key(
        text(INSIDE),
        "Where the steps run, relative to the project root and inside it.",
    ),
    "env": Key(
        env_of(either(SCALAR, FROM)),
        "Environment variables for the steps. `${NAME}` stands for another of them, or for one that"
        " steps see anyway; a `from` for an output of a need.",
        keys=FROM,
    ),
    "pass_env": Key(
        ENV_GLOBS,
        "Variables of zf's own environment that the steps may see: names, or globs like `AWS_*`.",
    ),
    "required_env": Key(
        list_of(text(ENV_NAME)),
        "Variables of zf's own environment that the steps see, and without which no run of the task"
        " begins.",
    ),
    "secrets": Key(
        ENV_GLOBS,
        "Variables whose values are redacted wherever they appear: names or globs.",
    ),
    "allow_secrets_in": Key(
        list_of(text(INSIDE)),
        "Artifacts that may hold what would be redacted in output: names in the proof, or globs.",
    ),
    "shell": Key(
        SHELL,
        "What runs the scripts of the steps and of the cleanup that do not say it themselves.",
        default="bash",
    ),
    "run": Key(
        text(NOT_BLANK),
        "The script of the task's only step: short for `commands: [{run: ...}]`.",
    ),
    **PLACING,
    **CACHING,
    **WALLS,
    **GATES,
    "services": SERVICES,
    **LIMITS,
    **APPROVING,
    "commands": Key(
        list_of(either(text(NOT_BLANK), STEP), min_length=1),
        "The steps, run in order; the first that fails ends the task. A plain text is a step's"
        " script.",
        keys=STEP,
    ),
    "skip_exit_codes": Key(
        list_of(_EXIT_CODE),
        "Exit codes by which a step says that there is nothing to do: the task ends as `skipped`.",
    ),
    "cleanup": Key(
        list_of(either(text(NOT_BLANK), CLEANUP)),
        "Steps that run after the commands, however those ended.",
        keys=CLEANUP,
    ),
    "cleanup_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds the cleanup may take, all its steps together.",
    ),
    "leave_running": Key(
        BOOL,
        "Whether processes that outlive the steps stay until the run ends, not failing the task.",
    ),
    "max_log_bytes": Key(
        whole(1, MAX_AMOUNT),
        "Bytes of each step's output that are kept; the rest is cut, counted and hashed.",
    ),
    "log_tail": Key(
        whole(1, MAX_TAIL_LINES),
        "How many lines of a failed step's log are shown: the assertion of a test, and the end.",
    ),
    "outputs": OUTPUTS,
    "artifacts": Key(
        list_of(either(text(INSIDE), ARTIFACT)),
        "Globs of files to copy into the proof when the task ends, relative to the project root.",
        keys=ARTIFACT,
    ),
    "reports": Key(
        mapping(REPORTS),
        "Artifacts that report on tests: their failed cases are told with the task.",
        keys=REPORTS,
    ),
    "budget": Key(
        BUDGET,
        "How much the task may use of what it measures, over all its attempts: `llm_cost_usd`,"
        " `llm_tokens`, or the name of any metric.",
    ),
    "budget_required": Key(
        BOOL,
        "Whether the task fails when it measures nothing of what its `budget` limits.",
    ),
    "metrics_strict": Key(
        BOOL,
        "Whether the task fails when what it wrote to `$ZF_METRICS` cannot all be read.",
    ),
}
