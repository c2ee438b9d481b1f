"""Records are msgspec's structs, imported here without what zf has no use for.

msgspec asks `typing_extensions` for what newer Pythons have in `typing`, and does without it where
it is not installed. Importing that takes 8 ms of the 16 (docs/decisions/0014), another 2 are for
what msgspec has beside its compiled half: MessagePack, YAML, JSON Schema; and 2 more for `uuid` and
`decimal`, of which it only wants to know two types, to recognise values of them. No record has any.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from zf.lean.lazy import compiled_half, compiling, standing_in

if TYPE_CHECKING:
    from msgspec import DecodeError, Meta, Raw, Struct, convert, field
    from msgspec.json import decode as json_decode
    from msgspec.json import encode as json_encode
    from msgspec.structs import asdict, astuple, replace

__all__ = [
    "DecodeError",
    "Meta",
    "Raw",
    "Struct",
    "asdict",
    "astuple",
    "convert",
    "field",
    "json_decode",
    "json_encode",
    "replace",
]

if not TYPE_CHECKING:
    _others = {
        "typing_extensions": None,  # as if not installed
        "uuid": SimpleNamespace(UUID=type("UUID", (), {}), SafeUUID=SimpleNamespace(unknown=None)),
        "decimal": SimpleNamespace(Decimal=type("Decimal", (), {})),
    }
    # What it imports in turn has expressions that nothing asks.
    with standing_in(_others), compiling():
        _core = compiled_half("msgspec", "_core")
    DecodeError, Meta, Raw, Struct = _core.DecodeError, _core.Meta, _core.Raw, _core.Struct
    asdict, astuple = _core.asdict, _core.astuple
    convert, replace = _core.convert, _core.replace
    field = _core.Field
    json_decode, json_encode = _core.json_decode, _core.json_encode
