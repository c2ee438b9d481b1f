"""Instances of a matrix, for people and for steps: how they are listed, and their variables. Pure.

What they are called, and which there are, is in plan/matrix/.
"""

from __future__ import annotations

from collections.abc import Iterable

from zf.model import base_of


def matrix_variable(axis: str) -> str:
    """The variable of an axis of a matrix: `py-version` is MATRIX_PY_VERSION."""
    return f"MATRIX_{axis.upper().replace('-', '_')}"


def together(tasks: Iterable[str]) -> list[str]:
    """Ids for people to read: of a matrix of which several are named, how many in place of all."""
    of_base: dict[str, list[str]] = {}
    for task in tasks:
        of_base.setdefault(base_of(task), []).append(task)
    return [
        f"{base} ({len(names)} instances)" if len(names) > 1 else names[0]
        for base, names in of_base.items()
    ]
