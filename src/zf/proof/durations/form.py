"""What is known of how long tasks take, and the JSON file of it, which may come from anywhere.

One form for the file beside the locks and for that of a project. A file is read only as far as it
is small, and taken only if every number in it is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from zf.errors import Problem, ZfError, printable
from zf.lean.records import DecodeError, Meta, Raw, Struct, field, json_decode, json_encode
from zf.model import ID_PATTERN, TASK_PATTERN, is_task_id
from zf.proof.files import NAMED_FOLDER, open_regular, opened, write_pieces
from zf.proof.lines import framed

SCHEMA: Literal["zf/durations/v1"] = "zf/durations/v1"
# Of a task as many runs count.
NEWEST = 10
# Runs that are remembered to have been read: of more, the newest would be read again.
_MOST_RUNS = 100
# 100 000 tasks with ten times each are about 20 MB.
MAX_BYTES = 64 * 1024 * 1024
# Three thousand years: more than anything takes, and sums of it are still numbers.
_MOST_S = 1e11

_Seconds = Annotated[float, Meta(ge=0, le=_MOST_S)]
_Id = Annotated[str, Meta(pattern=rf"^{ID_PATTERN}\Z")]
_TaskId = Annotated[str, Meta(pattern=rf"^{TASK_PATTERN}\Z")]


class Took(Struct, frozen=True):
    """How many seconds a task took that ran this script, newest first."""

    script_sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    seconds: Annotated[list[_Seconds], Meta(min_length=1, max_length=NEWEST)]

    @property
    def expected_s(self) -> float:
        """The median: one run on a busy machine changes nothing."""
        ordered = sorted(self.seconds)
        middle = len(ordered) // 2
        if len(ordered) % 2:
            return ordered[middle]
        return rounded_s((ordered[middle - 1] + ordered[middle]) / 2)


class Durations(Struct):
    """What is known of all tasks, and from which runs."""

    schema: Literal["zf/durations/v1"] = SCHEMA
    tasks: dict[_TaskId, Took] = field(default_factory=dict)
    runs: list[_Id] = field(default_factory=list)

    @classmethod
    def load(cls, path: str) -> Self:
        """A file of them. Raises OSError if it cannot be read, ZfError (exit 2) if it is none."""
        folder, name = os.path.split(path)
        with (
            opened(folder or ".", NAMED_FOLDER) as above,
            os.fdopen(open_regular(above, name), "rb") as file,
        ):
            # As much as there is: room for the largest would be asked of the system each time.
            data = file.read(min(os.fstat(file.fileno()).st_size, MAX_BYTES) + 1)
        if len(data) > MAX_BYTES:
            raise _unusable(path, f"is larger than {MAX_BYTES} bytes")
        try:
            return json_decode(data, type=cls)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unusable(path, *_told(data, error)) from None

    def add(self, run: str, rows: Iterable[Mapping[str, Any]], took_s: Mapping[str, float]) -> None:
        """Take in a run: `rows` are its plan's, `took_s` is how long tasks took that went well."""
        for row in rows:
            name, script = row["id"], row.get("script_sha256")
            if script is not None and name in took_s:
                before = self.tasks.get(name)
                earlier = before.seconds if before and before.script_sha256 == script else []
                newest = [rounded_s(took_s[name]), *earlier[: NEWEST - 1]]
                self.tasks[name] = Took(script, newest)
        self.runs = [run, *self.runs[: _MOST_RUNS - 1]]

    def of(self, row: Mapping[str, Any]) -> Took | None:
        """What is known of the task of a plan's row, with the script that it has there."""
        took = self.tasks.get(row["id"])
        return took if took and took.script_sha256 == row["script_sha256"] else None

    def write(self, path: str) -> None:
        """Write it durably, whole or not at all. Raises OSError."""
        write_pieces(path, (self.as_json(),))

    def as_json(self) -> bytes:
        """One task a line, in the order of their ids."""
        runs = [f'  "runs": {_text(self.runs)}'] if self.runs else []
        lines = [f'    "{name}": {_text(self.tasks[name])}' for name in sorted(self.tasks)]
        tasks = ",\n".join(lines)
        return framed(
            f'  "schema": "{SCHEMA}"',
            *runs,
            f'  "tasks": {{\n{tasks}\n  }}' if lines else '  "tasks": {}',
        )


def rounded_s(seconds: float) -> float:
    """Four digits of it: no clock tells more of how long the next run will take."""
    return float(f"{min(_MOST_S, max(0.0, seconds)):.4g}")


def _text(value: object) -> str:
    return json_encode(value).decode()


def _unusable(path: str, why: str, line: int | None = None) -> ZfError:
    problem = problem_of(path, why, line)
    return ZfError(problem.message, problems=(problem,))


def problem_of(path: str, why: str, line: int | None = None) -> Problem:
    """What is said of such a file that cannot be used."""
    return Problem(
        code="ZF109",
        message=f"the durations of earlier runs cannot be used: {why}",
        file=path,
        line=line,
        hint="zf durations --write writes it anew; it decides nothing but the start order",
    )


class _Tasks(Struct):
    tasks: dict[str, Raw] = field(default_factory=dict)


def _told(data: bytes, error: Exception) -> tuple[str, int | None]:
    """What is wrong with a file, and in which line."""
    said = str(error)
    if at := re.search(r" \(byte (\d+)\)$", said):
        return said[: at.start()], data.count(b"\n", 0, int(at[1])) + 1
    with suppress(DecodeError, RecursionError):
        for name, raw in json_decode(data, type=_Tasks).tasks.items():
            why = _of_task(name, raw)
            if why is not None:
                line = data.count(b"\n", 0, max(0, data.find(json_encode(name)))) + 1
                return f"task '{printable(name)}': {why}", line
    return said, None


def _of_task(name: str, raw: Raw) -> str | None:
    if not is_task_id(name):
        return "that is no task's id"
    try:
        json_decode(raw, type=Took)
    except DecodeError as wrong:
        return str(wrong)
    return None
