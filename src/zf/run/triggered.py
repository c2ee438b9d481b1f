"""What the server started a run for, and what was delivered for it, on record from its start."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from zf.errors import ZfError
from zf.proof.files import write_new
from zf.proof.known import Known
from zf.proof.layout import PAYLOAD

# `trigger.VARIABLE`, which no other run needs to import; and the path of what was delivered.
_TRIGGER = "ZF_TRIGGER"
_DELIVERED = "ZF_TRIGGER_PAYLOAD"
_MOST_BYTES = 64 * 1024 * 1024


def triggered(environ: Mapping[str, str]) -> dict[str, str]:
    """What the server started the run for; nothing where a person did."""
    if _TRIGGER not in environ:
        return {}
    from zf import trigger  # noqa: PLC0415 - few runs are a server's

    return trigger.recorded(environ)


def keep_delivered(
    environ: Mapping[str, str], asked: Mapping[str, str], staging: str, known: Known
) -> None:
    """Keep what was delivered in the run's folder, as it came. Raises ZfError (exit 2) where it is
    not what the server says that it is, and OSError.
    """
    path, digest = environ.get(_DELIVERED, ""), asked.get("payload_sha256", "")
    if not digest:
        return
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError:
        data = b""
    if sha256(data).hexdigest() != digest:
        raise ZfError(
            "what was delivered for this run is not there any more",
            code="ZF850",
            hint="let it be delivered again",
        )
    known.tops[PAYLOAD] = write_new(f"{staging}/{PAYLOAD}", data)
