"""How long tasks took in earlier runs, from which a run gets its start order and its time left.

The journals of the newest runs say it. What they said is kept beside the locks, so that a run reads
one file and not ten journals; that may be deleted at any time, and is then made again. A project
may have a file of the same form, for a checkout without runs (`zf durations --write`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from zf.errors import Problem, ZfError, printable
from zf.events import AttemptEnded, Event, Status
from zf.lean.records import DecodeError, Meta, Raw, Struct, field, json
from zf.model import ID_PATTERN
from zf.proof import read
from zf.proof.files import NAMED_FOLDER, open_regular, opened, write_pieces
from zf.proof.layout import DURATIONS, JOURNAL, MANIFEST, PLAN, UNFINISHED
from zf.proof.lines import framed

SCHEMA: Literal["zf/durations/v1"] = "zf/durations/v1"
# Of a task as many runs count, and as many are looked at.
NEWEST = 10
# Runs that are remembered to have been read: of more, the newest would be read again.
_MOST_RUNS = 100
# 100 000 tasks with ten times each are about 20 MB.
MAX_BYTES = 64 * 1024 * 1024
# What is read of the runs themselves, once in a while: about a tenth of a second.
_MOST_RUN_BYTES = 8 * 1024 * 1024
# A thousand years: more than anything takes, and sums of it are still numbers.
_MOST_S = 1e11

_Seconds = Annotated[float, Meta(ge=0, le=_MOST_S)]
_Id = Annotated[str, Meta(pattern=f"^{ID_PATTERN}$")]


class Took(Struct, frozen=True):
    """How many seconds a task took that ran this script, newest first."""

    script_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
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
    tasks: dict[_Id, Took] = field(default_factory=dict)
    runs: list[_Id] = field(default_factory=list)

    @classmethod
    def earlier(cls, proofs: str, kept: str) -> Self:
        """What the runs in this folder took; `kept` is the folder in which that is kept.

        Never raises: without it a run is only planned less well.
        """
        try:
            found = cls.load(f"{kept}/{DURATIONS}")
        except (OSError, ZfError):
            found = cls()
        found.catch_up(proofs)
        return found

    @classmethod
    def load(cls, path: str) -> Self:
        """A file of them. Raises OSError if it cannot be read, ZfError (exit 2) if it is none."""
        folder, name = os.path.split(path)
        with (
            opened(folder or ".", NAMED_FOLDER) as above,
            os.fdopen(open_regular(above, name), "rb") as file,
        ):
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _unusable(path, f"is larger than {MAX_BYTES} bytes")
        try:
            return json.decode(data, type=cls)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unusable(path, *_told(data, error)) from None

    def catch_up(self, proofs: str) -> None:
        """Take in the newest runs that are sealed and not known yet, as far as they are small."""
        left = _MOST_RUN_BYTES
        known = set(self.runs)
        for run in reversed(read.list_runs(proofs)[:NEWEST]):
            run_dir = f"{proofs}/{run}"
            if run in known or not os.path.lexists(f"{run_dir}/{MANIFEST}"):
                continue
            with suppress(OSError, ZfError, ValueError):
                size = sum(os.lstat(f"{run_dir}/{name}").st_size for name in (PLAN, JOURNAL))
                if size > left:
                    continue
                left -= size
                rows, events = read.plan_json(run_dir)["tasks"], read.journal(run_dir).events
                self.add(run, rows, _took(events))

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

    def keep(self, folder: str) -> None:
        """Leave it for the next run, if that can be done. What a crash makes of the file does no
        harm: it is made again.
        """
        name = f"{folder}/.{DURATIONS}.{os.getpid()}{UNFINISHED}"
        with suppress(OSError):
            with open(name, "xb") as file:
                file.write(self.as_json())
            os.rename(name, f"{folder}/{DURATIONS}")

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


def weights(rows: Sequence[Mapping[str, Any]], *known: Durations) -> dict[str, float]:
    """How many seconds each task of a plan is expected to take, by the first that knows it; one
    that none knows takes for each of its needs what the others take in the mean. Empty when none
    is known.
    """
    expected = {
        row["id"]: took.expected_s
        for row in rows
        if (took := next(filter(None, (one.of(row) for one in known)), None))
    }
    if not expected:
        return {}
    counts = {row["id"]: max(1, len(row["needs"])) for row in rows}
    each_s = sum(expected.values()) / sum(counts[name] for name in expected)
    return {
        name: expected[name] if name in expected else rounded_s(count * each_s)
        for name, count in counts.items()
    }


def rounded_s(seconds: float) -> float:
    """Four digits of it: no clock tells more of how long the next run will take."""
    return float(f"{min(_MOST_S, max(0.0, seconds)):.4g}")


def _took(events: Iterable[Event]) -> dict[str, float]:
    """How long the tasks took that went well, or ended in a way that is tolerated."""
    took_s: dict[str, float] = {}
    for event in events:
        if isinstance(event, AttemptEnded):
            took_s.pop(event.task, None)
            if event.status is Status.SUCCESS or event.warned:
                took_s[event.task] = event.duration_s
    return took_s


def _text(value: object) -> str:
    return json.encode(value).decode()


def _unusable(path: str, why: str, line: int | None = None) -> ZfError:
    problem = Problem(
        code="ZF109",
        message=f"the durations of earlier runs cannot be used: {why}",
        file=path,
        line=line,
        hint="zf durations --write writes it anew; it decides nothing but the start order",
    )
    return ZfError(problem.message, problems=(problem,))


class _Tasks(Struct):
    tasks: dict[str, Raw] = field(default_factory=dict)


def _told(data: bytes, error: Exception) -> tuple[str, int | None]:
    """What is wrong with a file, and in which line."""
    said = str(error)
    if at := re.search(r" \(byte (\d+)\)$", said):
        return said[: at.start()], data.count(b"\n", 0, int(at[1])) + 1
    with suppress(DecodeError):
        for name, raw in json.decode(data, type=_Tasks).tasks.items():
            try:
                json.decode(raw, type=Took)
                json.decode(json.encode(name), type=_Id)
            except DecodeError as wrong:
                line = data.count(b"\n", 0, max(0, data.find(bytes(raw)))) + 1
                return f"task {printable(name)!r}: {wrong}", line
    return said, None
