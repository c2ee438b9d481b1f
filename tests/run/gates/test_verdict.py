"""What a series of probes comes to: every sequence up to length 12 against the page's own words."""

from __future__ import annotations

from itertools import product

import pytest

from zf.events import Cause, Probed
from zf.model.repeat import Repeat
from zf.run.gates.verdict import Again, Failed, Good, Series, judged, verdict

GOOD, BAD, BLIND = Probed.GOOD, Probed.BAD, Probed.INCONCLUSIVE
LONGEST = 12
# Each probe takes a second, and the next begins 9 later: they end at 1, 11, 21, ...
INTERVAL_S = 9.0
ENDS = [1.0 + 10 * n for n in range(LONGEST)]


def in_a_row(sequence, wanted, passed_over=()):
    """How many of the last probes are these, others left out that say nothing."""
    found = 0
    for result in reversed(sequence):
        if result == wanted:
            found += 1
        elif result not in passed_over:
            break
    return found


def as_documented(repeat, sequence):
    """The page about monitors, sentence by sentence, of a sequence none of whose beginnings ends
    it.
    """
    last, end = sequence[-1], ENDS[len(sequence) - 1]
    if last is GOOD and (repeat.for_s is None or end >= repeat.for_s):
        return Cause.NONE
    # A probe that could not measure is neither good nor bad: it breaks no row of bad ones.
    if last is not GOOD and in_a_row(sequence, BAD, {BLIND}) >= (repeat.fail_after or 99):
        return Cause.BAD_PROBES
    if in_a_row(sequence, BLIND) >= (repeat.inconclusive_limit or 99):
        return Cause.INCONCLUSIVE
    if len(sequence) >= (repeat.limit or 99):
        return Cause.REPEAT_LIMIT
    return None


def came_to(found):
    if isinstance(found, Again):
        return None
    return Cause.NONE if isinstance(found, Good) else found.cause


def sequences(repeat, series, sequence=()):
    """Every sequence that is not over before its last probe, with what is said of that."""
    for result in Probed:
        longer = (*sequence, result)
        after, found = judged(repeat, series, result, ENDS[len(sequence)])
        yield longer, found
        if isinstance(found, Again) and len(longer) < LONGEST:
            yield from sequences(repeat, after, longer)


LIMITS = [
    {"limit": limit, "fail_after": after, "inconclusive_limit": blind}
    for limit, after, blind in product((1, 5, 12), (None, 1, 3), (None, 2))
]


@pytest.mark.parametrize("said", LIMITS)
def test_every_wait_ends_as_documented(said):
    repeat = Repeat(interval_s=INTERVAL_S, **said)
    ended = set()
    for sequence, found in sequences(repeat, Series(0.0)):
        assert came_to(found) == as_documented(repeat, sequence), sequence
        ended.add(came_to(found))
    assert {Cause.NONE} < ended  # it can end well, and badly


@pytest.mark.parametrize("for_s", [0.5, 30, 71, 111])
@pytest.mark.parametrize(
    "said", [{"fail_after": 1}, {"fail_after": 2, "inconclusive_limit": 3}, {"limit": 4}]
)
def test_every_watch_ends_as_documented(for_s, said):
    repeat = Repeat(interval_s=INTERVAL_S, for_s=for_s, **said)
    for sequence, found in sequences(repeat, Series(0.0)):
        assert came_to(found) == as_documented(repeat, sequence), sequence


def test_every_sequence_of_a_watch_that_nothing_else_ends():
    repeat = Repeat(interval_s=INTERVAL_S, for_s=1000, fail_after=13)
    count = 0
    for sequence, found in sequences(repeat, Series(0.0)):
        assert came_to(found) == as_documented(repeat, sequence), sequence
        count += 1
    assert count == sum(3**n for n in range(1, LONGEST + 1))


def test_the_next_probe_comes_an_interval_later_and_a_watch_has_one_at_its_end():
    wait = Repeat(interval_s=9, limit=5)
    assert verdict(wait, 0, []) == Again(0)
    assert verdict(wait, 0, [(BAD, 1)]) == Again(10)
    watch = Repeat(interval_s=9, for_s=25, fail_after=3)
    assert verdict(watch, 0, [(GOOD, 1)]) == Again(10)
    assert verdict(watch, 0, [(GOOD, 1), (GOOD, 11), (GOOD, 21)]) == Again(25)
    # It has to be good at the end: a bad one there is followed by another, an interval later.
    late = [(GOOD, 21), (BAD, 26)]
    assert verdict(watch, 0, late) == Again(35)
    assert verdict(watch, 0, [*late, (GOOD, 36)]) == Good()


def test_what_comes_after_the_end_does_not_count():
    wait = Repeat(limit=2)
    assert verdict(wait, 0, [(GOOD, 1), (BAD, 2), (BAD, 3)]) == Good()
    assert verdict(wait, 0, [(BAD, 1), (BAD, 2), (GOOD, 3)]) == Failed(
        Cause.REPEAT_LIMIT, "not good after 2 probes"
    )


def test_a_probe_that_could_not_measure_breaks_no_row_and_ends_nothing_well():
    watch = Repeat(interval_s=9, for_s=30, fail_after=2, inconclusive_limit=9)
    ended = verdict(watch, 0, [(BAD, 1), (BLIND, 11), (BAD, 21)])
    assert ended == Failed(Cause.BAD_PROBES, "2 probes were bad in a row")
    assert isinstance(verdict(watch, 0, [(GOOD, 1), (BLIND, 31)]), Again)


def test_how_long_all_of_it_can_take():
    assert Repeat(limit=10, interval_s=5, probe_timeout_s=1).longest_s == 60
    assert Repeat(for_s=100, interval_s=10, probe_timeout_s=2, fail_after=1).longest_s >= 112
