"""./dev with a Python that only writes down what it was asked: what it makes, and when."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/usr/bin/env bash
# `-c` is dev's question whether this Python is good enough; `-m venv` makes a .venv of this script.
case "$1 ${2:-}" in
  "--version "*) echo "Python 3.11.0" ;;
  "-m venv") mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" && echo "venv ${*:3:1}" >>"$CALLS" ;;
  "-m pip") echo "pip ${@: -1}" >>"$CALLS" ;;
esac
"""
PREPARED = ["venv --clear", "pip pip>=25.1", "pip dev"]


class Checkout:
    """A folder with dev, a pyproject.toml and a Python that keeps a list of calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        shutil.copy(ROOT / "dev", self.folder)
        (self.folder / "pyproject.toml").write_text("[project]\n")
        self.python = folder / "python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)
        self.calls = folder / "calls"
        self.calls.touch()

    def dev(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "dev", *command],
            env={"PATH": os.environ["PATH"], "PYTHON": str(self.python), "CALLS": str(self.calls)}
            | env,
            text=True,
            capture_output=True,
            check=False,
            timeout=30,
        )

    def new_calls(self) -> list[str]:
        lines = self.calls.read_text().splitlines()
        self.calls.write_text("")
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_prepares_once_and_then_only_runs(checkout):
    assert checkout.dev("echo", "hello world").stdout == "hello world\n"
    assert checkout.new_calls() == PREPARED
    second = checkout.dev("echo", "again")
    assert (second.stdout, second.stderr) == ("again\n", "")
    assert checkout.new_calls() == []


def test_the_command_finds_the_environments_tools_first(checkout):
    told = checkout.dev("bash", "-c", 'command -v python; echo "$VIRTUAL_ENV"').stdout.splitlines()
    assert told == [f"{checkout.folder}/.venv/bin/python", f"{checkout.folder}/.venv"]


def test_its_exit_code_is_the_commands(checkout):
    assert checkout.dev("bash", "-c", "exit 42").returncode == 42


def test_a_changed_project_is_installed_again_into_the_same_environment(checkout):
    checkout.dev()
    checkout.new_calls()
    (checkout.folder / "pyproject.toml").write_text("[project]\nname = 'more'\n")
    checkout.dev()
    assert checkout.new_calls() == PREPARED[1:]


def test_a_checkout_that_moved_gets_a_new_environment(checkout):
    checkout.dev()
    checkout.new_calls()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("moved"))
    checkout.dev()
    assert checkout.new_calls() == PREPARED


def test_an_environment_whose_python_is_gone_is_made_anew(checkout):
    checkout.dev()
    checkout.new_calls()
    (checkout.folder / ".venv/bin/python").unlink()
    checkout.dev()
    assert checkout.new_calls() == PREPARED


def test_without_a_good_python_it_says_what_to_do(checkout):
    done = checkout.dev("true", PYTHON="/nowhere/python3")
    assert done.returncode == 1
    assert done.stderr.startswith("dev: no Python >= 3.11 with venv here (tried /nowhere/python3).")
    assert "apt-get install python3-venv" in done.stderr


def test_a_failed_installation_is_tried_again(checkout):
    checkout.python.write_text(PYTHON.replace('"-m pip") echo', '"-m pip") false; echo'))
    broken = "set -e\n" + checkout.python.read_text().split("\n", 1)[1]
    checkout.python.write_text(f"#!/usr/bin/env bash\n{broken}")
    assert checkout.dev("echo", "not reached").stdout == ""
    checkout.python.write_text(PYTHON)
    shutil.copy(checkout.python, checkout.folder / ".venv/bin/python")
    assert checkout.dev("echo", "reached").stdout == "reached\n"
