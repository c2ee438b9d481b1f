"""What a run came to, by its journal: the first thing to be said of a proof. Pure.

A whole proof of a failed run is a true record of a failure. Whether the proof is whole is what the
five verdicts say; this says what it is a proof of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from zf.audit.account import Account
from zf.events import Status
from zf.lean.records import Struct

# What a task may end as in a run, or a phase, that succeeded.
PASSES = frozenset({Status.SUCCESS, Status.SKIPPED})
# What went wrong comes first.
_WORDS = {
    Status.FAILURE: "failed",
    Status.TIMEOUT: "timed out",
    Status.LOST: "lost",
    Status.BLOCKED: "blocked",
    Status.CANCELLED: "cancelled",
    Status.SUCCESS: "succeeded",
    Status.SKIPPED: "skipped",
}


class Result(StrEnum):
    """What became of the run; a stable word for programs."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


# For people, as far as possible from the words of the verdicts: a failed run's proof can pass.
_SHOWN = {
    Result.SUCCESS: "SUCCEEDED",
    Result.FAILURE: "FAILED",
    Result.UNFINISHED: "UNFINISHED",
    Result.UNKNOWN: "UNKNOWN",
}


class Outcome(Struct, frozen=True):
    """What the run came to and, in a phrase, what its tasks did."""

    state: Result
    summary: str

    def render(self) -> str:
        return f"{'RESULT':<9}  {_SHOWN[self.state]:<11}  {self.summary}"


def passed(end: Mapping[str, Any]) -> bool:
    """Whether a task's terminal event tells of an end that holds up nothing."""
    return end.get("status") in PASSES or end.get("warned") is True


def of(account: Account, planned: Collection[str], *, intact: bool) -> Outcome:
    """What the journal says the run came to, if it is `intact`: otherwise that is not known."""
    accounts = [account.tasks.get(name) for name in planned]
    ends = [task.terminal for task in accounts if task is not None and task.terminal is not None]
    counts: dict[str, int] = {}
    for end in ends:
        if end.get("warned") is True:
            counts["warned"] = counts.get("warned", 0) + 1
        else:
            word = _WORDS.get(end.get("status"), "ended otherwise")  # type: ignore[arg-type]
            counts[word] = counts.get(word, 0) + 1
    told = [
        f"{counts[w]} {w}" for w in (*_WORDS.values(), "warned", "ended otherwise") if w in counts
    ]
    if len(ends) < len(planned):
        told.append(f"{len(planned) - len(ends)} without an end")
    summary = ", ".join(told) or "no tasks"
    code = account.ended.get("exit_code") if account.ended is not None else None
    if account.ended is not None and account.ended.get("tampered"):
        summary += "; TAMPERED WHILE RUNNING"
    if not intact:
        return Outcome(Result.UNKNOWN, f"the proof is not intact; it claims: {summary}")
    if account.ended is None:
        why = "it waits for approval" if account.suspended else "the run never ended"
        return Outcome(Result.UNFINISHED, f"{summary}; {why}")
    if (
        code == 0
        and not account.ended.get("tampered")
        and len(ends) == len(planned)
        and all(map(passed, ends))
    ):
        return Outcome(Result.SUCCESS, summary)
    return Outcome(Result.FAILURE, f"{summary}; exit code {code}")
