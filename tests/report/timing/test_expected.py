"""What is left of a run, and how much of it is done, by what its plan expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.report_samples import ended, failed, not_run, plan, run_started, started
from zf.events import Cause, Event, PhaseEnded, PhaseStarted, RetryScheduled, Status
from zf.report.facts import Fold
from zf.report.task_facts import TaskFacts

LIMITS = {"max_jobs": 2, "resources": {}}
BEGIN = (run_started(), PhaseStarted("E", 3600))


def fold_of(needs: Any, weight_s: Mapping[str, float], *events: Event, at_s: float = 0) -> Fold:
    """A run of these events, all of them at one moment."""
    planned = plan(needs)
    for row in planned["tasks"]:
        if row["id"] in weight_s:
            row["weight_s"] = weight_s[row["id"]]
    fold = Fold(planned, LIMITS)
    return told(fold, *BEGIN, *events, at_s=at_s)


def told(fold: Fold, *events: Event, at_s: float) -> Fold:
    for event in events:
        fold.apply(event, at_s)
    return fold


def test_without_times_nothing_is_expected_and_tasks_are_counted():
    facts = fold_of("a b c d", {}, started("a"), ended("a"), started("b")).facts
    assert facts.eta_s(1) is None
    assert facts.share_done(1) == 0.25
    assert facts.tasks["a"].weight_s is None


def test_the_work_is_spread_over_the_slots():
    facts = fold_of("a b c d", dict.fromkeys("abcd", 10), started("a"), started("b")).facts
    assert facts.eta_s(0) == 20
    assert facts.share_done(0) == 0
    assert facts.eta_s(5) == 15
    assert facts.share_done(5) == 0.25
    assert facts.tasks["a"].weight_s == 10


def test_the_longest_way_counts_where_it_is_longer_than_the_work():
    fold = fold_of({"a": "", "b": "a", "c": "b"}, dict.fromkeys("abc", 10), started("a"))
    assert fold.facts.eta_s(4) == 26
    told(fold, ended("a"), started("b"), at_s=8)
    assert fold.facts.eta_s(8) == 20


def test_a_task_that_takes_longer_ends_at_any_moment():
    facts = fold_of("a", {"a": 10}, started("a")).facts
    assert facts.eta_s(99) == 0
    assert facts.share_done(99) == 1


def test_what_does_not_run_is_not_waited_for():
    fold = fold_of({"a": "", "b": "a"}, {"a": 10, "b": 90}, started("a"))
    told(fold, failed("a"), not_run("b", Status.BLOCKED, Cause.NEED), at_s=10)
    assert fold.facts.eta_s(10) == 0
    assert fold.facts.share_done(10) == 1


def test_a_retry_is_all_to_do_again():
    fold = fold_of("a b", {"a": 10, "b": 10}, started("a"), started("b"))
    told(fold, failed("a"), RetryScheduled("a", 2, 1.0), at_s=10)
    assert fold.facts.share_done(10) == 0.5
    told(fold, ended("b"), started("a", 2), at_s=11)
    assert fold.facts.eta_s(13) == 8
    told(fold, ended("a", attempt=2), at_s=21)
    assert fold.facts.share_done(21) == 1


def test_a_later_phase_is_added_and_an_earlier_one_is_not():
    planned = plan("a b c")
    planned["phases"].append({"name": "F", "title": "", "timeout_s": 3600})
    planned["tasks"][2]["phase"] = "F"
    planned["tasks"][2]["parallel_safe"] = False
    for row in planned["tasks"]:
        row["weight_s"] = 10
    fold = Fold(planned, LIMITS)
    assert fold.facts.eta_s(0) == 20
    told(fold, *BEGIN, started("a"), started("b"), at_s=0)
    assert fold.facts.eta_s(2) == 18
    told(fold, ended("a"), ended("b"), PhaseEnded("E", ok=True, duration_s=10), at_s=10)
    told(fold, PhaseStarted("F", 3600), started("c"), at_s=10)
    assert fold.facts.eta_s(13) == 7
    assert fold.facts.share_done(15) == pytest.approx(0.75)


def test_a_task_of_no_moment_has_had_nothing():
    facts = fold_of("a", {"a": 10}, started("a")).facts
    task: TaskFacts = facts.tasks["a"]
    task.started_mono = None
    assert facts.eta_s(50) == 10
