"""Signing with DSSE envelopes and Ed25519 keys: a row of `signers.py`.

The forms are in `envelope.py`, the mathematics in `ed25519.py`, which needs an extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from zf.audit.signing import envelope
from zf.audit.statement import STATEMENT, TEST_RESULT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from zf.audit.signing.ed25519 import DsseSigner
    from zf.audit.signing.signers import Examined

FILES = ENVELOPE, RESULT_ENVELOPE = envelope.name(STATEMENT), envelope.name(TEST_RESULT)
_PEM_PRIVATE = b"-----BEGIN PRIVATE KEY-----"


def takes(_key: str, head: bytes) -> bool:
    """A private key in PEM."""
    return head.startswith(_PEM_PRIVATE)


def signer(key: str, _opened: ExitStack) -> DsseSigner:
    """The signer for an Ed25519 key in PEM; raises ZfError when it is not one."""
    from zf.audit.signing.ed25519 import DsseSigner  # noqa: PLC0415 - needs an extra

    return DsseSigner(key)


def load(path: str) -> Ed25519PublicKey:
    """The public key to trust; raises ZfError when there is none in the file."""
    from zf.audit.signing import ed25519  # noqa: PLC0415 - needs an extra

    return ed25519.load_public(path)


def examine(
    files: Mapping[str, bytes],
    trusted: Ed25519PublicKey | None,
    _signers: tuple[str, ...],
    _at: str | None,
    found: Examined,
) -> None:
    """Both envelopes: one holds the statement, the other the test result."""
    if trusted is None and files.keys().isdisjoint(FILES):
        return
    for name, inner in ((ENVELOPE, STATEMENT), (RESULT_ENVELOPE, TEST_RESULT)):
        if name in files:
            _examine(name, files[name], files.get(inner), trusted, found)
        else:
            found.flaws.append(("unsigned", "is not there", name))


def _examine(
    name: str,
    data: bytes,
    statement: bytes | None,
    trusted: Ed25519PublicKey | None,
    found: Examined,
) -> None:
    try:
        payload, signatures = envelope.read(data)
    except ValueError as error:
        found.flaws.append(("bad_signature", str(error), name))
        return
    if payload != statement:
        inner = STATEMENT if name == ENVELOPE else TEST_RESULT
        found.flaws.append(("bad_signature", f"holds another {inner}", name))
    if len(signatures) != 1:
        found.flaws.append(("bad_signature", "has not exactly one signature", name))
    for key, signature in signatures.items():
        if name == ENVELOPE:
            found.claims.append((key, name))
        wrong = None if trusted is None else _wrong(trusted, key, payload, signature)
        if wrong:
            found.flaws.append(("not_trusted", wrong, name))
        elif name == ENVELOPE:
            # An envelope holds the key's digest, not the key: without it nothing can be checked.
            told = found.unchecked if trusted is None else found.trusted
            told.append(f"{key:.80}")


def _wrong(trusted: Ed25519PublicKey, key: str, payload: bytes, signature: bytes) -> str | None:
    from zf.audit.signing import ed25519  # noqa: PLC0415 - needs an extra

    if key != ed25519.key_id(trusted):
        return f"signed by another key: {key:.80}"
    return None if ed25519.fits(trusted, payload, signature) else "the signature does not fit"
