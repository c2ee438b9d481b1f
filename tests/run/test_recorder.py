"""The recorder: nothing is told before it lasts, and each event with the facts as it left them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.report_samples import ended, failed, plan, run_started, started
from zf.events import Event, RetryScheduled
from zf.proof.journal import Journal
from zf.report import terminal
from zf.report.facts import Facts, Fold
from zf.run.recorder import Recorder


@pytest.fixture
def told() -> list[tuple[str, str]]:
    """What the watcher was told: the line of each event, and the task's word at each look."""
    return []


@pytest.fixture
def recorder(tmp_path: Path, told: list[tuple[str, str]]) -> Iterator[Recorder]:
    def watch(event: Event | None, facts: Facts, _mono: float) -> None:
        line = terminal.plain_line(facts, event) if event is not None else "tick"
        told.append((line, facts.tasks["a"].word))

    with _closing(Recorder(Journal.create(f"{tmp_path}/j"), Fold(plan({"a": ()})), watch)) as made:
        made.record(run_started())
        made.commit()
        told.clear()
        yield made


@contextmanager
def _closing(recorder: Recorder) -> Iterator[Recorder]:
    yield recorder
    recorder.close()


def test_a_look_shows_nothing_that_a_crash_could_still_undo(recorder, told):
    recorder.record(started("a"))
    recorder.flush()
    recorder.tick(1.0)
    assert told == [("tick", "waiting")]
    assert not recorder.facts.running
    recorder.commit()
    recorder.tick(2.0)
    assert told[1:] == [("> start     a", "running"), ("tick", "running")]


def test_each_event_of_a_batch_is_told_with_the_facts_as_it_left_them(recorder, told):
    """A retry may have begun before the failure is told."""
    for event in (started("a"), failed("a"), RetryScheduled("a", 2, 0), started("a", attempt=2)):
        recorder.record(event)
    recorder.commit()
    assert told == [
        ("> start     a", "running"),
        ("x failure   a  0.2s  step 'Prepare' exited with code 3", "failure"),
        ("r retry     a  attempt 2 at once", "waiting"),
        ("> start     a  attempt 2", "running"),
    ]


def test_an_event_is_told_once(recorder, told):
    recorder.record(started("a"))
    recorder.commit()
    recorder.record(ended("a"))
    recorder.commit()
    recorder.commit()
    assert [word for _, word in told] == ["running", "success"]


def test_the_first_event_is_told_with_the_next_ones(tmp_path):
    """The facts have it at once."""
    told = []
    fold = Fold(plan({"a": ()}))
    journal = Journal.create(f"{tmp_path}/j")
    with _closing(
        Recorder(journal, fold, lambda event, facts, _: told.append((event, facts.tasks["a"].word)))
    ) as made:
        made.record(run_started())
        made.begin()
        assert (told, made.facts.run) == ([], run_started().run)
        made.record(started("a"))
        made.commit()
        assert told == [(run_started(), "waiting"), (started("a"), "running")]
