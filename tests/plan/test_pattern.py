"""Patterns agree with Python's `re` wherever both know them, and never take long."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.plan.conditions.pattern import MAX_TEXT, PatternError, compiled

ATOMS = ["a", "b", "-", ".", "[ab]", "[^a]", "[a-c-]", r"\d", r"\W", r"\.", "^", "$", r"\b", r"\B"]
ATOMS += [r"[\d_]", "[]a]", r"[\w-]", r"[-\s]", r"[^\W-]", "(?:ab)", "()", r"[\]a]", r"\n", "é"]
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
    assert compiled(source).search(text) == bool(theirs.search(text)), (source, text)


@settings(max_examples=400)
@given(st.randoms(use_true_random=False))
def test_agrees_with_re(chance):
    check_agrees_with_re(chance)


@pytest.mark.campaign
def test_campaign_agrees_with_re():
    for seed in range(100_000):
        check_agrees_with_re(random.Random(seed))


@settings(max_examples=400)
@given(st.text("ab()[]{}|*+?^$\\.,-0129dwsb:", max_size=12))
def test_anything_else_is_refused_with_a_place(source):
    place = None
    try:
        compiled(source).search("ab")
    except PatternError as error:
        place = error.at
    assert place is None or 0 <= place <= len(source)


@pytest.mark.parametrize(
    ("source", "at", "message"),
    [
        ("(a", 0, "'(' without its ')'"),
        ("a)", 1, "')' without its '('"),
        ("x[ab", 1, "'[' without its ']'"),
        ("[b-a]", 1, "invalid character class range, the start must be <= the end"),
        ("*a", 0, "nothing to repeat"),
        ("(|+)", 2, "nothing to repeat"),
        ("a{", 1, "'{' without its '}'"),
        ("a{1", 1, "'{' without its '}'"),
        ("a{,3}", 2, "a count is a number; \\{ is the character"),
        ("a{3,2}", 1, "invalid repetition count range, the start must be <= the end"),
        (r"éa\q", 2, "unknown escape"),
        (r"\w\1", 2, "backreferences are not supported"),
        ("\\", 0, "incomplete escape sequence, reached end of pattern prematurely"),
        ("(?i)a", 2, "only '(?:' is known of the groups that start with '(?'"),
        ("a(?=b)", 3, "only '(?:' is known of the groups that start with '(?'"),
        (
            "(" * 300 + ")" * 300,
            250,
            "exceed the maximum number of nested parentheses/brackets (250)",
        ),
        ("a\n(", 0, "'(' without its ')'"),
        (r"a\b{start}", 0, "a count is a number; \\{ is the character"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_patterns(source, at, message):
    with pytest.raises(PatternError) as caught:
        compiled(source)
    assert (str(caught.value), caught.value.at) == (message, at)


@pytest.mark.parametrize(
    "source",
    [
        "a{1001}",
        "a{ 0 , 1001 }",
        "a{1001,}",
        "a{99999999999}",
        "((a{100}){100}){100}",
        "((){1000}){1000}",
        "(?:a?){600}|(?:b{30}){30}",
        "[^]x]{1001}",
        "a{40}?{40}",
        "(a)" * 501,
    ],
)
def test_a_pattern_that_is_too_big_is_refused(source):
    """By our own count, before the engine begins."""
    with pytest.raises(PatternError, match="at most 1000 characters and repeats") as caught:
        compiled(source)
    assert caught.value.at == 0


@pytest.mark.parametrize("source", [r"x|\pL{900}", r"(?:\pL?){9}(?:\pL{20}){20}"])
def test_a_pattern_for_which_the_engine_has_no_memory_is_refused_as_well(source):
    with pytest.raises(PatternError, match="repeat large sets and classes less often") as caught:
        compiled(source)
    assert caught.value.at == 0


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("", 0),
        ("abc", 3),
        ("ab{3}c*", 5),
        ("a{2}{3}", 6),
        ("(ab){2,5}", 15),
        (r"[a{9}\]]{4}", 4),
        (r"\p{L}{4}\x{41}", 5),
        (r"\(a{2}\)", 4),
        ("(a(b{2}c){3}){2}", 28),
    ],
)
def test_the_size_of_a_pattern_is_what_it_has_with_its_repeats_written_out(source, size):
    assert compiled(source).size == size


@pytest.mark.parametrize(
    "source", ["(a+)+$", "(a|a)*b", "(a*)*b", "a*a*a*a*a*b", "(?:a?){30}a{30}b", "(a?){490}[bc]"]
)
def test_what_takes_others_years_is_linear_here(source):
    """It ends at all: an engine that tries one way after another would run into the time limit."""
    assert compiled(source).search("a" * (MAX_TEXT - 1) + "!") is False


def test_a_set_of_thousands_of_members_is_one_place():
    members = "".join(chr(0x4E00 + 2 * n) for n in range(3700))
    pattern = compiled(f"[{members}]{{9}}x")
    assert pattern.size == 10
    assert pattern.search(members[-1] * MAX_TEXT) is False
    assert pattern.search(members[:9] + "x") is True


def test_a_repeat_may_be_repeated():
    assert compiled("^a{2}{3}$").search("aaaaaa") is True
    assert compiled("^a{2}{3}$").search("aaaa") is False
    assert compiled("^a**$").search("aaa") is True


@pytest.mark.parametrize(("escape", "text"), [("w", "é"), ("d", "\u0663"), ("s", "\u00a0")])
def test_classes_are_of_ascii(escape, text):
    for source in (rf"^\{escape}$", rf"^[\{escape}]$", rf"^[+-\{escape}]$"):
        assert compiled(source).search(text) is False
    for source in (rf"^\{escape.upper()}$", rf"^[\{escape.upper()}]$"):
        assert compiled(source).search(text) is True


def test_a_dash_before_a_class_is_a_dash():
    pattern = compiled(r"^[+-\d]+$")
    assert pattern.search("+1-2") is True
    assert pattern.search(",") is False


def test_bytes_that_are_no_text_are_some_character():
    text = b"a\xffb".decode(errors="surrogateescape")
    assert compiled("^a.b$").search(text) is True
    assert compiled(r"^a\w").search(text) is False


def test_a_set_with_ranges_that_overlap_holds_what_each_of_them_does():
    pattern = compiled("^[a-fc-zA-Z0-9b-b_x-z]$")
    for code in range(1, 300):
        assert pattern.search(chr(code)) is (re.match(r"^[a-zA-Z0-9_]\Z", chr(code)) is not None)
    assert compiled("^[^a-fc-z]$").search("b") is False
    assert compiled("^[^a-fc-z]$").search("{") is True
