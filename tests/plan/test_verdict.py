"""What conditions come to: the rules of every operator, and how a verdict is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zf.plan.conditions.condition import FACTS, FIELDS, FUNCTIONS, parse
from zf.plan.conditions.verdict import ConditionContext, Needs, Verdict, evaluate

AROUND = ConditionContext(
    variables={
        "CI_BRANCH": "main",
        "CI_EVENT": "push",
        "N": "10",
        "YES": "true",
        "NO": "false",
        "ONE": "1",
        "EMPTY": "",
        "TOKEN": "s3cret",
        "LONG": "x" * 300,
        "HUGE": "x" * 10_001,
    },
    facts=dict.fromkeys(FACTS, "") | {"task.phase": "E", "run.dirty": True, "run.max_jobs": 4},
    hidden=frozenset({"TOKEN", "input.token"}),
    fields={
        "input.env": "main",
        "input.count": 3,
        "input.dry-run": False,
        "input.token": "s3cret",
        "matrix.py": "3.10",
        "needs.10-build.changed": "true",
        "needs['a.b'].v": "x" * 300,
    },
)


def verdict(text: str, needs: Needs | None = None) -> Verdict:
    return evaluate(parse(text), AROUND, needs or Needs())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${CI_BRANCH} == 'main' && ${CI_EVENT} == 'push'", True),
        ("${CI_BRANCH} == 'main' && ${CI_EVENT} == 'tag'", False),
        ("true", True),
        ("!true", False),
        ("!(1 > 2)", True),
        # A variable is read as what it is compared with.
        ("${N} == '10'", True),
        ("${N} == '10.0'", False),
        ("${N} == 10.0", True),
        ("9 < ${N}", True),
        ("${N} <= 10", True),
        ("${N} >= 10.5", False),
        ("${N} > ${ONE}", True),
        ("${YES} == true", True),
        ("false == ${NO}", True),
        ("${YES}", True),
        ("${YES} && !${NO}", True),
        ("${CI_BRANCH} == ${CI_EVENT}", False),
        # As in bash, the default stands in for a variable that is not set or empty.
        ("${NOPE:-x} == 'x'", True),
        ("${EMPTY:-x} == 'x'", True),
        ("${EMPTY} == ''", True),
        ("${NOPE:-} == ''", True),
        ("${NOPE:-3} < 4", True),
        ("${CI_BRANCH:-x} == 'main'", True),
        # So are the project's own values that are texts; others are of their kind.
        ("input.env == ${CI_BRANCH}", True),
        ("input.count == 3 && input.count >= 3.0", True),
        ("!input.dry-run", True),
        ("matrix.py == '3.10'", True),
        ("matrix.py == 3.1", True),
        ("matrix.py == '3.1'", False),
        ("needs.10-build.changed", True),
        ("needs['10-build'].changed == 'true'", True),
        ("${N} > input.count", True),
        # Lists and texts.
        ("${CI_BRANCH} in ('dev', 'main')", True),
        ("${CI_BRANCH} in ('dev')", False),
        ("${N} in (1, 10)", True),
        ("'ai' in ${CI_BRANCH}", True),
        ("'main' in 'm'", False),
        ("${CI_BRANCH} =~ '^ma'", True),
        ("${CI_BRANCH} =~ '^ai'", False),
        # Facts.
        ("task.phase == 'E' && run.dirty && run.max_jobs >= 4", True),
        ("(1 == 1) == (2 == 2)", True),
        # The first part that decides is the last one looked at.
        ("false && ${NOPE} == 'x'", False),
        ("true || ${NOPE} == 'x'", True),
        ("false || 1 == 1 || ${NOPE} == 'x'", True),
        ("always()", True),
        ("success()", True),
        ("failure() || cancelled()", False),
    ],
)
def test_values(text, value):
    assert verdict(text).value is value, verdict(text).error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("${NOPE} == 'x'", "${NOPE} is not set; ${NOPE:-} would stand for nothing"),
        ("${CI_BRANCH}", "${CI_BRANCH} is 'main', which is neither true nor false"),
        ("${ONE}", "${ONE} is '1', which is neither true nor false"),
        ("'true'", "'true' is 'true', which is neither true nor false"),
        ("3 || true", "3 is 3, which is neither true nor false"),
        ("${CI_BRANCH} == 3", "${CI_BRANCH} is 'main' and 3 is 3: they are not of the same kind"),
        ("'3' == 3", "'3' is '3' and 3 is 3: they are not of the same kind"),
        ("true != 1", "true is true and 1 is 1: they are not of the same kind"),
        ("${ONE} == true", "${ONE} is '1' and true is true: they are not of the same kind"),
        ("'a' < 'b'", "< compares numbers, but 'a' is 'a'"),
        ("1 < true", "< compares numbers, but true is true"),
        ("${CI_BRANCH} >= 1", ">= compares numbers, but ${CI_BRANCH} is 'main'"),
        ("3 in 'x3'", "'in' looks for a text in a text, but 3 is 3"),
        ("'x' in task.phase && 'x' in 3", None),
        ("'E' in task.phase && 'x' in 3", "'in' looks for a text in a text, but 3 is 3"),
        ("run.max_jobs =~ '4'", "=~ looks at a text, but run.max_jobs is 4"),
        ("${HUGE} =~ 'x'", "${HUGE} is longer than the 10000 characters =~ looks at"),
        ("status('a') == 'success'", "status('a'): 'a' is not one of the task's needs"),
        ("input.count == '3'", "input.count is 3 and '3' is '3': they are not of the same kind"),
        ("input.nope == 'x'", "input.nope is not known here"),
        ("input.token == 3", "input.token is (hidden) and 3 is 3: they are not of the same kind"),
        ("${TOKEN} == 3", "${TOKEN} is (hidden) and 3 is 3: they are not of the same kind"),
        ("${TOKEN}", "${TOKEN} is (hidden), which is neither true nor false"),
    ],
)
def test_what_cannot_be_answered_is_an_error_never_false(text, error):
    found = verdict(text)
    assert (found.value, found.error) == ((False, "") if error is None else (None, error))


def test_the_status_functions_answer_for_the_needs():
    needs = Needs(success=False, failure=True, cancelled=True, statuses={"a": "lost"})
    found = verdict("!success() && failure() && cancelled() && status('a') == 'lost'", needs)
    assert found == Verdict(
        True,
        {"success()": False, "failure()": True, "cancelled()": True, "status('a')": "lost"},
    )


def test_what_was_looked_at_is_kept_and_told():
    text = "${CI_BRANCH} == 'dev' && ${CI_EVENT} == 'push'"
    found = verdict(text)
    assert found.operands == {"${CI_BRANCH}": "main"}
    assert found.explain(text) == f"condition is false: {text} (${{CI_BRANCH}} = 'main')"
    assert verdict("true").explain("true") == "condition is true: true"
    assert (
        verdict("success()").explain("success()")
        == "condition is true: success() (success() = true)"
    )


def test_an_error_is_told_with_its_reason():
    found = verdict("${NOPE} == 'x'")
    assert found.operands == {"${NOPE}": "(not set)"}
    assert found.explain("...") == (
        "condition cannot be evaluated: ${NOPE} is not set; ${NOPE:-} would stand for nothing"
    )


def test_hidden_and_long_values_are_used_but_not_told():
    assert verdict("${TOKEN} == 's3cret'") == Verdict(True, {"${TOKEN}": "(hidden)"})
    assert verdict("input['token'] == 's3cret'") == Verdict(True, {"input.token": "(hidden)"})
    told = verdict("needs['a.b'].v =~ 'x{300}'")
    assert told == Verdict(True, {"needs['a.b'].v": f"{'x' * 200}... (300 characters)"})
    told = verdict("${LONG} =~ 'x{300}'")
    assert told == Verdict(True, {"${LONG}": f"{'x' * 200}... (300 characters)"})


PAGE = (Path(__file__).parents[2] / "docs/reference/conditions.md").read_text()
EXAMPLES = re.findall(r"^\| `(.+)` \| (true|false|error: .+) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("text", "answer"), EXAMPLES)
def test_the_examples_of_the_reference(text, answer):
    around = ConditionContext(
        {"CI_BRANCH": "main", "CI_EVENT": "push", "COUNT": "10", "DEPLOY": "true", "EMPTY": ""},
        {"task.phase": "E", "run.max_jobs": 4},
    )
    found = evaluate(parse(text.replace("\\|", "|")), around, Needs())
    assert answer == (f"error: {found.error}" if found.error else str(found.value).lower())


def test_the_reference_names_every_fact_and_function():
    assert len(EXAMPLES) == 18
    for word in (*FACTS, *FUNCTIONS, *FIELDS.values()):
        assert f"`{word}" in PAGE or f'"{word}"' in PAGE, word
