"""The ways to sign a run, one row each.

A new one is a module beside `ssh.py` and `dsse.py`, and a row here. The options of `zf verify` and
the rules of a policy follow from the row, the files that `attest/` may hold from the module. It is
imported when it is used, since the command line reads the table for every verb.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from zf.lean.records import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack


class Signer(Protocol):
    """One key that can sign: by ssh-keygen, as a DSSE envelope, later by a remote service."""

    key_id: str

    def sign(self, name: str, data: bytes) -> Mapping[str, bytes]:
        """The files (by name) that hold the signature over the file `name` with these bytes."""
        ...

    def public(self) -> tuple[str, bytes]:
        """The `keys` of its scheme, and what a file with this key as the only trusted one holds."""
        ...


class Examined(Struct):
    """What the signatures on a run come to."""

    # Key id and the file that names it: the statement has to name the same.
    claims: list[tuple[str, str]] = field(default_factory=list)
    # Kind, message, file.
    flaws: list[tuple[str, str, str]] = field(default_factory=list)
    # The signatures that hold, by a trusted key and by one that was not given to be trusted; and
    # those that cannot be checked without the key.
    trusted: list[str] = field(default_factory=list)
    unvouched: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


class SchemeModule(Protocol):
    """What a scheme's module has."""

    # What it may leave in `attest/`.
    FILES: tuple[str, ...]

    def takes(self, key: str, head: bytes) -> bool:
        """Whether it signs with this key; `head` has the first bytes of the file it names."""
        ...

    def signer(self, key: str, opened: ExitStack) -> Signer:
        """The key, ready to sign; `opened` keeps what must live as long. Raises ZfError."""
        ...

    def load(self, path: str) -> Any:
        """The file with the trusted keys, as `examine` takes it; raises ZfError."""
        ...

    def examine(
        self,
        files: Mapping[str, bytes],
        trusted: Any,
        signers: tuple[str, ...],
        at: str | None,
        found: Examined,
    ) -> None:
        """Add to `found` what the files in `attest/` come to.

        `trusted` is None when no keys were given, `signers` has the names to accept, and `at`
        (`YYYYmmddHHMMSSZ`) is when the statement is known to have existed.
        """
        ...


class Scheme(Struct, frozen=True):
    """One way to sign."""

    # The file with the trusted keys, as a policy calls it; the option has hyphens.
    keys: str
    about: str
    name: str

    @property
    def module(self) -> SchemeModule:
        """Its functions."""
        return cast("SchemeModule", import_module(f"zf.audit.signing.{self.name}"))


# The first takes every key that no other takes.
SCHEMES = (
    Scheme(
        "allowed_signers",
        "Require an SSH signature by a key in this list (ssh-keygen's allowed signers). It"
        " must not lie in the run's folder.",
        "ssh",
    ),
    Scheme(
        "public_key",
        "Require a DSSE envelope by this Ed25519 key (PEM). Needs the package cryptography.",
        "dsse",
    ),
)


def module_for(key: str, head: bytes) -> SchemeModule:
    """The module of the scheme that signs with this key."""
    modules = (scheme.module for scheme in reversed(SCHEMES))
    return next(module for module in modules if module.takes(key, head))
