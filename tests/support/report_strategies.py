"""What hypothesis draws for the report tests: hostile texts, and runs that are hostile or random."""

from __future__ import annotations

import unicodedata
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.report_samples import (
    ended,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    started,
)
from zf.events import (
    Cause,
    Event,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    Status,
)

hostile = st.text(st.characters(codec=None), max_size=40) | st.text(
    "\x1b[31m;:]\x07\t\r\n\x9b a", max_size=40
)


def is_safe(text: str) -> bool:
    """No control, format, surrogate, private or separator character but space and line end."""
    return all(char in " \n" or unicodedata.category(char)[0] not in "CZ" for char in text)


@st.composite
def hostile_runs(draw: st.DrawFn) -> tuple[dict[str, Any], list[Event], dict[str, list[str]]]:
    """A run whose every text is hostile, ids included: an edited proof may hold anything."""
    names = draw(st.lists(hostile.filter(bool), min_size=4, max_size=4, unique=True))
    a, b, c, d = names
    content = plan({a: (), b: (a,), d: (), c: (b, a, d)}, phase=draw(hostile))
    for row in content["tasks"]:
        row["title"] = draw(hostile)
        row["file"] = draw(hostile)
        row["steps"] = [{"name": draw(hostile), "line": 3}]
    cause = draw(st.sampled_from(Cause))
    bad = draw(st.sampled_from([Status.FAILURE, Status.TIMEOUT, Status.LOST]))
    events: list[Event] = [
        replace(run_started(4), run=draw(hostile)),
        PhaseStarted(draw(hostile), 5),
        started(a),
        failed(d),
        ended(a, bad, cause, step=0, signal=11, exit_code=1, detail=draw(hostile)),
        not_run(b, Status.BLOCKED, Cause.NEED, needs={a: bad}),
        draw(
            st.sampled_from(
                [
                    not_run(
                        c,
                        Status.BLOCKED,
                        Cause.NEED,
                        needs={b: Status.BLOCKED, a: bad, d: Status.FAILURE},
                    ),
                    not_run(c, Status.CANCELLED, Cause.FAIL_FAST, detail=draw(hostile)),
                    Interrupted(2, 1),
                ]
            )
        ),
        PhaseTimedOut(draw(hostile), 5),
        PhaseEnded(draw(hostile), ok=False, duration_s=5),
        run_ended(1),
    ]
    return content, events, {a: draw(st.lists(hostile, max_size=3))}


@st.composite
def finished_runs(draw: st.DrawFn) -> tuple[dict[str, tuple[str, ...]], list[Event]]:
    """A random graph and what a scheduler that keeps the contract would say of it."""
    count = draw(st.integers(1, 12))
    names = [f"t{n:02d}" for n in range(count)]
    needs: dict[str, tuple[str, ...]] = {}
    status: dict[str, Status] = {}
    events: list[Event] = []
    for number, name in enumerate(names):
        of = draw(st.lists(st.sampled_from(names[:number]), unique=True)) if number else []
        needs[name] = tuple(of)
        unmet = {need: status[need] for need in of if status[need] is not Status.SUCCESS}
        if unmet:
            status[name] = Status.BLOCKED
            events.append(not_run(name, Status.BLOCKED, Cause.NEED, needs=unmet))
            continue
        status[name] = draw(
            st.sampled_from(
                [
                    Status.SUCCESS,
                    Status.FAILURE,
                    Status.TIMEOUT,
                    Status.LOST,
                    Status.CANCELLED,
                    Status.SKIPPED,
                ]
            )
        )
        events.append(ended(name, status[name], Cause.EXIT))
    return needs, draw(st.permutations(events))
