"""The runs of a project as rows of a list, newest first; what is over is read once.

A row is kept for as long as its journal has the size and time it was read with; it may be
forgotten at any time, as the journal has all that it says.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from zf.errors import ZfError
from zf.lean.records import Struct
from zf.proof import read
from zf.proof.layout import JOURNAL, MANIFEST, RUN
from zf.report import runs
from zf.report.facts import build
from zf.run.host.lock import has_runner

_NONE: Mapping[str, Any] = {}


class Filter(Struct, frozen=True):
    """Which runs are wanted; empty for all. `since` is a time, in seconds since the epoch."""

    phase: str = ""
    result: str = ""
    branch: str = ""
    commit: str = ""
    since: float = 0.0
    text: str = ""

    def takes(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is one of them."""
        if self.phase and self.phase not in row["phases"]:
            return False
        if self.result and self.result != row["result"]:
            return False
        if self.branch and self.branch != row["branch"]:
            return False
        if self.commit and not str(row["commit"] or "").startswith(self.commit.lower()):
            return False
        return not self.text or self.text.lower() in _text(row)


def _text(row: Mapping[str, Any]) -> str:
    said = [row["run"], row["result"], *row["phases"], row["branch"], row["commit"], row["by"]]
    return " ".join(str(word) for word in said if word).lower()


class Runs:
    """Those in one folder of proofs."""

    def __init__(self, proofs: str) -> None:
        self._proofs = proofs
        self._kept: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    def page(
        self, wanted: Filter, limit: int, cursor: str = ""
    ) -> tuple[list[dict[str, Any]], str | None]:
        """At most `limit` rows that come after the cursor, and the cursor of what comes next."""
        found: list[dict[str, Any]] = []
        before = _decoded(cursor) if cursor else None
        last = ("", 0)
        for name, began in self._names(before):
            if wanted.since and began < wanted.since * 1e9:
                return found, None
            if len(found) == limit:
                return found, _encoded(*last)
            row = self.row(name)
            if row is not None and wanted.takes(row):
                found.append(row)
            last = (name, began)
        return found, None

    def _names(self, before: tuple[int, str] | None) -> Iterator[tuple[str, int]]:
        keys: list[tuple[int, str]] = []
        with suppress(FileNotFoundError), os.scandir(self._proofs) as scan:
            for entry in scan:
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    with suppress(OSError):
                        there = os.stat(f"{entry.path}/{RUN}", follow_symlinks=False)
                        keys.append((there.st_mtime_ns, entry.name))
        for key in sorted(keys, reverse=True):
            if before is None or key < before:
                yield key[1], key[0]

    def row(self, run: str) -> dict[str, Any] | None:
        """What a list shows of a run; None when it has just been removed."""
        run_dir = f"{self._proofs}/{run}"
        try:
            there = os.stat(f"{run_dir}/{JOURNAL}", follow_symlinks=False)
        except OSError:
            return None
        mark = (there.st_size, there.st_mtime_ns)
        kept = self._kept.get(run)
        if kept is not None and kept[0] == mark:
            row = kept[1]
        else:
            row = _row(run_dir, run)
            self._kept[run] = (mark, row)
        return self._now(run, row)

    def _now(self, run: str, row: dict[str, Any]) -> dict[str, Any]:
        if row["result"] == "unfinished" and has_runner(self._proofs, run):
            row = row | {"result": "running", "alive": True}
        return row | {"sealed": os.path.lexists(f"{self._proofs}/{run}/{MANIFEST}")}


def _row(run_dir: str, run: str) -> dict[str, Any]:
    try:
        facts = build(read.plan_json(run_dir), read.journal(run_dir).events)
        row = runs.row(facts)
        ended, code = facts.ended_at or None, facts.exit_code
    except ZfError:
        row, ended, code = runs.unreadable(run, "unreadable"), None, None
    said: Mapping[str, Any] = _NONE
    with suppress(ZfError):
        said = read.run_json(run_dir)
    source, trigger = said.get("source") or _NONE, said.get("trigger") or _NONE
    [shown] = runs.as_json([row])
    return {
        "run": shown.pop("run_id"),
        **shown,
        "ended_at": ended,
        "exit_code": code,
        "alive": False,
        "commit": source.get("commit"),
        "branch": source.get("branch"),
        "dirty": source.get("dirty"),
        "rerun_of": said.get("rerun_of"),
        "by": trigger.get("by") or said.get("user"),
        "via": trigger.get("via") or "command line",
    }


def _encoded(name: str, began: int) -> str:
    return base64.urlsafe_b64encode(f"{began}/{name}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        began, _, name = text.partition("/")
        return int(began), name
    except ValueError:
        raise ZfError("the cursor is none that was given out", code="ZF808") from None


def moment(text: str) -> float:
    """A time in RFC 3339, or a date, as seconds since the epoch. Raises ZfError."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        hint = "write 2026-01-31 or 2026-01-31T08:00:00Z"
        raise ZfError(f"{text!r} is no time", code="ZF809", hint=hint) from None
