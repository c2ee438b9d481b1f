"""What a condition mentions of the values that a project names itself, against those there are.

Pure; which there are is said by whatever declares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from zf.lean.records import Struct
from zf.plan.conditions.condition import Condition, Field
from zf.plan.suggest import nearest


class Unknown(Struct, frozen=True):
    """A value that is not there: where the condition mentions it, from 0."""

    field: Field
    at: int
    length: int
    hint: str | None


def unknown_fields(condition: Condition, known: Collection[str]) -> Iterator[Unknown]:
    """Those whose keys are not among these, in the order of the text."""
    for field, (at, length) in condition.fields.items():
        if field.key in known:
            continue
        guess = nearest(field.key, known)
        hint = f"did you mean '{guess}'?" if guess else None
        yield Unknown(field, at, length, hint)
