"""What can go wrong, as values: exit codes, problems with a place, and the one exception.

A `Problem` is a finding to print; a `ZfError` stops the command with a documented exit code.
Text that is not zf's own passes through `printable` before it is in a message.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import Literal, Self

from zf.lean.records import Struct


class Exit(IntEnum):
    """Every exit code that zf uses: what it means for a run, for `zf run-task` where that differs,
    and for `zf verify`. docs/reference/exit-codes.md is written from it.
    """

    _value_: int
    run: str
    run_task: str
    verify: str

    def __new__(cls, code: int, run: str = "", run_task: str = "", verify: str = "") -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.run, member.run_task, member.verify = run, run_task or run, verify
        return member

    OK = (
        0,
        "every selected task succeeded or was skipped",
        "success",
        "verified: nothing is wrong, and all that was expected is so",
    )
    FAILED = (
        1,
        "a task failed, timed out, was blocked or was lost",
        "the failing step's own code when that is 1 to 123, else 1",
        "tampered: not INTACT; or, with `--passed`, the run did not succeed",
    )
    USAGE = (
        2,
        "wrong usage, invalid task files, an unknown phase or task",
        "",
        "wrong usage, or what was named is no run",
    )
    INCOMPLETE = 3, "", "", "not COMPLETE"
    UNTRUSTED = 4, "", "", "the signer is not trusted, or an expectation is not met"
    RUN_ID_TAKEN = 5, "the run id is in use, or its run is over"
    WAITING = 6, "the run is suspended: a task waits for approval (`--on-approval exit`)"
    INTERNAL = 70, "an error in zf; a file with the traceback is named", "", "an error in zf"
    TIMEOUT = 124, "a phase ran out of time", "the task ran out of time"
    INTERRUPTED = (
        130,
        "Ctrl-C; a second one kills at once, and the run is still sealed",
        "",
        "Ctrl-C",
    )
    BROKEN_PIPE = (
        141,
        "the run succeeded, but nothing reads its result any more",
        "",
        "nothing reads the result any more",
    )
    TERMINATED = 143, "TERM or HUP"


def printable(text: str) -> str:
    r"""The text with every control character, lone surrogate and bidi override made visible.

    A newline becomes ``\n``, an escape ``\x1b``: one line in, one line out, so text from a task can
    neither move the cursor nor forge a line of zf's own.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def in_shell(text: str) -> str:
    """The same as a word of a command that can be typed: in quotes where a shell asks for them."""
    from shlex import quote  # noqa: PLC0415 - 2 ms, and for advice alone

    return quote(printable(text))


def _shown(char: str) -> str:
    if char == " " or char.isprintable():
        return char
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Problem(Struct, frozen=True):
    """One finding about a file or an argument.

    `line` and `column` count from 1 in characters; `length` is how many characters the caret
    underlines; `source` is that line of the file without its line break.
    """

    code: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    length: int = 1
    source: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"

    def render(self) -> str:
        """The finding as zf prints it: place, code, message, then the line and a caret under it."""
        place = ""
        if self.file is not None:
            parts = [printable(self.file)]
            parts += [str(n) for n in (self.line, self.column) if n is not None]
            place = ":".join(parts) + ": "
        head = f"{place}{self.severity}[{self.code}]: {printable(self.message)}"
        hint = printable(self.hint) if self.hint else ""
        if self.source is None or self.line is None or self.column is None:
            return f"{head}\n  hint: {hint}" if hint else head
        number = str(self.line)
        before = printable(self.source[: self.column - 1])
        culprit = self.source[self.column - 1 : self.column - 1 + self.length]
        carets = "^" * max(1, len(printable(culprit)))
        shown = printable(self.source)
        return "\n".join(
            (
                head,
                f"  {number} | {shown}",
                f"  {' ' * len(number)} | {' ' * len(before)}{carets} {hint}".rstrip(),
            )
        )

    def as_json(self) -> dict[str, object]:
        """The same facts for programs; absent ones are null."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class ZfError(Exception):
    """What a user can cause: printed without a traceback, ends zf with `exit_code`."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: int = Exit.USAGE,
        code: str = "ZF100",
        hint: str | None = None,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.problems = problems or (Problem(code=code, message=message, hint=hint),)


def error_text(error: OSError | MemoryError) -> str:
    """An error for a reader: what the system said, and of which file if it did."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    where = f" ({printable(os.fsdecode(error.filename))})" if error.filename else ""
    return f"{error.strerror or error}{where}"
