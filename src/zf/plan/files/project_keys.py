"""The keys of zf.yaml, and of the phases and handlers in it: one row each. They are made when there
is such a file: they hold those of tasks twice over, as handlers are tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.files.patterns import ENV_NAME, ID, NOT_BLANK
from zf.plan.form import BOOL, ENV_GLOBS, Key, list_of, mapping, number, one_of, table, text, whole
from zf.plan.gates.approval import OF_APPROVERS
from zf.plan.gates.handlers import HANDLING, NOT_OF_HANDLERS
from zf.plan.inputs.form import OF_A_PHASE, OF_A_PROJECT
from zf.plan.notify.keys import NOTIFY
from zf.plan.placing.keys import EXECUTORS
from zf.plan.schema import BUDGET, TASK
from zf.plan.services.keys import SERVICES
from zf.plan.steps.keys import SHELL
from zf.plan.triggers.keys import TRIGGERS
from zf.plan.walls.keys import WALLS_OF_PROJECT
from zf.settings import DEFAULT_GRACE_S, MAX_JOBS_LIMIT
from zf.typed import MAX_AMOUNT, MAX_SECONDS

MAX_GRACE_S = 3600

HANDLER: Mapping[str, Key] = {
    **HANDLING,
    **{name: key for name, key in TASK.items() if name not in NOT_OF_HANDLERS},
}

PHASE: Mapping[str, Key] = {
    "title": Key(text(NOT_BLANK), "One line for people."),
    "timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds the whole phase may take. A flag or variable wins over this.",
    ),
    "budget": Key(BUDGET, "How much the tasks of the phase may use together, by metric."),
    "needs": Key(list_of(text(ID)), "The phases that have to be run before it.", default=[]),
    "max_jobs": Key(whole(1, MAX_JOBS_LIMIT), "How many of its tasks may run at the same time."),
    "protected": Key(
        BOOL, "Whether nothing that is queued later ends a run of the phase.", default=False
    ),
    "inputs": OF_A_PHASE,
    "on_end": Key(
        list_of(mapping(HANDLER)),
        "Tasks that run when the last task of the phase has ended, one after the other.",
        keys=HANDLER,
    ),
    "services": SERVICES,
}

THROTTLE: Mapping[str, Key] = {
    "cpu_percent": Key(
        number(above=0, most=100),
        "Above this load of the processors no new task starts.",
    ),
    "min_free_mem": Key(
        number(least=0, most=MAX_AMOUNT),
        "With less free memory than this, in MB, no new task starts.",
    ),
}

PROJECT: Mapping[str, Key] = {
    "pass_env": Key(
        ENV_GLOBS,
        "Variables of zf's own environment that every task's steps may see: names or globs.",
        default=[],
    ),
    "required_env": Key(
        list_of(text(ENV_NAME)),
        "Variables of zf's own environment that every task's steps see, and without which no run"
        " begins.",
        default=[],
    ),
    "secrets": Key(
        ENV_GLOBS,
        "Variables whose values are redacted wherever they appear: names or globs.",
        default=[],
    ),
    "secrets_in_artifacts": Key(
        one_of("fail", "warn"),
        "Whether an artifact that is left out, as it holds a secret, fails its task.",
        default="fail",
    ),
    "shell": Key(
        SHELL,
        "What runs the scripts of the steps of every task that does not say it itself.",
        default="bash",
    ),
    "max_jobs": Key(
        whole(1, MAX_JOBS_LIMIT),
        "How many tasks may run at the same time. A flag or variable wins over this.",
    ),
    "grace_sec": Key(
        number(least=0, most=MAX_GRACE_S),
        "Seconds between the polite signal that ends a task (TERM) and the final one (KILL).",
        default=DEFAULT_GRACE_S,
    ),
    "budget": Key(
        BUDGET,
        "How much the tasks of a run may use together, by metric.",
        default={},
    ),
    "sign": Key(
        BOOL,
        "Whether every run is signed when it is over. A flag wins over this.",
        default=False,
    ),
    **WALLS_OF_PROJECT,
    "cached": Key(
        BOOL,
        "Whether results of earlier runs count for tasks that say `cache`. A flag or variable wins"
        " over this.",
        default=False,
    ),
    "resources": Key(
        table(text(ID), whole(0, MAX_AMOUNT)),
        "How much there is of what tasks ask for. Default: the machine's own `cpu` and `mem_mb`.",
        default={},
    ),
    "throttle": Key(
        mapping(THROTTLE),
        "How busy the machine may be: beyond it no new task starts while others run.",
        keys=THROTTLE,
    ),
    **OF_APPROVERS,
    "executors": EXECUTORS,
    "inputs": OF_A_PROJECT,
    "on_end": Key(
        list_of(mapping(HANDLER)),
        "Tasks that run when the last task of the run has ended, one after the other.",
        keys=HANDLER,
    ),
    "phases": Key(
        table(text(ID), mapping(PHASE)),
        "Titles, limits and needs of phases, by name.",
        default={},
        keys=PHASE,
    ),
    **TRIGGERS,
    **NOTIFY,
}
