"""Bursts of changes, and cycles that follow from themselves, with time moved by hand."""

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


def echo(echoes, began, *, after_s=0.5, files=("a",), under_hands=True):
    """A cycle, and what changed so long after its beginning; how long the next one rests."""
    echoes.begun(began)
    echoes.changed(files, began + after_s, under_hands=under_hands)
    return echoes.rest_s()


def test_what_tasks_write_themselves_starts_two_more_cycles_and_no_third():
    echoes = Echoes()
    echoes.changed(["src"], 0.0, under_hands=False)
    assert echo(echoes, 0.1) == 0.0
    assert echo(echoes, 1.0) == REST_S
    assert echo(echoes, 4.0) is None
    assert echoes.files == ["a"]


def test_a_change_in_the_rest_is_the_users():
    echoes = Echoes()
    echoes.changed(["src"], 0.0, under_hands=False)
    echo(echoes, 0.1)
    echo(echoes, 1.0)
    echoes.changed(["a"], 2.0, under_hands=False)
    assert echoes.rest_s() == 0.0


def test_what_is_asked_for_never_rests():
    echoes = Echoes()
    for began in (0.0, 1.0, 4.0):
        echo(echoes, began)
    echoes.asked()
    assert echoes.rest_s() == 0.0


def test_saves_at_other_moments_are_the_users():
    echoes = Echoes()
    for began, after_s in ((0.0, 2.0), (3.0, 5.0), (9.0, 1.0), (11.0, 3.0), (15.0, 0.5)):
        assert echo(echoes, began, after_s=after_s) == 0.0


def test_other_files_are_the_users():
    echoes = Echoes()
    for number in range(6):
        assert echo(echoes, number * 2.0, files=(f"f{number}",)) == 0.0


def test_a_cycle_without_any_change_counts_for_none():
    echoes = Echoes()
    echoes.changed(["src"], 0.0, under_hands=False)
    echo(echoes, 0.1)
    echoes.begun(0.7)
    echoes.begun(0.8)  # the second half of what was due
    assert echoes.rest_s() == 0.0
