"""Named tokens: 256 random bits each, kept as their SHA-256, which expire and can be revoked.

`tokens.json` in the server's folder is read anew whenever it has changed, so that `zf token revoke`
holds from the next request on.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from zf.errors import ZfError, printable
from zf.events import timestamp
from zf.lean.records import Struct, replace
from zf.proof.files import write_json
from zf.server import state
from zf.server.access.roles import Role

FILE = "tokens.json"
# What every token begins with, so that scanners for leaked secrets can know it.
PREFIX = "zf_"
_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# The last use is written down when it is this much later than the one on record.
_USE_EVERY_S = 60.0


class Token(Struct, frozen=True):
    """What is known of a token; times are UTC in RFC 3339, and null for never."""

    name: str
    role: str
    sha256: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None

    def state(self, now: float) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and _moment(self.expires_at) <= now
        return "expired" if expired else "valid"

    def as_json(self, now: float) -> dict[str, Any]:
        """All of it but for the digest."""
        shown = {n: getattr(self, n) for n in self.__struct_fields__ if n != "sha256"}
        return shown | {"state": self.state(now)}


class Tokens:
    """The tokens in a server's folder."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/{FILE}"
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Every token that was made, revoked and expired ones too, in order of their names."""
        self._read()
        return [self._tokens[name] for name in sorted(self._tokens)]

    def any_valid(self, now: float) -> bool:
        """Whether there is a token that lets anything in."""
        return any(token.state(now) == "valid" for token in self.all())

    def create(self, name: str, role: Role, lifetime_s: float | None, now: float) -> str:
        """A new token, shown this once. Raises ZfError (exit 2) for a name that is no good, or
        taken.
        """
        if not _NAME.fullmatch(name):
            raise ZfError(
                f"{printable(name)!r} cannot be the name of a token",
                code="ZF801",
                hint="use letters, digits, '.', '_', '@' and '-', at most 64",
            )
        secret = PREFIX + secrets.token_urlsafe(_BYTES)
        expires = None if lifetime_s is None else timestamp(now + lifetime_s)
        made = Token(name, role.word, _digest(secret), timestamp(now), expires)

        def add(tokens: dict[str, Token]) -> None:
            if name in tokens and tokens[name].state(now) == "valid":
                hint = f"choose another, or end it: zf token revoke {name}"
                raise ZfError(f"there is a token {name!r}", code="ZF802", hint=hint)
            tokens[name] = made

        self._change(add)
        return secret

    def revoke(self, name: str, now: float) -> None:
        """It lets nothing in from now on. Raises ZfError (exit 2) when there is none."""

        def end(tokens: dict[str, Token]) -> None:
            if name not in tokens:
                hint = "zf token list shows those there are"
                raise ZfError(f"no token {printable(name)!r}", code="ZF803", hint=hint)
            if tokens[name].revoked_at is None:
                tokens[name] = replace(tokens[name], revoked_at=timestamp(now))

        self._change(end)

    def find(self, secret: str, now: float) -> Token | None:
        """The valid token with this secret. What is looked up is its hash, of which how long the
        look takes tells nothing.
        """
        self._read()
        digest = _digest(secret)
        found = next((token for token in self._tokens.values() if token.sha256 == digest), None)
        return found if found is not None and found.state(now) == "valid" else None

    def named(self, name: str, now: float) -> Token | None:
        """The valid token of this name."""
        self._read()
        found = self._tokens.get(name)
        return found if found is not None and found.state(now) == "valid" else None

    def used(self, name: str, now: float) -> None:
        """Write down that it was used, to the minute."""
        last = self._tokens[name].last_used_at
        if last is not None and now - _moment(last) < _USE_EVERY_S:
            return

        def mark(tokens: dict[str, Token]) -> None:
            if name in tokens:
                tokens[name] = replace(tokens[name], last_used_at=timestamp(now))

        with suppress(OSError):  # the disk is full: it is let in all the same
            self._change(mark)

    def _change(self, change: Callable[[dict[str, Token]], None]) -> None:
        with state.locked(self._path):
            self._read()
            change(self._tokens)
            kept = [
                {name: getattr(token, name) for name in Token.__struct_fields__}
                for token in self._tokens.values()
            ]
            write_json(self._path, {"tokens": kept})

    def _read(self) -> None:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
            return
        seen = (there.st_ino, there.st_mtime_ns, there.st_size)
        if seen == self._seen:
            return
        try:
            with open(self._path, encoding="utf-8") as file:
                rows: list[Mapping[str, Any]] = json.load(file)["tokens"]
            self._tokens = {row["name"]: Token(**row) for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            # No token of a file that cannot be read lets anything in.
            self._tokens = {}
            raise ZfError(
                f"{FILE} of the server cannot be read: {_why(error)}",
                code="ZF804",
                hint="remove it, and make tokens anew with zf token create",
            ) from None
        self._seen = seen


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
