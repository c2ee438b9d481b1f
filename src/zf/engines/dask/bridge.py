"""Between one run and a pool of Dask workers: a process of its own, which is Dask's client.

    python -m zf.engines.dask.bridge ask ADDRESS       says what is there
    python -m zf.engines.dask.bridge serve ADDRESS ... carries frames until its stdin ends

Each agent of the run is a line: the stdin, stdout and stderr of a command (`line`), which come here
over a socket, and a connection to a Dask worker, beside which the agent runs. Frames pass as they
are; for each that begins an attempt, a Dask task is submitted, which claims the attempt's ticket on
that worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dask.config
from distributed import Client, LocalCluster, Security
from distributed.comm.core import CommClosedError, connect

from zf.engines.dask.worker import OP, PIECE_BYTES, Agents, hold, key_of
from zf.work.agent import frames
from zf.work.agent.frames import FrameError, Splitter

LOCAL = "local"
# So many lines have a client and, here, a worker of their own.
_APART = 8
# Where Dask's pages about itself would be, for the moment until they are gone.
_NO_PAGES = "127.0.0.1:0"
# What workers may declare to say how many attempts each takes (dask worker --resources "zf=4").
RESOURCE = "zf"
# For what is started here: nothing of it need look after itself many times a second, as tasks of
# Dask do nothing there but wait.
_QUIET = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
}
# What a scheduler may take to answer, and to notice that a worker has gone.
_CONNECT_S, _ANSWER_S, _NOTICE_S = 20.0, 5.0, 0.5
_ENDED, _UNAVAILABLE = 75, 69
_FAILED = frozenset({"error", "cancelled"})


def places(workers: Mapping[str, Any]) -> dict[str, int]:
    """How many attempts each worker takes, by address: as many as it declares of `zf`, where any
    does, and else one for each thread.
    """
    declared = {at: int(one["resources"].get(RESOURCE, 0)) for at, one in workers.items()}
    if any(declared.values()):
        return {at: count for at, count in declared.items() if count}
    return {at: int(one["nthreads"]) for at, one in workers.items()}


def url(address: str) -> str:
    """The address as Dask writes it: with TLS where its configuration has certificates."""
    secure = dask.config.get("distributed.comm.tls.ca-file", None) or dask.config.get(
        "distributed.comm.require-encryption", False
    )
    return f"{'tls' if secure else 'tcp'}://{address}"


class Pool:
    """Clients of a pool, and which workers its lines have."""

    def __init__(self, client: Client, security: Security, grace_s: float) -> None:
        self.client, self.security, self.grace_s = client, security, grace_s
        self._clients: list[Client] = []
        self._lines = 0
        self.taken: Counter[str] = Counter()
        self.declared = False

    async def workers(self) -> dict[str, Any]:
        """By address. Raises OSError where the scheduler does not answer."""
        scheduler: Any = self.client.scheduler
        asked = scheduler.identity(n_workers=-1)
        known = await asyncio.wait_for(asked, _ANSWER_S)
        return dict(known["workers"])

    async def client_for_line(self) -> Client:
        """One that few lines share: a client says nothing for 10 ms after it has said something,
        and lines that share one wait for each other's. Raises OSError.
        """
        number, self._lines = self._lines % _APART, self._lines + 1
        if number == len(self._clients):
            scheduler: Any = self.client.scheduler
            words = {"security": self.security, "asynchronous": True, "timeout": _CONNECT_S}
            client = Client(scheduler.address, set_as_default=False, **words)
            self._clients.append(client)
        client = self._clients[number]
        await client  # it may be on its way, for another line
        return client

    async def close(self) -> None:
        """Let go of the clients of lines."""
        for client in self._clients:
            with suppress(OSError, CommClosedError, TimeoutError):
                await client.close()

    async def choose(self) -> str:
        """The worker with most places left, for one more line. Raises OSError."""
        workers = await self.workers()
        room = places(workers)
        self.declared = any(one["resources"].get(RESOURCE) for one in workers.values())
        if not room:
            raise OSError("no worker is there")
        chosen = max(room, key=lambda at: room[at] - self.taken[at])
        self.taken[chosen] += 1
        return chosen

    async def is_there(self, worker: str) -> bool:
        """Whether the scheduler still has it, once it has had time to notice. Raises OSError."""
        await asyncio.sleep(_NOTICE_S)
        return worker in await self.workers()


class Line:
    """One agent: three descriptors to the runner, a connection to a worker."""

    def __init__(self, pool: Pool, fds: tuple[int, int, int]) -> None:
        self._pool = pool
        self._in, self._out, self._err = fds
        self._worker = ""
        self._client: Any = None
        self._comm: Any = None
        self._from_runner, self._from_agent = Splitter(), Splitter(after_magic=True)
        self._saying: asyncio.Queue[dict[str, Any]] = asyncio.Queue(16)
        # The attempt there is, by its Dask task; and why that has ended, if it has too early.
        self._key = self._doubt = ""
        self._future: Any = None
        # Of the attempt before. Dask's client says nothing for 10 ms after it has said something:
        # that this one is of no use any more is told with the next one, which would wait.
        self._before: Any = None
        self._why = ""
        self._code = _ENDED

    async def run(self) -> int:
        """The exit code of its command."""
        try:
            self._worker = await self._pool.choose()
            try:
                self._client = await self._pool.client_for_line()
                await self._converse()
            finally:
                self._pool.taken[self._worker] -= 1
        except TimeoutError:
            await self._tell("connection timed out: the Dask scheduler or worker does not answer")
        except OSError as error:
            await self._tell(f"unable to connect: {error}")
        finally:
            self._release()
            self._forget()
            for fd in (self._in, self._out, self._err):
                os.close(fd)
        return self._code

    async def _converse(self) -> None:
        args = self._pool.security.get_connection_args("client")
        self._comm = await connect(self._worker, timeout=_CONNECT_S, **args)
        tasks = []
        try:
            await self._comm.write({"op": OP, "reply": False, "grace_s": self._pool.grace_s})
            parts = (self._hear_runner(), self._write(), self._hear_agent(), self._watch())
            tasks = [asyncio.create_task(part) for part in parts]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*done)
        except CommClosedError:
            await self._tell(await self._why_closed())
        except FrameError as error:
            await self._tell(f"what the runner says is not understood: {error}")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._comm.abort()

    async def _why_closed(self) -> str:
        if self._why:
            return self._why
        try:
            if await self._pool.is_there(self._worker):
                return f"connection closed: by the Dask worker {self._worker}"
        except (OSError, CommClosedError, TimeoutError):
            return "connection closed: the Dask scheduler is gone, or cannot be reached"
        return f"node lost: the Dask worker {self._worker} is gone"

    # What the runner says.

    async def _hear_runner(self) -> None:
        while data := await _read(self._in):
            for whole in self._from_runner.split(data):
                if frames.kind_of(whole) == frames.START:
                    self._submit(key_of(frames.header_of(whole)))
            await self._saying.put({"frames": data})

    def _submit(self, key: str) -> None:
        """Have a Dask task claim the attempt on the worker that has the agent."""
        self._forget()
        self._key, self._doubt = key, ""
        self._future = self._client.submit(
            hold,
            key,
            key=key,
            pure=False,
            retries=0,
            workers=[self._worker],
            allow_other_workers=False,
            resources={RESOURCE: 1} if self._pool.declared else None,
        )

    async def _watch(self) -> None:
        """That the Dask task ends before its attempt began ends the line; which of the two came
        first, the worker knows. It is looked at now and then: to wait for it would take several
        tasks of the event loop for each attempt.
        """
        while True:
            await asyncio.sleep(_NOTICE_S)
            key, future = self._key, self._future
            if self._doubt or future is None or future.status not in _FAILED:
                continue
            why = "it was cancelled"
            if future.status == "error":
                why = str(await future.exception())
            if key == self._key:
                self._doubt = f"connection closed: Dask did not begin the attempt: {why}"
                await self._saying.put({"unless_begun": key})

    def _release(self) -> None:
        """The attempt is over, or will not be."""
        self._key, future, self._future = "", self._future, None
        if future is not None:
            self._before = future

    def _forget(self) -> None:
        """Let Dask forget the task of the attempt before: cancel it, if it has not begun."""
        future, self._before = self._before, None
        if future is not None:
            future.release()

    # What the agent says.

    async def _write(self) -> None:
        while True:
            await self._comm.write(await self._saying.get())

    async def _hear_agent(self) -> None:
        while True:
            said = await self._comm.read()
            if "frames" in said:
                for whole in self._from_agent.split(said["frames"]):
                    if frames.kind_of(whole) == frames.END:
                        self._release()
                await _write(self._out, said["frames"])
            elif "said" in said:
                await self._tell(said["said"])
            elif said.get("not_begun") == self._key and self._doubt:
                self._why = self._doubt
                self._comm.abort()
            elif "exit" in said:
                self._code = said["exit"] % 256
                return

    async def _tell(self, words: str | bytes) -> None:
        """For people, on the stderr of the command."""
        data = words if isinstance(words, bytes) else f"{words}\n".encode()
        with suppress(OSError):
            await _write(self._err, data)


async def _ready(add: Any, remove: Any, fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(fd, tell)
    try:
        await ready
    finally:
        remove(fd)


async def _read(fd: int) -> bytes:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, PIECE_BYTES)
        except BlockingIOError:
            await _ready(loop.add_reader, loop.remove_reader, fd)


async def _write(fd: int, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            await _ready(loop.add_writer, loop.remove_writer, fd)


class Bridge:
    """All lines of a run."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lines: set[asyncio.Task[None]] = set()

    async def serve(self, at: str) -> None:
        """Take lines at this socket until stdin has ended."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(at)
            listening.listen(128)
            listening.setblocking(False)
            accepting = asyncio.create_task(self._accept(listening))
            print(json.dumps({"ready": True}), flush=True)
            os.set_blocking(0, False)
            while await _read(0):
                pass
            accepting.cancel()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            caller, _ = await loop.sock_accept(listening)
            line = asyncio.create_task(self._line(caller))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)

    async def _line(self, caller: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with caller:
            await _ready(loop.add_reader, loop.remove_reader, caller.fileno())
            _, fds, _, _ = socket.recv_fds(caller, 1, 3)
            if len(fds) != 3:
                return
            for fd in fds:
                os.set_blocking(fd, False)
            line = asyncio.create_task(Line(self._pool, (fds[0], fds[1], fds[2])).run())
            gone = asyncio.create_task(loop.sock_recv(caller, 1))  # it was killed
            try:
                await asyncio.wait({line, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                if not line.done():
                    line.cancel()
                await asyncio.gather(line, gone, return_exceptions=True)
            if not line.cancelled() and line.exception() is None:
                with suppress(OSError):
                    await loop.sock_sendall(caller, bytes([line.result()]))


async def _ask(address: str) -> None:
    async with Client(url(address), asynchronous=True, timeout=_CONNECT_S) as client:
        pool = Pool(client, client.security, 0)
        print(json.dumps({"slots": sum(places(await pool.workers()).values())}), flush=True)


async def _serve(address: str, at: str, grace_s: float, slots: int) -> None:
    if address != LOCAL:
        await _serve_on(url(address), Security(), at, grace_s)
        return
    count = min(slots, _APART)
    # In this process, so that no port is opened: anyone who could connect to one could run
    # anything. Agents have processes of their own all the same. A worker takes as many tasks as it
    # has threads.
    async with LocalCluster(
        n_workers=count,
        threads_per_worker=-(-slots // count),
        processes=False,
        asynchronous=True,
        dashboard_address=None,
        local_directory=os.path.dirname(at),
        scheduler_kwargs={"allowed_failures": 0, "dashboard_address": _NO_PAGES},
        worker_dashboard_address=_NO_PAGES,
    ) as cluster:
        # Dask has pages of each about itself, dashboard or not, which anyone here could open.
        for one in (cluster.scheduler, *cluster.workers.values()):
            one.http_server.stop()
        await _serve_on(cluster.scheduler_address, cluster.security, at, grace_s)


async def _serve_on(where: str, security: Security, at: str, grace_s: float) -> None:
    async with Client(where, security=security, asynchronous=True, timeout=_CONNECT_S) as client:
        await client.register_plugin(Agents())
        pool = Pool(client, security, grace_s)
        try:
            await Bridge(pool).serve(at)
        finally:
            await pool.close()


def main(words: list[str]) -> int:
    """The exit code; what is wrong goes to stdout as `{"error": ...}`."""
    dask.config.set(_QUIET)
    try:
        if words[0] == "ask":
            asyncio.run(_ask(words[1]))
        else:
            try:
                asyncio.run(_serve(words[1], words[2], float(words[3]), int(words[4])))
            finally:  # also where the runner was killed
                shutil.rmtree(os.path.dirname(words[2]), ignore_errors=True)
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        print(json.dumps({"error": f"{error}" or type(error).__name__}), flush=True)
        return _UNAVAILABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
