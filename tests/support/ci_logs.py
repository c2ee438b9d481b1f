"""What GitHub's runner and GitLab make of the lines of a job: parsers written from their
documentation, and from how the runner itself reads a line.

GitHub: "Workflow commands for GitHub Actions". The runner looks for `::command::` at the start of a
line, and for its older form, `##[command]`, anywhere in one. GitLab: "Custom collapsible sections".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

COMMANDS = frozenset(
    [
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "stop-commands",
        "warning",
        "internal-set-repo-path",
    ]
)


@dataclass
class Command:
    """One command as the runner understands it: its values are decoded."""

    name: str
    properties: dict[str, str]
    message: str


@dataclass
class GitHubJob:
    """A step's output, line by line, as the runner takes it."""

    commands: list[Command] = field(default_factory=list)
    # The lines that are shown, by the group they are in; "" has those in none.
    shown: dict[str, list[str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    stopped: str = ""
    group: str = ""

    def take(self, text: str) -> GitHubJob:
        """Lines end as for .NET's reader: at CR, LF or both."""
        lines = re.split(r"\r\n|\r|\n", text)
        for line in lines[: -1 if lines[-1] == "" else None]:
            self._line(line)
        return self

    def named(self, *names: str) -> list[Command]:
        return [command for command in self.commands if command.name in names]

    def _line(self, line: str) -> None:
        known = COMMANDS | ({self.stopped} if self.stopped else set())
        command = _v2(line, known) or _v1(line, known)
        if self.stopped and command is not None and command.name == self.stopped:
            self.stopped = ""
        elif command is None or self.stopped:
            self.shown.setdefault(self.group, []).append(line)
        elif command.name == "stop-commands":
            assert command.message
            assert command.message not in COMMANDS
            self.stopped = command.message
            self.tokens.add(command.message)
        else:
            self.commands.append(command)
            if command.name == "group":
                # Groups do not nest: another one ends the first.
                self.group = command.message
                self.shown.setdefault(self.group, [])
            elif command.name == "endgroup":
                self.group = ""


def _v2(line: str, known: set[str] | frozenset[str]) -> Command | None:
    line = line.lstrip()
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, said = line[2:end].partition(" ")
    if name not in known:
        return None
    pairs = (pair.split("=", 1) for pair in said.strip().split(",") if pair)
    codes = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}
    properties = {pair[0]: _decoded(pair[1], codes) for pair in pairs if len(pair) == 2}
    return Command(name, properties, _decoded(line[end + 2 :], {"%0D": "\r", "%0A": "\n"}))


def _v1(line: str, known: set[str] | frozenset[str]) -> Command | None:
    begin = line.find("##[")
    end = line.find("]", begin)
    if begin < 0 or end < 0:
        return None
    name = line[begin + 3 : end].partition(" ")[0]
    return Command(name, {}, line[end + 1 :]) if name in known else None


def _decoded(text: str, codes: Mapping[str, str]) -> str:
    for code, char in codes.items():
        text = text.replace(code, char)
    return text.replace("%25", "%")


def read_outputs(text: str) -> dict[str, str]:
    """The file `$GITHUB_OUTPUT`: `name=value`, or `name<<END`, lines, `END`."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        equals, marker = line.find("="), line.find("<<")
        if marker < 0 or 0 <= equals < marker:
            assert equals > 0, f"Invalid format '{line}'"
            name, value = line[:equals], line[equals + 1 :]
        else:
            name, end = line.split("<<", 1)
            assert name
            assert end
            value = "\n".join(_until(lines, end))
        found[name] = value
    return found


def _until(lines, end):
    for line in lines:
        if line == end:
            return
        yield line
    raise AssertionError(f"Matching delimiter not found '{end}'")


@dataclass
class Section:
    """A section of GitLab's log; times in seconds since 1970."""

    name: str
    began: int
    collapsed: bool
    lines: list[str] = field(default_factory=list)
    ended: int | None = None


_MARK = re.compile(
    r"section_(start|end):(\d+):([A-Za-z0-9_.-]+)((?:\[[a-z_]+=[a-z]+(?:,[a-z_]+=[a-z]+)*\])?)"
    r"\r\x1b\[0K"
)


def read_sections(text: str) -> tuple[list[Section], list[str]]:
    """The sections of a job's log, and the lines outside of all."""
    sections: list[Section] = []
    open_ones: list[Section] = []
    loose: list[str] = []
    for line in text.removesuffix("\n").split("\n"):
        rest = line
        while mark := _MARK.search(rest):
            kind, at, name, options = mark.groups()
            rest = rest[: mark.start()].removesuffix("\x1b[0K") + rest[mark.end() :]
            if kind == "start":
                assert all(section.name != name for section in sections), f"{name} twice"
                sections.append(Section(name, int(at), "collapsed=true" in options))
                open_ones.append(sections[-1])
            elif open_ones and open_ones[-1].name == name:
                open_ones.pop().ended = int(at)
        if rest or not line:
            (open_ones[-1].lines if open_ones else loose).append(rest)
    return sections, loose
