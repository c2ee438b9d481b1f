"""The first minute of a newcomer: from the clone of a project that knows nothing of zf to a run that
passes, its proof checked and its report, in four commands, with git and Python alone; and what is
typed every day after.
"""

import os
import pty
import re
import select
import subprocess
import sys
import time

from tests.support.program import ZF
from tests.support.tools import program

LIMIT_S = 120
FILES = {
    "pyproject.toml": '[project]\nname = "book"\nversion = "1"\n',
    ".gitignore": "__pycache__/\n",
    "book.py": "def words(text):\n    return len(text.split())\n",
    "tests/__init__.py": "",
    "tests/test_words.py": (
        "import unittest\n\nfrom book import words\n\n\nclass Words(unittest.TestCase):\n"
        '    def test_words(self):\n        self.assertEqual(words("a dark night"), 3)\n'
    ),
}


class Shell:
    """A shell on a terminal of 80 columns."""

    def __init__(self, folder, env):
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
        self.typed = []
        self._read_until(r"\$ $")

    def type(self, line, until=r"\$ $"):
        """The command, and what it shows until it is over, or asks."""
        self.typed.append(line)
        os.write(self._fd, f"{line}\n".encode())
        shown = self._read_until(until)
        assert shown, line
        return shown

    def _read_until(self, pattern):
        shown = ""
        end = time.monotonic() + LIMIT_S
        while not re.search(pattern, shown):
            assert time.monotonic() < end, shown
            if select.select([self._fd], [], [], 1)[0]:
                more = os.read(self._fd, 4096).decode()
                shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", more)
        return shown

    def leave(self):
        os.write(self._fd, b"exit\n")
        os.waitpid(self._pid, 0)
        os.close(self._fd)


def shell_with_a_clone(tmp_path):
    """A shell in which nothing but git, Python and zf is there, beside a project to be cloned."""
    origin = tmp_path / "origin"
    for name, text in FILES.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    git = [program("git"), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=origin, check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "zf").write_text(f'#!/bin/sh\nexec {" ".join(ZF)} "$@"\n')
    (programs / "zf").chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    (programs / "git").symlink_to(program("git"))
    env = {"HOME": str(tmp_path), "TERM": "xterm", "PS1": "$ ", "LANG": "C.UTF-8"}
    # `/bin` has bash and the tools of every machine; nothing else is there.
    shell = Shell(tmp_path, env | {"PATH": f"{programs}:/usr/bin:/bin"})
    shell.type("git clone -q origin mine")
    shell.type("cd mine")
    return shell, git


def test_four_commands_from_a_clone_to_a_report(tmp_path):
    shell, git = shell_with_a_clone(tmp_path)
    asked = shell.type("zf run --report r.html", until=r"Write zf.yaml\? \[Y/n\] $")
    assert "there are no tasks here yet: looked at pyproject.toml\n" in asked
    assert "python3 -m unittest discover" in asked
    os.write(shell._fd, b"\n")
    shown = shell._read_until(r"\$ $")
    assert shown.lstrip("\n").startswith("wrote zf.yaml\nrun ")
    assert shown.count("\n\n") == 1, "one blank line, before the result"
    assert "next: zf run" not in shown
    assert re.search(r"^PASS .*: 1 task: 1 success", shown, re.MULTILINE)
    verified = shell.type("zf verify")
    assert "SUCCEEDED" in verified
    assert re.search(r"INTACT +PASSED", verified)
    shell.leave()
    assert len(shell.typed) <= 5
    assert (tmp_path / "mine" / "r.html").read_text().startswith("<!doctype html>")
    # What is new for git: the two files, and not the proof.
    status = [*git, "status", "--porcelain"]
    done = subprocess.run(status, cwd=tmp_path / "mine", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["??", "r.html", "??", "zf.yaml"]


def test_what_is_proposed_may_be_refused_or_looked_at_first(tmp_path):
    shell, _ = shell_with_a_clone(tmp_path)
    shell.type("zf run", until=r"Write zf.yaml\? \[Y/n\] $")
    os.write(shell._fd, b"n\n")
    assert "nothing was written" in shell._read_until(r"\$ $")
    assert shell.type("echo code $?").endswith("code 2\n$ ")
    assert "no tasks found" in shell.type("zf run test")
    assert "no tasks found" in shell.type("zf run --dry-run")
    asked = shell.type("zf init", until=r"Write zf.yaml\? \[Y/n\] $")
    assert "python3 -m unittest discover" in asked
    os.write(shell._fd, b"\n")
    assert "next: zf run" in shell._read_until(r"\$ $")
    shell.leave()
    assert (tmp_path / "mine" / "zf.yaml").exists()


def test_every_day_from_an_edit_to_what_failed_run_again(tmp_path):
    shell, _ = shell_with_a_clone(tmp_path)
    project = tmp_path / "mine"
    (project / "zf.yaml").write_text(
        "tasks:\n  words: test -s book.py\n"
        "  test: {needs: [words], run: python3 -m unittest discover}\n"
    )
    shown = shell.type("zf watch", until="q quits")
    assert "PASS" in shown
    (project / "book.py").write_text("def words(text):\n    return len(text)\n")
    failed = shell._read_until("q quits")
    assert re.search(r"AssertionError: 12 != 3", failed)
    os.write(shell._fd, b"\x03")
    shell._read_until(r"\$ $")
    inside = shell.type("zf shell test", until=r"\(zf test\) .*[#$] $")
    assert "python3 -m unittest discover" in inside
    tried = shell.type("python3 -c 'import book; print(book.words(\"a dark night\"))'", until="12")
    assert tried
    shell.type("exit")
    (project / "book.py").write_text(FILES["book.py"])
    again = shell.type("zf rerun")
    assert re.search(r"^PASS .*: 1 task: 1 success", again, re.MULTILINE)
    assert shell.typed[2:] == ["zf watch", "zf shell test", shell.typed[4], "exit", "zf rerun"]
    shell.leave()
