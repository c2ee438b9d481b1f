"""What holds for all of a file that is imported: how long its tasks may take, and which variables
of the outside they see.
"""

from __future__ import annotations

import re

from zf.adopt.importers.model import Import, Job
from zf.adopt.importers.names import is_variable
from zf.adopt.importers.writer import DEFAULT_TIMEOUT_S
from zf.model import RESERVED_ENV
from zf.variables import is_allowed

_LOOKED_AT = re.compile(r"\$\{?([A-Z][A-Z0-9_]+)\b")
_SET = re.compile(
    r"\b([A-Z][A-Z0-9_]+)\+?=|\b(?:read|for|local|export|declare)\s+(?:-\S+\s+)*([A-Z][A-Z0-9_]+)"
)
# What bash itself has.
_OF_SHELLS = {
    "BASHPID",
    "BASH_SOURCE",
    "BASH_VERSION",
    "EUID",
    "FUNCNAME",
    "HOSTNAME",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OSTYPE",
    "PIPESTATUS",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHLVL",
    "UID",
}


def usual(source: Import) -> None:
    """Say what is usual there and not here: no limit of time, and all variables of the outside."""
    if "timeout_sec" not in source.defaults:
        source.defaults["timeout_sec"] = DEFAULT_TIMEOUT_S
        what = f"a task ends after {DEFAULT_TIMEOUT_S} seconds: `timeout_sec` says otherwise"
        source.changed("no limit of time", what, job=None)
    if not source.inherits:
        return
    names = sorted({name for job in source.jobs for name in _outside(source, job)})
    listed = list(dict.fromkeys([*source.project.get("pass_env", ()), *names]))
    if listed:
        source.project["pass_env"] = listed
        for job in source.jobs:
            if job.keys.get("cache") is True:  # else no result of it would ever count
                job.keys["cache"] = {"env": listed}
    what = "steps see a short list of variables, and what `pass_env` names"
    source.changed("the whole environment", what, job=None)


def _outside(source: Import, job: Job) -> set[str]:
    """Variables that a task's scripts look at, and that nothing here sets."""
    scripts = "\n".join(step.run for step in (*job.steps, *job.cleanup))
    own = {*job.keys.get("env", {}), *source.defaults.get("env", {})}
    own |= {name for step in job.steps for name in step.keys.get("env", {})}
    own |= {one or other for one, other in _SET.findall(scripts)}
    inputs = {
        name for name in _LOOKED_AT.findall(scripts) if name.startswith(("INPUT_", "MATRIX_"))
    }
    return {
        name
        for name in _LOOKED_AT.findall(scripts)
        if is_variable(name)
        and not is_allowed(name)
        and name not in own | inputs | _OF_SHELLS | RESERVED_ENV
    }
