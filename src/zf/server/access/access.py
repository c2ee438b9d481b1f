"""Who a request is from, by its token, its session or the word of a proxy; and the audit of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie

from zf.events import timestamp
from zf.server.access.audit import Audit
from zf.server.access.policy import Policy, is_among
from zf.server.access.roles import Role, Who
from zf.server.access.sessions import Session, Sessions
from zf.server.access.throttle import Throttle
from zf.server.access.tokens import Tokens

_BEARER = "bearer "
_log = logging.getLogger("zf.audit")


class Access:
    """All that decides about who may do what, in one server."""

    def __init__(self, folder: str, policy: Policy) -> None:
        self.policy = policy
        self.tokens = Tokens(folder)
        self.sessions = Sessions()
        self.audit = Audit(folder)
        self._throttle = Throttle()
        self._strangers = Throttle()

    def who(self, headers: Mapping[str, str], peer: str, address: str) -> Who | None:
        """The user in the headers; None where they prove nothing. `peer` is what is connected,
        `address` what that says it speaks for.
        """
        now = time.time()
        if (secret := bearer(headers)) is not None:
            token = self.tokens.find(secret, now)
            if token is None:
                return None
            self.tokens.used(token.name, now)
            return Who(token.name, Role.named(token.role), "token", address, is_token=True)
        if cookie := self.cookie(headers):
            return self._of_session(cookie, address, now)
        policy = self.policy
        if policy.user_header and is_among(peer, policy.header_from):
            name = headers.get(policy.user_header.lower(), "")
            return Who(name, Role.named(policy.user_role), "proxy", address) if name else None
        return None

    def _of_session(self, cookie: str, address: str, now: float) -> Who | None:
        session = self.sessions.find(cookie, time.monotonic())
        if session is None:
            return None
        if not session.owner:
            token = self.tokens.named(session.name, now)
            if token is None:
                self.sessions.close(cookie)
                return None
            self.tokens.used(token.name, now)
        return Who(session.name, session.role, "session", address, is_token=not session.owner)

    def digest_of(self, who: Who) -> str | None:
        """The SHA-256 of the token that a caller has; None for one that has none."""
        token = self.tokens.named(who.name, time.time()) if who.is_token else None
        return None if token is None else token.sha256

    def begin(self, secret: str) -> Session | None:
        """The session that a token is good for: one of `zf ui`, once, or a named one."""
        if session := self.sessions.redeem(secret, time.monotonic()):
            return session
        now = time.time()
        token = self.tokens.find(secret, now)
        if token is None:
            return None
        self.tokens.used(token.name, now)
        return Session(token.name, Role.named(token.role), owner=False, used=time.monotonic())

    def cookie(self, headers: Mapping[str, str]) -> str:
        """The value of the session's cookie; empty where there is none."""
        with suppress(CookieError):
            found = SimpleCookie(headers.get("cookie", "")).get(self.policy.cookie)
            return found.value if found is not None else ""
        return ""

    def wait_s(self, address: str) -> float:
        """Count a wrong token; for how many seconds its address is to wait."""
        return self._throttle.wrong(address, time.monotonic())

    def is_noted(self, address: str) -> bool:
        """Whether what is refused to an address that proves nothing is written down: the first few
        times in a minute, so that a stranger cannot fill the disk.
        """
        return not self._strangers.wrong(address, time.monotonic())

    def note(self, who: Who | None, address: str, **facts: object) -> None:
        """Write a line into the audit. Where that cannot be, the server's own log says so: what was
        decided about a request stands.
        """
        named = {
            "at": timestamp(time.time()),
            "who": who.name if who else None,
            "role": who.role.word if who else None,
            "via": who.via if who else None,
            "address": address,
        }
        try:
            self.audit.add(**named, **facts)
        except OSError as error:
            _log.error("the audit cannot be written: %s: %s", error.strerror, {**named, **facts})


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization` header."""
    said = headers.get("authorization", "")
    return said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else None
