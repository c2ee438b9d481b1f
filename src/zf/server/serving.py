"""The server as a process: its address, and its end.

It listens only where that is safe, and is gone within a second of Ctrl-C or TERM, whatever streams
are open: runs are no children that it would have to wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

from zf.errors import ZfError, printable
from zf.lean.records import Struct
from zf.server.access.policy import is_loopback

# Requests that are answered while it ends have this long; streams end at once.
_END_S = 0.5
_BACKLOG = 512
_HEADER_BYTES = 64 * 1024


class Place(Struct, frozen=True):
    """Where to listen; port 0 is any that is free."""

    host: str = "127.0.0.1"
    port: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    behind_proxy: bool = False

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS itself."""
        return bool(self.tls_cert)

    def refuse_unsafe(self, *, has_token: bool) -> None:
        """Raises ZfError (exit 2) for an address which others reach, unless what they send is
        encrypted on its way and there is a token to let them in by.
        """
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ZfError("--tls-cert and --tls-key go together", code="ZF820")
        if is_loopback(self.host):
            return
        if not (self.is_encrypted or self.behind_proxy):
            raise ZfError(
                f"{printable(self.host)} is reached from other machines, which takes TLS",
                code="ZF821",
                hint="give --tls-cert and --tls-key; or --behind-proxy, if a proxy that speaks TLS"
                " is all that reaches it",
            )
        if not has_token:
            raise ZfError(
                f"{printable(self.host)} is reached from other machines, and there is no token",
                code="ZF822",
                hint="make one: zf token create NAME --role operator",
            )

    def listen(self) -> socket.socket:
        """A socket there. Raises ZfError (exit 2) where there can be none."""
        try:
            family, *_, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            opened = socket.socket(family, socket.SOCK_STREAM)
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(address)
                opened.listen(_BACKLOG)
            except OSError:
                opened.close()
                raise
        except (OSError, OverflowError) as error:
            shown = f"{printable(self.host)} port {self.port}"
            why = getattr(error, "strerror", None) or str(error)
            raise ZfError(
                f"cannot listen on {shown}: {why}", code="ZF823", hint="choose another --port"
            ) from None
        return opened


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
