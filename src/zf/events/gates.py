"""What happens at a gate: approvals that are asked for, given and refused, and a run that waits."""

from __future__ import annotations

from collections.abc import Mapping

from zf.lean.records import Struct, field


class ApprovalAsked(Struct, frozen=True):
    """The task waits: `min` of those in `by` have to approve `subject`, whose canonical JSON has
    this SHA-256. It says what is approved: run, task, attempt, plan, inputs, and what the needs
    left.
    """

    task: str
    attempt: int
    by: tuple[str, ...]
    min: int
    sha256: str
    subject: Mapping[str, object]
    prompt: str = ""
    timeout_s: float | None = None
    four_eyes: bool = False


class ApprovalGiven(Struct, frozen=True):
    """One of those who may has approved. `statement` is what was signed, byte for byte, and
    `signature` the signature over it; `how` is "ssh" or "token", `key` the fingerprint of the SSH
    key; `source` says from where, `at` when, both as the statement has it.
    """

    task: str
    attempt: int
    approver: str
    how: str
    key: str
    source: str
    at: str
    statement: str
    signature: str = ""


class ApprovalRefused(Struct, frozen=True):
    """An answer that approves nothing. With `why` "rejected" it is a valid one, which says no and
    ends the task; with any other word it does not count, and `detail` says what is wrong with it.
    `statement_sha256` is the digest of what was handed in; the rest is what that claims.
    """

    task: str
    attempt: int
    why: str
    detail: str
    statement_sha256: str
    approver: str = ""
    how: str = ""
    key: str = ""
    source: str = ""
    at: str = ""
    statement: str = ""
    signature: str = ""


class RunSuspended(Struct, frozen=True):
    """The runner leaves, as nothing can go on before these tasks are approved; `zf resume` goes on
    with the run.
    """

    waiting: tuple[str, ...] = field(default_factory=tuple)
