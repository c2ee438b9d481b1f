"""Policies: read strictly, refused whole."""

import pytest

from zf.audit.authentic import Trust
from zf.audit.expected import Expectations
from zf.audit.policy import _RULES, age_s, parse
from zf.errors import ZfError


def test_every_rule():
    expected, trust = parse(
        {
            "result": "success",
            "phases": ["A"],
            "successful_phases": ["B"],
            "tasks": {"one": "success", "two": ["success", "skipped"]},
            "max_attempts": 1,
            "commit": "0123456",
            "plan": "ab",
            "clean_tree": True,
            "unchanged_tree": True,
            "max_age": "7d",
            "allowed_signers": "keys/allowed",
            "signers": ["alice@example.org"],
            "public_key": "/etc/key.pem",
            "timestamp_ca": "ca.pem",
        },
        "/policies",
    )
    assert expected == Expectations(
        phases=("A",),
        successful_phases=("B",),
        tasks={"one": frozenset({"success"}), "two": frozenset({"success", "skipped"})},
        max_attempts=1,
        commit="0123456",
        plan="ab",
        clean_tree=True,
        unchanged_tree=True,
        max_age_s=604_800.0,
        result="success",
    )
    assert trust == Trust(
        {"allowed_signers": "/policies/keys/allowed", "public_key": "/etc/key.pem"},
        signers=("alice@example.org",),
        timestamp_ca="/policies/ca.pem",
    )


def test_a_list_of_tasks_means_success():
    expected, _ = parse({"tasks": ["one"]}, "")
    assert expected.tasks == {"one": frozenset({"success"})}


def test_rules_add_to_what_is_expected_already():
    before = Expectations(run="r1", clean_tree=True), Trust({"allowed_signers": "mine"})
    assert parse({}, "/p", *before) == before
    expected, trust = parse({"signers": ["a"], "max_age": "1h"}, "/p", *before)
    assert expected == Expectations(run="r1", clean_tree=True, max_age_s=3600.0)
    assert trust == Trust({"allowed_signers": "mine"}, signers=("a",))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"sucessful_phases": ["A"]}, "unknown rule 'sucessful_phases'"),
        ({1: 2}, "unknown rule '1'"),
        ({"phases": "A"}, "phases: not a list"),
        ({"phases": []}, "phases: not a list"),
        ({"phases": ["../x"]}, "phases: '../x' is no id"),
        ({"tasks": {"one": "sucess"}}, "tasks: no task ends as 'sucess'"),
        ({"tasks": {"one": None}}, "tasks: not a list"),
        ({"tasks": {"/": "success"}}, "tasks: '/' is no id"),
        ({"max_attempts": 0}, "max_attempts: not a number"),
        ({"max_attempts": True}, "max_attempts: not a number"),
        ({"clean_tree": "yes"}, "clean_tree: neither true nor false"),
        ({"clean_tree": 1}, "clean_tree: neither true nor false"),
        ({"commit": ""}, "commit: not a text"),
        ({"max_age": 7}, "max_age: not an age"),
        ({"signers": ["a"]}, "signers: needs allowed_signers"),
    ],
)
def test_a_bad_rule_is_named(rules, said):
    with pytest.raises(ZfError) as raised:
        parse(rules, "")
    assert raised.value.exit_code == 2
    assert [said in problem.message for problem in raised.value.problems] == [True]


def test_all_problems_are_told_together():
    with pytest.raises(ZfError) as raised:
        parse({"x": 1, "max_age": "soon", "phases": 3}, "")
    assert len(raised.value.problems) == 3
    with pytest.raises(ZfError, match="a mapping of rules"):
        parse([], "")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12 h", 43_200), ("7d", 604_800)]
)
def test_ages(text, seconds):
    assert age_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1w", "1.5h", "9" * 20 + "d", 7, None])
def test_what_is_no_age(text):
    with pytest.raises(ValueError, match="not an age"):
        age_s(text)


def test_every_rule_fills_a_field_there_is():
    fields = {*Expectations.__slots__, *Trust.__slots__}
    assert {field for field, _ in _RULES.values()} <= fields
