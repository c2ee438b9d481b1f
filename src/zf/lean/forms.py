"""The validators of jsonschema_rs, without what it asks when it says how it was built.

That is the date of a mail: `email.utils` takes 7 of the 10 ms that the import takes, which a run
waits for that looks at an earlier one.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from zf.lean.lazy import standing_in

if TYPE_CHECKING:
    from jsonschema_rs import Draft4Validator, ValidationError

__all__ = ["Draft4Validator", "ValidationError"]

if not TYPE_CHECKING:
    with standing_in({"email.utils": SimpleNamespace(parsedate_to_datetime=str)}):
        from jsonschema_rs import Draft4Validator, ValidationError
