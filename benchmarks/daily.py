"""`python -m benchmarks.daily CLONE`: a day's typing, reading and waiting with zf, Task, just and
nox, recorded on a terminal of 80 columns.

CLONE is a clone of https://github.com/pallets/itsdangerous. Each tool gets a clone of that, and is
asked once to set up the environment, which takes packages from PyPI. From then on it is recorded:
everything runs and passes, a fault is saved, it fails, a shell is opened in the environment of what
failed and the tests run there until the first that fails, the fault is mended, and what failed runs
again. What can watch is left watching: zf opens the shell from there, beside Task it is in a second
terminal. Paths are completed with Tab.

Keys follow each other in 0.2 s, the time of an average skilled typist (Card, Moran and Newell, The
Keystroke-Level Model, CACM 23, 1980). Nothing else is added for the person: no thinking, no way
from the editor to the terminal, or to a second one.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from statistics import median

from benchmarks.measure import FailedError, environment
from benchmarks.runners import zf_program

_LIMIT_S = 60
# That of bash, alone, in an environment or in zf's shell.
_PROMPT = r"(?:^|\n)(?:\([\w. ]+\) )?(?:[~/]\S* )?[$#] $"
_INTERRUPT, _END_OF_INPUT = "\x03", "\x04"
_CODE = "src/itsdangerous/encoding.py"
_RIGHT = 'base64.urlsafe_b64encode(string).rstrip(b"=")\n'
_WRONG = "base64.urlsafe_b64encode(string)\n"

_TASKFILE = """version: "3"
.code: &code {deps: [setup], sources: ["**/*.py"], method: none}
tasks:
  default: {deps: [lint, format, test]}
  setup:
    run: once
    sources: [pyproject.toml, uv.lock]
    generates: [.venv/bin/python]
    cmds:
      - python3 -m venv .venv
      - .venv/bin/pip install --quiet --upgrade 'pip>=25.1'
      - .venv/bin/pip install --quiet --editable . --group tests ruff==0.11.11
  lint: {<<: *code, cmds: [.venv/bin/ruff check]}
  format: {<<: *code, cmds: [.venv/bin/ruff format --check]}
  test: {<<: *code, cmds: [.venv/bin/python -m pytest]}
"""
_JUSTFILE = """check: lint format test

setup:
    test -e .venv/bin/pip || python3 -m venv .venv
    test -e .venv/bin/ruff || .venv/bin/pip install --quiet --upgrade 'pip>=25.1'
    test -e .venv/bin/ruff || .venv/bin/pip install --quiet --editable . --group tests ruff==0.11.11

lint: setup
    .venv/bin/ruff check

format: setup
    .venv/bin/ruff format --check

test: setup
    .venv/bin/python -m pytest
"""
_NOXFILE = """import nox


@nox.session
def lint(session):
    session.install("ruff==0.11.11")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def test(session):
    session.install("--editable", ".", "--group", "tests")
    session.run("pytest")
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """How the loop is gone through with it. `file` is what it reads, with this `text`; `asks` how a
    question ends at the first time. `run` runs everything, or watches: then `told` is what is read
    when a run is over. `enter` opens a shell, `attempt` tries the tests there, and `again` runs
    what failed where no watch does so; single keys have no Enter.
    """

    name: str
    run: str
    enter: str
    attempt: str
    file: str = ""
    text: str = ""
    set_up: str = ""
    asks: str = ""
    told: str = ""
    again: str = ""


