"""Where answers lie until a runner has read them: beside the run's lock while there is one, which
is told of them; else in the run's folder, so that they go where the run goes.

Any process that can write there can hand in anything; the runner judges it.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress

from zf.audit.gates.check import Answer
from zf.errors import Exit, ZfError
from zf.proof.files import READ, sync_folder, write_json
from zf.proof.layout import ANSWER, ANSWERS, UNFINISHED
from zf.run.host import lock
from zf.run.request import refuse_sealed

# The order by which a runner is told to look.
LOOK = "answers"
_MOST_BYTES = 65_536
# Of one look: a folder full of rubbish does not stop the run.
_MOST_FILES = 200
_FULL = (errno.ENOSPC, errno.EDQUOT)


def beside(proofs: str, run: str) -> str:
    """Where they lie while the run has a runner."""
    return f"{lock.folder(proofs)}/{run.casefold()}{ANSWERS}"


def hand_in(proofs: str, run_dir: str, answer: Answer) -> bool:
    """Put an answer where the runner finds it; whether there is a runner. Raises ZfError."""
    run = os.path.basename(run_dir)
    try:
        lock_fd = lock.acquire_if_free(proofs, run)
        if lock_fd is not None:
            try:
                refuse_sealed(run_dir)
                _write(run_dir, answer)
            finally:
                lock.release(lock_fd)
            return False
        folder = beside(proofs, run)
        os.makedirs(folder, exist_ok=True)
        _write(folder, answer)
    except OSError as error:
        raise ZfError(
            f"the answer cannot be handed to run {run!r}: {error.strerror}",
            exit_code=Exit.FAILED,
            code="ZF742",
            hint="see that there is room for it"
            if error.errno in _FULL
            else "give it as a user that may write to the run's folder",
        ) from None
    with suppress(OSError):  # it looks by itself, too
        lock.order(proofs, run, LOOK)
    return True


def _write(folder: str, answer: Answer) -> None:
    # What is read first decides, so names are in the order in which they came.
    path = f"{folder}/{ANSWER}{time.time_ns():020d}-{answer.sha256[:32]}{UNFINISHED}"
    write_json(path, {"statement": answer.statement, "signature": answer.signature})
    sync_folder(folder)


def waiting(*folders: str) -> list[str]:
    """The paths of the answers in these folders, in the order in which they were handed in."""
    found: list[str] = []
    for folder in folders:
        with suppress(OSError):
            names = sorted(os.listdir(folder))
            found += [f"{folder}/{name}" for name in names if name.startswith(ANSWER)]
    return found[:_MOST_FILES]


def read(path: str) -> Answer | None:
    """The answer in a file; None for what is none."""
    try:
        with os.fdopen(os.open(path, READ), "rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        return Answer(said["statement"], said["signature"]) if _is_answer(said) else None
    except (OSError, ValueError, RecursionError):
        return None


def _is_answer(said: object) -> bool:
    if not isinstance(said, dict) or said.keys() != {"statement", "signature"}:
        return False
    return all(isinstance(text, str) for text in said.values())


def forget(path: str) -> None:
    """The answer has been read, and what came of it lasts."""
    with suppress(OSError):
        os.unlink(path)


def clear(proofs: str, run: str) -> None:
    """The run is over: nothing is asked any more."""
    folder = beside(proofs, run)
    for path in waiting(folder):
        forget(path)
    with suppress(OSError):
        os.rmdir(folder)
