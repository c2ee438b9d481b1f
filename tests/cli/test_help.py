"""`zf --help` is written down, and says what the parser would say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zf.cli
from zf.cli.groups import GROUPS, VERBS
from zf.cli.main import program

WRITTEN = Path(zf.cli.__file__).parent / "help.txt"
PARSER = "from zf.cli.main import run; run(['--help'])"


def said(*command, **variables):
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(command, env={**env, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("columns", ["80", "300"])
def test_what_is_written_is_what_the_parser_says(columns):
    assert WRITTEN.read_text() == said(sys.executable, "-c", PARSER, COLUMNS=columns), (
        "write it anew: ./dev python -m tests.support.reference"
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_comes_without_the_parser(flag):
    script = "import sys; from zf.__main__ import main; main(); print('typer' in sys.modules)"
    assert said(sys.executable, "-c", script, flag) == WRITTEN.read_text() + "False\n"


def test_a_narrow_terminal_gets_a_narrow_page():
    script = "from zf.__main__ import main; main()"
    narrow = said(sys.executable, "-c", script, "--help", COLUMNS="60")
    assert narrow == said(sys.executable, "-c", PARSER, COLUMNS="60")
    assert narrow != WRITTEN.read_text()


def pages():
    return {verb: said(sys.executable, "-m", "zf", verb, "--help") for verb in VERBS}


def test_every_verb_has_a_line_in_one_group():
    named = [c.name or c.callback.__name__.replace("_", "-") for c in program().registered_commands]
    assert sorted(VERBS) == sorted(named), "cli/groups.py has a row for each verb"


def test_the_list_of_verbs_fits_on_a_screen_a_line_each():
    lines = WRITTEN.read_text().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    for verbs in GROUPS.values():
        for verb, line in verbs.items():
            assert any(
                each.startswith(f"  {verb} ") and each.endswith(f" {line}") for each in lines
            )
            assert re.fullmatch("[A-Z].*[.]", line)


def test_help_pages_say_what_to_type_in_whole_sentences():
    found = pages()
    assert len(found) >= 17
    for verb, page in found.items():
        # No type of the parser, no bracket that nobody types.
        assert not re.search(r"[<>{}]|\.\.\.\.", page), page
        for name, text in rows(page[re.search(r"^[A-Z]\w+:$", page, re.MULTILINE).end() :]):
            assert re.search(r"[.](  ?\[(default: |required).*\])*$", text), (
                f"{verb} {name}: {text}"
            )
            assert text[0].isupper() or text.startswith("task.yaml"), f"{verb} {name}: {text}"


def rows(page):
    """The lists of a help page: each name with its whole text."""
    found = []
    for line in page.splitlines():
        indented = len(line) - len(line.lstrip())
        if indented == 2 and (row := re.match(r"  (\S.*?)(?:  +(\S.*))?$", line)):
            found.append([row[1], row[2] or ""])
        elif indented > 2 and found:
            found[-1][1] = f"{found[-1][1]} {line.strip()}".strip()
    return [row for row in found if row[1]]


@pytest.mark.parametrize("words", [["--help"], ["logs", "--help"], ["nonsense"], ["run-phase"]])
def test_the_parser_brings_rich_and_zf_does_without(words):
    """docs/decisions/0015-no-rich.md; it would take longer to import than a short run takes."""
    code = f"import sys; from zf.cli import main; main.run({words!r}); print('rich' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "False"
