"""What GitHub is told of a run that is over: annotations in the log, the summary of the step, and
the outputs for the steps that come after it.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

from zf.cli.display.folds import github_command
from zf.cli.display.reports import done_or_told, recorded
from zf.cli.display.streams import say
from zf.errors import ZfError, printable
from zf.proof.files import write_all
from zf.report.formats import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from zf.run.sealing import Launched
    from zf.settings import RunOptions

SUMMARY, OUTPUT = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"


def annotate(folder: str) -> None:
    """Say in the log what GitHub shows beside the lines of task files, one for each cause."""
    from zf.report.formats.github import annotating

    def tell() -> None:
        for name, message, properties in annotating(recorded(folder)):
            say(sys.stderr, github_command(name, message, **properties) + "\n")

    say(sys.stderr, done_or_told(tell))


def tell_github(done: Launched, options: RunOptions, environ: Mapping[str, str]) -> None:
    """Add to the files that the runner reads when the step is over. What cannot be written there is
    said on stderr, and changes nothing.
    """

    def summary(path: str) -> Iterable[bytes]:
        from zf.report.formats.github import MAX_BYTES, render

        room = MAX_BYTES - _size(path)
        text = b"".join(render(recorded(done.run_dir), room=room))
        if not text:
            raise ZfError(
                f"{SUMMARY} has no room for a summary: others wrote {_size(path)} bytes",
                code="ZF662",
                hint="GitHub shows none of 1 MiB and more; zf report --markdown FILE writes it",
            )
        return (text,)

    def outputs(_path: str) -> Iterable[bytes]:
        return (_assigned(outputs_of(done, options)),)

    for name, make in ((SUMMARY, summary), (OUTPUT, outputs)):
        if path := environ.get(name):
            say(sys.stderr, done_or_told(partial(_add, path, make)))


def outputs_of(done: Launched, options: RunOptions) -> dict[str, str]:
    """The outputs of the step. `proof` is the run's folder, `report` its page if there is one."""
    return {
        "run": done.run,
        "result": done.facts.result,
        "exit-code": str(int(done.exit_code)),
        "head": done.head,
        "proof": os.path.abspath(done.run_dir),
        "report": options.values.get(PAGE.name) or "",
        "failed": json.dumps([task.id for task in done.facts.failed]),
    }


def _assigned(values: Mapping[str, str]) -> bytes:
    """`NAME<<END`, the value, `END`: a value may have any lines but one that none can foresee."""
    end = f"zf_{token_hex(16)}"
    text = "".join(f"{name}<<{end}\n{value}\n{end}\n" for name, value in values.items())
    return text.encode("utf-8", "backslashreplace")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _add(path: str, make: Callable[[str], Iterable[bytes]]) -> None:
    """Append to a file of the runner's, which a task might have made a fifo of."""
    pieces = make(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o644)
        try:
            for piece in pieces:
                write_all(fd, piece)
        finally:
            os.close(fd)
    except OSError as error:
        raise ZfError(
            f"{printable(path)}: {error.strerror}",
            code="ZF662",
            hint="GitHub's runner makes this file for each step",
        ) from None
