"""DSSE envelopes, the form that supply-chain tools read. Pure; `ed25519.py` has the keys.

The payload is the statement's own bytes. An envelope is canonical JSON and canonical base64, so
there is one byte form for one signature and any other is refused.
"""

from __future__ import annotations

import base64
from typing import Any

from zf.proof.canonical import canonical
from zf.proof.journal import decode

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def name(statement: str) -> str:
    """The file that holds the envelope of a statement's file."""
    return f"{statement.removesuffix('.json')}.dsse.json"


def pae(payload: bytes) -> bytes:
    """What is signed: the type and the payload, each with its length (DSSE v1 encoding)."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def write(payload: bytes, key_id: str, signature: bytes) -> bytes:
    """The envelope's bytes."""
    signatures = [{"keyid": key_id, "sig": _b64(signature)}]
    return canonical(
        {"payload": _b64(payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}
    )


def read(envelope: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The payload and the signatures by key id; ValueError unless in the one canonical form."""
    value = decode(envelope)
    try:
        is_canonical = isinstance(value, dict) and canonical(value) == envelope
    except RecursionError:
        is_canonical = False
    if not is_canonical:
        raise ValueError("not canonical JSON")
    if set(value) != {"payload", "payloadType", "signatures"}:
        raise ValueError("not a DSSE envelope")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"holds {str(value['payloadType'])[:80]!r}, not an in-toto statement")
    rows = value["signatures"]
    if not isinstance(rows, list) or not all(map(_is_signature, rows)):
        raise ValueError("its signatures are not key ids with signatures")
    return _unb64(value["payload"]), {row["keyid"]: _unb64(row["sig"]) for row in rows}


def _is_signature(row: Any) -> bool:
    return isinstance(row, dict) and set(row) == {"keyid", "sig"} and type(row["keyid"]) is str


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: Any) -> bytes:
    data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    if _b64(data) != text:
        raise ValueError("not canonical base64")
    return data
