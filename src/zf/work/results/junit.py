"""One JUnit XML file -> how its test cases ended, in bounded time and memory.

Nothing is kept of the file but counts and the first failed cases. The form is what Surefire,
pytest, GoogleTest, Jest and CTest write: `testcase` elements at any depth below `testsuite` or
`testsuites`. The parser is expat as Python has it; entities, the only construct that makes a small
file large or leads out of it, are refused as soon as one is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from zf.errors import printable
from zf.lean.records import Struct, field

# Surefire's largest are some tens of MB, nearly all of it output; GitLab takes 30 MB.
MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
# Of failed cases, in one file and in one task.
MAX_CASES = 100
_NAME_CHARS = 300
_MESSAGE_CHARS = 500
# Of a failure's text, so that no secret is cut in two before it is looked for.
_HEARD_CHARS = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_ROOTS = frozenset({"testsuites", "testsuite"})
# How GoogleTest and CTest mark a case that did not run, without an element for it.
_NOT_RUN = frozenset({"notrun", "disabled", "skipped", "suppressed"})


class Case(Struct, frozen=True):
    """A test case that failed. `file` and `line` are as the report has them, empty and None where
    it does not say; `message` is the report's, or how the text of the failure begins.
    """

    name: str
    outcome: str  # failed | error
    classname: str = ""
    message: str = ""
    file: str = ""
    line: int | None = None
    time_s: float | None = None


class Counts(Struct):
    """The cases of a file, or of several. One with both a failure and an error counts as failed."""

    total: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    cases: list[Case] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        self.total += other.total
        self.failed += other.failed
        self.errors += other.errors
        self.skipped += other.skipped
        self.cases += other.cases[: MAX_CASES - len(self.cases)]


class UnreadableError(Exception):
    """The file is no report that can be read; the message says why."""


def read(stream: BinaryIO, hide: Callable[[str], str]) -> Counts:
    """The cases of the report in this file, in texts that are safe to show: `hide` takes secrets
    out of one. Raises UnreadableError, and OSError.
    """
    reader = _Reader(hide)
    size = 0
    try:
        while piece := stream.read(_PIECE_BYTES):
            size += len(piece)
            if size > MAX_BYTES:
                raise UnreadableError(f"is larger than {MAX_BYTES >> 20} MiB")
            reader.parser.Parse(piece, False)
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        why = expat.errors.messages.get(error.code, "") or expat.ErrorString(error.code)
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise UnreadableError(f"is not well-formed XML: {why}, {where}") from None
    except (LookupError, ValueError) as error:  # an encoding that Python does not have either
        raise UnreadableError(f"cannot be decoded: {error}") from None
    return reader.counts


class _Reader:
    """Expat's handlers, and where in the file they are."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self.counts = Counts()
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = _refuse_entity
        self._depth = 0
        # The case the parser is in, with what is known of it, and the depth of its element.
        self._case: dict[str, str] | None = None
        self._case_depth = 0
        self._outcome = ""
        self._message = ""
        # What stands in its failure is wanted while the message is not known.
        self._listening = False
        self._heard = ""

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        name = name.rpartition(":")[2]
        if self._depth == 1 and name not in _ROOTS:
            raise UnreadableError(f"is not a JUnit report: its root is <{name[:_NAME_CHARS]}>")
        if self._depth > MAX_DEPTH:
            raise UnreadableError(f"is nested deeper than {MAX_DEPTH} elements")
        if self._case is None:
            if name == "testcase":
                self._begin(attributes)
        elif self._depth == self._case_depth + 1:
            self._take(name, attributes)

    def _begin(self, attributes: Mapping[str, str]) -> None:
        self._case, self._case_depth = dict(attributes), self._depth
        words = {attributes.get("status"), attributes.get("result")}
        self._outcome = "skipped" if words & _NOT_RUN else ""
        self._message = ""

    def _take(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element of the case itself."""
        if name == "skipped" and not self._outcome:
            self._outcome = "skipped"
        elif name in {"failure", "error"}:
            if self._outcome not in {"failed", "error"}:
                self._message = attributes.get("message", "").strip()
                self._listening, self._heard = not self._message, ""
            if self._outcome != "failed":
                self._outcome = "failed" if name == "failure" else "error"

    def _text(self, text: str) -> None:
        if self._listening and len(self._heard) < _HEARD_CHARS:
            self._heard = (self._heard + text).lstrip()

    def _end(self, _name: str) -> None:
        if self._case is not None:
            if self._listening and self._depth == self._case_depth + 1:
                self._message, self._listening = self._heard.strip(), False
            elif self._depth == self._case_depth:
                self._count(self._case)
                self._case = None
        self._depth -= 1

    def _count(self, said: Mapping[str, str]) -> None:
        counts = self.counts
        counts.total += 1
        if self._outcome == "skipped":
            counts.skipped += 1
            return
        if not self._outcome:
            return
        if self._outcome == "failed":
            counts.failed += 1
        else:
            counts.errors += 1
        if len(counts.cases) < MAX_CASES:
            counts.cases.append(
                Case(
                    name=self._shown(said.get("name", "")) or "(a case without a name)",
                    outcome=self._outcome,
                    classname=self._shown(said.get("classname", "")),
                    message=self._shown(self._message, _MESSAGE_CHARS),
                    file=self._shown(said.get("file", "")),
                    line=_line(said.get("line", "")),
                    time_s=_seconds(said.get("time", "")),
                )
            )

    def _shown(self, text: str, most: int = _NAME_CHARS) -> str:
        """On one line and in bounds; cut when no secret is in it any more."""
        shown = printable(self._hide(text))
        return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _refuse_entity(name: str, *_: object) -> NoReturn:
    raise UnreadableError(f"declares an entity ({name[:_NAME_CHARS]}), which is not read")


def _line(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 else None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text[:30].replace(",", ""))
    except ValueError:
        return None
    return round(seconds, 6) if 0 <= seconds < 1e9 else None
