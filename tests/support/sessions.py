"""The documentation's examples, played for real: files are written, commands run, output compared.

On a page, a fenced block that follows a line ending in a path in backticks and a colon is a file. A
`console` block is a dialogue: `$ command`, then what it prints. A `yaml` block without a path is a
fragment of a task file, a `yaml project` block one of zf.yaml. `<!-- in: examples/book -->` starts
in a copy of that folder.

`./dev python tests/support/sessions.py` plays every page and writes what was printed into it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/tutorial.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "how-to").glob("*.md")),
)
LIMIT_S = 60


@dataclass
class Block:
    """One fenced block; `first` is the number of its first line inside the fence, from 0."""

    kind: str
    lines: list[str]
    first: int
    path: str | None


@dataclass
class Turn:
    """A command of a dialogue and what the page says it prints."""

    command: str
    shown: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        return told_apart(self.shown) == told_apart(self.printed)


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = text.splitlines()
    open_at, kind, path = None, "", None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if open_at is None:
            open_at, kind = number + 1, line[3:].strip()
            before = " ".join(lines[max(0, number - 3) : number]).rstrip()
            named = re.search(r"`([\w./-]+)`[^`]*:$", before)
            path = named[1] if named and kind == "yaml" else None
        else:
            yield Block(kind, lines[open_at:number], open_at, path)
            open_at = None


def turns(block: Block) -> Iterator[Turn]:
    """The commands of a console block, lines continued with a backslash joined."""
    turn = None
    for line in block.lines:
        if line.startswith("$ "):
            if turn:
                yield turn
            turn = Turn(line[2:])
        elif turn and turn.command.endswith("\\") and not turn.shown:
            turn.command = f"{turn.command}\n{line}"
        elif turn:
            turn.shown.append(line)
    if turn:
        yield turn


# What differs from run to run and from machine to machine.
VARIES = (
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?"), "<time>"),
    (re.compile(r"\b\d{8}-\d{6}-\d+\b"), "<run id>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short sha256>"),
    (re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "<key>"),
    (re.compile(r"\b\d+(\.\d+)? ([KMG]i)?B\b"), "<size>"),
    (re.compile(r"\b\d+(\.\d+)? ?m?s\b"), "<duration>"),
    # What is in memory already need not be read; how many CPUs a task gets depends on what else runs.
    (re.compile(r"(?<= )[a-z_][\w-]*@[\w.-]*\w\b(?!=)"), "<who>"),
    (re.compile(r", <size> (read|written)\b"), ""),
    (re.compile(r" cpu, used \d+\.\d\b"), " cpu, used <some>"),
    (re.compile(r'(?<= time=")\d+\.\d+(?=")'), "<duration>"),
    (re.compile(r"(/[\w.+-]+)+(?=/book|/shop)"), "<folder>"),
    # Whether a kernel lets tasks be shielded differs from machine to machine.
    (re.compile(r" \(\d+ shielded\)"), ""),
    (re.compile(r" +"), " "),
)


def told_apart(lines: list[str]) -> list[str]:
    """The lines without what varies."""
    told = []
    for line in lines:
        text = line
        for pattern, word in VARIES:
            text = pattern.sub(word, text)
        told.append(text.strip())
    while told and not told[-1]:
        told.pop()
    # Of tasks side by side, either may start or end first.
    same_kind = groupby(told, key=lambda line: line.split(" ", 1)[0])
    return [
        line
        for word, group in same_kind
        for line in (sorted(group) if word in {"✓", "▸"} else group)
    ]


class Session:
    """A reader at a shell, in a folder of their own."""

    def __init__(self, scratch: Path, text: str) -> None:
        self.folder = scratch
        self.code = 0
        start = re.search(r"<!-- in: (\S+) -->", text)
        if start:
            self.folder = scratch / Path(start[1]).name
            ignore = shutil.ignore_patterns("proofs", "book.txt")
            shutil.copytree(ROOT / start[1], self.folder, ignore=ignore)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{_tools(scratch)}:{os.environ['PATH']}",
            "HOME": str(scratch),
            "LANG": "C.UTF-8",
            "USER": "ann",
            "GIT_CEILING_DIRECTORIES": str(scratch),
        }

    def write(self, block: Block) -> None:
        path = self.folder / str(block.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(block.lines) + "\n")

    def play(self, turn: Turn) -> None:
        words = shlex.split(turn.command) if turn.command.startswith(("cd ", "export ")) else []
        if words[:1] == ["cd"]:
            self.folder = (self.folder / words[1]).resolve(strict=True)
        elif words[:1] == ["export"]:
            self.env.update(word.split("=", 1) for word in words[1:])
        else:
            self._run(turn)

    def _run(self, turn: Turn) -> None:
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.code}); {turn.command}"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        self.code = done.returncode
        turn.printed = done.stdout.splitlines()


def _tools(scratch: Path) -> Path:
    """A folder with sha256sum where the system's is called shasum, as on macOS."""
    folder = scratch / ".tools"
    folder.mkdir(exist_ok=True)
    if not shutil.which("sha256sum"):
        tool = folder / "sha256sum"
        tool.write_text('#!/bin/sh\nexec shasum -a 256 "$@"\n')
        tool.chmod(0o755)
    return folder


def play(text: str, scratch: Path) -> Iterator[tuple[Block, list[Turn]]]:
    """Play a page; each console block with its finished turns."""
    session = Session(scratch, text)
    for block in blocks(text):
        if block.path:
            session.write(block)
        elif block.kind == "console":
            played = list(turns(block))
            for turn in played:
                session.play(turn)
            yield block, played


def rewritten(text: str, scratch: Path) -> str:
    """The page with what its commands print today."""
    lines = text.splitlines()
    for block, played in reversed(list(play(text, scratch))):
        fresh: list[str] = []
        for turn in played:
            fresh += f"$ {turn.command}".splitlines()
            fresh += turn.shown if turn.same else turn.printed
        lines[block.first : block.first + len(block.lines)] = fresh
    return "\n".join(lines) + "\n"


def main() -> None:
    for page in sys.argv[1:] or PAGES:
        path = ROOT / page
        with tempfile.TemporaryDirectory() as scratch:
            text = path.read_text()
            new = rewritten(text, Path(scratch).resolve())
        if new != text:
            path.write_text(new)
            print(f"rewritten: {page}")


if __name__ == "__main__":
    main()
