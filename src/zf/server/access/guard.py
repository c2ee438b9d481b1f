"""What every request passes before its route: the one place that lets it in.

1. `Host` is a name of this server.
2. The body is at most 1 MiB.
3. It is not for a frame in another page.
4. What would change anything comes from our own page, or from a program with a bearer token that
   sends nothing a browser would send; and it is JSON that means one thing.
5. All but a few routes need to know who asks; which role that takes is said at the route.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zf.errors import ZfError, printable
from zf.server.access.access import Access, bearer
from zf.server.access.roles import Who
from zf.server.access.sound import sound
from zf.server.problems import answer, as_told

MAX_BODY_BYTES = 1024 * 1024
# So long a body may take to come: each that does not holds a connection.
BODY_S = 30.0
_SEE_OTHER = HTTPStatus.SEE_OTHER
_TOO_LARGE = f"a body is at most {MAX_BODY_BYTES} bytes"
# What a browser says a page is for that another one shows in itself.
_FRAMED = frozenset({"iframe", "frame", "fencedframe", "embed", "object"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Where in a request the one it is from is kept, for routes.
WHO = "zf.who"

# Without a token: whether the server is up, the page that asks for a token, and what that needs.
OPEN = frozenset(
    {"/", "/login", "/session", "/health", "/ready", "/api/v1/health", "/api/v1/ready"}
)
OPEN_FOLDERS = ("/static/", "/hooks/")
# These say themselves whether they are genuine, by a signature over a body of any kind.
SIGNED = ("/hooks/",)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: then a browser's POST names no origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            refusal = self._refusal(scope, headers)
        except ZfError as error:  # the tokens cannot be read
            refusal = as_told(error)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        noted = self._noting(scope, headers, send)
        if not _takes_json(scope, headers):
            await self._app(scope, _limited(receive), noted)
            return
        try:
            body = await _whole(receive)
        except HTTPException as error:
            await answer(error.status_code, error.detail, code="ZF811")(scope, receive, noted)
            return
        except ValueError as error:
            status, why = HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is no sound JSON: {error}"
            await answer(status, printable(why), code="ZF805")(scope, receive, noted)
            return
        if body is not None:
            await self._app(scope, _again(body, receive), noted)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        address, peer = address_of(scope), scope.get("zf.peer") or address_of(scope)
        host = headers.get("host", "")
        if not self._access.policy.knows(host):
            why = "the server is not known by this Host"
            return self._refuse(scope, headers, None, HTTPStatus.FORBIDDEN, why, "ZF810")
        if "\0" in scope["path"]:
            return answer(HTTPStatus.NOT_FOUND, "nothing has such a name")
        if _length(headers) > MAX_BODY_BYTES:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return self._refuse(scope, headers, None, status, _TOO_LARGE, "ZF811")
        who = self._access.who(headers, peer, address)
        scope[WHO] = who
        if headers.get("sec-fetch-dest") in _FRAMED:
            # A browser would not show it anyway, but then there would be no trace of it here.
            why = "no page of this server is shown inside another one"
            return self._refuse(scope, headers, who, HTTPStatus.FORBIDDEN, why, "ZF812")
        if scope["method"] not in SAFE and not scope["path"].startswith(SIGNED):
            found = self._unsafe(headers, host, who)
            if found is not None:
                return self._refuse(scope, headers, who, *found)
        if who is None and not is_open(scope["path"]):
            return self._unknown(scope, headers, address)
        return None

    def _unsafe(self, headers: Headers, host: str, who: Who | None) -> tuple[int, str, str] | None:
        """Why a request that would change something is refused, if it is."""
        if _from_browser(headers):
            if bearer(headers) is not None:
                return HTTPStatus.FORBIDDEN, "a bearer token is for programs, not pages", "ZF812"
            if not self._access.policy.is_own(headers.get("origin", ""), host):
                return HTTPStatus.FORBIDDEN, "the request is of another origin", "ZF812"
            if headers.get("sec-fetch-site") != "same-origin":
                return HTTPStatus.FORBIDDEN, "Sec-Fetch-Site is not same-origin", "ZF812"
        elif who is not None and who.via != "token":
            # The proxy's word is as good as a cookie: any page could bring it along.
            return HTTPStatus.FORBIDDEN, "a program needs a bearer token", "ZF812"
        elif not _length(headers) and "content-type" not in headers:
            return None  # a program that has nothing to add
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            why = "Content-Type has to be application/json"
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why, "ZF813"
        return None

    def _unknown(self, scope: Scope, headers: Headers, address: str) -> Response:
        if _is_page(scope, headers) and bearer(headers) is None:
            # A person is shown where to come in, and is brought back from there.
            if self._access.cookie(headers):
                self._note(scope, None, HTTPStatus.UNAUTHORIZED, "ZF814")
            return RedirectResponse(f"/login?{urlencode({'then': scope['path']})}", _SEE_OTHER)
        challenge = {"WWW-Authenticate": "Bearer"}
        if bearer(headers) is None and not self._access.cookie(headers):
            return answer(
                HTTPStatus.UNAUTHORIZED, "a token is needed", code="ZF814", headers=challenge
            )
        why, status = "the token is not valid", HTTPStatus.UNAUTHORIZED
        if wait_s := self._access.wait_s(address):
            why, status = "too many wrong tokens", HTTPStatus.TOO_MANY_REQUESTS
            challenge["Retry-After"] = str(int(wait_s) + 1)
        return self._refuse(scope, headers, None, status, why, "ZF814", challenge)

    def _refuse(
        self,
        scope: Scope,
        headers: Headers,
        who: Who | None,
        status: int,
        why: str,
        code: str,
        more: Mapping[str, str] | None = None,
    ) -> Response:
        carried = bearer(headers) is not None or self._access.cookie(headers)
        if carried or self._access.is_noted(address_of(scope)):
            self._note(scope, who, status, code)
        return answer(status, why, code=code, headers=more)

    def _note(self, scope: Scope, who: Who | None, status: int, code: str = "") -> None:
        facts: dict[str, Any] = {"code": code} if code else {}
        self._access.note(
            who,
            address_of(scope),
            method=scope["method"],
            path=scope["path"],
            status=int(status),
            **facts,
        )

    def _noting(self, scope: Scope, headers: Headers, send: Send) -> Send:
        """Sends, and writes down what a route refuses to a caller with a token, or was asked to
        change.
        """

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                status, who = message["status"], scope.get(WHO)
                writes = scope["method"] not in SAFE
                carried = bearer(headers) is not None or bool(self._access.cookie(headers))
                if (writes and who is not None) or (status in _REFUSED and carried):
                    self._note(scope, who, status)
            await send(message)

        return sent


_REFUSED = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
}


def _is_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks for a page."""
    of_api = scope["path"].startswith("/api/")
    return scope["method"] in SAFE and not of_api and "text/html" in headers.get("accept", "")


