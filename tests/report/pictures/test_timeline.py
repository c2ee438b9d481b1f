"""The timeline: what is drawn, what is drawn together, and what is said below it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.support.courses import Recorded, layered, lines
from tests.support.report_samples import ended, failed, plan, run_ended, run_started, started
from zf.events import (
    AttemptStarted,
    Event,
    LeaseAwaited,
    LeaseTaken,
    PhaseStarted,
    RetryScheduled,
    RunResumed,
    ThrottleEntered,
    ThrottleLeft,
)
from zf.report.pictures.bars import bars
from zf.report.pictures.timeline import figure, short, ticks


def drawn(run: Recorded) -> tuple[ET.Element, list[str]]:
    svg, told = figure(run.plan, run.limits, run.course)
    return ET.fromstring(svg), told


def run_of(needs: str | dict[str, str], *told: tuple[float, Event]) -> Recorded:
    events = ((0.0, run_started()), (0.0, PhaseStarted("E", 60)), *told)
    return Recorded(plan(needs), {"max_jobs": 2, "resources": {}}, tuple(lines(events)))


SMALL = run_of(
    {"a": "", "b": "", "c": "a"},
    (0.0, started("a")),
    (0.0, started("b")),
    (4.0, ended("a")),
    (4.0, started("c")),
    (5.0, failed("b")),
    (10.0, ended("c")),
    (10.0, run_ended(1)),
)


def test_a_bar_for_each_attempt_at_its_time_on_its_lane() -> None:
    root, told = drawn(SMALL)
    spans = [rect for rect in root.iter("rect") if "span" in (rect.get("class") or "")]
    assert [rect.get("class") for rect in spans] == ["span success", "span success", "span failure"]
    places = [(svg.get("x"), svg.get("width")) for svg in root.iter("svg") if svg.get("x")]
    assert places == [("0%", "40%"), ("40%", "60%"), ("0%", "50%")]
    assert [text.text for text in root.iter("text") if "on" in (text.get("class") or "")] == [
        "a",
        "c",
        "✕ b",
    ]
    assert [a.get("href") for a in root.iter("a")] == ["#task-a", "#task-c", "#task-b"]
    path, help_ = told
    assert path == (
        "The line under the bars is the critical path, which decided when the run was over:"
        " 2 attempts, 10.0s of 10.0s."
    )
    assert help_ == (
        'What would help: half the time for <a href="#task-c">c</a> would have saved about 3.0s,'
        ' for <a href="#task-a">a</a> about 2.0s; for any other task less than 0.1s.'
    )


def test_the_critical_path_steps_from_lane_to_lane() -> None:
    root, _ = drawn(SMALL)
    marks = [line for line in root.iter("line") if "critical" in (line.get("class") or "")]
    assert [(line.get("x1"), line.get("x2")) for line in marks] == [("0%", "100%")]


def test_each_kind_of_wait_is_hatched_and_told() -> None:
    run = run_of(
        {"a": "", "b": ""},
        (0.0, started("a")),
        (0.0, LeaseAwaited("b", "db", "run r0")),
        (1.0, failed("a")),
        (1.0, RetryScheduled("a", 2, 3.0)),
        (2.0, ThrottleEntered("CPU at 97 %", 97, 100)),
        (4.0, ThrottleLeft(2.0, 1.0)),
        (4.0, AttemptStarted("a", 2, 0)),
        (6.0, LeaseTaken("b", "db", 6.0)),
        (6.0, started("b")),
        (8.0, ended("b")),
        (9.0, ended("a", attempt=2)),
    )
    root, _ = drawn(run)
    hatched = [rect for rect in root.iter("rect") if (rect.get("class") or "") in {"wait", "busy"}]
    assert len(hatched) == 3
    told = {title.text for title in root.iter("title")}
    assert "b waited 6.0s for the lease that another run had run r0" in told
    assert "a waited 3.0s for the delay of its retry" in told
    assert "The machine was too busy for 2.0s: CPU at 97 %" in told
    kinds = {rect.get("class") for rect in root.iter("rect")}
    assert "span retried" in kinds


def test_the_name_of_a_short_last_phase_is_shown_whole() -> None:
    told = [(0.0, run_started())]
    for name, start_s, end_s in (
        ("build", 0.0, 90.0),
        ("lint", 90.0, 95.0),
        ("delivery", 95.0, 100.0),
    ):
        told += [(start_s, PhaseStarted(name, 60)), (start_s, started(name)), (end_s, ended(name))]
    events = (*told, (100.0, run_ended(0)))
    run = Recorded(
        plan("build lint delivery"), {"max_jobs": 2, "resources": {}}, tuple(lines(events))
    )
    root, _ = drawn(run)
    in_a_box = [text.text for svg in root.iter("svg") if svg.get("x") for text in svg.iter("text")]
    assert [name for name in ("build", "lint", "delivery") if name in in_a_box] == ["build", "lint"]
    (last,) = (text for text in root.iter("text") if text.text == "delivery")
    assert (last.get("class"), last.get("x")) == ("outgrown", "100%")


def test_a_resume_is_marked_and_its_gap_left_out() -> None:
    run = run_of("a", (0.0, started("a")), (1.0, ended("a")), (7201.0, RunResumed(0)))
    root, told = drawn(run)
    assert [line.get("x1") for line in root.iter("line") if line.get("class") == "pause"] == [
        "100%"
    ]
    assert told[-1] == (
        "The run was resumed here, after 2h00m without a zf; that time is not in the picture."
    )


def test_no_picture_where_nothing_ran() -> None:
    run = run_of("a")
    assert figure(run.plan, run.limits, run.course) == ("", [])


@pytest.fixture(scope="module")
def large() -> Recorded:
    return layered(5000, failing=["unit-2500", "lint-2500", "e2e-2500", "build-2500"])


def test_five_thousand_tasks_stay_small_and_nothing_that_failed_is_merged(large: Recorded) -> None:
    svg, told = figure(large.plan, large.limits, large.course)
    assert len(svg) < 300_000
    found, together = bars(large.course)
    assert sum(len(bar.attempts) for bar in found) == len(large.course.attempts)
    assert together == sum(len(bar.attempts) for bar in found if len(bar.attempts) > 1)
    assert any(f"{together} attempts too short to be seen" in line for line in told)
    words = [attempt.word for attempt in large.course.attempts]
    apart = [bar for bar in found if bar.kind != "success"]
    assert (
        sum(word != "success" for word in words) == len(apart) == len({b.attempts for b in apart})
    )
    assert all(len(bar.attempts) == 1 for bar in apart)


def test_a_picture_has_classes_and_no_style(large: Recorded) -> None:
    """The page's policy lets no style through but its own sheet."""
    svg, _ = figure(large.plan, large.limits, large.course)
    assert not re.search(r"\sstyle=|<style|\son\w+=", svg)


