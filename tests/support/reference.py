"""The tables of docs/reference that the program itself knows, written into their pages.

`./dev python -m tests.support.reference` writes them; a test compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from zf.errors import Exit

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Each page as it should be: its own text, with the tables as the program has them."""
    exit_codes = REFERENCE / "exit-codes.md"
    return {exit_codes: with_table(exit_codes.read_text(), "code", exit_code_table())}


def with_table(text: str, first_heading: str, table: str) -> str:
    """The text with its first table of that kind replaced."""
    found = re.search(rf"(?m)^\| {first_heading} \|.*\n(?:^\|.*\n)+", text)
    assert found, f"no table that begins with {first_heading!r}"
    return text[: found.start()] + table + text[found.end() :]


def exit_code_table() -> str:
    """Every exit code and what it means."""
    rows = [
        f"| {code.value} | `{code.name}` | {code.run} | {_same(code.run_task, code.run)}"
        f" | {code.verify} |\n"
        for code in Exit
    ]
    head = "| code | name | `zf run-phase` | `zf run-task` | `zf verify` |\n|---|---|---|---|---|\n"
    return head + "".join(rows)


def _same(text: str, other: str) -> str:
    return "the same" if text and text == other else text


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
