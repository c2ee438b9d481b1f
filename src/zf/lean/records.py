"""Records are msgspec's structs, imported here without what zf has no use for.

msgspec asks `typing_extensions` for what newer Pythons have in `typing`, and does without it where
it is not installed. Importing that takes 8 ms of the 16 (docs/decisions/0014).
"""

import sys

from zf.lean.lazy import compiling

__all__ = [
    "DecodeError",
    "Meta",
    "Raw",
    "Struct",
    "asdict",
    "convert",
    "field",
    "fields",
    "json",
    "replace",
]

_is_here = "typing_extensions" in sys.modules
if not _is_here:
    sys.modules["typing_extensions"] = None  # type: ignore[assignment] # as if not installed
try:
    with compiling():  # what it imports in turn has expressions that nothing asks
        from msgspec import DecodeError, Meta, Raw, Struct, convert, field, json
        from msgspec.structs import asdict, fields, replace
finally:
    if not _is_here:
        del sys.modules["typing_extensions"]
