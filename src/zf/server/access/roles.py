"""Roles, each of which may do what the ones before it may; and who a request is from."""

from __future__ import annotations

from enum import IntEnum

from zf.errors import ZfError
from zf.lean.records import Struct


class Role(IntEnum):
    """What a token allows: to look, to run and end runs, to approve, or all, as to read the
    audit.
    """

    VIEWER = 1
    OPERATOR = 2
    APPROVER = 3
    ADMIN = 4

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, word: str) -> Role:
        """Raises ZfError (exit 2) for what is no role."""
        try:
            return cls[word.upper()]
        except KeyError:
            known = ", ".join(role.word for role in cls)
            raise ZfError(f"{word!r} is no role", code="ZF800", hint=f"roles: {known}") from None


class Who(Struct, frozen=True):
    """The caller of a request: the name of a token, or of the user whose machine it is; by which
    way it came (`token`, `session` or `proxy`), and from which address. `is_token` says that the
    name is that of a token.
    """

    name: str
    role: Role
    via: str
    address: str
    is_token: bool = False