_PYTEST_IS_OVER = r"(?:passed|failed)[^\n]* in [\d.]+s[^\n]*\n"
TOOLS = (
    Tool(
        "zf",
        set_up="zf run",
        asks=r"\[Y/n\] $",
        run="zf watch",
        told="q quits",
        enter="s",
        attempt=".v\tb\tpyte\t -x",
    ),
    Tool(
        "task",
        file="Taskfile.yml",
        text=_TASKFILE,
        set_up="task",
        run="task -w",
        told=_PYTEST_IS_OVER,
        enter=". .v\tb\tac\t",
        attempt="pyte\t -x",
    ),
    Tool(
        "just",
        file="justfile",
        text=_JUSTFILE,
        run="just",
        enter=". .v\tb\tac\t",
        attempt="pyte\t -x",
        again="just test",
    ),
    Tool(
        "nox",
        file="noxfile.py",
        text=_NOXFILE,
        set_up="nox",
        run="nox -R",
        enter=". .n\tt\tb\tac\t",
        attempt="pyte\t -x",
        again="nox -Rs test",
    ),
)


@dataclass(slots=True)
class Loop:
    """What one time through it took; `waited` is how long each step was waited for, in seconds."""

    commands: int = 0
    keys: int = 0
    lines: int = 0
    typing_s: float = 0
    waited: dict[str, float] = field(default_factory=dict)

    @property
    def waited_s(self) -> float:
        return sum(self.waited.values())


class Terminal:
    """A shell on a terminal of 80 columns, and the keys that are typed there."""

    def __init__(self, folder: str, path: str, key_s: float, loop: Loop) -> None:
        self.loop = loop
        self._key_s = key_s
        env = environment(PATH=path, PS1="$ ", TERM="xterm", COLUMNS="80", LINES="24")
        env.pop("VIRTUAL_ENV", None)
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.chdir(folder)
            # What is started in the background ignores it, and bash would hand that on.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            shell = ["bash", "--norc", "--noprofile", "-i"]
            os.execvpe(shell[0], shell, env)  # noqa: S606 - it is one
        self._read(_PROMPT)

    def press(self, keys: str) -> None:
        """One key after the other, each in its time."""
        for key in keys:
            began = time.perf_counter()
            time.sleep(self._key_s)
            os.write(self._fd, key.encode())
            self.loop.typing_s += time.perf_counter() - began
        self.loop.keys += len(keys)

    def type(self, line: str, step: str = "", until: str = _PROMPT) -> None:
        """A command and Enter, and wait for what it shows when it is over."""
        self.press(line)
        # What the terminal has echoed by now is no answer.
        self._read("", quick=True)
        self.press("\n")
        self.loop.commands += 1
        self.wait(step, until)

    def wait(self, step: str, until: str) -> None:
        began = time.perf_counter()
        shown = self._read(until)
        self.loop.waited[step] = time.perf_counter() - began
        self.loop.lines += shown.count("\n")

    def _read(self, pattern: str, *, quick: bool = False) -> str:
        shown, end = "", time.monotonic() + _LIMIT_S
        while quick or not re.search(pattern, shown):
            if time.monotonic() > end:
                raise FailedError(f"no {pattern!r} in {_LIMIT_S} s:\n{shown[-2000:]}")
            if select.select([self._fd], [], [], 0 if quick else 1)[0]:
                try:
                    more = os.read(self._fd, 65536).decode("utf-8", "replace")
                except OSError as error:
                    raise FailedError(f"its shell has ended:\n{shown[-2000:]}") from error
                shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", more)
            elif quick:
                break
        return shown

    def close(self) -> None:
        """End what runs there; what does not heed Ctrl-C ends with its terminal."""
        with suppress(FailedError):
            os.write(self._fd, _INTERRUPT.encode())
            self._read(_PROMPT)
        os.close(self._fd)
        os.waitpid(self._pid, 0)


def save(folder: str, old: str, new: str) -> None:
    """Replace a piece of the code, if it is there, as an editor does that saves a file."""
    with open(f"{folder}/{_CODE}", encoding="utf-8") as file:
        code = file.read()
    with open(f"{folder}/{_CODE}", "w", encoding="utf-8") as file:
        file.write(code.replace(old, new))


