"""What happened to services, which run beside the steps of a task or the tasks of a phase."""

from __future__ import annotations

from collections.abc import Mapping

from zf.lean.records import Struct


class ServiceStarted(Struct, frozen=True):
    """A service was started: of an attempt at a task, or of a whole phase, whose `task` is None and
    `attempt` 0. `ports` are those that it was given, by their names. `image` and `digest` say what
    its container is made of, and are empty for a script.
    """

    name: str
    task: str | None
    attempt: int
    phase: str
    ports: Mapping[str, int]
    image: str = ""
    digest: str = ""


class ServiceEnded(Struct, frozen=True):
    """It has ended, and nothing of it is left. `cause` is "stopped" where zf ended it as it was no
    longer needed; else "died", "not_ready" or "not_started", and `detail` says more. `ready_s` is
    how long it took to be ready, None where it never was; `log_sha256` is the digest of its log,
    which lies at `log` in the tree of the task, or in the run's folder.
    """

    name: str
    task: str | None
    attempt: int
    phase: str
    ports: Mapping[str, int]
    exit_code: int | None
    signal: int | None
    cause: str
    detail: str
    ready_s: float | None
    log: str
    log_sha256: str
