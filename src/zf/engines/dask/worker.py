"""What zf has on a Dask worker: agents in processes of their own, and the tickets of attempts.

An agent's frames come and go through a connection of the runner's bridge to this worker. An attempt
begins when its Dask task has claimed its ticket here, and the task lasts as long as the attempt.
Dask may run a task again; a ticket is claimed once, so an attempt is not. All of this happens in
the event loop of the worker, tasks too: a thread for each would have to be woken twice.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from distributed import WorkerPlugin, get_worker
from distributed.comm.core import CommClosedError
from distributed.core import Status

import zf
from zf.work.agent import frames
from zf.work.agent.frames import Frame, FrameError, Listener, Speaker, Splitter

# One for each version: agents of another are not ended when this one comes.
PLUGIN = f"zf-agent-{zf.__version__}"
OP = PLUGIN
PIECE_BYTES = 256 * 1024
# How long a task waits for its ticket, which comes by another way, and an agent may take to end
# what it runs once it was let go, over the grace that its runner asked for.
_TICKET_S, _LEAVE_S = 10.0, 15.0


class Ticket:
    """The right to begin one attempt, once; `begin` begins it."""

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin
        self.is_claimed = False
        self.released = asyncio.Event()


class Tickets:
    """Those of a worker."""

    def __init__(self) -> None:
        self._known: dict[str, Ticket] = {}
        self._asked: dict[str, asyncio.Event] = {}

    def issue(self, key: str, begin: Callable[[], None]) -> None:
        """`begin` is called when it was claimed."""
        self._known[key] = Ticket(begin)
        if asked := self._asked.get(key):
            asked.set()

    async def claim(self, key: str) -> Ticket:
        """Raises RuntimeError where there is none, or none any more."""
        if key not in self._known:
            asked = self._asked.setdefault(key, asyncio.Event())
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _TICKET_S)
            self._asked.pop(key, None)
        ticket = self._known.get(key)
        if ticket is None or ticket.is_claimed:
            raise RuntimeError(f"{key} has no ticket here: it was run before, or given up")
        ticket.is_claimed = True
        ticket.begin()
        return ticket

    def release(self, key: str) -> None:
        """The attempt is over, or will not be."""
        ticket = self._known.pop(key, None)
        if ticket is not None:
            ticket.released.set()


class Agents(WorkerPlugin):
    """Starts an agent for each connection that asks for one, and ends it with the connection."""

    name = PLUGIN
    idempotent = True

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        self.tickets = Tickets()
        self._talks: set[asyncio.Task[Any]] = set()
        worker.handlers[OP] = self.talk

    async def teardown(self, worker: Any) -> None:
        """Called by Dask when the worker closes, or lets go of the plugin."""
        worker.handlers.pop(OP, None)
        for one in self._talks:
            one.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def talk(self, comm: Any, grace_s: float = 0.0) -> Status:
        """One agent, until either side has ended."""
        this = asyncio.current_task()
        assert this is not None
        self._talks.add(this)
        try:
            async with _agent(grace_s + _LEAVE_S) as process:
                await Talk(comm, process, self.tickets).run()
        except (OSError, CommClosedError, FrameError):
            pass
        finally:
            self._talks.discard(this)
            comm.abort()
        return Status.dont_reply


@asynccontextmanager
async def _agent(leave_s: float) -> AsyncIterator[Process]:
    """An agent, of which nothing is left afterwards: it ends what it runs when its stdin ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "zf", "agent"),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=PIECE_BYTES,
        process_group=0,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        await asyncio.shield(_gone(process, leave_s))


async def _gone(process: Process, leave_s: float) -> None:
    try:
        # What it still prints is read, or it would wait for that.
        await asyncio.wait_for(process.communicate(), leave_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Talk:
    """Frames between a connection and an agent. Those of the runner are framed anew: the one that
    begins an attempt waits for its ticket to be claimed, while others, renewals say, pass.
    """

    def __init__(self, comm: Any, process: Process, tickets: Tickets) -> None:
        assert process.stdin is not None
        self._comm, self._process, self._stdin = comm, process, process.stdin
        self._tickets = tickets
        self._from_runner, self._to_agent = Listener(), Speaker()
        self._from_agent = Splitter(after_magic=True)
        # The attempt there is, and the frame that begins it, until it has.
        self._key = ""
        self._held: Frame | None = None
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue(16)

    async def run(self) -> None:
        """Until the agent has ended and all was told, or the connection has. Raises FrameError
        where the runner, or the agent, cannot be understood.
        """
        process = self._process
        writing = asyncio.create_task(self._write())
        hearing = asyncio.create_task(self._hear())
        telling = asyncio.create_task(self._tell())
        try:
            await asyncio.wait({writing, hearing, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and not hearing.done():
                await self._said.put({"exit": await process.wait()})
                await writing
        finally:
            for one in (writing, hearing, telling):
                one.cancel()
            await asyncio.gather(writing, hearing, telling, return_exceptions=True)
            self._release()

    async def _hear(self) -> None:
        """What the bridge says."""
        while True:
            said = await self._comm.read()
            if "frames" in said:
                for frame in self._from_runner.feed(said["frames"]):
                    self._pass_on(frame)
                with suppress(ConnectionError):  # its end is told by the other pipe
                    await self._stdin.drain()
            elif said.get("unless_begun") == self._key and self._held is not None:
                await self._said.put({"not_begun": self._key})

    def _pass_on(self, frame: Frame) -> None:
        if frame.kind == frames.START:
            self._key, self._held = key_of(frame.header), frame
            self._tickets.issue(self._key, self._begin)
            return
        held = self._held
        if frame.kind == frames.KILL and held and held.header["token"] == frame.header["token"]:
            self._release()  # the agent, which knows nothing of it, says so
        self._say(frame)

    def _begin(self) -> None:
        frame, self._held = self._held, None
        assert frame is not None
        self._say(frame)

    def _say(self, frame: Frame) -> None:
        self._stdin.write(self._to_agent.frame(frame.kind, frame.header, frame.body))

    def _release(self) -> None:
        """The attempt is over, or will not be."""
        key, self._key, self._held = self._key, "", None
        self._tickets.release(key)

    async def _tell(self) -> None:
        await asyncio.gather(self._relay(), self._relay_words())

    async def _relay(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while data := await stream.read(PIECE_BYTES):
            for whole in self._from_agent.split(data):
                if frames.kind_of(whole) == frames.END:
                    self._release()
            await self._said.put({"frames": data})

    async def _relay_words(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while data := await stream.read(PIECE_BYTES):
            await self._said.put({"said": data})

    async def _write(self) -> None:
        while True:
            said = await self._said.get()
            await self._comm.write(said)
            if "exit" in said:
                return


def key_of(start: Mapping[str, Any]) -> str:
    """What the Dask task of the attempt is called that this header begins."""
    return f"zf-{start['task']}-{start['attempt']}-{start['token']}"


async def hold(key: str) -> None:
    """The Dask task of an attempt: it claims the attempt's ticket, and lasts as long as it does.
    Raises RuntimeError where the ticket was claimed before.
    """
    plugin: Any = get_worker().plugins[PLUGIN]
    ticket = await plugin.tickets.claim(key)
    await ticket.released.wait()
