"""The server as a process: its address, and its end.

It listens only where that is safe, and is gone within a second of Ctrl-C or TERM, whatever streams
are open: runs are no children that it would have to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

from zf.errors import ZfError
from zf.server.place import Place

# Requests that are answered while it ends have this long; streams end at once.
_END_S = 0.5
_HEADER_BYTES = 64 * 1024


def serve(
    app: Any,
    listening: socket.socket,
    place: Place,
    closing: asyncio.Event,
    begun: Callable[[], None],
) -> None:
    """Serve until SIGINT or SIGTERM; `begun` is called once requests are answered."""
    import uvicorn  # noqa: PLC0415 - an extra

    class Server(uvicorn.Server):
        """Its signals are the loop's: no handler raises anything anywhere."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._end)
            yield

        def _end(self) -> None:
            closing.set()
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                begun()

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # believed in `proxied.py`, after the peer was noted
        server_header=False,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_END_S,  # type: ignore[arg-type] # any number of seconds does
        ssl_certfile=place.tls_cert or None,
        ssl_keyfile=place.tls_key or None,
    )
    # What is folded of runs stays for long, and is many objects: the collector would look through
    # all of them so often that folding took twice as long.
    gc.freeze()
    gc.set_threshold(20_000)
    Server(config).run([listening])


def refuse_missing() -> None:
    """Raises ZfError (exit 2) where what the server is made of is not installed."""
    try:
        import fastapi  # noqa: F401, PLC0415 - an extra
        import uvicorn  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ZfError(
            "the page and the API take the packages fastapi and uvicorn",
            code="ZF824",
            hint="pip install fastapi uvicorn",
        ) from None
