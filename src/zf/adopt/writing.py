"""Values -> the text of zf.yaml or of a task file as a person would write it: the shortest form of
each task, short things on one line, scripts as blocks.

Scalars are PyYAML's to write, so that no text of a stranger's file can be more than a text; how
they are arranged is decided here. PyYAML reads YAML 1.1 and zf 1.2: plain is what both take for the
same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from zf.errors import printable
from zf.plan.yaml.source import Source
from zf.plan.yaml.yaml12 import read

WIDTH = 88
# More entries than that on one line are no longer read at a glance.
_AT_A_GLANCE = 3
# What has an entry for each thing with a name of its own, each on a line of its own.
_NAMED = {("tasks",), ("templates",), ("phases",)}
# The name of the place after the last entry of a mapping, for a comment.
END = ""

Path = tuple[str, ...]


def shortest(task: Mapping[str, Any]) -> Any:
    """A task in its shortest form: a script, a list of steps, or its keys."""
    said = dict(task)
    steps = said.get("commands")
    if steps and all(isinstance(step, Mapping) and set(step) == {"run"} for step in steps):
        said["commands"] = [step["run"] for step in steps]
    if len(said.get("commands", ())) == 1 and isinstance(said["commands"][0], str):
        said["run"] = said.pop("commands")[0]
    if set(said) in ({"run"}, {"commands"}):
        return next(iter(said.values()))
    return said


def project_text(
    document: Mapping[str, Any], comments: Mapping[Path, str] | None = None, head: str = ""
) -> str:
    """The text of zf.yaml, of a file of tasks or of a task file.

    A comment stands above what its path names, as ("tasks", "test"), or at the end of a mapping
    when the path ends in END; `head` stands above everything. Tasks are written as they are given;
    `shortest` makes them short.
    """
    lines = [*_comment(head, 0), *_Writer(comments or {}).mapping(document, (), 0)]
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: int) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{' ' * indent}# {printable(line)}".rstrip()


class _Writer:
    """Arranges values, with the comments that belong to some of them."""

    def __init__(self, comments: Mapping[Path, str]) -> None:
        self._comments = comments
        # Whatever is around a comment cannot be written on one line.
        self._open = {path[:n] for path in comments for n in range(len(path))}

    def mapping(self, value: Mapping[str, Any], path: Path, indent: int) -> Iterator[str]:
        is_tasks = path in _NAMED
        before: list[str] = []
        for key, one in value.items():
            inner = (*path, key)
            entry = [*_comment(self._comments.get(inner, ""), indent)]
            entry += self._entry(f"{' ' * indent}{scalar(key)}:", one, inner, indent)
            if is_tasks and before and max(len(before), len(entry)) > 1:
                yield ""
            yield from entry
            before = entry
        last = [*_comment(self._comments.get((*path, END), ""), indent)]
        if is_tasks and last and before:
            yield ""
        yield from last

    def _entry(self, start: str, value: Any, path: Path, indent: int) -> Iterator[str]:
        """What begins with `start`, a key or the dash of a list, and has this value."""
        if isinstance(value, str) and (block := _block(value, indent + 2)):
            yield f"{start} {block[0]}"
            yield from block[1:]
        elif self._fits(start, value, path):
            yield f"{start} {flow(value)}"
        elif isinstance(value, Mapping):
            yield from self._after(start, self.mapping(value, path, indent + 2), indent)
        else:
            yield start
            for index, one in enumerate(value):
                yield from self._entry(
                    f"{' ' * (indent + 2)}-", one, (*path, str(index)), indent + 2
                )

    @staticmethod
    def _after(start: str, lines: Iterator[str], indent: int) -> Iterator[str]:
        """A mapping below its key, or beginning behind its dash."""
        if not start.endswith("-"):
            yield start
        else:
            yield f"{start} {next(lines)[indent + 2 :]}"
        yield from lines

    def _fits(self, start: str, value: Any, path: Path) -> bool:
        if not isinstance(value, (Mapping, list, tuple)) or not value:
            return True
        if path in self._open or _has_blocks(value):
            return False
        if isinstance(value, Mapping) and (len(value) > _AT_A_GLANCE or "commands" in value):
            return False
        if path in _NAMED or _is_steps(path, value):
            return False
        return len(start) + 1 + len(flow(value)) <= WIDTH


def _is_steps(path: Path, value: Any) -> bool:
    is_list = not isinstance(value, Mapping)
    return is_list and (path[-1] == "commands" or path[:-1] in _NAMED)


def _has_blocks(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" in value
    inner = value.values() if isinstance(value, Mapping) else value
    return isinstance(value, (Mapping, list, tuple)) and any(map(_has_blocks, inner))


def flow(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = (f"{scalar(key, flow=True)}: {flow(one)}" for key, one in value.items())
        return f"{{{', '.join(inside)}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value, flow=True)


def scalar(value: Any, *, flow: bool = False) -> str:
    """A text, number, boolean or nothing on one line; `flow`: inside of brackets or braces."""
    # A quote inside of single quotes would be doubled.
    doubled = isinstance(value, str) and "'" in value and not {'"', "\\"} & {*value}
    for style in (None, '"'):
        inside = _emitted([value], style, flow=True)[1:-1]
        if not flow and isinstance(value, str) and style is None:
            # What brackets would have to quote may stand plain outside of them.
            inside = _emitted({"k": value}, style, flow=False)[3:]
        if style is None and doubled and inside[:1] == "'":
            continue
        if "\n" not in inside and _reads_as(inside, value, flow=flow):
            return inside
    raise ValueError(f"{value!r} cannot be written")


def _emitted(value: Any, style: str | None, *, flow: bool) -> str:
    return yaml.dump(
        value,
        Dumper=yaml.SafeDumper,
        default_style=style,
        default_flow_style=flow,
        width=1 << 30,
        allow_unicode=True,
    ).rstrip("\n")


def _reads_as(written: str, value: Any, *, flow: bool) -> bool:
    text = f"[{written}]\n" if flow else f"k: {written}\n"
    try:
        found = read(Source("", text))
    except yaml.YAMLError:  # a character that cannot stand in a file as it is
        return False
    got = (found.value or [None])[0] if flow else (found.value or {}).get("k")
    return not found.problems and got == value and type(got) is type(value)


def _block(text: str, indent: int) -> list[str]:
    """A script of several lines as it stands, if it can be written so."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) == 1:
        return []
    written = ["|" if text.endswith("\n") else "|-"]
    written += [f"{' ' * indent}{line}" if line else "" for line in lines]
    return written if _reads_as("\n".join(written), text, flow=False) else []
