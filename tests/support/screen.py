"""A terminal as far as zf draws on one: what it shows after what was written."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\x1b\[(?P<number>\??[\d;]*)(?P<code>[A-Za-z])|(?P<char>.)", re.DOTALL)


class Screen:
    """What a terminal shows: rows that wrap and scroll, a cursor, five codes. Nothing else may
    reach it, but colours where it `paints`. A row knows whether it goes on in the next one, so that
    a resize can reflow.
    """

    def __init__(self, columns: int, rows: int, *, paints: bool = False) -> None:
        self.columns, self.height, self.paints = columns, rows, paints
        self.rows: list[str] = [""]
        self.wrapped: list[bool] = [False]
        self.top = self.row = self.column = 0
        self.wraps = True

    def write(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            match token["code"], token["char"]:
                case "A", _:
                    self.row = max(self.top, self.row - int(token["number"]))
                case "K", _:
                    self._set(self.rows[self.row][: self.column])
                case "J", _:
                    self._set(self.rows[self.row][: self.column])
                    del self.rows[self.row + 1 :]
                    del self.wrapped[self.row + 1 :]
                case "h" | "l", _:
                    assert token["number"] == "?7"
                    self.wraps = token["code"] == "h"
                case None, "\r":
                    self.column = 0
                case None, "\n":
                    self._down(wraps=False)
                case None, char:
                    assert char.isprintable(), f"raw {char!r} on the terminal"
                    if self.column == self.columns:
                        assert self.wraps, "a line of the board is too long"
                        self._down(wraps=True)
                    line = self.rows[self.row].ljust(self.column)
                    self._set(line[: self.column] + char + line[self.column + 1 :])
                    self.column += 1
                case "m", _ if self.paints:
                    pass
                case code:
                    raise AssertionError(f"unknown code {code}")

    def _set(self, text: str) -> None:
        self.rows[self.row] = text
        self.wrapped[self.row] = False

    def _down(self, *, wraps: bool) -> None:
        self.wrapped[self.row] = wraps
        self.row += 1
        self.column = 0
        if self.row == len(self.rows):
            self.rows.append("")
            self.wrapped.append(False)
        self.top = max(self.top, self.row - self.height + 1)

    def resize(self, columns: int) -> None:
        """Narrower or wider: lines are wrapped anew, as most terminals do."""
        lines = self.lines()
        self.columns = columns
        self.rows = [
            line[at : at + columns] for line in lines for at in range(0, len(line) or 1, columns)
        ]
        self.wrapped = [
            at + columns < len(line) for line in lines for at in range(0, len(line) or 1, columns)
        ]
        self.row = len(self.rows) - 1
        self.top = max(0, self.row - self.height + 1)

    def lines(self) -> list[str]:
        """All that was ever shown and not wiped, wrapped rows joined again."""
        lines = [""]
        for row, wraps in zip(self.rows, self.wrapped, strict=True):
            lines[-1] += row
            if not wraps:
                lines.append("")
        return lines[:-1]
