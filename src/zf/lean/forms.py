"""The validators of jsonschema_rs, without what it asks when it says how it was built, and without
a type that no JSON has.

The first is the date of a mail: `email.utils` takes 7 of the 11 ms that the import takes, which a
run waits for that looks at an earlier one. The second is in `decimal`, for 3 ms.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from zf.lean.lazy import standing_in

if TYPE_CHECKING:
    from jsonschema_rs import Draft4Validator, ValidationError

__all__ = ["Draft4Validator", "ValidationError"]

if not TYPE_CHECKING:
    _others = {
        "email.utils": SimpleNamespace(parsedate_to_datetime=str),
        "decimal": SimpleNamespace(Decimal=type("Decimal", (), {})),
    }
    with standing_in(_others):
        from jsonschema_rs import Draft4Validator, ValidationError

        # It asks for that type when it looks at its first value.
        Draft4Validator({"type": "integer"}).is_valid(None)
