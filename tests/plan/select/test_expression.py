"""The selection language as text: what is an expression, what is not and why, and back again."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from zf.plan.select.expression import (
    MAX_DEPTH,
    MAX_LENGTH,
    Around,
    Both,
    Either,
    Filter,
    Not,
    SelectError,
    parse,
    shown,
)

A, B, C = (Filter("id", name) for name in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("  id( a ) ", A),
        ("id('a')", A),
        ("a | b & c", Either((A, Both((B, C))))),
        ("(a | b) & c", Both((Either((A, B)), C))),
        ("!a & b", Both((Not(A), B))),
        ("!!a", Not(Not(A))),
        ("+a", Around(A, above=True, below=False)),
        ("a+", Around(A, above=False, below=True)),
        ("+a+&b", Both((Around(A, above=True, below=True), B))),
        ("!+a", Not(Around(A, above=True, below=False))),
        ("+(a|b)", Around(Either((A, B)), above=True, below=False)),
        ("!a+", Not(Around(A, above=False, below=True))),
        ("a|b|c", Either((A, B, C))),
        ("(a|b)|c", Either((Either((A, B)), C))),
        ("all() & !none()", Both((Filter("all"), Not(Filter("none"))))),
        ("test@py=3.11,os=*", Filter("id", "test@py=3.11,os=*")),
        ("[!a-c]?x*", Filter("id", "[!a-c]?x*")),
        ("changed(origin/main~3)", Filter("changed", "origin/main~3")),
        ("changed('HEAD^{/a (b)}')", Filter("changed", "HEAD^{/a (b)}")),
        ('file("it\'s (1)/**")', Filter("file", "it's (1)/**")),
        ("tag(x)|phase(E)", Either((Filter("tag", "x"), Filter("phase", "E")))),
        ("id", Filter("id", "id")),
    ],
)
def test_what_it_is_read_as(text, tree):
    assert parse(text) == tree
    assert parse(shown(tree)) == tree


@pytest.mark.parametrize(
    ("text", "at", "message", "hint"),
    [
        ("", 0, "it is empty", "write all() for every task"),
        ("  ", 0, "it is empty", "write all() for every task"),
        ("a &", 3, "a filter, a task or '(' is missing", None),
        ("a && b", 3, "a filter, a task or '(' is missing", "write '&' once"),
        ("a || b", 3, "a filter, a task or '(' is missing", "write '|' once"),
        ("a b", 2, "an operator is missing", "join filters with '&' or '|'"),
        ("a and b", 2, "an operator is missing", "write '&'"),
        ("not a", 0, "'not' is no operator", "write '!' (not could be a task: id(not))"),
        ("(a", 2, "a closing ')' is missing", None),
        ("a)", 1, "no parenthesis is open here", None),
        ("+!a", 1, "'+' stands before a name or a parenthesis", "write +(!...)"),
        ("tags(x)", 0, "unknown filter 'tags'", "did you mean 'tag'?"),
        ("q(x)", 0, "unknown filter 'q'", "there are id, phase, tag, file, failed, changed"),
        ("tag()", 0, "tag() takes a glob of tags", None),
        ("all(x)", 4, "all() takes nothing", None),
        ("tag (x)", 4, "an operator is missing", "write tag(...) without a space"),
        ("tag('x)", 4, "the closing quote is missing", None),
        ("tag(x", 5, "a closing ')' is missing", None),
        ("tag(x(y))", 5, "a closing ')' is missing", None),
        ("a; b", 1, "an operator is missing", "join filters with '&' or '|'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, at, message, hint):
    with pytest.raises(SelectError) as caught:
        parse(text)
    assert (caught.value.at, str(caught.value), caught.value.hint) == (at, message, hint)


def test_work_is_bounded():
    for text in ("(" * MAX_LENGTH, "!" * MAX_LENGTH, "(" * 60 + "a" + ")" * 60):
        with pytest.raises(SelectError, match=f"nested deeper than {MAX_DEPTH}"):
            parse(text)
    with pytest.raises(SelectError, match=f"longer than {MAX_LENGTH}"):
        parse("a" * (MAX_LENGTH + 1))
    assert parse("|".join("a" * 2000)) == Either((A,) * 2000)
    assert parse("(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH) == A


GLOBS = st.text("abAZ09._-*?@=,", min_size=1, max_size=8) | st.sampled_from(["and", "or", "not"])
QUOTED = st.text(
    st.characters(exclude_characters="'\0", exclude_categories=["Cs"]), min_size=1, max_size=12
)
FILTERS = st.one_of(
    st.builds(Filter, st.just("id"), GLOBS),
    st.builds(Filter, st.sampled_from(["id", "phase", "tag", "file", "failed", "changed"]), QUOTED),
    st.sampled_from([Filter("all"), Filter("none")]),
)


def wider(trees):
    parts = st.lists(trees, min_size=2, max_size=3).map(tuple)
    ends = st.sampled_from([(True, False), (False, True), (True, True)])
    return st.one_of(
        st.builds(Not, trees),
        st.builds(Both, parts),
        st.builds(Either, parts),
        st.builds(lambda tree, pair: Around(tree, *pair), trees, ends),
    )


TREES = st.recursive(FILTERS, wider, max_leaves=8)


@given(TREES)
def test_what_is_printed_is_read_back_as_the_same(tree):
    assert parse(shown(tree)) == tree


CHARS = st.text("ab()!&|+'\" \t\n*?[]", max_size=40) | st.text(max_size=20)


def check_any_text(text):
    try:
        tree = parse(text)
    except SelectError as refused:
        error = refused
    else:
        assert parse(shown(tree)) == tree
        return
    assert 0 <= error.at <= len(text)
    assert error.length >= 1


@given(CHARS)
def test_any_text_is_an_expression_or_refused_with_a_place_in_it(text):
    check_any_text(text)


@pytest.mark.campaign
@settings(max_examples=20_000)
@given(CHARS)
def test_any_of_many_texts(text):
    check_any_text(text)
