"""What a stream of events sends: how many pieces, what in silence, and when it gives a client up."""

import asyncio
import fcntl
import json
import shutil
from contextlib import contextmanager
from hashlib import sha256

import pytest

from zf.server.live import sse
from zf.server.live.sse import RunEvents
from zf.server.live.tails import Tails

pytestmark = pytest.mark.xdist_group("served")


@contextmanager
def at_work(proofs):
    """As if a zf ran it."""
    locks = proofs / ".locks"
    locks.mkdir()
    with (locks / "well.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Client:
    """The other end of a stream; goes once it was sent so many pieces."""

    def __init__(self, pieces=None):
        self.bodies = []
        self._most = pieces
        self._gone = asyncio.Event()

    async def follow(self, tails, runs=("well",), **scope):
        events = RunEvents(tails, dict.fromkeys(runs, 0), bytes, many=len(runs) > 1)
        async with asyncio.timeout(60):
            await events(scope, self._receive, self._send)

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.body":
            self.bodies.append(message["body"])
            if len(self.bodies) == self._most:
                self._gone.set()


def many_lines(journal, count):
    """So many more before the last one."""
    *lines, last = journal.read_bytes().splitlines()
    ended = json.loads(last)
    said = {"task": "x" * 500, "type": "lease_taken", "concurrency": "g", "waited_s": 0}
    for number in range(len(lines), len(lines) + count):
        head = sha256(lines[-1]).hexdigest()
        line = {"seq": number, "prev": head, "wall": ended["wall"], "mono": 1.0, "run": "well"}
        lines.append(json.dumps(line | said).encode())
    ended |= {"seq": len(lines), "prev": sha256(lines[-1]).hexdigest()}
    lines.append(json.dumps(ended).encode())
    journal.write_bytes(b"".join(line + b"\n" for line in lines))
    return lines


def test_what_a_quick_run_writes_between_two_looks_is_one_piece(journal, tmp_path):
    """It was several, each with all that it takes to hand one over to each client."""
    lines = many_lines(journal, 300)

    async def followed():
        tails = Tails(str(tmp_path))
        tail = tails.attach("well")
        news = asyncio.Event()
        tail.watchers.add(news.set)
        async with asyncio.timeout(60):
            while not tail.over:
                await news.wait()
                news.clear()
        clients = [Client() for _ in range(3)]
        await asyncio.gather(*(client.follow(tails) for client in clients))
        tails.detach(tail)
        whole = b"".join(b"id: %d\ndata: %b\n\n" % place for place in enumerate(lines))
        for client in clients:
            retry, piece, end, closes = client.bodies
            assert piece == whole
            assert retry.startswith(b"retry")
            assert end.startswith(b"event: end")
            assert closes == b""
            # One for all, and no copy for each.
            assert piece is clients[0].bodies[1]

    asyncio.run(followed())


def test_a_piece_takes_no_timer(journal, tmp_path, monkeypatch):
    """Each took two, one for whether it is taken and one for the silence after it."""
    *rest, first = reversed(journal.read_bytes().splitlines(keepends=True))
    pieces = len(rest)
    journal.write_bytes(first)
    at_once = asyncio.sleep

    async def sleep(_seconds):
        if rest:
            with journal.open("ab") as file:
                file.write(rest.pop())
        await at_once(0)

    async def followed():
        loop, timers = asyncio.get_running_loop(), []
        call_at = loop.call_at

        def counted(*arguments, **keys):
            timers.append(arguments)
            return call_at(*arguments, **keys)

        client = Client()
        monkeypatch.setattr(loop, "call_at", counted)
        await client.follow(Tails(str(tmp_path)))
        assert len(client.bodies) >= pieces
        # One of the test, and one for all that was sent.
        assert len(timers) == 2

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(followed())


@pytest.mark.parametrize("runs", [("well",), ("well", "other")])
def test_in_silence_a_client_hears_that_the_stream_lives(journal, tmp_path, monkeypatch, runs):
    """Whether it follows one run or several."""
    shutil.copytree(journal.parent, tmp_path / "other")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)

    async def followed():
        client = Client(pieces=10)
        await client.follow(Tails(str(tmp_path)), runs)
        assert client.bodies[-3:] == [b"event: heartbeat\ndata: {}\n\n"] * 3

    with at_work(tmp_path):
        asyncio.run(followed())


def test_a_client_that_takes_nothing_for_long_is_dropped(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(sse, "STALL_S", 0.05)

    async def followed():
        dropped = asyncio.Event()

        async def receive():
            await dropped.wait()
            return {"type": "http.disconnect"}

        async def send(_message):
            await asyncio.Event().wait()

        events = RunEvents(Tails(str(tmp_path)), {"well": 0}, bytes, many=False)
        async with asyncio.timeout(60):
            await events({"zf.abort": dropped.set}, receive, send)

    asyncio.run(followed())
