"""The place of the project on this machine, kept out of answers."""

from __future__ import annotations

import html
import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KINDS = ("application/json", "application/problem+json", "text/html")


class Hidden:
    """ASGI middleware: in answers of zf's own, which come in one piece, the project's root is `.`;
    files of runs go out as they are.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        # Where all of a machine is the project, there is nothing to hide.
        written = set() if root == "/" else {root, json.dumps(root)[1:-1], html.escape(root)}
        self._written = [text.encode() for text in written]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what it answers, changed where need be."""
        begun: list[Message] = []

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and self._concerns(message):
                begun.append(message)
                return
            if begun:
                start = begun.pop()
                if not message.get("more_body"):
                    message = self._without_root(start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, sent)

    def _concerns(self, message: Message) -> bool:
        kind = MutableHeaders(scope=message).get("content-type", "")
        return kind.partition(";")[0] in _KINDS

    def _without_root(self, start: Message, message: Message) -> Message:
        body: bytes = message.get("body", b"")
        found = body
        for text in self._written:
            found = found.replace(text, b".")
        if found == body:
            return message
        MutableHeaders(scope=start)["content-length"] = str(len(found))
        return {**message, "body": found}
