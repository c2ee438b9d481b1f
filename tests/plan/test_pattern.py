"""Patterns agree with Python's `re` wherever both know them, and never take long."""

from __future__ import annotations

import random
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.plan.pattern import MAX_TEXT, Budget, Pattern, PatternError, TooMuchWorkError

ATOMS = ["a", "b", "-", ".", "[ab]", "[^a]", "[a-c-]", r"\d", r"\W", r"\.", "^", "$", r"\b", r"\B"]
ATOMS += [r"[\d_]", "[]a]", "(?:ab)", "()", r"[\]a]", r"\n", "é"]
BOUNDS = ["", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?", "??"]


def random_pattern(chance: random.Random, depth: int = 1) -> str:
    def part() -> str:
        atom = chance.choice(ATOMS)
        if depth and chance.random() < 0.3:
            atom = f"({random_pattern(chance, depth - 1)})"
        return atom if atom in {"^", "$", r"\b", r"\B"} else atom + chance.choice(BOUNDS)

    branches = ["".join(part() for _ in range(chance.randint(0, 4))) for _ in range(2)]
    return "|".join(branches[: chance.randint(1, 2)])


def check_agrees_with_re(chance: random.Random) -> None:
    source = random_pattern(chance)
    text = "".join(chance.choice("aabbc1_-. é\n") for _ in range(chance.randint(1, 8)))
    # Python's `$` also matches before a last newline, and its `\\B` not in an empty text.
    theirs = re.compile(source.replace("$", r"\Z"), re.ASCII)
    assert Pattern(source).search(text) == bool(theirs.search(text)), (source, text)


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_agrees_with_re(chance):
    check_agrees_with_re(chance)


@pytest.mark.campaign
def test_campaign_agrees_with_re():
    for seed in range(100_000):
        check_agrees_with_re(random.Random(seed))


@settings(max_examples=400, deadline=None)
@given(st.text("ab()[]{}|*+?^$\\.,-0129dwsb:", max_size=12))
def test_anything_else_is_refused_with_a_place(source):
    place = None
    try:
        Pattern(source).search("ab")
    except PatternError as error:
        place = error.at
    assert place is None or 0 <= place <= len(source)


@pytest.mark.parametrize(
    ("source", "at", "message"),
    [
        ("(a", 2, "'(' without its ')'"),
        ("a)", 1, "')' without its '('"),
        ("[ab", 3, "'[' without its ']'"),
        ("[b-a]", 4, "a range goes from one character up to another"),
        (r"[a-\d]", 5, "a range goes from one character up to another"),
        (r"[\D]", 3, r"'\D' cannot stand inside a set"),
        ("*a", 1, "nothing to repeat"),
        ("^*", 2, "nothing to repeat"),
        ("a**", 2, "repeats what is repeated already: use a group"),
        ("a{2}{3}", 7, "repeats what is repeated already: use a group"),
        ("a{", 2, "expected a number; write \\{ for the character"),
        ("a{1", 3, "'{' without its '}'"),
        ("a{3,2}", 6, "the smaller number comes first"),
        ("a{1001}", 6, "repeats at most 1000 times"),
        ("a{99999999999}", 13, "repeats at most 1000 times"),
        (r"\q", 2, r"unknown escape '\q'"),
        ("\\", 1, "unknown escape '\\'"),
        ("(?i)a", 2, "only '(?:' is known of the groups that start with '(?'"),
        ("(" * 51 + ")" * 51, 50, "groups are nested too deeply"),
        ("((a{100}){100}){100}", 0, "the pattern is too big"),
        ("((){1000}){1000}", 0, "the pattern is too big"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_patterns(source, at, message):
    with pytest.raises(PatternError) as caught:
        Pattern(source)
    assert (str(caught.value), caught.value.at) == (message, at)


@pytest.mark.parametrize(
    "source", ["(a+)+$", "(a|a)*b", "(a*)*b", "a*a*a*a*a*b", "(?:a?){30}a{30}b"]
)
def test_what_takes_others_years_is_linear_here(source):
    """Counted in steps of the interpreter, not in seconds."""

    def steps(length: int) -> int:
        count = 0

        def trace(frame, event, arg):
            nonlocal count
            count += 1
            return trace

        pattern = Pattern(source)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert pattern.search("a" * length + "!") is False
        finally:
            sys.settrace(before)
        return count

    assert steps(400) < 5 * steps(100)


def test_a_text_that_is_too_long_is_refused():
    assert Pattern("b").search("a" * MAX_TEXT) is False
    with pytest.raises(ValueError, match="too long to match"):
        Pattern("b").search("a" * (MAX_TEXT + 1))


def test_the_work_for_a_pattern_is_bounded_whatever_its_sets_hold():
    """Steps, not seconds: a set of 3700 members costs what one of a single member does."""
    members = "".join(chr(0x4E00 + 2 * n) for n in range(3700))
    text = members[-1] * 500

    def calls(source: str) -> int:
        pattern, count = Pattern(source), 0

        def trace(_frame, _event, _arg):
            nonlocal count
            count += 1
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert pattern.search(text) is False
        finally:
            sys.settrace(before)
        return count

    assert calls(f"[{members}]{{9}}x") < 1.1 * calls(f"[{members[-1]}]{{9}}x")


def test_a_search_that_takes_too_long_gives_up():
    with pytest.raises(TooMuchWorkError):
        Pattern("(a?){230}x").search("a" * MAX_TEXT)
    budget = Budget(1500)
    assert Pattern("b").search("a" * 700, budget) is False
    with pytest.raises(TooMuchWorkError):
        Pattern("b").search("a" * 1000, budget)


def test_a_set_with_ranges_that_overlap_holds_what_each_of_them_does():
    pattern = Pattern("^[a-fc-zA-Z0-9b-b_x-z]$")
    for code in range(1, 300):
        assert pattern.search(chr(code)) is (re.match(r"^[a-zA-Z0-9_]\Z", chr(code)) is not None)
    assert Pattern("^[^a-fc-z]$").search("b") is False
    assert Pattern("^[^a-fc-z]$").search("{") is True
