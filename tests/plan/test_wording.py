"""Every message about a bad file, compared whole with the page that shows them."""

import re
from pathlib import Path

import pytest

from tests.support.plan_files import good, said

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