def prepare(tool: Tool, clone: str, folder: str, path: str) -> None:
    """A clone of its own, with the file that the tool reads, and the environment set up."""
    subprocess.run(["git", "clone", "-q", clone, folder], check=True)
    if tool.file:
        with open(f"{folder}/{tool.file}", "w", encoding="utf-8") as file:
            file.write(tool.text)
    with closing(Terminal(folder, path, 0, Loop())) as terminal:
        terminal.type(tool.set_up or tool.run, "set up", tool.asks or _PROMPT)
        if tool.asks:
            terminal.press("\n")
            terminal.wait("set up", _PROMPT)


def go_through(tool: Tool, folder: str, path: str, key_s: float) -> Loop:
    """Once through the loop."""
    loop, has_key = Loop(), len(tool.enter) == 1
    with ExitStack() as opened:
        first = second = opened.enter_context(closing(Terminal(folder, path, key_s, loop)))
        opened.callback(save, folder, _WRONG, _RIGHT)
        first.type(tool.run, "all pass", tool.told or _PROMPT)
        if tool.told:
            time.sleep(1)  # as an edit takes that long; a watch may still be setting itself up
        save(folder, _RIGHT, _WRONG)
        if tool.told:
            first.wait("a test fails", tool.told)
        else:
            first.type(tool.run, "a test fails")
        if has_key:
            first.press(tool.enter)
            first.wait("the shell opens", _PROMPT)
        else:
            if tool.told:
                second = opened.enter_context(closing(Terminal(folder, path, key_s, loop)))
            second.type(tool.enter, "the shell opens")
        second.type(tool.attempt, "tried in it", rf"1 failed[\s\S]*{_PROMPT}")
        if has_key:
            first.press(_END_OF_INPUT)
            first.wait("and is left", tool.told)
        save(folder, _WRONG, _RIGHT)
        if tool.told:
            first.wait("it passes again", tool.told)
        else:
            first.type(tool.again, "it passes again")
    return loop


def table(loops: dict[str, Sequence[Loop]]) -> str:
    """A row for each figure, a column for each tool; the medians of all rounds."""
    figures: dict[str, Callable[[Loop], float]] = {
        "commands typed": lambda loop: loop.commands,
        "keys": lambda loop: loop.keys,
        "lines printed": lambda loop: loop.lines,
        "seconds in all": lambda loop: loop.typing_s + loop.waited_s,
        "of these waited": lambda loop: loop.waited_s,
    }
    rows = [f"{'':16}" + "".join(f"{name:>10}" for name in loops)]
    for label, figure in figures.items():
        digits = 2 if "seconds" in label or "waited" in label else 0
        cells = (f"{median(map(figure, of)):10.{digits}f}" for of in loops.values())
        rows.append(f"{label:16}" + "".join(cells))
    for step in dict.fromkeys(step for of in loops.values() for step in of[0].waited):
        cells = (
            f"{median(one.waited[step] for one in of):10.2f}"
            if step in of[0].waited
            else f"{'':10}"
            for of in loops.values()
        )
        rows.append(f"- {step:14}" + "".join(cells))
    return "\n".join(rows)


def main() -> int:
    """Exit 1 when something did not do what it was to do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.daily")
    parser.add_argument("clone", help="a clone of itsdangerous")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--key-s", type=float, default=0.2, help="seconds a key [default: 0.2]")
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="zf-daily-")
    path = f"{os.path.dirname(zf_program()[0])}:{os.environ['PATH']}"
    tools = [tool for tool in TOOLS if shutil.which(tool.name, path=path)]
    loops: dict[str, list[Loop]] = {tool.name: [] for tool in tools}
    try:
        for tool in tools:
            prepare(tool, options.clone, f"{scratch}/{tool.name}", path)
        for _ in range(options.rounds):
            for tool in tools:
                folder = f"{scratch}/{tool.name}"
                loops[tool.name].append(go_through(tool, folder, path, options.key_s))
    except (FailedError, subprocess.CalledProcessError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch)
    print(table(dict(loops)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
