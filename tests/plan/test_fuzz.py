"""Whatever is in the files, loading ends, and ends in words: no crash, no trace, no half a flow."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, example, given, settings
from yaml.error import MarkedYAMLError
from yaml.events import CollectionEndEvent, CollectionStartEvent

from tests.support.plan_files import good, loaded
from zf.plan.graph import plan_task
from zf.plan.yaml import source, yaml12

WHOLE = Path(__file__).with_name("messages.md")
SEEDS = [
    good("x", "a", "b").encode(),
    b"""\
id: x
title: &t "Seed \\u00e9"
phase: E
needs: [a, 'b']
parallel_safe: true
timeout_sec: 300
env: {A: b, C: *t}
pass_env: [DATABASE_URL, "AWS_*"]
commands:
  - name: Seed
    run: |
      python manage.py seed
  - {name: >-
      folded, run: make}
artifacts: ["backend/report/*.xml"]
""",
]
SNIPPETS = [
    *(char.encode() for char in "[]{}:,-?&*!|>'\"%@`#~<=. \t\n\r\0\x07\x85\ufeff\u2028é😀"),
    *(b"- ", b": ", b"? ", b"<<: ", b"--- ", b"\n---\n", b"...\n", b"%YAML 1.1\n", b"%TAG ! tag:x\n"),
    *(b"!!str ", b"!!binary ", b"!x ", b"!<%ff> ", b"&t ", b"*t", b"\\ud800", b"\\0", b"\xff", b"\xed\xa0\x80"),
    *(b"010", b"1:30", b".inf", b".nan", b"0x", b"9" * 400, b"yes", b"null", b"id: x\n", b"needs: [x]\n"),
    *(b"commands: []\n", b"env: {A: 1, A: 2}\n", b"[" * 40, b"{a: " * 40, b"- " * 40),
]  # fmt: skip


@st.composite
def mutated(draw) -> bytes:
    """A good file with a few cuts, copies and insertions."""
    data = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 12)))
        new = draw(st.sampled_from(SNIPPETS) | st.binary(max_size=4))
        data = data[:start] + new + data[end:]
    return data


def check(files: dict[str, str | bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        found = loaded(Path(name), files)
    errors = [problem for problem in found.problems if problem.severity == "error"]
    assert (found.flow is None) == bool(errors)
    for problem in found.problems:
        text = problem.render()
        assert f"[{problem.code}]: " in text
        assert all(line.isprintable() for line in text.split("\n"))
        json.dumps(problem.as_json())
    if found.flow is not None:
        for task in found.flow.tasks:
            plan_task(found.flow, task, with_needs=False, phase_timeout_s=1).as_json()


quick = settings(suppress_health_check=[HealthCheck.too_slow])
OTHERS = {"a": good("a", phase="E"), "b": good("b", phase="E")}


@quick
@given(st.binary(max_size=200))
def test_random_bytes(data):
    check({"x": data, **OTHERS})
    check({"zf.yaml": data, **OTHERS})


@quick
@given(mutated())
@example(b"%TAG ! tag:x\n--- !y\nid: x\n")
@example(b"!<%ff> id: x\n")
def test_mutations_of_good_files(data):
    check({"x": data, **OTHERS})


@pytest.mark.campaign
@settings(quick, max_examples=20_000)
@given(mutated(), mutated())
def test_many_mutations(data, other):
    check({"x": data, "a": other, "b": good("b"), "zf.yaml": other})


@quick
@given(mutated())
def test_with_and_without_libyaml_the_values_are_the_same(data):
    found = source._decode(data, "f")
    if not isinstance(found, source.Source):
        return  # refused before any parser sees it
    fast = yaml12.read(found)
    pure = yaml12.read(found, yaml12.pure_parser())
    if fast.root is not None and pure.root is not None:
        assert repr(fast.value) == repr(pure.value)


# What opens and closes levels, and what hides either.
PIECES = (
    *("[", "]", "{", "}", "'", '"', "#", " #", "!", "!<", ">", "!a ", "&a ", "*a", "a", "\\", "%"),
    *("- ", "? ", ": ", "b: ", ",", "\n", "\r", "\n  ", "\n - ", "  ", "|\n", "\t", "[a: ", "[? "),
)
# As the bound of a short text is its length.
LONG = "\n#" * 1000


@quick
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@example("[ ']',\n")
@example("[ !<]>,\n")
@example("[ #]\n")
@example("[{[a: [")
def test_no_text_has_more_levels_than_are_reckoned_with(piece):
    text = piece * 50
    assert levels(text) <= yaml12.most_levels(text + LONG)


def levels(text: str) -> int:
    """The most that the composer goes through before it is done, or finds a mistake."""
    open_ = most = 0
    events = yaml12.pure_parser()(text)
    with suppress(MarkedYAMLError):
        while (event := events.get_event()) is not None:
            open_ += isinstance(event, CollectionStartEvent)
            open_ -= isinstance(event, CollectionEndEvent)
            most = max(most, open_)
    return most
