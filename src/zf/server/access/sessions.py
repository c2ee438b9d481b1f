"""Sessions of browsers: a token, given once, for a cookie. In memory alone: a server that is
started again asks for the token again.
"""

from __future__ import annotations

import secrets

from zf.lean.records import Struct
from zf.server.access.roles import Role

# A session that nothing used for so long is over.
IDLE_S = 12 * 3600.0
# The token in the address that `zf ui` opens.
ONCE_S = 600.0
_MOST = 1000


class Session(Struct):
    """Whose it is: a named token, which has to stay valid, or with `owner` the user of `zf ui`."""

    name: str
    role: Role
    owner: bool
    used: float


class Sessions:
    """Those of one server; times are its monotonic clock's."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._once: dict[str, tuple[str, float]] = {}

    def once(self, user: str, now: float) -> str:
        """A token for the user of this machine, good for one session that begins soon."""
        secret = secrets.token_urlsafe(32)
        self._once[secret] = (user, now + ONCE_S)
        return secret

    def redeem(self, secret: str, now: float) -> Session | None:
        """The session that such a token is good for; None for any other."""
        user, until = self._once.pop(secret, ("", 0.0))
        return Session(user, Role.ADMIN, owner=True, used=now) if now < until else None

    def open(self, session: Session) -> str:
        """The value of the session's cookie."""
        if len(self._open) >= _MOST:
            del self._open[min(self._open, key=lambda key: self._open[key].used)]
        cookie = secrets.token_urlsafe(32)
        self._open[cookie] = session
        return cookie

    def find(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie, which goes on for another while."""
        session = self._open.get(cookie)
        if session is None:
            return None
        if now - session.used > IDLE_S:
            del self._open[cookie]
            return None
        session.used = now
        return session

    def close(self, cookie: str) -> None:
        self._open.pop(cookie, None)
