"""Bursts of changes, and cycles that follow from themselves, with time moved by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.watch.debounce import MOST_QUIETS, REST_S, Debounce, Echoes

QUIET_S = 0.1


def bursts(moments):
    """When the bursts are over that these changes make, as a loop sees it that wakes when it is
    told to.
    """
    debounce, over, waiting = Debounce(QUIET_S), [], sorted(moments)
    now = 0.0
    while waiting or debounce.began is not None:
        due = debounce.due_at()
        if waiting and (due is None or waiting[0] < due):
            now = waiting.pop(0)
            debounce.heard(now)
        else:
            assert due is not None
            now = due
        if debounce.is_over(now):
            over.append(now)
    return over


def test_a_storm_is_one_burst():
    assert bursts(0.001 * n for n in range(1_000)) == [0.999 + QUIET_S]


def test_a_pause_makes_two():
    assert len(bursts([0.0, 0.05, 0.3, 0.35])) == 2


def test_a_file_that_is_always_written_does_not_hold_up_the_rest():
    over = bursts(0.05 * n for n in range(1_000))
    assert over[0] == MOST_QUIETS * QUIET_S


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60))
def test_no_change_is_missed_and_none_waits_for_ever(moments):
    over = bursts(moments)
    for moment in moments:
        following = [end for end in over if end >= moment]
        assert following
        assert following[0] - moment <= MOST_QUIETS * QUIET_S + 1e-9
    assert len(over) <= len(moments)


def echo(echoes, *, after_s=0.5, files=("a",)):
    """A cycle, and what changed so long after one of its tasks began; how long the next one rests."""
    echoes.begun()
    echoes.changed(files, after_s)
    return echoes.rest_s()


@pytest.fixture
def echoes():
    found = Echoes()
    found.changed(["src"], None)
    return found


def test_what_tasks_write_themselves_starts_two_more_cycles_and_no_third(echoes):
    assert [echo(echoes), echo(echoes), echo(echoes)] == [0.0, REST_S, None]
    assert echoes.files == ["a"]


def test_a_change_in_the_rest_is_the_users(echoes):
    echo(echoes)
    echo(echoes)
    echoes.changed(["a"], None)
    assert echoes.rest_s() == 0.0


def test_what_is_asked_for_never_rests(echoes):
    for _ in range(3):
        echo(echoes)
    echoes.asked()
    assert echoes.rest_s() == 0.0


def test_saves_at_other_moments_are_the_users(echoes):
    assert {echo(echoes, after_s=after_s) for after_s in (2.0, 5.0, 1.0, 3.0, 0.4)} == {0.0}


def test_other_files_are_the_users(echoes):
    assert {echo(echoes, files=(f"f{number}",)) for number in range(6)} == {0.0}


def test_a_cycle_without_any_change_counts_for_none(echoes):
    echo(echoes)
    echoes.begun()
    echoes.begun()  # the second half of what was due
    assert echoes.rest_s() == 0.0
