"""Server-sent events of runs: what is in the journal, then what is written, then `end`.

The id of an event is the number of its line in the journal. A client that comes back with the last
one it has seen gets the rest, each once; the end is a line, so that it cannot be missed.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zf.server.live.tails import Attached, Tail, Tails

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
# A client that takes nothing while so much is written is dropped: it comes back by its last id.
BUFFER_BYTES = 1024 * 1024
# How long a browser waits before it comes back.
_RETRY = b"retry: 2000\n\n"

Hide = Callable[[bytes], bytes]


def event(data: Mapping[str, Any], name: str = "", number: int | None = None) -> bytes:
    """One event."""
    head = f"id: {number}\n" if number is not None else ""
    head += f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


async def of_run(tail: Tail, first: int, hide: Hide) -> AsyncIterator[bytes]:
    """Those of one run from this line on, in pieces."""
    yield _RETRY
    at = first
    while True:
        grown = tail.growth()
        if at < tail.count:
            lines = tail.lines(at)
            yield hide(b"".join(b"id: %d\ndata: %b\n\n" % (at + n, d) for n, d in enumerate(lines)))
            at += len(lines)
        elif tail.ended or tail.dead:
            yield event({"run": tail.run, "dead": tail.dead}, "end")
            return
        elif tail.closing:
            return
        else:
            try:
                await asyncio.wait_for(grown.wait(), HEARTBEAT_S)
            except TimeoutError:
                yield event({}, "heartbeat")


class RunEvents(Response):
    """The stream of one run, as an answer."""

    media_type = MEDIA_TYPE

    def __init__(self, tails: Tails, run: str, first: int, hide: Hide) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._tails, self._run, self._first, self._hide = tails, run, first, hide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client is gone or dropped."""
        with Attached(self._tails, self._run) as tail:
            client = _Client(scope, send)
            tail.watchers.add(client.grown)
            sending = asyncio.ensure_future(self._send(tail, client))
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                tail.watchers.discard(client.grown)
                for task in (sending, leaving):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def _send(self, tail: Tail, client: _Client) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await client.send(start, tail.size)
        async for piece in of_run(tail, self._first, self._hide):
            body = {"type": "http.response.body", "body": piece, "more_body": True}
            await client.send(body, tail.size)
        await client.send({"type": "http.response.body", "body": b""}, tail.size)


class _Client:
    """What is connected, and whether it takes what it is sent."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._abort: Callable[[], None] | None = scope.get("zf.abort")
        # How large the journal was when the piece that is on its way was handed over.
        self._since: int | None = None

    async def send(self, message: dict[str, Any], size: int) -> None:
        self._since = size
        await self._send(message)
        self._since = None

    def grown(self, size: int) -> None:
        """The journal has this many bytes by now."""
        if self._since is not None and size - self._since > BUFFER_BYTES and self._abort:
            self._abort()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
