"""The command of an executor: what it is for a task, and what its end tells of an attempt that has
none of its own.

Only an agent says how an attempt ended. That its command ended first starts a suspicion, and the
words that ssh, srun, kubectl and the like print when they give up name the cause.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zf.errors import printable
from zf.events import Cause
from zf.lean import lazy
from zf.model import Executor, Task

_DEFAULT_MEMORY_MB = 1024
# What ssh exits with when it could not connect, or lost the connection.
_SSH_FAILED = 255
_TOLD_CHARS = 300
# In this order: a job that was ended for its time is told to be cancelled, too.
_SIGNS: Sequence[tuple[Cause, re.Pattern[str]]] = (
    (Cause.PREEMPTED, lazy.pattern(r"(?i)preempt")),
    (Cause.WALLTIME, lazy.pattern(r"(?i)due to time limit|walltime|DeadlineExceeded")),
    (Cause.OOM, lazy.pattern(r"(?i)oom.?kill|out.of.memory|oom_kill event")),
    (Cause.EVICTED, lazy.pattern(r"(?i)evict")),
    (Cause.NODE, lazy.pattern(r"(?i)node.fail|node lost|NodeNotReady|node .*(?:down|not ready)")),
    (
        Cause.UNREACHABLE,
        lazy.pattern(
            r"(?i)connection (?:refused|reset|closed|timed out)|no route to host|broken pipe"
            r"|could not resolve|unable to connect|host key verification failed"
            r"|permission denied \("
        ),
    ),
    # Slurm's for scancel, and of a job that it ends for a reason it then names.
    (Cause.EVICTED, lazy.pattern(r"(?i)(?:step|job) \S+ on \S+ cancelled at")),
)


def command(executor: Executor, task: Task) -> tuple[str, ...]:
    """The words to start, with what the placeholders in them stand for: digits, and a task's id,
    which holds nothing that a shell on the way would take for its own.
    """
    stands_for = {
        "{cpus}": str(task.resources.get("cpu", 1)),
        "{memory_mb}": str(task.resources.get("mem_mb", _DEFAULT_MEMORY_MB)),
        "{task}": task.id,
    }
    return tuple(_put(word, stands_for) for word in executor.start)


def _put(word: str, stands_for: Mapping[str, str]) -> str:
    for name, value in stands_for.items():
        word = word.replace(name, value)
    return word


def verdict(code: int | None, said: str, *, spoke: bool) -> tuple[Cause, str]:
    """Why an attempt is lost whose command ended with this exit code (minus a signal; None where it
    was ended by the runner), having `said` this on stderr; `spoke`: its agent had been heard.
    """
    cause = next((cause for cause, sign in _SIGNS if sign.search(said)), None)
    if cause is None:
        cause = Cause.WORKER if spoke and code != _SSH_FAILED else Cause.UNREACHABLE
    how = "was ended" if code is None else f"ended with {_how(code)}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = f": {printable(lines[-1][:_TOLD_CHARS])}" if lines else ""
    what = "before its agent had said how the attempt ended" if spoke else "and no agent answered"
    return cause, f"its command {how} {what}{told}"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
