"""Every message about a bad file, compared whole with the page that shows them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.plan_files import good, said
from zf.plan.files import forms
from zf.plan.files.patterns import NOT_BLANK
from zf.plan.form import mapping
from zf.plan.yaml.wording import PATTERNS

PAGE = Path(__file__).with_name("messages.md")
CASES = [
    pytest.param(name or "x", text, expected, id=title)
    for title, name, text, expected in re.findall(
        r"(?ms)^## (.*?)\n\n```yaml ?(\S*)\n(.*?\n)```\n\n```text\n(.*?)\n```$", PAGE.read_text()
    )
]


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_the_whole_message(tmp_path, name, text, expected):
    files = {"x": good("x")} | {name: text}
    assert said(tmp_path, files) == expected


def test_no_case_of_the_page_is_passed_over():
    assert len(CASES) == PAGE.read_text().count("\n## ") > 60


def patterns_in(schema: object) -> Iterator[str]:
    """Every pattern of a schema, at any depth."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from patterns_in(part)


def test_every_pattern_of_a_key_has_words_for_what_does_not_match_it():
    every = set(patterns_in(mapping(forms.project_keys())))
    assert len(every) > 15
    assert every - PATTERNS.keys() == {NOT_BLANK}  # which is said as empty


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {a: make, ? [b] : make}",
        "tasks: {a: {run: make, ? [b] : 1}}",
        "tasks: {a: {commands: [{run: make, ? [b] : 1}]}}",
        "tasks: {a: {run: make, matrix: {? [b] : [1]}}}",
        "tasks: {a: {run: make, matrix: {include: [{? [b] : 1}]}}}",
        "tasks: {a: make}\ndefaults: {? [b] : 1}",
        "tasks: {a: make}\ntemplates: {t: {? {b: c} : 1}}",
    ],
)
def test_a_list_as_a_key_is_told_wherever_it_stands(tmp_path, text):
    assert "error[ZF222]: a key must be text, found a list or map" in said(
        tmp_path, {"zf.yaml": text}
    )


def test_an_axis_that_counts_has_keys_of_its_own(tmp_path):
    text = "tasks: {a: {run: make, matrix: {x: {}, y: {cont: 3}}}}"
    found = said(tmp_path, {"zf.yaml": text})
    assert "error[ZF221]: 'x' in 'matrix' lacks the key 'count'" in found
    assert "did you mean 'count'?" in found


def test_of_many_unknown_keys_each_is_told_but_not_each_has_a_guess(tmp_path):
    """A guess compares with every key: 100 000 of them took more than a minute."""
    keys = ", ".join(f"timeout_sec{n}: 1" for n in range(60))
    told = said(tmp_path, {"zf.yaml": f"tasks: {{a: {{run: make, {keys}}}}}\n"})
    assert told.count("error[ZF220]: unknown key 'timeout_sec") == 60
    assert told.count("did you mean 'timeout_sec'?") == 50
    assert told.count("`zf schema` lists all") == 10


def test_a_name_of_someone_who_approves_has_at_most_200_characters(tmp_path):
    text = "tasks: {a: {run: make, approval: {by: [%s]}}}\n"
    more = "entry 1 of 'by' in 'approval' has more than 200 characters"
    assert more not in said(tmp_path, {"zf.yaml": text % ("a" * 200)})
    assert f"error[ZF730]: {more}" in said(tmp_path, {"zf.yaml": text % ("a" * 201)})
