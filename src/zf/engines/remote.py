"""Attempts on executors: each is given to an agent, which has it until it says how it ended, or
until nothing is to be hoped for from it any more.

What an agent says is believed of its own attempt and of nothing else; what is not heard for the
time of a lease is lost. A result that comes all the same is kept in the quarantine.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Mapping
from typing import Any

import zf
from zf.engines import launchers, results
from zf.engines.agents import Agent, Given, is_free, told
from zf.engines.connection import Connection
from zf.engines.ends import Ends
from zf.engines.handing import Handing
from zf.engines.results import BadResultError, Incoming
from zf.errors import error_text, printable
from zf.events import (
    AttemptPlaced,
    Cause,
    from_json,
)
from zf.metrics.budget import Spent
from zf.model import NOTHING, Executor, Task
from zf.proof import layout
from zf.proof.known import Known
from zf.proof.tree.store import TaskTree
from zf.work.agent import frames
from zf.work.agent.frames import Frame
from zf.work.control import Stop
from zf.work.control import Told as WorkerTold
from zf.work.worker import Shared

# How many times in a lease each side is heard, how often clocks are looked at meanwhile, and what a
# command may take to exit once its agent has gone.
_RENEWALS, _LOOK_S, _EXIT_S = 4, 0.25, 2.0


class Remote:
    """All attempts on executors of one run. `checkout` is the archive of the project, and its
    digest.
    """

    def __init__(
        self,
        executors: Mapping[str, Executor],
        shared: Shared,
        tasks: Mapping[str, Task],
        known: Known,
        selector: selectors.BaseSelector,
        checkout: tuple[str, str],
    ) -> None:
        self._executors = executors
        self._shared = shared
        self._tasks = tasks
        self._known = known
        self._selector = selector
        self.facts: Mapping[str, Mapping[str, Any]] = NOTHING
        self._agents: list[Agent] = []
        self._running: dict[str, Agent] = {}
        # Those that are gone, as far as something may still run in their groups.
        self._closed: list[Connection] = []
        self._aside = f"{shared.aside}/agents"
        self.ends = Ends(shared, known, self._aside)
        self._extensions: list[dict[str, Any]] = []
        self._handing = Handing(shared, tasks, known, *checkout)
        self._tokens: dict[str, Given] = {}

    # What the engine orders.

    def start(self, task: str, attempt: int, executor: str, spent: Mapping[str, float]) -> None:
        """Give the attempt to an agent of this executor, which is started if none is free."""
        before = self._known.task_sha256(task) if attempt > 1 else ""
        given = Given(
            os.urandom(16).hex(),
            self._tasks[task],
            attempt,
            executor,
            time.time(),
            time.monotonic(),
            spent,
            before,
        )
        self._tokens[given.token] = given
        try:
            # What is printed meanwhile comes to lie there, and what the attempt before left goes
            # where its list is looked for. The folders of a first one come with its result.
            folders = layout.FOLDERS if attempt > 1 else ()
            TaskTree.create(self._shared.run_dir, task, attempt, folders).close()
            agent = self._agent_for(given)
        except OSError as error:
            self.ends.lose(
                given, Cause.UNREACHABLE, f"its command cannot be run: {error_text(error)}"
            )
            return
        agent.given = given
        self._running[task] = agent
        if agent.ready:
            self._send(agent, given)

    def _agent_for(self, given: Given) -> Agent:
        executor = self._executors[given.executor]
        words = launchers.command(executor, given.task)
        free = [a for a in self._agents if a.executor == given.executor and a.ready and is_free(a)]
        for agent in free:
            if agent.connection.words == words:
                return agent
        if free and len(self._of(given.executor)) >= executor.slots:
            self._dismiss(free[0])  # it was started for a task that asks for something else
        agent = Agent(given.executor, Connection(words, self._shared.environ, self._selector))
        self._agents.append(agent)
        self._say(agent, frames.HELLO, {})
        return agent

    def _of(self, executor: str) -> list[Agent]:
        return [a for a in self._agents if a.executor == executor and a.until is None]

    def kill(self, task: str, cause: Cause, *, force: bool, detail: str = "") -> bool:
        """Have the attempt ended, if it is one of those here."""
        agent = self._running.get(task)
        if agent is None or agent.given is None:
            return False
        given = agent.given
        if given.stop is None or force:
            given.stop = Stop(cause, detail, force=force)
        if given.sent:
            header = {"token": given.token, "cause": cause, "force": force, "detail": detail}
            self._say(agent, frames.KILL, header)
        else:
            self._take_back(agent)
            self.ends.stopped(given)
            agent.connection.hang_up()
            self._linger(agent)
        return True

    def attend(self, task: str, after: str, cause: Cause = Cause.NONE, detail: str = "") -> bool:
        """Say what an attempt is to do after a probe, if it is one of those here."""
        agent = self._running.get(task)
        if agent is None or agent.given is None:
            return False
        header = {"token": agent.given.token, "after": after, "cause": cause, "detail": detail}
        self._say(agent, frames.WORD, header)
        return True

    def extend(self, base: str, instances: Any) -> None:
        """Instances of a task have joined the plan."""
        self._extensions.append({"base": base, "instances": [*instances]})
        self._handing.told = b""

    # What comes.

    def handle(self, agent: Agent) -> None:
        """Its connection can be read from or written to."""
        connection = agent.connection
        try:
            connection.write()
            for frame in connection.read():
                self._take(agent, frame)
        except (BadResultError, KeyError, TypeError, ValueError) as error:
            connection.error = connection.error or f"{error}"
        except OSError as error:
            connection.error = connection.error or f"here: {error_text(error)}"
        if connection.error:
            self._break(agent)
        elif connection.ended and agent.until is None:
            self._linger(agent)

    def agent_of(self, connection: Connection) -> Agent | None:
        return next((a for a in self._agents if a.connection is connection), None)

    def tick(self) -> float | None:
        """See to leases and to what lingers; when that is due again, in monotonic seconds."""
        now = time.monotonic()
        self._closed = [one for one in self._closed if one.reap()]
        for agent in [*self._agents]:
            if agent.until is not None:
                self._see_off(agent, now)
                continue
            executor = self._executors[agent.executor]
            silent_s = now - agent.connection.heard_at
            if not agent.hello and now - agent.connection.began > executor.start_timeout_s:
                told = f"no agent answered in {executor.start_timeout_s:g} s (start_timeout_sec)"
                self._give_up(agent, Cause.UNREACHABLE, told)
            elif agent.hello and silent_s > (patience := _patience(agent, executor))[0]:
                told = "its agent was not heard for {:g} s ({})".format(*patience)
                self._give_up(agent, Cause.UNREACHABLE, told)
            elif agent.hello and now - agent.connection.renewed_at > executor.lease_s / _RENEWALS:
                agent.connection.renewed_at, agent.number = now, agent.number + 1
                self._say(agent, frames.RENEW, {"number": agent.number})
        return now + _LOOK_S if self._agents or self._closed else None

    def _take(self, agent: Agent, frame: Frame) -> None:
        header = frame.header
        agent.busy = frame.kind == frames.BUSY
        match frame.kind:
            case frames.HELLO:
                self._greet(agent, header)
            case frames.WANT:
                for blob in header["blobs"]:
                    agent.connection.say_all(self._handing.blob(blob))
            case frames.READY:
                agent.ready = True
                if agent.given is not None and not agent.given.sent:
                    self._send(agent, agent.given)
            case frames.ALIVE:
                agent.offset_s = round(float(header["at"]) - time.time(), 3)
            case frames.BYE:
                agent.could_not = header.get("cause") == Cause.NODE
                agent.connection.error = agent.connection.error or str(header.get("error", ""))
            case frames.LOG | frames.TOLD | frames.PIECE | frames.END:
                self._take_of(agent, frame)

    def _take_of(self, agent: Agent, frame: Frame) -> None:
        """What an agent says of an attempt: of the one it has, or has had."""
        given, token = agent.given, frame.header["token"]
        is_now = given is not None and given.sent and given.token == token
        if not is_now:
            given = self._tokens.get(token)
            if given is None or given.executor != agent.executor:
                raise BadResultError("it speaks of an attempt that it was never given")
        assert given is not None
        if frame.kind == frames.PIECE:
            if given.incoming is None:
                given.incoming = Incoming(self._aside)
            given.incoming.take(frame.body)
        elif frame.kind == frames.END:
            if is_now:
                self._end(agent, given, frame.header)
            else:
                self.ends.too_late(given)
        elif is_now and frame.kind == frames.LOG:
            task = given.task.id
            results.append_log(self._shared.run_dir, task, frame.header["log"], frame.body)
        elif is_now:
            self._take_told(given, frame.header)

    def _take_told(self, given: Given, header: Mapping[str, Any]) -> None:
        event: Any = Spent(**header["spent"]) if "spent" in header else from_json(header["event"])
        if not isinstance(event, Spent | WorkerTold):
            raise BadResultError("it tells of what is not its own")
        if (event.task, event.attempt) != (given.task.id, given.attempt):
            raise BadResultError("it tells of another attempt")
        self.ends.events.append(event)

    # From the first word to an attempt.

    def _greet(self, agent: Agent, hello: Mapping[str, Any]) -> None:
        ours = (frames.PROTOCOL, zf.__version__)
        theirs = (hello["protocol"], hello["zf"])
        if theirs != ours:
            told = printable(f"zf {theirs[1]} (protocol {theirs[0]})"[:100])
            raise BadResultError(
                f"{agent.executor} has {told}, and this is zf {ours[1]} (protocol {ours[0]}):"
                " have the same version on both"
            )
        agent.hello = hello
        agent.offset_s = round(float(hello["at"]) - time.time(), 3)
        agent.extensions = len(self._extensions)
        lease_s = self._executors[agent.executor].lease_s
        header, said = self._handing.begin(agent.executor, lease_s)
        self._say(agent, frames.BEGIN, header, said)

    def _send(self, agent: Agent, given: Given) -> None:
        for more in self._extensions[agent.extensions :]:
            self._say(agent, frames.EXTEND, more)
        agent.extensions = len(self._extensions)
        given.sent = True
        host, user, version = (
            printable(str(agent.hello.get(key, ""))[:200]) for key in ("host", "user", "zf")
        )
        task, offset_s = given.task.id, agent.offset_s
        placed = AttemptPlaced(task, given.attempt, given.executor, host, user, version, offset_s)
        self.ends.events.append(placed)
        facts = self.facts.get(given.task.id, NOTHING)
        self._say(agent, frames.START, self._handing.start(given, facts))

    # How attempts end.

    def _end(self, agent: Agent, given: Given, header: Mapping[str, Any]) -> None:
        self._take_back(agent)
        if "error" in header:
            self._end_without(given, str(header["error"]))
        else:
            self.ends.accept(given, header)

    def _end_without(self, given: Given, why: str) -> None:
        """The agent has nothing to show of the attempt, and says why."""
        if given.stop is not None:
            self.ends.stopped(given)
        else:
            self.ends.lose(given, Cause.NODE, f"its agent could not run it: {printable(why)}")

    def _give_up(self, agent: Agent, cause: Cause, why: str) -> None:
        """Nothing is to be hoped for any more; what it still says is heard for a while."""
        given = self._take_back(agent)
        agent.connection.hang_up()
        agent.connection.wake()
        self._linger(agent, self._executors[agent.executor].lease_s + self._shared.grace_s)
        if given is not None:
            agent.lost = given
            self.ends.lose(given, cause, why)

    def _break(self, agent: Agent) -> None:
        """What it says cannot be believed, or it says goodbye. Of an attempt that it has, the end
        of its command may tell the cause.
        """
        agent.connection.hang_up()
        self._linger(agent)

    def _linger(self, agent: Agent, for_s: float = _EXIT_S) -> None:
        if agent.until is None:
            agent.until = time.monotonic() + for_s

    def _see_off(self, agent: Agent, now: float) -> None:
        """One that is going: when its command has ended, or its time is over, it is gone."""
        connection = agent.connection
        assert agent.until is not None
        if not connection.has_exited():
            if now < agent.until:
                return
            connection.kill()
        code = connection.exit_code(now + _EXIT_S)
        connection.read()
        given = self._take_back(agent)
        self._agents.remove(agent)
        said, error, spoke = connection.said, connection.error, connection.spoke
        connection.close()
        self._closed.append(connection)
        if given is None:
            return
        cause, told = launchers.verdict(code, said, spoke=spoke)
        if agent.could_not and cause is Cause.WORKER:
            cause, told = Cause.NODE, f"its agent could not run it: {printable(error)}"
        elif (error and cause is Cause.WORKER) or (error and not spoke):
            told = (
                f"what came from its agent is not understood: {printable(error)}"
                if spoke
                else (f"{printable(error)}; {told}")
            )
        self.ends.lose(given, cause, told)

    def _take_back(self, agent: Agent) -> Given | None:
        given, agent.given = agent.given, None
        if given is not None:
            self._running.pop(given.task.id, None)
        return given

    # The end.

    def _say(self, agent: Agent, kind: bytes, header: Mapping[str, Any], body: bytes = b"") -> None:
        agent.connection.say(kind, header, body)

    def _dismiss(self, agent: Agent) -> None:
        self._say(agent, frames.BYE, {})
        agent.connection.hang_up()
        self._linger(agent, _EXIT_S)

    @property
    def is_idle(self) -> bool:
        return not self._running

    def close(self) -> None:
        """Let every agent end what it has, and itself; commands that stay are killed."""
        for agent in self._agents:
            if agent.until is None and is_free(agent):
                self._say(agent, frames.BYE, {})
            agent.connection.hang_up()
        until = time.monotonic() + self._shared.grace_s + 2 * _EXIT_S
        for agent in self._agents:
            agent.connection.wake()
            if agent.connection.exit_code(until) is None:
                agent.connection.kill()
            agent.connection.close()
        self._agents.clear()

    def told(self) -> list[dict[str, Any]]:
        """What there is of agents, for people."""
        now = time.monotonic()
        return [told(agent, now) for agent in self._agents]


def _patience(agent: Agent, executor: Executor) -> tuple[float, str]:
    """How many seconds one may be silent, and the key that says so. What it does before it is
    ready, or when it has said that it is busy, it does without a word: a large checkout is unpacked
    and copied, on a disk that may be slow.
    """
    lease = executor.lease_s, "lease_sec"
    if agent.ready and not agent.busy:
        return lease
    return max(lease, (executor.start_timeout_s, "start_timeout_sec"))
