"""The fold, and the search for root causes: tables for the rules, properties for the promises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.report_samples import (
    SEED,
    B,
    C,
    F,
    S,
    T,
    at,
    blocked,
    ended,
    facts_of,
    failed,
    not_run,
    plan,
    run_ended,
    run_started,
    seed_events,
    seed_facts,
    started,
    timed_out,
    used,
)
from tests.support.report_strategies import finished_runs
from zf.events import (
    FAILED,
    Cause,
    Event,
    Interrupted,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    RunResumed,
    Status,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.report.causes import Held, RootCause
from zf.report.facts import Facts, Fold, build


def test_what_an_attempt_used_is_that_of_the_last_that_ended() -> None:
    fold = Fold(plan("a"))
    a = fold.facts.tasks["a"]
    said = []
    for event in (
        started("a"),
        failed("a", measures=used(2)),
        RetryScheduled("a", 2, 1.5),
        started("a", 2),
        failed("a", attempt=2, measures=used(3)),
        RetryScheduled("a", 3, 1.5),
        RetryDropped("a", 3, Cause.INTERRUPT),
    ):
        fold.apply(event)
        said.append(dict(a.measures))
    assert said == [{}, used(2), {}, {}, used(3), {}, used(3)]
    assert [tried.task.measures for tried in a.earlier] == [used(2), used(3)]


def test_facts_of_a_whole_run() -> None:
    facts = seed_facts()
    assert {name: task.word for name, task in facts.tasks.items()} == {
        "30-migrate": "success",
        "40-seed-database": "timeout",
        "41-lint": "failure",
        "42-e2e-admin": "blocked",
        "43-e2e-report": "blocked",
    }
    assert {word: n for word, n in facts.counts.items() if n} == {
        "success": 1,
        "failure": 1,
        "timeout": 1,
        "blocked": 2,
    }
    assert (facts.run, facts.exit_code, facts.duration_s) == ("r1", 1, 3.4)
    assert (facts.started_at, facts.ended_at) == (at(41.5), at(45))
    assert [(p.name, p.tasks, p.state, p.duration_s) for p in facts.phases.values()] == [
        ("E", 5, "failed", 3.3)
    ]
    assert facts.running == {}


def test_every_prefix_counts_every_task_once() -> None:
    fold = Fold(plan(SEED))
    for event in seed_events():
        fold.apply(event)
        assert sum(fold.facts.counts.values()) == len(SEED)
        running = {name for name, task in fold.facts.tasks.items() if task.running}
        assert set(fold.facts.running) == running


def test_clock_readings_bound_the_run() -> None:
    fold = Fold(plan("a"))
    fold.apply(run_started(), 100.0, at(1))
    fold.apply(started("a"), 101.5, at(2.5))
    facts = fold.facts
    assert (facts.started_mono, facts.last_mono) == (100.0, 101.5)
    assert (facts.started_at, facts.tasks["a"].started_at) == (at(1), at(2.5))
    assert facts.tasks["a"].started_mono == 101.5
    fold.apply(ended("a"), 104.5)
    fold.apply(run_ended(0), 104.6, at(50))
    assert (facts.started_at, facts.ended_at) == (at(1), at(50))


def test_a_resumed_run_goes_on_by_another_clock() -> None:
    fold = Fold(plan("a"))
    fold.apply(run_started(), 9000.0)
    fold.apply(started("a"), 9001.0)
    fold.apply(RunResumed(leftovers=2), 5.0)
    assert (fold.facts.started_mono, fold.facts.last_mono) == (5.0, 5.0)
    fold.apply(ended("a", Status.LOST, Cause.RUNNER), 5.5)
    fold.apply(started("a", attempt=2), 6.0)
    assert fold.facts.tasks["a"].word == "running"


def test_a_second_attempt_forgets_what_the_first_came_to() -> None:
    fold = Fold(plan("a"))
    for event in (started("a"), failed("a"), started("a", attempt=2)):
        fold.apply(event)
    task = fold.facts.tasks["a"]
    assert (task.word, task.attempt, task.exit_code, task.step, task.cause) == (
        "running",
        2,
        None,
        None,
        Cause.NONE,
    )
    assert fold.facts.counts["running"] == 1
    assert fold.facts.counts["failure"] == 0
    fold.apply(ended("a", attempt=2))
    assert fold.facts.counts["success"] == 1


def test_a_task_that_is_tried_again_waits_and_has_not_failed() -> None:
    fold = Fold(plan({"a": (), "b": ("a",)}))
    for event in (started("a"), failed("a"), RetryScheduled("a", 2, 1.5)):
        fold.apply(event)
    task = fold.facts.tasks["a"]
    assert (task.word, task.cause, task.attempt) == ("waiting", Cause.NONE, 1)
    assert [(t.task.word, t.delay_s, t.dropped) for t in task.earlier] == [("failure", 1.5, None)]
    assert (fold.facts.counts["waiting"], fold.facts.counts["failure"]) == (2, 0)
    assert fold.facts.causes == ()
    fold.apply(RetryDropped("a", 2, Cause.INTERRUPT))
    assert (task.word, task.cause, task.exit_code, task.step) == ("failure", Cause.EXIT, 3, 0)
    assert (fold.facts.counts["waiting"], fold.facts.counts["failure"]) == (1, 1)
    assert task.earlier[0].dropped is Cause.INTERRUPT


def test_a_dropped_retry_leaves_a_tolerated_end_tolerated() -> None:
    events = [
        failed("a", warned=True),
        RetryScheduled("a", 2, 9),
        RetryDropped("a", 2, Cause.DEADLINE),
        run_ended(0),
    ]
    facts = facts_of("a", events)
    assert [task.id for task in facts.warned] == ["a"]
    assert (facts.result, facts.failed) == ("passed", [])


def test_a_dropped_retry_of_nobody_changes_nothing() -> None:
    events = [RetryDropped("x", 2, Cause.DEADLINE), RetryDropped("a", 2, Cause.DEADLINE)]
    assert facts_of("a", events).counts["waiting"] == 1


def test_the_cost_of_throttling_adds_up() -> None:
    enter, leave = ThrottleEntered("CPU", 95, 1), ThrottleLeft(10, 4)
    facts = facts_of({}, [enter, leave, enter, leave, enter])
    assert (facts.throttles, facts.throttled_s, facts.held_s) == (3, 20, 8)
    assert facts.throttle == enter


def test_events_about_strangers_change_nothing() -> None:
    events = [
        started("x"),
        ended("x"),
        blocked("x"),
        PhaseStarted("X", 5),
        PhaseTimedOut("X", 5),
        PhaseEnded("X", ok=False, duration_s=1),
    ]
    content = plan("a")
    content["tasks"].append({**content["tasks"][0], "id": "b", "phase": "X"})
    facts = build(content, events)
    assert facts.counts["waiting"] == 2
    assert facts.phases["E"].tasks == 1
    assert facts.phases["E"].state == "waiting"
    assert not facts.phases["E"].timed_out


def test_phases_are_followed() -> None:
    fold = Fold(plan("a"))
    fold.apply(PhaseStarted("E", 5))
    assert (fold.facts.phase, fold.facts.phases["E"].state) == ("E", "running")
    fold.apply(PhaseTimedOut("E", 5))
    assert fold.facts.phases["E"].timed_out
    assert fold.facts.phase_timeout == PhaseTimedOut("E", 5)
    fold.apply(PhaseEnded("E", ok=True, duration_s=5.1))
    assert fold.facts.phases["E"].state == "passed"


@pytest.mark.parametrize(
    "broken",
    [{}, {"phases": [], "tasks": [{"id": "a"}], "needs": "checked", "upstream": {}}, {"phases": 5}],
    ids=["empty", "half a task", "wrong type"],
)
def test_what_is_no_plan_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a zf plan"):
        Fold(broken)


RESULTS: dict[str, tuple[list[Event], str]] = {
    "not over": ([ended("a")], "unfinished"),
    "all succeeded": ([ended("a"), ended("b"), run_ended(0)], "passed"),
    "some skipped": (
        [ended("a"), not_run("b", Status.SKIPPED, Cause.NONE), run_ended(0)],
        "passed",
    ),
    "all skipped": (
        [not_run(t, Status.SKIPPED, Cause.NONE) for t in "ab"] + [run_ended(0)],
        "nothing run",
    ),
    "no event at all": ([run_ended(0)], "nothing run"),
    "one failed": ([ended("a"), failed("b"), run_ended(1)], "failed"),
    "exit code and events disagree": ([ended("a"), failed("b"), run_ended(0)], "failed"),
    "the step's own code": ([failed("a"), run_ended(3)], "failed"),
    "phase timeout": ([PhaseTimedOut("E", 5), timed_out("a"), run_ended(124)], "timeout"),
    "interrupted": ([Interrupted(2, 1), run_ended(130)], "interrupted"),
    "interrupted too late": ([ended("a"), Interrupted(15, 1), run_ended(143)], "interrupted"),
}


@pytest.mark.parametrize(("events", "result"), RESULTS.values(), ids=RESULTS)
def test_result(events: list[Event], result: str) -> None:
    assert facts_of("a b", events).result == result


# --- Root causes -------------------------------------------------------------------------------


def causes(facts: Facts) -> list[tuple[str, str, list[str], int, int]]:
    return [
        (
            cause.task,
            cause.word,
            [f"{'.' * entry.depth}{entry.task}" for entry in cause.held],
            cause.blocks,
            cause.frees,
        )
        for cause in facts.causes
    ]


CAUSES: dict[
    str, tuple[dict[str, str], list[Event], list[tuple[str, str, list[str], int, int]]]
] = {
    "nothing wrong": ({"a": "", "b": "a"}, [ended("a"), ended("b")], []),
    "a failure nobody needs": ({"a": ""}, [failed("a")], [("a", "failure", [], 0, 0)]),
    "a chain": (
        {"a": "", "b": "a", "c": "b"},
        [timed_out("a"), blocked("b", a=T), blocked("c", b=B)],
        [("a", "timeout", [".b", "..c"], 2, 2)],
    ),
    "a diamond, listed once, by the shortest way": (
        {"a": "", "b": "a", "c": "b", "d": "a c"},
        [failed("a"), blocked("b", a=F), blocked("c", b=B), blocked("d", a=F, c=B)],
        [("a", "failure", [".b", "..c", ".d"], 3, 3)],
    ),
    "two causes, the bigger one lists what both hold up": (
        {"a": "", "z": "", "b": "z", "c": "a z"},
        [failed("a"), failed("z"), blocked("b", z=F), blocked("c", a=F, z=F)],
        [("z", "failure", [".b", ".c"], 2, 1), ("a", "failure", [], 1, 0)],
    ),
    "shared tasks deep down are counted once": (
        {"a": "", "z": "", "b": "a z", "c": "b", "d": "b c", "e": "z"},
        [
            failed("a"),
            failed("z"),
            blocked("b", a=F, z=F),
            blocked("c", b=B),
            blocked("d", b=B, c=B),
            blocked("e", z=F),
        ],
        [("z", "failure", [".b", "..c", "..d", ".e"], 4, 1), ("a", "failure", [], 3, 0)],
    ),
    "of equals the first by id comes first": (
        {"b": "", "a": "", "c": "a b"},
        [failed("b"), failed("a"), blocked("c", a=F, b=F)],
        [("a", "failure", [".c"], 1, 0), ("b", "failure", [], 1, 0)],
    ),
    "a cancelled task that blocked another": (
        {"a": "", "b": "a", "c": ""},
        [not_run("a", C, Cause.INTERRUPT), blocked("b", a=C), not_run("c", C, Cause.INTERRUPT)],
        [("a", "cancelled", [".b"], 1, 1)],
    ),
    "a skipped task stands behind failures": (
        {"a": "", "b": "a", "c": "b", "x": ""},
        [
            not_run("a", S, Cause.NONE),
            not_run("b", S, Cause.NEED, needs={"a": S}),
            not_run("c", S, Cause.NEED, needs={"b": S}),
            failed("x"),
        ],
        [("x", "failure", [], 0, 0), ("a", "skipped", [".b", "..c"], 2, 2)],
    ),
    "a skipped task nobody needs": ({"a": ""}, [not_run("a", S, Cause.NONE)], []),
    "a need outside the plan": (
        {"a": "up"},
        [blocked("a", up=F)],
        [("up", "failure", [".a"], 1, 1)],
    ),
    "blocked by nothing known": (
        {"a": "", "b": "a"},
        [not_run("a", B, Cause.NEED), blocked("b", a=B)],
        [("a", "blocked", [".b"], 1, 1)],
    ),
    "the journal ends before anybody said blocked": (
        {"a": "", "b": "a", "c": "b", "d": ""},
        [failed("a")],
        [("a", "failure", [".b", "..c"], 2, 2)],
    ),
    "a need that is running holds nobody up yet": ({"a": "", "b": "a"}, [started("a")], []),
    "a circle, which no sound plan has": (
        {"a": "b", "b": "a", "c": "a"},
        [blocked("a", b=B), blocked("b", a=B), blocked("c", a=B)],
        [("a", "blocked", [".b", ".c"], 2, 0)],
    ),
}


@pytest.mark.parametrize(("needs", "events", "expected"), CAUSES.values(), ids=CAUSES)
def test_root_causes(
    needs: dict[str, str],
    events: list[Event],
    expected: list[tuple[str, str, list[str], int, int]],
) -> None:
    facts = facts_of(needs, events)
    assert causes(facts) == expected


def test_a_task_mentions_its_other_causes_and_who_it_waits_through() -> None:
    facts = seed_facts()
    assert facts.causes == (
        RootCause(
            task="40-seed-database",
            word="timeout",
            held=(
                Held("42-e2e-admin", None, 1, {"40-seed-database": "timeout"}, ()),
                Held(
                    "43-e2e-report",
                    "42-e2e-admin",
                    2,
                    {"42-e2e-admin": "blocked", "41-lint": "failure"},
                    ("41-lint",),
                ),
            ),
            blocks=2,
            frees=1,
        ),
        RootCause("41-lint", "failure", (), 1, 0),
    )


def test_a_need_that_may_fail_blocks_nobody() -> None:
    content = plan({"a": (), "b": ("a",)})
    content["tasks"][1]["needs"][0]["require"] = "done"
    assert causes(build(content, [failed("a")])) == [("a", "failure", [], 0, 0)]


def test_causes_follow_the_events() -> None:
    fold = Fold(plan({"a": (), "b": ("a",)}))
    assert fold.facts.causes == ()
    fold.apply(failed("a"))
    assert [cause.task for cause in fold.facts.causes] == ["a"]


def test_a_task_blocked_by_one_need_names_those_that_failed_later() -> None:
    events = [failed("a"), blocked("c", a=F), timed_out("b")]
    facts = facts_of({"a": (), "b": (), "c": ("a", "b")}, events)
    assert [(cause.task, cause.blocks, cause.frees) for cause in facts.causes] == [
        ("a", 1, 0),
        ("b", 1, 0),
    ]
    assert facts.causes[0].held == (Held("c", None, 1, {"a": "failure", "b": "timeout"}, ("b",)),)


# --- Properties ----------------------------------------------------------------------------------


def reachable(needs: dict[str, tuple[str, ...]], held: set[str], root: str) -> set[str]:
    """Held tasks at or below a root, the plain way."""
    found = {root}
    while True:
        more = {name for name in held - found if found & set(needs[name])}
        if not more:
            return found - {root}
        found |= more


@given(finished_runs())
def test_every_blocked_task_stands_once_below_a_cause_that_holds_it(
    run: tuple[dict[str, tuple[str, ...]], list[Event]],
) -> None:
    needs, events = run
    facts = facts_of(needs, events)
    held = {name for name, task in facts.tasks.items() if task.status is B}
    listed = [entry.task for cause in facts.causes for entry in cause.held]
    assert sorted(listed) == sorted(held)

    reach = {cause.task: reachable(needs, held, cause.task) for cause in facts.causes}
    for place, cause in enumerate(facts.causes):
        assert cause.task not in held
        assert cause.blocks == len(reach[cause.task])
        others = set().union(*(reach[c.task] for c in facts.causes if c is not cause))
        assert cause.frees == len(reach[cause.task] - others)
        bigger = set().union(*(reach[c.task] for c in facts.causes[:place]))
        assert {entry.task for entry in cause.held} == reach[cause.task] - bigger
        for entry in cause.held:
            assert set(entry.also) <= set(reach) - {cause.task}
            assert (entry.via or cause.task) in entry.unmet
    keys = [(cause.word == "skipped", -cause.blocks, cause.task) for cause in facts.causes]
    assert keys == sorted(keys)
    # Nobody who failed is forgotten.
    assert {task.id for task in facts.tasks.values() if task.status in FAILED} <= set(reach)


@given(finished_runs(), st.integers(0, 12))
def test_any_part_of_a_journal_can_be_folded(
    run: tuple[dict[str, tuple[str, ...]], list[Event]], length: int
) -> None:
    needs, events = run
    facts = facts_of(needs, events[:length])
    assert sum(facts.counts.values()) == len(needs)
    listed = [entry.task for cause in facts.causes for entry in cause.held]
    assert len(listed) == len(set(listed))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), max_size=4)),
    st.data(),
)
def test_even_an_unsound_record_ends_and_forgets_nobody(
    needs: dict[str, list[str]], data: st.DataObject
) -> None:
    unmet = {
        name: data.draw(st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(Status)))
        for name in needs
    }
    facts = facts_of(needs, [not_run(n, B, Cause.NEED, needs=unmet[n]) for n in needs])
    told = [entry.task for cause in facts.causes for entry in cause.held]
    told += [cause.task for cause in facts.causes if cause.task in needs]
    assert sorted(told) == sorted(needs)


# --- What the live board asks --------------------------------------------------------------------


def test_what_waits_on_a_task() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ("a", "c"), "e": (), "f": ("a",)}
    fold = Fold(plan(needs))
    fold.apply(started("a"))
    fold.apply(not_run("f", C, Cause.FAIL_FAST))
    assert fold.facts.waiting_on("a") == (3, True)
    assert fold.facts.waiting_on("e") == (0, True)
    assert fold.facts.waiting_on("stranger") == (0, True)


def test_counting_what_waits_is_bounded() -> None:
    wide = plan({"a": (), **{f"b{n}": ("a",) for n in range(5000)}})
    assert Fold(wide).facts.waiting_on("a") == (99, False)
    # Many edges between few tasks: the edges are what is bounded.
    for count, is_all in ((60, True), (100, False)):
        dense = {f"b{n:02d}": tuple(f"b{m:02d}" for m in range(n)) for n in range(count)}
        assert Fold(plan(dense)).facts.waiting_on("b00") == (count - 1, is_all)
