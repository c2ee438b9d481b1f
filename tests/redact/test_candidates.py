"""Search and prefilter miss no string, wherever it stands and whatever is around it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.redact.candidates import STEP_BYTES, CandidateSearch
from zf.redact.prefilter import Prefilter


class Search(CandidateSearch["String"]):
    """Without a prefilter, block by block."""

    def scan(self, text: bytes, visit: Callable[["String", int, int], int]) -> None:
        at = 0
        while at < len(text):
            start = at - at % STEP_BYTES
            at = max(
                self.scan_block(memoryview(text), start, STEP_BYTES, at, visit), start + STEP_BYTES
            )


both = pytest.mark.parametrize("kind", [Search, Prefilter])


@dataclass(frozen=True)
class String:
    text: bytes
    body: frozenset[int] = frozenset()
    split: bool = False


def places(search: Search | Prefilter[String], text: bytes, one: String) -> set[int]:
    """Where the search thinks that this string may begin."""
    found = set()

    def visit(visited: String, at: int, offset: int) -> int:
        if visited is one:
            found.add(at - offset)
        return 0

    search.scan(text, visit)
    return found


@both
@given(
    strings=st.lists(st.binary(min_size=4, max_size=30), min_size=1, max_size=6, unique=True),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
    data=st.data(),
)
def test_no_string_is_missed(
    kind: type, strings: list[bytes], before: bytes, after: bytes, data: st.DataObject
) -> None:
    sought = [String(text) for text in strings]
    one = data.draw(st.sampled_from(sought))
    assert len(before) in places(kind(sought), before + one.text + after, one)


@both
@given(
    text=st.binary(min_size=13, max_size=80),
    before=st.binary(max_size=5),
    first=st.integers(0, 80),
    step=st.integers(32, 40),
    line_break=st.sampled_from([b"\n", b"\r\n"]),
)
def test_no_split_string_is_missed(
    kind: type, text: bytes, before: bytes, first: int, step: int, line_break: bytes
) -> None:
    one = String(text, split=True)
    bounds = [0, *range(first, len(text), step), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    # The first three bytes may be missing.
    broken = line_break.join(pieces) if first > 3 or not first else line_break.join(pieces[1:])
    hits = []
    kind([one]).scan(before + broken, lambda *hit: hits.append(hit) or 0)
    assert hits


@pytest.mark.parametrize("odd", [b"\x00\xd8\x00\xdc", b"\x00\xdc", b"\xd8\xdc\xd9", b"\xdf"])
def test_bytes_that_look_like_surrogates_shift_nothing(odd: bytes) -> None:
    for text in (b"abcdefgh", b"ab\xd8\xdcgh", b"\xdf\xdf\xdf\xdf\xdf"):
        one = String(text)
        for lead in range(5):
            start = odd * 3 + b"-" * lead
            assert len(start) in places(Search([one]), start + text + odd, one)


@both
def test_no_string_is_missed_between_two_blocks(kind: type) -> None:
    one = String(b"0123456789abcdef")
    search = kind([one])
    for at in range(STEP_BYTES - 40, STEP_BYTES + 20):
        assert places(search, b"-" * at + one.text + b"-" * 99, one) == {at}


@both
@pytest.mark.parametrize("lead", range(4))
def test_what_must_follow_may_be_missing_only_at_the_end(kind: type, lead: int) -> None:
    one = String(b"key=", body=frozenset(b"0123456789"))
    search = kind([one])
    start = b"-" * lead
    assert places(search, start + b"key=7", one) == {lead}
    assert places(search, start + b"key=", one) == {lead}


@both
def test_the_visitor_says_where_to_go_on(kind: type) -> None:
    one = String(b"abcd")
    hits = []
    kind([one]).scan(b"abcd" * 100, lambda _, at, offset: hits.append(at - offset) or 300)
    assert hits[0] == 0
    assert min(hits[1:]) >= 296


@both
def test_little_is_let_through_of_what_is_not_sought(kind: type) -> None:
    pick = random.Random(5)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    search = kind([String(bytes(pick.choices(letters, k=24))) for _ in range(100)])
    visits = []
    search.scan(bytes(pick.choices(letters, k=200_000)), lambda *visit: visits.append(visit) or 0)
    assert len(visits) < 20


@pytest.mark.parametrize("count", [1, 47, 48, 49, 400])
def test_the_screen_asks_for_every_one_of_many_strings(count: int) -> None:
    sought = [String(b"key-%05d" % n) for n in range(count)]
    prefilter = Prefilter(sought)
    for one in (sought[0], sought[-1]):
        assert places(prefilter, b"-" * 50 + one.text, one) == {50}


def test_the_screen_lets_the_sieve_look_only_where_something_may_be() -> None:
    one = String(b"0123456789abcdef")
    lead = b"-" * 100 * STEP_BYTES
    prefilter = Prefilter([one])
    prefilter.scan(lead, lambda *_: pytest.fail("there is nothing"))
    assert prefilter._candidates is None
    assert places(prefilter, lead + one.text + lead, one) == {len(lead)}


@given(
    lines=st.lists(st.binary(min_size=1, max_size=3), min_size=30, max_size=60),
    at=st.integers(-200, 5),
)
@settings(max_examples=30)
def test_a_string_of_many_lines_is_found_at_the_edge_of_a_block(
    lines: list[bytes], at: int
) -> None:
    one, other = String(b"\n".join([b"keyed", *lines])), String(b"a" * 40, split=True)
    start = STEP_BYTES + at
    assert start in places(Prefilter([one, other]), b"." * start + one.text, one)
