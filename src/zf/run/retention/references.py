"""Which runs build on which: a rerun on its run, needs that an earlier run met, results that count
again. What such a run says of itself can only be checked while those runs are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from zf.errors import Exit, ZfError, printable
from zf.proof import read
from zf.proof.journal import decode, raw_lines
from zf.proof.layout import JOURNAL, MANIFEST, PLAN, RUN

RERUN, NEEDS, CACHED = "is a rerun of it", "took needs from it", "took results from it"


class References:
    """What the runs of a folder build on, as far as it was looked at; a run that is sealed is read
    once.
    """

    def __init__(self, proofs: str) -> None:
        self._proofs = proofs
        # Of each run: those it builds on, and how.
        self._of: dict[str, Mapping[str, str]] = {}
        self._sealed: set[str] = set()
        # The same the other way round.
        self._to: dict[str, dict[str, str]] = {}

    def look(self) -> None:
        """Read what is new. Raises ZfError (exit 1) naming a run that cannot be read."""
        there = read.list_runs(self._proofs)
        for run in self._of.keys() - set(there):
            del self._of[run]
            self._sealed.discard(run)
        for run in there:
            if run in self._sealed:
                continue
            run_dir = f"{self._proofs}/{run}"
            is_sealed = os.path.lexists(f"{run_dir}/{MANIFEST}")
            try:
                self._of[run] = _built_on(run_dir)
            except (ZfError, ValueError, KeyError, TypeError, AttributeError) as error:
                if not os.path.isdir(run_dir):
                    self._of.pop(run, None)
                    continue  # another zf has just removed it
                raise _unreadable(run_dir, run, error) from None
            if is_sealed:
                self._sealed.add(run)
        self._to = {}
        for other, bases in self._of.items():
            for base, how in bases.items():
                self._to.setdefault(base, {})[other] = how

    def to(self, run: str) -> Iterable[tuple[str, str]]:
        """Each run that builds on this one, and how."""
        return ((other, how) for other, how in self._to.get(run, {}).items() if other != run)


def _built_on(run_dir: str) -> dict[str, str]:
    found = dict.fromkeys(_cached(run_dir), CACHED)
    upstream = _object(run_dir, PLAN).get("upstream") or {}
    found |= {met["run"]: NEEDS for met in upstream.values()}
    again = _object(run_dir, RUN).get("rerun_of")
    return found | ({again: RERUN} if again else {})


def _object(run_dir: str, path: str) -> dict[str, Any]:
    value = decode(read.read_bytes(run_dir, path))
    if type(value) is not dict:
        raise ValueError(f"{path} is no JSON object")
    return value


def _cached(run_dir: str) -> Iterator[str]:
    """The runs whose results count in this one; a line says so before the task has ended."""
    with read.open_file(run_dir, JOURNAL) as stream:
        for raw in raw_lines(stream):
            if b'"cached' in raw and raw.endswith(b"\n"):
                said = decode(raw)
                if said.get("type") == "cached":
                    yield said["origin"]
                elif said.get("cached_from"):
                    yield said["cached_from"]["run"]


def _unreadable(run_dir: str, run: str, error: Exception) -> ZfError:
    why = str(error)
    with suppress(AttributeError, IndexError):
        why = error.problems[0].message  # type: ignore[attr-defined]
    return ZfError(
        f"which runs {printable(run)} builds on cannot be read: {printable(why)}",
        exit_code=Exit.FAILED,
        code="ZF615",
        hint=f"zf verify {printable(run)} says what is wrong with it; nothing was removed, as"
        f" {printable(run_dir)} may build on any run: move it out of the way",
    )
