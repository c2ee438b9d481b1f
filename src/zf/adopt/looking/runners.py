"""Makefiles, justfiles and Taskfiles: what they build and test, where nothing else tells.

Their targets are run by their own programs. `zf import` makes task files of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposal, Proposed
from zf.lean.records import Struct


class _Runner(Struct, frozen=True):
    """A program that runs targets of a file; `target` finds the name at the start of a line."""

    program: str
    files: tuple[str, ...]
    target: re.Pattern[str]
    remedy: str


_RUNNERS = (
    _Runner(
        "make",
        ("GNUmakefile", "makefile", "Makefile"),
        re.compile(
            r"^(?P<name>[A-Za-z0-9][\w.-]*(?: +[A-Za-z0-9][\w.-]*)*) *::?(?!=)", re.MULTILINE
        ),
        "install make",
    ),
    _Runner(
        "just",
        ("justfile", "Justfile", ".justfile"),
        # Without parameters: those have to be given.
        re.compile(r"^@?(?P<name>[A-Za-z_][\w-]*) *:(?!=)", re.MULTILINE),
        "pip install rust-just",
    ),
    _Runner(
        "task",
        ("Taskfile.yml", "Taskfile.yaml", "taskfile.yml", "Taskfile.dist.yml"),
        re.compile(r"^  (?P<name>[A-Za-z][\w-]*):", re.MULTILINE),
        "https://taskfile.dev/installation",
    ),
)
# What recipes are often made of, and a machine may well not have; `$(GO)` is such a word, too.
_CALLED = re.compile(
    r"^[ \t]+(?:- |cmds?:|[\[>|@+'\"-])*[ \t]*(?:\$[({])?"
    r"(?P<program>bun|cargo|cmake|go|hatch|mvn|npm|nox|pnpm|poetry|tox|uv|yarn)\b",
    re.MULTILINE | re.IGNORECASE,
)
# What checks something and ends; the last is what the others are for.
_WANTED = ("build", "lint", "check", "test")


def look(top: Folder, beside: Proposal) -> Found:
    """What the files of runners add to what was found."""
    tested = any(
        task.name.rpartition("-")[2] in {"test", "py", "js", "rust"} for task in beside.tasks
    )
    for runner in _RUNNERS:
        name = top.first(*runner.files)
        if name and not tested:
            found = _of(top, runner, name)
            if found.tasks or found.left_out:
                return found
    return Found()


def _of(top: Folder, runner: _Runner, name: str) -> Found:
    text = top.text(name)
    targets = dict.fromkeys(_targets(runner, text))
    wanted = [target for target in _WANTED if target in targets]
    if not top.installed(runner.program):
        why = f"{runner.program} is not installed here ({runner.remedy})"
        return Found(left_out=tuple(f"{t}: {why}" for t in wanted), looked=(name,))
    bodies = _bodies(runner, text)
    missing = {t: why for t in wanted if (why := _missing(top, bodies, t))}
    wanted = [target for target in wanted if target not in missing]
    left_out = tuple(f"{target}: {why} is not installed here" for target, why in missing.items())
    tasks: list[Proposed] = []
    if runner.program == "make" and "build" not in targets and _compiles(top):
        tasks.append(Proposed("build", {"run": "make"}))
    if "check" in wanted and "test" in wanted:
        wanted.remove("check")  # nearly always another name for the same
    for target in wanted:
        needs = {"needs": ["build"]} if tasks and tasks[0].name == "build" else {}
        tasks.append(Proposed(target, {**needs, "run": f"{runner.program} {target}"}))
    return Found(tuple(tasks), left_out, (name,), "buildpack-deps:stable")


def _targets(runner: _Runner, text: str) -> Iterator[str]:
    for found in runner.target.finditer(text):
        yield from found["name"].split()


def _bodies(runner: _Runner, text: str) -> dict[str, str]:
    """Of each target what stands behind its name: in its own line what it needs, then its lines."""
    found = [*runner.target.finditer(text)]
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {
        name: text[one.end() : end]
        for one, end in zip(found, ends, strict=False)
        for name in one["name"].split()
    }


def _missing(top: Folder, bodies: dict[str, str], target: str) -> str:
    """A program that the target, or what it needs, calls and that is not installed; or nothing."""
    seen = [target]
    for name in seen:
        needs, _, _ = bodies[name].partition("\n")
        seen += [need for need in needs.split() if need in bodies and need not in seen]
        for called in _CALLED.finditer(bodies[name]):
            program = called["program"].lower()
            if not top.installed(program):
                return program
    return ""


def _compiles(top: Folder) -> bool:
    endings = (".c", ".cc", ".cpp", ".cxx", ".f90", ".s", ".S", ".m", ".hs", ".ml", ".tex")
    return any(path.endswith(endings) for path in top.files())
