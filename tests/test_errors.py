"""Messages: whole texts, and no control character from anybody's text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.errors import Problem, ZfError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("two\nlines\r\tand", "two\\nlines\\r\\tand"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("nul\x00", "nul\\x00"),
        ("grüße", "grüße"),
        ("bidi\u202eoverride", "bidi\\u202eoverride"),
        ("lone\udcff", "lone\\udcff"),
        ("tag\U000e0001", "tag\\U000e0001"),
        ("wide\u00a0space", "wide\\xa0space"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_printable_is_one_safe_line(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


PLACE = {"file": "tasks/e4/task.yaml", "line": 5, "column": 10, "length": 12}


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (
            Problem(
                "ZF210",
                "needs unknown task 'seed-databse'",
                **PLACE,
                source="  needs: [seed-databse]",
                hint="did you mean 'seed-database' (phase E)?",
            ),
            (
                "tasks/e4/task.yaml:5:10: error[ZF210]: needs unknown task 'seed-databse'\n"
                "  5 |   needs: [seed-databse]\n"
                "    |          ^^^^^^^^^^^^ did you mean 'seed-database' (phase E)?"
            ),
        ),
        (
            Problem("ZF201", "a warning", file="zf.yaml", severity="warning"),
            "zf.yaml: warning[ZF201]: a warning",
        ),
        (
            Problem("ZF110", "no place", hint="do this"),
            "error[ZF110]: no place\n  hint: do this",
        ),
        (
            Problem("ZF2", "tab", file="f", line=12, column=2, source="\tx\x1b", length=1),
            "f:12:2: error[ZF2]: tab\n  12 | \\tx\\x1b\n     |   ^",
        ),
    ],
    ids=["caret", "warning", "hint-only", "control-characters"],
)
def test_render(problem, shown):
    assert problem.render() == shown


def test_an_error_without_problems_is_one():
    error = ZfError("no", code="ZF101", hint="yes")
    assert error.problems == (Problem("ZF101", "no", hint="yes"),)
    assert error.exit_code == 2


def test_as_json_holds_every_field():
    assert Problem("ZF1", "m").as_json() == {
        "code": "ZF1",
        "message": "m",
        "file": None,
        "line": None,
        "column": None,
        "length": 1,
        "source": None,
        "hint": None,
        "severity": "error",
    }