def is_open(path: str) -> bool:
    """Whether a path is served to a caller that proves nothing."""
    return path in OPEN or path.startswith(OPEN_FOLDERS)


def address_of(scope: Scope) -> str:
    """The address that a request is from, as far as the proxy in front is believed."""
    client = scope.get("client")
    return client[0] if client else ""


def _from_browser(headers: Headers) -> bool:
    return any(name in {"origin", "cookie"} or name.startswith("sec-fetch-") for name in headers)


def _length(headers: Headers) -> int:
    said = headers.get("content-length", "")
    if said.isascii() and said.isdecimal():
        return int(said[:20])
    return 1 if "transfer-encoding" in headers else 0


def _limited(receive: Receive) -> Receive:
    taken, more = 0, True
    until = asyncio.get_running_loop().time() + BODY_S

    async def limited() -> Message:
        nonlocal taken, more
        try:
            # What comes after the body is that the caller goes.
            async with asyncio.timeout_at(until if more else None):
                message = await receive()
        except TimeoutError:
            why = f"the body has not come within {BODY_S:g} seconds"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, why) from None
        more = message.get("more_body", False)
        taken += len(message.get("body", b""))
        if taken > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        return message

    return limited


def _takes_json(scope: Scope, headers: Headers) -> bool:
    """Whether there is a body that has to be JSON; that of a delivery is of any kind."""
    is_unsafe = scope["method"] not in SAFE and not scope["path"].startswith(SIGNED)
    return is_unsafe and bool(_length(headers))


async def _whole(receive: Receive) -> bytes | None:
    """A body that is sound JSON, or empty; None where the caller is gone before its end. Raises
    HTTPException for one that is too large, ValueError for any other.
    """
    limited, pieces, more = _limited(receive), [], True
    while more:
        message = await limited()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(pieces)
    if body:
        sound(body)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Receives the body that was read, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return messages.pop() if messages else await receive()

    return received


def sealed(send: Send) -> Send:
    """Sends every answer with what keeps browsers from doing with it what it is not for."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
