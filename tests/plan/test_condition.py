"""The language of conditions: what parses, what is refused and where, what is printed."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.plan.conditions.condition import (
    FACTS,
    FIELDS,
    MAX_DEPTH,
    MAX_LENGTH,
    ConditionError,
    Field,
    parse,
)
from zf.plan.conditions.verdict import ConditionContext, Needs, evaluate


@pytest.mark.parametrize(
    ("text", "plainest"),
    [
        ("${CI_BRANCH}=='main'&&${CI_EVENT} == 'push'", None),
        ("  true\n", "true"),
        ("${A:-x y}", "${A:-x y}"),
        ("((${A} == 1))", "${A} == 1"),
        ("!(success())", "!success()"),
        ("!(${A} == 'x')", "!(${A} == 'x')"),
        ("true && (false || true)", "true && (false || true)"),
        ("(true && false) || true", "true && false || true"),
        ("(true && false) && true", "(true && false) && true"),
        ("(true || false) || true", "(true || false) || true"),
        ("${A} in ( 'a',\"b's\" , 3 )", "${A} in ('a', \"b's\", 3)"),
        ("'x' in ${A}", "'x' in ${A}"),
        ("('x') in ('x')", "'x' in ('x')"),
        ("${A} =~ ('^v[0-9]+$')", "${A} =~ '^v[0-9]+$'"),
        ("status( \"build\" ) != 'success'", "status('build') != 'success'"),
        ("(1 < 2) == (-1.50 >= 2)", "(1 < 2) == (-1.50 >= 2)"),
        ("task.phase == 'E' && run.dirty", "task.phase == 'E' && run.dirty"),
        ("input.env == 'prod'", None),
        ("!input['dry-run']", "!input.dry-run"),
        ("matrix[\"py\"] == '3.10'", "matrix.py == '3.10'"),
        ("needs.10-build.version", None),
        ("needs['10-build']['version'] in ('1')", "needs.10-build.version in ('1')"),
        ("needs['a.b'].v == needs[\"a'b\"].v", "needs['a.b'].v == needs[\"a'b\"].v"),
        ("needs['t@py=3.11,os=a'].v =~ 'x'", None),
    ],
)
def test_printed_in_its_plainest_form(text, plainest):
    condition = parse(text)
    if plainest is not None:
        assert str(condition) == plainest
    assert parse(str(condition)).tree == condition.tree


def test_what_a_condition_asks_about_is_known_before_it_runs():
    condition = parse("failure() && status('a') == 'lost' || status('b') == status('a')")
    assert condition.functions == {"failure", "status"}
    assert dict(condition.tasks) == {"a": 21, "b": 46}
    assert parse("${A} == 'success()'").functions == frozenset()


def test_the_values_of_the_project_that_a_condition_asks_for_have_their_places():
    condition = parse("input.env == 'x' && needs['a.b'].c || input['env'] == matrix.py")
    assert dict(condition.fields) == {
        Field("input", ("env",)): (0, 9),
        Field("needs", ("a.b", "c")): (20, 14),
        Field("matrix", ("py",)): (54, 9),
    }
    assert [field.key for field in condition.fields] == ["input.env", "needs['a.b'].c", "matrix.py"]
    assert parse("'input.env' == 'x'").fields == {}


@pytest.mark.parametrize(
    ("text", "at", "length", "message", "hint"),
    [
        ("", 0, 1, "expected a value", None),
        ("true &&", 7, 1, "expected a value", None),
        ("true && )", 8, 1, "expected a value instead of ')'", None),
        ("true false", 5, 5, "expected an operator before 'false'", None),
        ("(true", 5, 1, "expected ')'", None),
        ("1 < 2 < 3", 6, 1, "comparisons cannot be chained: join them with &&", None),
        ("$HOME == 'x'", 0, 1, "unexpected '$'", "write ${NAME}, or ${NAME:-default}"),
        ("$(id)", 0, 1, "unexpected '$'", "write ${NAME}, or ${NAME:-default}"),
        ("`id`", 0, 1, "unexpected '`'", None),
        ("${A} = 1", 5, 1, "unexpected '='", "write == to compare"),
        ("true & true", 5, 1, "unexpected '&'", "write && for 'and'"),
        ("true | true", 5, 1, "unexpected '|'", "write || for 'or'"),
        ("'open", 0, 1, 'unexpected "\'"', "the string has no end"),
        ("${A} in ['a']", 8, 1, "unexpected '['", "write a list as ('a', 'b')"),
        (
            "'${A}' == 'x'",
            0,
            1,
            "a string holds its characters, not a variable",
            "write ${NAME} on its own, without quotes",
        ),
        ("CI == 'x'", 0, 2, "unknown word 'CI'", "a variable is written ${CI}"),
        ("true and true", 5, 3, "expected an operator before 'and'", None),
        ("not true", 0, 3, "unknown word 'not'", "write !"),
        ("True", 0, 4, "unknown word 'True'", "write true"),
        ("task.fase == 'E'", 0, 9, "unknown fact 'task.fase'", "did you mean 'task.phase'?"),
        ("sucess()", 0, 6, "unknown function 'sucess'", "did you mean 'success'?"),
        ("exec('x')", 0, 4, "unknown function 'exec'", "a variable is written ${exec}"),
        ("true && input", 8, 5, "'input' names no value", "write input.NAME"),
        ("input.a.b", 0, 9, "'input.a.b' names no value", "write input.NAME"),
        (
            "needs.build == 'x'",
            0,
            11,
            "'needs.build' names no value",
            "write needs.TASK.OUTPUT, or needs['TASK'].OUTPUT for an id with dots",
        ),
        ("inputs.env", 0, 10, "unknown fact 'inputs.env'", "did you mean 'input.env'?"),
        ("input.", 5, 1, "unexpected '.'", None),
        ("input[env]", 5, 1, "unexpected '['", "write a list as ('a', 'b')"),
        ("success", 7, 1, "expected '('", None),
        ("success('a')", 8, 3, "expected ')'", None),
        ("status(a)", 7, 1, "status() wants the id of a task, as in status('build')", None),
        ("status()", 7, 1, "status() wants the id of a task, as in status('build')", None),
        ("${A} =~ ${B}", 8, 1, "=~ wants its pattern as a string", None),
        ("${A} =~ 3", 8, 1, "=~ wants its pattern as a string", None),
        ("${A} =~ 'x(y'", 10, 1, "bad pattern: '(' without its ')'", None),
        (
            "${A} =~ 'x{600}' || ${A} =~ 'y{600}'",
            29,
            1,
            "bad pattern: all patterns of a condition together have at most 1000 characters and repeats",
            None,
        ),
        ("1234567890123456", 0, 16, "the number is too long", None),
        ("12ab", 0, 1, "unexpected '1'", None),
        ("!" * MAX_DEPTH + "true", MAX_DEPTH, 4, "the condition is nested too deeply", None),
        ("(" * 9999, MAX_LENGTH, 1, "the condition is longer than 4096 characters", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_wrong_and_where(text, at, length, message, hint):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    error = caught.value
    assert (str(error), error.at, error.length, error.hint) == (message, at, length, hint)


# Fuzz: conditions made from the grammar, and mutilated ones.

LEAVES = ["true", "false", "'main'", '"it\'s"', "3", "-1.5", "${A}", "${B:-x}", "${C:-}"]
LEAVES += ["input.env", "matrix['py']", "needs.a.v", "needs['a.b'].v", 'needs["it\'s"].v']
LEAVES += ["success()", "failure()", "always()", "cancelled()", "status('a')", *FACTS]
SOUP = [*LEAVES, "&&", "||", "!", "(", ")", "==", "<", "in", "=~", ",", "$", "`", "$(", "\0", "é"]
SOUP += [*FIELDS, ".a", "['a']", "[", "]"]
AROUND = ConditionContext(
    {"A": "main", "B": "3"},
    dict.fromkeys(FACTS, "x") | {"run.dirty": True, "run.max_jobs": 4},
    fields={"input.env": "main", "matrix.py": "3", "needs.a.v": True, "needs['a.b'].v": 3},
)
NEEDS = Needs(statuses={"a": "success"})


def random_text(chance: random.Random, depth: int = 4) -> str:
    def inner() -> str:
        return f"({random_text(chance, depth - 1)})" if depth else chance.choice(LEAVES)

    def operand() -> str:
        return chance.choice(LEAVES) if chance.random() < 0.7 else inner()

    kind = chance.randint(0, 7)
    if kind <= 2:
        operator = chance.choice(["==", "!=", "<", "<=", ">", ">=", "in"])
        right = chance.choice(LEAVES) if operator == "in" else operand()
        return f"{operand()} {operator} {right}"
    if kind == 3:
        return f"{operand()} in ({', '.join(operand() for _ in range(chance.randint(1, 3)))})"
    if kind == 4:
        return operand() + chance.choice([" =~ '^a+'", ' =~ "x|y"'])
    if kind == 5:
        return f"!{operand()}"
    operator = chance.choice([" && ", " || "])
    return operator.join(operand() for _ in range(chance.randint(1, 4)))


def check_stable(chance: random.Random) -> None:
    """Printing and parsing again changes nothing, neither the tree nor what it comes to."""
    condition = parse(random_text(chance))
    again = parse(str(condition))
    assert again.tree == condition.tree
    assert str(again) == str(condition)
    verdict = evaluate(condition, AROUND, NEEDS)
    assert evaluate(again, AROUND, NEEDS) == verdict
    assert (verdict.value is None) == bool(verdict.error)


def check_survives(chance: random.Random) -> None:
    """Anything at all is parsed or refused with a place."""
    text = random_text(chance)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(text))
        end = at + chance.choice([0, 0, 1, 5])
        text = f"{text[:at]}{chance.choice([*SOUP, ''])}{text[end:]}"
    place = None
    try:
        condition = parse(text)
    except ConditionError as error:
        place = error.at
    else:
        evaluate(condition, AROUND, NEEDS)
    assert place is None or 0 <= place <= len(text)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_parse_print_parse_is_stable(chance):
    check_stable(chance)


@settings(max_examples=300)
@given(st.randoms(use_true_random=False))
def test_no_text_crashes_the_parser(chance):
    check_survives(chance)


@settings(max_examples=300)
@given(st.text(max_size=40))
def test_no_characters_crash_the_parser(text):
    place = None
    try:
        parse(text)
    except ConditionError as error:
        place = error.at
    assert place is None or 0 <= place <= len(text)


@pytest.mark.campaign
def test_campaign_no_expression_runs_anything_or_crashes():
    """100 000 expressions under an audit hook that sees every door to the outside."""
    doors = {"open", "exec", "os.system", "subprocess.Popen", "os.posix_spawn", "os.fork"}
    doors |= {"socket.connect", "os.exec", "ctypes.dlopen"}
    opened: list[str] = []
    watching = True
    sys.addaudithook(lambda name, _: opened.append(name) if watching and name in doors else None)
    with pytest.raises(ConditionError):
        parse("task.fase")  # imports difflib for its hint, once
    for seed in range(1000):  # the methods of a record are made when first used, by exec
        check_stable(random.Random(seed))
    opened.clear()
    for seed in range(100_000):
        chance = random.Random(seed)
        check_stable(chance)
        check_survives(chance)
    watching = False
    assert opened == []