def test_not_every_bar_of_many_stops_the_tab_key(large: Recorded) -> None:
    root, _ = drawn(large)
    stops = [a for a in root.iter("a") if a.get("tabindex") != "-1"]
    assert len(stops) < 60
    failures = [
        a for a in root.iter("a") for r in a.iter("rect") if "failure" in r.get("class", "")
    ]
    assert failures
    assert all(a in stops for a in failures)


@pytest.mark.parametrize("length_s", [0.003, 0.7, 4, 59, 61, 372, 5000, 90_000, 9_000_000])
def test_the_axis_has_some_round_marks(length_s: float) -> None:
    found = ticks(length_s)
    assert 2 <= len(found) <= 7
    assert found[0] == 0
    assert found[-1] <= 0.82 * length_s


def test_marks_say_no_more_than_they_need() -> None:
    marks = [0, 0.5, 2, 30, 300, 5400, 86400, 93600]
    assert [short(mark) for mark in marks] == [
        *("0", "500ms", "2s", "30s", "5m", "1h30m", "1d", "1d2h"),
    ]


def test_names_from_outside_are_escaped() -> None:
    run = run_of(
        "a",
        (0.0, LeaseAwaited("a", "db", "<b>\u202e")),
        (5.0, LeaseTaken("a", "db", 5.0)),
        (5.0, started("a")),
        (9.0, ended("a")),
    )
    svg, _ = figure(run.plan, run.limits, run.course)
    assert "<b>" not in svg
    assert "&lt;b&gt;\\u202e" in svg


def test_a_run_that_goes_on_is_not_told_what_would_have_helped() -> None:
    told = ((0.0, started("a")), (3.0, ended("a")), (3.0, started("b")), (4.0, failed("b")))
    run = run_of({"a": "", "b": "a"}, *told)
    _, sentences = drawn(run)
    assert sentences == [
        "The line under the bars is the critical path so far: 2 attempts, 4.0s of 4.0s."
    ]


def test_what_helps_no_more_than_so_much_is_told_as_that() -> None:
    names = " ".join(f"t{n}" for n in range(40))
    told = [(float(n // 2), started(f"t{n}")) for n in range(40)]
    told += [(float(n // 2 + 1), ended(f"t{n}")) for n in range(40)]
    told.sort(key=lambda one: (one[0], one[1].__class__.__name__ != "AttemptEnded"))
    _, sentences = drawn(run_of(names, *told, (20.0, run_ended(0))))
    assert sentences[1] == (
        "What would help: no single task. Half the time for any one of them would have saved less"
        " than 0.2s. With 4 slots the run would have been about 10.0s shorter."
    )
