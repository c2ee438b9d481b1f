"""What a verification says: findings, verdicts and their states, as values to print or to weigh."""

from __future__ import annotations

from enum import StrEnum

from zf.errors import printable
from zf.lean.records import Struct


class State(StrEnum):
    """What became of one of the five questions."""

    PASSED = "passed"
    FAILED = "failed"
    DOUBTFUL = "doubtful"
    UNSIGNED = "unsigned"
    NOT_CHECKED = "not checked"


class Finding(Struct, frozen=True):
    """One thing that is wrong: under which verdict, of which kind, where.

    `kind` is a stable word for programs; `message` is one safe line for people.
    """

    verdict: str
    kind: str
    message: str
    path: str | None = None

    @property
    def place(self) -> str:
        """What is wrong, after where it is."""
        where = f"{printable(self.path)}: " if self.path is not None else ""
        return f"{where}{printable(self.message)}"

    def render(self) -> str:
        return f"{self.verdict} [{self.kind}] {self.place}"


class Verdict(Struct, frozen=True):
    """The answer to one question and, in a sentence, what it rests on."""

    name: str
    state: State
    summary: str

    def render(self) -> str:
        return f"{self.name:<9}  {self.state.upper():<11}  {printable(self.summary)}"
