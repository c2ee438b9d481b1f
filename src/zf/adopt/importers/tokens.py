"""The words of an expression of another tool, taken one after the other by what reads it."""

from __future__ import annotations

import re

from zf.adopt.importers.scripts import Unsayable


class Tokens:
    """Each word with its kind, the name of the group of the pattern that it matched; signs are of
    the kind `sign`.
    """

    def __init__(self, said: str, pattern: re.Pattern[str], most: int | None = None) -> None:
        """Raises Unsayable where the pattern matches nothing, or past so many words."""
        self._said = said
        self.tokens: list[tuple[str, str]] = []
        at = 0
        said = said.strip()
        while at < len(said):
            match = pattern.match(said, at)
            if match is None or (most is not None and len(self.tokens) > most):
                raise Unsayable(self._said)
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind]))
            at = match.end()

    def _takes(self, *signs: str) -> str:
        """The next word, if it is one of these signs; empty otherwise."""
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return ""
