"""`zf --help` is written down, and says what the parser would say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import zf.cli

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
        f'write it anew: COLUMNS=80 ./dev python -c "{PARSER}" >src/zf/cli/help.txt'
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
