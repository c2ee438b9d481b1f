"""The proxy in front: what is connected is noted, and then what that says it speaks for."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from zf.server.access.guard import address_of, sealed
from zf.server.access.policy import Policy


class Proxied:
    """ASGI middleware before the guard."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app: ASGIApp = app
        if policy.behind_proxy:
            self._app = ProxyHeadersMiddleware(app, trusted_hosts=list(policy.proxies))  # type: ignore[arg-type,assignment] # starlette's types are wider than uvicorn's

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["zf.peer"] = address_of(scope)
        # uvicorn has no public way to end a connection whose other end takes nothing.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        scope["zf.abort"] = getattr(transport, "abort", None)
        try:
            # Around everything: an error in zf is an answer, too.
            await self._app(scope, receive, sealed(send))
        except asyncio.CancelledError:
            # The server ends: what is still not answered is cut off, and is no error to be logged.
            if scope["zf.abort"] is None:
                raise
            scope["zf.abort"]()
            await asyncio.sleep(0)  # until that is known
