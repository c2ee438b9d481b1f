"""What zf has on a Dask worker: agents in processes of their own, and the tickets of attempts.

An agent's frames come and go through a connection of the runner's bridge to this worker. An attempt
begins when its Dask task has claimed its ticket here, and the task lasts as long as the attempt.
Dask may run a task again; a ticket is claimed once, so an attempt is not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from distributed import WorkerPlugin, get_worker
from distributed.comm.core import CommClosedError
from distributed.core import Status

import zf

# One for each version: agents of another are not ended when this one comes.
PLUGIN = f"zf-agent-{zf.__version__}"
OP = PLUGIN
PIECE_BYTES = 256 * 1024
# How long a task waits for its ticket, which comes by another way, and an agent may take to end
# what it runs once it was let go, over the grace that its runner asked for.
_TICKET_S, _LEAVE_S = 10.0, 15.0


class Ticket:
    """The right to begin one attempt, once."""

    def __init__(self) -> None:
        self.is_claimed = False
        self.told: Callable[[], None] | None = None
        self.released = threading.Event()


class Tickets:
    """Those of a worker; tasks ask for them in threads of their own."""

    def __init__(self) -> None:
        self._known: dict[str, Ticket] = {}
        self._changed = threading.Condition()

    def issue(self, key: str, told: Callable[[], None]) -> None:
        """`told` is called, in the thread of the task, when it was claimed."""
        with self._changed:
            ticket = self._known.setdefault(key, Ticket())
            ticket.told = told
            self._changed.notify_all()

    def claim(self, key: str) -> Ticket:
        """Raises RuntimeError where there is none, or none any more."""
        with self._changed:
            self._changed.wait_for(lambda: key in self._known, _TICKET_S)
            ticket = self._known.get(key)
            if ticket is None or ticket.is_claimed or ticket.released.is_set():
                raise RuntimeError(f"{key} has no ticket here: it was run before, or given up")
            ticket.is_claimed = True
        if ticket.told is not None:
            ticket.told()
        return ticket

    def release(self, key: str) -> None:
        """The attempt is over, or will not be."""
        with self._changed:
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
        self._loop = asyncio.get_running_loop()
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
                await Talk(comm, process, self.tickets, self._loop).run()
        except (OSError, CommClosedError):
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
    """Frames between a connection and an agent."""

    def __init__(
        self, comm: Any, process: Process, tickets: Tickets, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._comm, self._process = comm, process
        self._tickets, self._loop = tickets, loop
        self._issued: set[str] = set()
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue(16)

    async def run(self) -> None:
        """Until the agent has ended and all was told, or the connection has."""
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
            for key in self._issued:
                self._tickets.release(key)

    async def _hear(self) -> None:
        """What the bridge says."""
        stdin = self._process.stdin
        assert stdin is not None
        while True:
            said = await self._comm.read()
            if "frames" in said:
                stdin.write(said["frames"])
                with suppress(ConnectionError):  # its end is told by the other pipe
                    await stdin.drain()
            elif "ticket" in said:
                key = said["ticket"]
                self._issued.add(key)
                self._tickets.issue(key, lambda key=key: self._claimed(key))  # type: ignore[misc]
            elif "release" in said:
                self._issued.discard(said["release"])
                self._tickets.release(said["release"])

    def _claimed(self, key: str) -> None:
        asyncio.run_coroutine_threadsafe(self._said.put({"claimed": key}), self._loop)

    async def _tell(self) -> None:
        await asyncio.gather(
            self._relay(self._process.stdout, "frames"), self._relay(self._process.stderr, "said")
        )

    async def _relay(self, stream: asyncio.StreamReader | None, name: str) -> None:
        assert stream is not None
        while data := await stream.read(PIECE_BYTES):
            await self._said.put({name: data})

    async def _write(self) -> None:
        while True:
            said = await self._said.get()
            await self._comm.write(said)
            if "exit" in said:
                return


def hold(key: str) -> str:
    """The Dask task of an attempt: it claims the attempt's ticket, and lasts as long as it does.
    Raises RuntimeError where the ticket was claimed before.
    """
    plugin: Any = get_worker().plugins[PLUGIN]
    plugin.tickets.claim(key).released.wait()
    return f"{os.uname().nodename} had {key}"
