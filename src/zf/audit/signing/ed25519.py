"""Ed25519 keys in PEM files, for DSSE envelopes; importing this needs the package cryptography."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from zf.audit.signing import envelope
from zf.errors import ZfError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )
except ImportError:
    raise ZfError(
        "DSSE envelopes need the package cryptography",
        code="ZF633",
        hint="pip install cryptography",
    ) from None

_MAX_KEY_BYTES = 65_536


class DsseSigner:
    """Signs with an Ed25519 private key in a PEM file (PKCS #8, not encrypted)."""

    def __init__(self, key: str) -> None:
        try:
            private = load_pem_private_key(_key_file(key), password=None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise ZfError(
                f"{printable(key)} is not an Ed25519 private key in PEM, without a passphrase",
                code="ZF634",
                hint="openssl genpkey -algorithm ed25519 -out key.pem makes one",
            )
        self._private = private
        self.key_id = key_id(private.public_key())

    def sign(self, name: str, data: bytes) -> Mapping[str, bytes]:
        """The envelope to keep beside `name`."""
        signature = self._private.sign(envelope.pae(data))
        return {envelope.name(name): envelope.write(data, self.key_id, signature)}

    def public(self) -> tuple[str, bytes]:
        """The public key in PEM."""
        form = PublicFormat.SubjectPublicKeyInfo
        return "public_key", self._private.public_key().public_bytes(Encoding.PEM, form)


def key_id(public: Ed25519PublicKey) -> str:
    """SHA-256 of the public key as DER (SubjectPublicKeyInfo), in hex."""
    return sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def load_public(path: str) -> Ed25519PublicKey:
    """The public key in a PEM file; ZfError when there is none."""
    try:
        public = load_pem_public_key(_key_file(path))
    except ValueError:
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise ZfError(
            f"{printable(path)} is not an Ed25519 public key in PEM",
            code="ZF634",
            hint="openssl pkey -in key.pem -pubout -out key.pub.pem makes one",
        )
    return public


def fits(public: Ed25519PublicKey, payload: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's over the payload."""
    try:
        public.verify(signature, envelope.pae(payload))
    except InvalidSignature:
        return False
    return True


def _key_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise ZfError(f"{printable(path)}: {error.strerror}", code="ZF634") from None
