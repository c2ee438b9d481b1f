"""What a run came to as variables for the jobs that come after it, for GitLab's
`artifacts:reports:dotenv`. Pure.

Its documentation allows 5 KB, twenty variables, and no blanks, line ends or quotes in a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.report.formats.recorded import RecordedRun

# What is left of the 5 KB for the names of failed tasks.
_MOST_BYTES = 4000


def render(run: RecordedRun) -> Iterator[bytes]:
    """One variable a line. None of them is one that zf reads."""
    facts = run.facts
    exit_code = "" if facts.exit_code is None else str(facts.exit_code)
    failed = [task.id for task in facts.failed]
    values = {
        "ZF_RUN": run.id,
        "ZF_RESULT": facts.result.replace(" ", "-"),
        "ZF_EXIT_CODE": exit_code,
        "ZF_HEAD": run.journal.head,
        "ZF_FAILED_COUNT": str(len(failed)),
        "ZF_FAILED": _joined(failed),
    }
    for name, value in values.items():
        yield f"{name}={_plain(value)}\n".encode()


def _joined(names: list[str]) -> str:
    """The names, whole ones only, with commas between them."""
    shown, size = [], 0
    for name in names:
        size += len(name.encode("utf-8", "replace")) + 1
        if size > _MOST_BYTES:
            break
        shown.append(name)
    return ",".join(shown)


def _plain(value: str) -> str:
    """What a foreign run might have put there ends no line."""
    return "".join(
        char if (char.isascii() and char.isalnum()) or char in "-_.," else "_" for char in value
    )
