"""A line for each run of the project, and which of them are looked for.

Everything is folded from the runs' own files. What a row says is remembered by the time and the
size of the journal, in memory alone: it is made again when there is more, or when the run's zf is
gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

from zf.errors import ZfError
from zf.events import Status
from zf.inputs import shown
from zf.lean.records import Struct, replace
from zf.metrics.usage import COST
from zf.model import NOTHING
from zf.proof import layout, read
from zf.report.remarks import cpu_s
from zf.report.summary import total_s
from zf.run.host.lock import has_runner
from zf.server.live.opened import FollowedRun, OpenRuns

# So many causes are named in a list; a run with more says how many.
_MOST_CAUSES = 3
# How a task ended is a byte in memory, of a run that has not more of them than this.
_ENDS = ("waiting", "running", "warned", *(status.value for status in Status))
_MOST_ENDS = 20_000
# Between two runs that are read ahead, so that whatever is asked meanwhile is answered.
_BREATH_S = 0.005


class Summary(Struct, frozen=True):
    """What a list shows of a run. `result` is that of its facts, `running` while a zf runs it, or
    `unreadable`, with the reason in `told`. `ids` are its tasks and `ends` how each ended, unless
    there are very many. A run that the server started says who asked (`by`) and how (`via`).
    """

    run: str
    result: str = "unreadable"
    told: str = ""
    started_at: str = ""
    ended_at: str = ""
    duration_s: float | None = None
    exit_code: int | None = None
    phases: tuple[str, ...] = ()
    tasks: int = 0
    counts: Mapping[str, int] = NOTHING
    tolerated: int = 0
    flaky: int = 0
    causes: tuple[tuple[str, str], ...] = ()
    more_causes: int = 0
    branch: str = ""
    commit: str = ""
    dirty: bool | None = None
    user: str = ""
    by: str = ""
    via: str = ""
    rerun_of: str = ""
    inputs: Mapping[str, str] = NOTHING
    ids: tuple[str, ...] = ()
    ends: bytes = b""
    # What its tasks used, and what their language models cost.
    cpu_s: float = 0.0
    llm_cost_usd: float = 0.0

    def end_of(self, task: str) -> str:
        """How a task ended, `waiting` or `running`; empty where it was not planned."""
        return _ENDS[self.ends[self.ids.index(task)]] if task in self.ids else ""

    @property
    def over(self) -> bool:
        """Whether it has an end: no zf will write to its journal again."""
        return self.result not in {"running", "unfinished", "waiting", "unreadable"}

    @property
    def text(self) -> str:
        """What is searched, in small letters."""
        named = (name for cause in self.causes for name in cause)
        given = (f"{name}={value}" for name, value in self.inputs.items())
        who = (self.run, self.result, self.branch, self.commit, self.user, self.by, self.rerun_of)
        return "\n".join((*who, *self.phases, *named, *given)).lower()


class Wanted(Struct, frozen=True):
    """Which runs are looked for; what is empty asks for nothing. `since` is a moment, or a day, in
    RFC 3339; `text` are words which must all be there.
    """

    phase: str = ""
    result: str = ""
    branch: str = ""
    commit: str = ""
    since: str = ""
    text: str = ""

    def __contains__(self, run: Summary) -> bool:
        return self.takes(run) and self.says(run.text)

    def says(self, text: str) -> bool:
        """Whether a run of this text has all the words."""
        return all(word in text for word in self.text.lower().split())

    def takes(self, run: Summary) -> bool:
        """Whether a run is wanted, but for the words."""
        return (
            (not self.phase or self.phase in run.phases)
            and (not self.result or self.result == run.result)
            and (not self.branch or self.branch == run.branch)
            and (not self.commit or run.commit.startswith(self.commit))
            and (not self.since or run.started_at >= self.since)
        )

    @property
    def everything(self) -> bool:
        return self == Wanted()


class Listed(Struct, frozen=True):
    """A part of a list, newest first. `next` is the cursor of what follows, empty at its end."""

    rows: tuple[Summary, ...]
    next: str


class _Known(Struct, frozen=True):
    """`text` is that of the summary, of a run that is over: made for each of very many runs anew,
    it would be what a search waits for.
    """

    stamp: tuple[int, int]
    summary: Summary
    text: str = ""

    def stays_out(self, wanted: Wanted) -> bool:
        """Over is over: a run that is not shown is not looked at again."""
        return self.summary.over and not (wanted.says(self.text) and wanted.takes(self.summary))


class Summaries:
    """The runs in a folder of proofs. Calls may come from any thread."""

    def __init__(self, proofs: str, opened: OpenRuns) -> None:
        self.proofs = proofs
        self._opened = opened
        self._known: dict[str, _Known] = {}
        self._lock = Lock()
        # Names with the time of their beginning, newest first, as the folder was at this moment.
        self._names: list[tuple[int, str]] = []
        self._folder_ns = -1
        self._begun: dict[str, int] = {}

    def names(self) -> list[str]:
        """Every run, newest first."""
        return [name for _, name in self._places()]

    def find(self, run: str) -> str:
        """The id of the run that is named by it, by its beginning, or as `latest`; raises ZfError
        (ZF610, ZF612).
        """
        if run in self._begun:
            return run
        return os.path.basename(read.find_run(self.proofs, run))

    def of(self, run: str) -> Summary:
        """The summary of one run, as it is now."""
        stamp = self._stamp(run)
        known = self._known.get(run)
        if known is None or known.stamp != stamp or self._may_differ(known.summary):
            summary = _read(self._opened, run)
            known = _Known(stamp, summary, summary.text if summary.over else "")
            with self._lock:
                self._known[run] = known
        return known.summary

    def _may_differ(self, known: Summary) -> bool:
        """Whether there may be more to say of a run whose journal is as it was."""
        if known.result == "unreadable":
            return True
        was_running = known.result == "running"
        return not known.over and was_running != has_runner(self.proofs, known.run)

    def listed(self, wanted: Wanted, cursor: str = "", most: int = 50) -> Listed:
        """Those that are wanted, from behind the cursor on."""
        rows: list[Summary] = []
        after = _place(cursor)
        last: tuple[int, str] | None = None
        for place in self._places():
            if after is not None and place >= after:
                continue
            known = self._known.get(place[1])
            if known is not None and known.stays_out(wanted):
                continue
            row = self.of(place[1])
            if row in wanted:
                if len(rows) == most and last is not None:
                    return Listed(tuple(rows), f"{last[0]}.{last[1]}")
                rows.append(row)
                last = place
        return Listed(tuple(rows), "")

    def newest(self, fits: Callable[[Summary], bool], looked_at: int = 200) -> Iterator[Summary]:
        """Runs that fit, newest first, among so many of the newest."""
        for _, name in self._places()[:looked_at]:
            row = self.of(name)
            if fits(row):
                yield row

    def warm(self) -> None:
        """Read every run that was not read yet, so that what is looked for is found at once."""
        for name in self.names():
            if name not in self._known:
                self.of(name)
                time.sleep(_BREATH_S)

    def _places(self) -> list[tuple[int, str]]:
        """The names and beginnings: read anew when a run has come or gone."""
        try:
            now_ns = os.stat(self.proofs).st_mtime_ns
        except OSError:
            return []
        with self._lock:
            if now_ns != self._folder_ns:
                names, begun, waiting = _folders(self.proofs), {}, False
                for name in names:
                    began = self._begun.get(name) or _began(f"{self.proofs}/{name}")
                    if began:
                        begun[name] = began
                    # A folder that has no run.json yet gets one without a change of this one.
                    waiting = waiting or not began
                self._begun = begun
                self._names = sorted(((at, name) for name, at in begun.items()), reverse=True)
                self._folder_ns = -1 if waiting else now_ns
                for name in self._known.keys() - begun.keys():
                    del self._known[name]
            return self._names

    def _stamp(self, run: str) -> tuple[int, int]:
        try:
            status = os.stat(f"{self.proofs}/{run}/{layout.JOURNAL}", follow_symlinks=False)
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size


def _folders(proofs: str) -> list[str]:
    with suppress(OSError), os.scandir(proofs) as scan:
        return [
            entry.name
            for entry in scan
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        ]
    return []


def _began(run_dir: str) -> int:
    with suppress(OSError):
        return os.stat(f"{run_dir}/{layout.RUN}", follow_symlinks=False).st_mtime_ns
    return 0


def _place(cursor: str) -> tuple[int, str] | None:
    """Raises ValueError for what no list gave."""
    if not cursor:
        return None
    began, dot, name = cursor.partition(".")
    if not dot or not began.isdecimal():
        raise ValueError(cursor)
    return int(began), name


def _read(opened: OpenRuns, name: str) -> Summary:
    try:
        with opened.open(name, in_passing=True) as run:
            return _of(run)
    except (ZfError, OSError, ValueError) as error:
        return Summary(name, told=str(error).replace(f"{opened.proofs}/", ""))


def _of(run: FollowedRun) -> Summary:
    facts = run.facts
    result = "running" if run.alive else str(facts.result)
    causes = tuple((cause.task, cause.word) for cause in facts.causes[:_MOST_CAUSES])
    row = Summary(
        run=run.name,
        result=result,
        started_at=facts.started_at,
        ended_at=facts.ended_at,
        duration_s=total_s(facts),
        exit_code=facts.exit_code,
        phases=tuple(facts.phases),
        tasks=len(facts.tasks),
        counts={word: number for word, number in facts.counts.items() if number},
        tolerated=len(facts.warned),
        flaky=len(facts.flaky),
        causes=causes if result != "running" else (),
        more_causes=max(0, len(facts.causes) - _MOST_CAUSES),
        cpu_s=sum(cpu_s(task.measures) or 0.0 for task in facts.tasks.values()),
        llm_cost_usd=sum(
            float(series["value"])
            for task in facts.tasks.values()
            for series in task.metrics
            if series["name"] == COST
        ),
    )
    if len(facts.tasks) <= _MOST_ENDS:
        ids = tuple(facts.tasks)
        ends = bytes(_ENDS.index(task.conclusion) for task in facts.tasks.values())
        row = replace(row, ids=_shared_ids.setdefault(ids, ids), ends=ends)
    return replace(row, **_about(run.run))


# Runs of the same plan have their tasks' ids in common.
_shared_ids: dict[tuple[str, ...], tuple[str, ...]] = {}


def _about(run: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of where it comes from."""
    source = run.get("source")
    told = source if isinstance(source, Mapping) else NOTHING
    inputs, trigger = run.get("inputs"), run.get("trigger")
    by = trigger if isinstance(trigger, Mapping) else NOTHING
    dirty = told.get("dirty")
    return {
        "branch": _text(told.get("branch") or told.get("tag")),
        "commit": _text(told.get("commit")),
        "dirty": dirty if isinstance(dirty, bool) else None,
        "user": _text(run.get("user")),
        "by": _text(by.get("by")),
        "via": _text(by.get("via")),
        "rerun_of": _text(run.get("rerun_of")),
        "inputs": {name: shown(one) for name, one in inputs.items()}
        if isinstance(inputs, Mapping)
        else NOTHING,
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
