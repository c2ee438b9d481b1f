"""Server-sent events of runs: what is in the journal, then what is written, then `end`.

The id of an event is the number of its line in the journal. A client that comes back with the last
one it has seen gets the rest, each once; the end is a line, so that it cannot be missed.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zf.server.live.tails import Attached, Tail, Tails

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
# A client that takes nothing while so much is written is dropped: it comes back by its last id.
BUFFER_BYTES = 1024 * 1024
# The same for one that takes nothing of what was there before it came, for so long.
STALL_S = 30.0
# How long a browser waits before it comes back.
_RETRY = b"retry: 2000\n\n"

Hide = Callable[[bytes], bytes]


def event(data: Mapping[str, Any], name: str = "", number: int | None = None) -> bytes:
    """One event."""
    head = f"id: {number}\n" if number is not None else ""
    head += f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


async def of_run(tail: Tail, first: int, hide: Hide, client: Client) -> AsyncIterator[bytes]:
    """Those of one run from this line on, in pieces."""

    def as_events(number: int, lines: Sequence[bytes]) -> bytes:
        return hide(b"".join(b"id: %d\ndata: %b\n\n" % place for place in enumerate(lines, number)))

    yield _RETRY
    at = first
    while True:
        client.looks()
        if at < tail.count:
            piece, at = tail.piece(at, as_events)
            yield piece
        elif tail.ended or tail.dead:
            yield event({"run": tail.run, "dead": tail.dead}, "end")
            return
        elif tail.closing:
            return
        elif await client.hears_nothing():
            yield event({}, "heartbeat")


async def of_runs(
    tails: Sequence[Tail], firsts: Mapping[str, int], hide: Hide, client: Client
) -> AsyncIterator[bytes]:
    """Those of several runs, each from its own line on. Their id is the last number of each."""
    yield _RETRY
    at, open_ = dict(firsts), list(tails)
    while open_:
        client.looks()
        sent = False
        for tail in [*open_]:
            if at[tail.run] < tail.count:
                lines = tail.lines(at[tail.run])
                yield hide(b"".join(_numbered(tail.run, at, lines)))
                sent = True
            elif tail.ended or tail.dead:
                yield event({"run": tail.run, "dead": tail.dead}, "end")
                open_.remove(tail)
                sent = True
            elif tail.closing:
                return
        if not sent and await client.hears_nothing():
            yield event({}, "heartbeat")


def _numbered(run: str, at: dict[str, int], lines: Sequence[bytes]) -> Iterator[bytes]:
    for line in lines:
        at[run] += 1
        place = ",".join(f"{name}={number - 1}" for name, number in at.items())
        yield b"id: %b\ndata: %b\n\n" % (place.encode(), line)


class RunEvents(Response):
    """The stream of one run, or of several, as an answer; `firsts` are the lines to begin with."""

    media_type = MEDIA_TYPE

    def __init__(self, tails: Tails, firsts: Mapping[str, int], hide: Hide, *, many: bool) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._tails, self._firsts, self._hide, self._many = tails, firsts, hide, many

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client is gone or dropped."""
        with ExitStack() as attached:
            tails = [attached.enter_context(Attached(self._tails, run)) for run in self._firsts]
            client = Client(scope, send, tails)
            attached.callback(client.close)
            for tail in tails:
                tail.watchers.add(client.grown)
                attached.callback(tail.watchers.discard, client.grown)
            sending = asyncio.ensure_future(self._send(tails, client))
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                    # A body that is too large is as good as gone.
                    with suppress(asyncio.CancelledError, HTTPException):
                        await task

    async def _send(self, tails: Sequence[Tail], client: Client) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await client.send(start)
        if self._many:
            pieces = of_runs(tails, self._firsts, self._hide, client)
        else:
            pieces = of_run(tails[0], self._firsts[tails[0].run], self._hide, client)
        async for piece in pieces:
            await client.send({"type": "http.response.body", "body": piece, "more_body": True})
        await client.send({"type": "http.response.body", "body": b""})


class Client:
    """What is connected: whether there is something for it, and whether it takes what it is sent.

    It has one timer, and not one for each piece and another for the silence after it: with many
    clients those took a good part of what a stream costs.
    """

    def __init__(self, scope: Scope, send: Send, tails: Sequence[Tail]) -> None:
        self._send = send
        self._tails = tails
        self._abort: Callable[[], None] | None = scope.get("zf.abort")
        self._news = asyncio.Event()
        self._is_silent = False
        # How large the journals were when the piece that is on its way was handed over.
        self._since: int | None = None
        # When the last piece was.
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(HEARTBEAT_S, self._look)

    def close(self) -> None:
        self._timer.cancel()

    async def send(self, message: dict[str, Any]) -> None:
        self._since, self._last = self._size(), self._loop.time()
        await self._send(message)
        self._since = None

    def looks(self) -> None:
        """What comes from now on is news. To be said before looking."""
        self._news.clear()

    async def hears_nothing(self) -> bool:
        """Wait for news; whether none came for so long that it has to hear that."""
        await self._news.wait()
        return self._is_silent

    def grown(self) -> None:
        """A journal has more by now, or has no more."""
        if self._since is not None and self._size() - self._since > BUFFER_BYTES:
            self._drop()
        self._is_silent = False
        self._news.set()

    def _look(self) -> None:
        limit_s = HEARTBEAT_S if self._since is None else STALL_S
        left_s = self._last + limit_s - self._loop.time()
        if left_s <= 0 and self._since is not None:
            self._drop()
            return
        if left_s <= 0:
            self._is_silent = True
            self._news.set()
            left_s = HEARTBEAT_S
        self._timer = self._loop.call_later(min(left_s, HEARTBEAT_S), self._look)

    def _drop(self) -> None:
        if self._abort is not None:
            self._abort()

    def _size(self) -> int:
        return sum(tail.size for tail in self._tails)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
