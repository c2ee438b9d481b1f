"""The sieve lets no string through unseen, wherever it stands and whatever stands around it."""

import random
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.work.sieve import Sieve


@dataclass(frozen=True)
class String:
    text: bytes
    body: frozenset[int] = frozenset()
    split: bool = False


def places(sieve: Sieve[String], text: bytes, one: String) -> set[int]:
    """Where the sieve thinks that this string may begin."""
    found = set()

    def visit(visited: String, at: int, offset: int) -> int:
        if visited is one:
            found.add(at - offset)
        return 0

    sieve.scan(text, visit)
    return found


@settings(deadline=None)
@given(
    strings=st.lists(st.binary(min_size=4, max_size=30), min_size=1, max_size=6, unique=True),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
    data=st.data(),
)
def test_no_string_is_missed(
    strings: list[bytes], before: bytes, after: bytes, data: st.DataObject
) -> None:
    sought = [String(text) for text in strings]
    one = data.draw(st.sampled_from(sought))
    assert len(before) in places(Sieve(sought), before + one.text + after, one)


@settings(deadline=None)
@given(
    text=st.binary(min_size=13, max_size=80),
    before=st.binary(max_size=5),
    first=st.integers(0, 80),
    step=st.integers(32, 40),
    line_break=st.sampled_from([b"\n", b"\r\n"]),
)
def test_no_split_string_is_missed(
    text: bytes, before: bytes, first: int, step: int, line_break: bytes
) -> None:
    one = String(text, split=True)
    bounds = [0, *range(first, len(text), step), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    # The first three bytes may be missing.
    broken = line_break.join(pieces) if first > 3 or not first else line_break.join(pieces[1:])
    hits = []
    Sieve([one]).scan(before + broken, lambda *hit: hits.append(hit) or 0)
    assert hits


@pytest.mark.parametrize("odd", [b"\x00\xd8\x00\xdc", b"\x00\xdc", b"\xd8\xdc\xd9", b"\xdf"])
def test_bytes_that_look_like_surrogates_shift_nothing(odd: bytes) -> None:
    for text in (b"abcdefgh", b"ab\xd8\xdcgh", b"\xdf\xdf\xdf\xdf\xdf"):
        one = String(text)
        for lead in range(5):
            start = odd * 3 + b"-" * lead
            assert len(start) in places(Sieve([one]), start + text + odd, one)


def test_no_string_is_missed_between_two_blocks() -> None:
    one = String(b"0123456789abcdef")
    sieve = Sieve([one])
    for at in range(65_500, 65_560):
        assert places(sieve, b"-" * at + one.text + b"-" * 99, one) == {at}


@pytest.mark.parametrize("lead", range(4))
def test_what_must_follow_may_be_missing_only_at_the_end(lead: int) -> None:
    one = String(b"key=", body=frozenset(b"0123456789"))
    sieve = Sieve([one])
    start = b"-" * lead
    assert places(sieve, start + b"key=7", one) == {lead}
    assert places(sieve, start + b"key=", one) == {lead}


def test_the_visitor_says_where_to_go_on() -> None:
    one = String(b"abcd")
    hits = []
    Sieve([one]).scan(b"abcd" * 100, lambda _, at, offset: hits.append(at - offset) or 300)
    assert hits[0] == 0
    assert min(hits[1:]) >= 296


def test_little_is_let_through_of_what_is_not_sought() -> None:
    pick = random.Random(5)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    sieve = Sieve([String(bytes(pick.choices(letters, k=24))) for _ in range(100)])
    visits = []
    sieve.scan(bytes(pick.choices(letters, k=200_000)), lambda *visit: visits.append(visit) or 0)
    assert len(visits) < 20
