"""The reference says all there is at the command line, and nothing else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from tests.support import reference
from zf import settings
from zf.cli import project
from zf.cli.main import program
from zf.errors import Exit

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
COMMAND = typer.main.get_command(program())
VERBS = COMMAND.commands
SECTIONS = dict(
    re.findall(r"(?ms)^## zf ([\w-]+)(.*?)(?=^## |\Z)", (REFERENCE / "cli.md").read_text())
)
SHARED = {"-h", "--help"}  # every verb has them; the page says so once


def flags(command) -> set[str]:
    return {
        flag
        for p in command.params
        if p.param_type_name == "option"
        for flag in p.opts + p.secondary_opts
    }


def main_table(section: str) -> str:
    """A section up to its first sub-heading."""
    return section.split("\n### ", maxsplit=1)[0]


def documented(section: str) -> set[str]:
    """The options in the first column of a section's first table."""
    first_cells = [
        line.split("|")[1] for line in main_table(section).splitlines() if line.startswith("| `")
    ]
    typed = [word for cell in first_cells for word in re.findall(r"`(-[^`]+)`", cell)]
    return {re.split(r"[ [=]", word)[0] for word in typed}


def test_every_verb_is_documented_and_every_documented_verb_exists():
    assert set(SECTIONS) == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented_and_every_documented_option_exists(verb):
    rest = {"--"} if verb in settings.RunOptions.arguments.verbs else set()
    assert documented(SECTIONS[verb]) == (flags(VERBS[verb]) - SHARED) | rest


def test_the_options_of_zf_itself_are_documented():
    page = (REFERENCE / "cli.md").read_text()
    assert documented(page.split("\n## ")[0]) == flags(COMMAND) | SHARED


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_is_in_the_heading(verb):
    words = SECTIONS[verb].splitlines()[0].split()
    arguments = [p for p in VERBS[verb].params if p.param_type_name == "argument"]
    assert len(words) == len(arguments)
    for word, argument in zip(words, arguments, strict=True):
        assert (argument.required, argument.nargs == -1) == (word[0] != "[", word.endswith("..."))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_option_and_argument_has_help(verb):
    command = VERBS[verb]
    assert command.help
    lacking = [p.name for p in command.params if not getattr(p, "help", None)]
    assert lacking == []


def test_the_table_of_variables_is_the_one_that_is_used():
    rows = re.findall(
        r"(?m)^\| `(--[\w-]+)` \| ([^|]*)\|", SECTIONS["run-phase"].split("\n### ")[1]
    )
    told = {flag: tuple(re.findall(r"`(\w+)`", cell)) for flag, cell in rows}
    assert told == {o.flags[0]: o.variables for o in settings.OPTIONS.values() if o.is_setting}


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_in_a_message_repeats_the_folder_whatever_its_verb(verb, monkeypatch):
    monkeypatch.setattr(project, "_folder", "there")
    assert project.as_typed(f"see zf {verb} x") == f"see zf -C there {verb} x"


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_the_tables_are_the_programs(path):
    assert path.read_text() == reference.pages()[path], (
        "write them anew: ./dev python -m tests.support.reference"
    )


def test_the_manual_has_a_page_for_zf_and_each_verb_and_man_understands_them():
    written = sorted(reference.MANUAL.iterdir())
    assert written == sorted(reference.manual_pages())
    assert len(written) == len(VERBS) + 1
    if shutil.which("groff") is None:
        pytest.skip("no groff here (apt-get install groff)")
    for page in written:
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, ""), page


def test_every_exit_code_says_what_it_means():
    assert all(code.run or code.verify for code in Exit)
