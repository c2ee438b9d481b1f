"""How a run is told in one row: its result as a state, its tasks as a bar, its past as bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from zf.lean.records import Struct
from zf.report.html.state import STATES, State, bar
from zf.report.words import count, duration, moment
from zf.server.live.summaries import Summary

# What a run came to, in words for people, in the order of a list to choose from.
RESULTS = {
    "running": State("running", "running"),
    "passed": State("success", "passed"),
    "failed": State("failure", "failed"),
    "timeout": State("timeout", "out of time"),
    "interrupted": State("cancelled", "interrupted"),
    "nothing run": State("skipped", "nothing ran"),
    "unfinished": State("lost", "never finished"),
    "tampered": State("lost", "tampered with"),
    "waiting": State("waiting", "waits for approval"),
    "unreadable": State("lost", "cannot be read"),
}
# A picture of the past has so many bars, and each is this high at most, in pixels.
MOST_BARS, _HIGHEST_PX, _LOWEST_PX = 20, 24, 3


class Row(Struct, frozen=True):
    """What a list shows of a run, worded."""

    run: str
    state: State
    told: str
    phases: Sequence[str]
    tasks: int
    done: int
    bar: Sequence[tuple[str, int, int]]
    started_at: str
    took: str
    branch: str
    commit: str
    by: str
    rerun_of: str


def row(run: Summary) -> Row:
    """The row of a run."""
    waiting = run.counts.get("waiting", 0) + run.counts.get("running", 0)
    return Row(
        run=run.run,
        state=RESULTS.get(run.result, State("lost", run.result)),
        told=told(run),
        phases=run.phases,
        tasks=run.tasks,
        done=run.tasks - waiting,
        bar=bar(_counted(run)),
        started_at=run.started_at,
        took="" if run.duration_s is None or run.result == "running" else duration(run.duration_s),
        branch=run.branch,
        commit=run.commit,
        by=run.user,
        rerun_of=run.rerun_of,
    )


def told(run: Summary) -> str:
    """What its result does not say: the causes, or what was out of the ordinary."""
    if run.told:
        return run.told
    parts = [f"{task} {STATES[word].word}" for task, word in run.causes]
    if run.more_causes:
        parts.append(f"{run.more_causes} more")
    if run.tolerated:
        parts.append(f"{run.tolerated} tolerated")
    if run.flaky:
        parts.append(f"{run.flaky} flaky")
    return ", ".join(parts)


def _counted(run: Summary) -> Iterator[tuple[State, int]]:
    # Those that are flaky are among the successes; those that are tolerated, among the failures.
    left = dict(run.counts)
    if run.flaky:
        left["success"] = left.get("success", 0) - run.flaky
        left["flaky"] = run.flaky
    for name, state in STATES.items():
        if left.get(name, 0) > 0:
            yield state, left[name]


class Bar(Struct, frozen=True):
    """One run in a picture of the last runs."""

    name: str
    height: int
    told: str
    label: str


def bars(runs: Iterable[tuple[State, float | None, str, str]]) -> list[Bar]:
    """The runs as bars, the newest last: state, seconds, name and beginning of each, given with
    the newest first.
    """
    rows = list(runs)[:MOST_BARS][::-1]
    longest = max((seconds or 0.0 for _, seconds, *_ in rows), default=0.0) or 1.0
    drawn = []
    for state, seconds, name, began in rows:
        height = round((seconds or 0.0) / longest * _HIGHEST_PX)
        took = "" if seconds is None else f" in {duration(seconds)}"
        told = f"{name}: {state.word}{took}, {moment(began)}"
        label = f"The last {count(len(rows), 'run')}, the newest: {state.word}{took}"
        drawn.append(Bar(state.name, max(_LOWEST_PX, height), told, label))
    return drawn


def phase_bars(runs: Iterable[Summary]) -> list[Bar]:
    """The same of runs as their lists have them."""
    return bars(
        (
            RESULTS.get(run.result, State("lost", run.result)),
            run.duration_s,
            run.run,
            run.started_at,
        )
        for run in runs
    )
