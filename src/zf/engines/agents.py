"""What the runner knows of each agent, and of the attempt that one was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zf.lean.records import Struct
from zf.model import NOTHING, Task

if TYPE_CHECKING:
    from zf.engines.connection import Connection
    from zf.engines.results import Incoming
    from zf.work.control import Stop


class Given(Struct):
    """An attempt that was given away, with what an agent needs to know of it."""

    token: str
    task: Task
    attempt: int
    executor: str
    at: float
    began: float
    spent: Mapping[str, float]
    before: str
    stop: Stop | None = None
    incoming: Incoming | None = None
    sent: bool = False


class Agent(Struct):
    """One agent as the runner sees it. `hello` is what it says of itself; `given` the attempt it is
    to run or runs; `lost` one that was given up, of which it may still tell.
    """

    executor: str
    connection: Connection
    hello: Mapping[str, Any] = NOTHING
    offset_s: float = 0.0
    ready: bool = False
    # Its last word was that it says nothing until it has done something.
    busy: bool = False
    given: Given | None = None
    lost: Given | None = None
    # It went as its machine cannot have it: a full disk, say.
    could_not: bool = False
    extensions: int = 0
    number: int = 0
    # When what lingers is ended.
    until: float | None = None


def is_free(agent: Agent) -> bool:
    return agent.given is None and agent.until is None


def state(agent: Agent) -> str:
    if agent.until is not None:
        return "leaving"
    if not agent.ready:
        return "starting"
    return "idle" if agent.given is None else "running"


def told(agent: Agent, now: float) -> dict[str, Any]:
    """The same for people; `now` in monotonic seconds."""
    given, hello, connection = agent.given, agent.hello, agent.connection
    return {
        "executor": agent.executor,
        "state": state(agent),
        "task": given.task.id if given else None,
        "attempt": given.attempt if given else None,
        **{key: hello.get(key) for key in ("host", "user", "zf", "python", "platform")},
        "since_s": round(now - connection.began, 1),
        "heard_s": round(now - connection.heard_at, 1) if hello else None,
        "clock_offset_s": agent.offset_s if hello else None,
    }
