"""What a run was started by, where that was not a person at a terminal: who asked the server for
it, by which way, and what for. It goes into run.json, so that the seal and the signature cover it.

The server alone sets it; to anyone who can set variables for zf it proves nothing, as they could
write any proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VARIABLE = "ZF_TRIGGER"
# What may be said: who (the name of a token), by which way (`api`, `page`, `schedule`, `webhook`,
# `reconcile`), from which address; of a schedule or a webhook its name; the id of the delivery and
# the digest of what was delivered; and the item of the queue.
KEYS = ("by", "via", "address", "name", "delivery", "payload_sha256", "item")
_LONGEST = 200


def recorded(environ: Mapping[str, str]) -> dict[str, str]:
    """What the variable says, as far as it has the form; nothing without."""
    said = environ.get(VARIABLE)
    if not said:
        return {}
    import json  # noqa: PLC0415 - no other run needs it so early

    try:
        found: Any = json.loads(said)
    except ValueError:
        return {}
    return trimmed(found) if isinstance(found, dict) else {}


def trimmed(said: Mapping[str, Any]) -> dict[str, str]:
    """What of it may be said, in the order of the keys."""
    return {
        key: said[key][:_LONGEST] for key in KEYS if isinstance(said.get(key), str) and said[key]
    }


def variable(said: Mapping[str, Any]) -> str:
    """The value of the variable."""
    import json  # noqa: PLC0415 - as above

    return json.dumps(trimmed(said))


def as_word(said: Mapping[str, Any]) -> str:
    """The same as one word of an order to a runner: who, by which way, from where."""
    parts = (str(said.get(key, "")) for key in KEYS[:3])
    return ",".join("".join(c if c.isalnum() or c in "._@:-" else "_" for c in p) for p in parts)


def of_word(word: str) -> dict[str, str]:
    """What such a word says."""
    return trimmed(dict(zip(KEYS[:3], word.split(","), strict=False)))
