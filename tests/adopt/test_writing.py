"""Task files as text: what is written reads as what was meant, and looks as a person writes it."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from zf.adopt.writing import END, project_text, scalar, shortest
from zf.plan.yaml.source import Source
from zf.plan.yaml.yaml12 import read


def back(text):
    found = read(Source("zf.yaml", text))
    assert not found.problems, found.problems[0].render()
    return found.value


def test_a_project_is_written_as_a_person_would():
    script = "python3 -m venv .venv\n.venv/bin/pip install -e .\n"
    text = project_text(
        {
            "defaults": {"parallel_safe": True},
            "tasks": {
                "lint": "ruff check",
                "setup": {
                    "sources": ["pyproject.toml"],
                    "generates": [".venv"],
                    "cache": True,
                    "run": script,
                },
                "test": {"needs": ["setup"], "run": "pytest -q"},
                "say": [{"run": "it: b"}, "b"],
            },
        },
        {
            ("tasks", "setup"): "What the others need.",
            ("tasks", END): "go: is not installed here\nbench: left out",
        },
        head="Written by zf init.",
    )
    assert (
        text
        == """\
# Written by zf init.
defaults: {parallel_safe: true}
tasks:
  lint: ruff check

  # What the others need.
  setup:
    sources: [pyproject.toml]
    generates: [.venv]
    cache: true
    run: |
      python3 -m venv .venv
      .venv/bin/pip install -e .

  test: {needs: [setup], run: pytest -q}

  say:
    - {run: 'it: b'}
    - b

  # go: is not installed here
  # bench: left out
"""
    )


@pytest.mark.parametrize(
    ("task", "short"),
    [
        ({"run": "make"}, "make"),
        ({"commands": [{"run": "make"}]}, "make"),
        ({"commands": [{"run": "a"}, {"run": "b"}]}, ["a", "b"]),
        ({"needs": ["x"], "commands": [{"run": "a"}]}, {"needs": ["x"], "run": "a"}),
        (
            {"commands": [{"run": "a", "name": "A"}, {"run": "b"}]},
            [{"run": "a", "name": "A"}, {"run": "b"}],
        ),
    ],
)
def test_the_shortest_form(task, short):
    assert shortest(task) == short


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("make test", "make test"),
        ("go test ./...", "go test ./..."),
        ("3.10", "'3.10'"),
        ("yes", "'yes'"),
        ("0o14", '"0o14"'),
        ("", "''"),
        ("a: b", "'a: b'"),
        ("a, [b]", "a, [b]"),
        ("! grep 'x y' f", "\"! grep 'x y' f\""),
        ("a #b", "'a #b'"),
        ("[ -e x ]", "'[ -e x ]'"),
    ],
)
def test_a_text_is_quoted_where_it_would_be_something_else(text, written):
    assert scalar(text) == written


def test_text_of_others_stays_what_it_is_in_comments_too():
    evil = "x\ntasks: {pwned: rm}\r\x85\u2028\x1b[31m"
    text = project_text({"tasks": {"a": "true"}}, {("tasks", "a"): evil}, head=evil)
    assert back(text) == {"tasks": {"a": "true"}}


values = st.recursive(
    st.text()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.sampled_from(["", "on", "1.0", "\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values), st.lists(st.text()), st.text())
def test_whatever_is_written_reads_as_the_same(document, lines, head):
    def holds(value, found):
        if isinstance(value, dict):
            return any(holds(k, found) or holds(v, found) for k, v in value.items())
        if isinstance(value, list):
            return any(holds(one, found) for one in value)
        return isinstance(value, str) and any(found(char) for char in value)

    # What no file can say.
    if holds(document, lambda char: char == "\0" or 0xD800 <= ord(char) < 0xE000):
        return
    comments = {(key,): "\n".join(lines) for key in document}
    assert back(project_text(document, comments, head)) == (document or None)
