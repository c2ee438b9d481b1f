"""The files of other tools, read so that none can harm or hang zf: text, and YAML as plain values
that know their lines. Merge keys are taken in, tags are kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import yaml

from zf.errors import Problem, ZfError, printable
from zf.lean.records import Struct
from zf.plan.yaml import source as reading
from zf.plan.yaml import syntax
from zf.plan.yaml.source import Source

MAX_DEPTH = 64
# Aliases counted at every use: far more than any file of a pipeline has.
MAX_VALUES = 200_000
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Map(dict[str, Any]):
    """A mapping whose keys know their lines."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def line_of(self, key: str) -> int:
        """The line of a key, from 1; of the mapping where there is none."""
        return self.lines.get(key, self.line)


class Seq(list[Any]):
    """A list whose entries know their lines."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int = 0) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []

    def with_lines(self) -> Iterator[tuple[Any, int]]:
        """The entries, each with its line."""
        return zip(self, self.lines, strict=True)


class Tagged(Struct, frozen=True):
    """A value with a tag of the tool's own, such as `!reference`."""

    tag: str
    value: Any
    line: int


def text(path: str, file: str) -> str:
    """The text of a file, with plain line breaks. ZfError for what cannot be read."""
    return _source(path, file).text.replace("\r\n", "\n")


def yaml_of(path: str, file: str) -> Map:
    """The mapping that a YAML file is; of several documents the last. ZfError if it is none."""
    source = _source(path, file)
    try:
        _look_at_depth(source)
        nodes = list(yaml.compose_all(source.text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise ZfError("", problems=(syntax.explain(source, error),)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _no_yaml(source, str(error).splitlines()[0]) from None
    found = _Values(source).of(nodes[-1], 0) if nodes and nodes[-1] is not None else None
    if not isinstance(found, Map):
        raise _no_yaml(source, "it holds no mapping")
    return found


def _source(path: str, file: str) -> Source:
    found = reading.read(path, file)
    if isinstance(found, Problem):
        raise ZfError("", problems=(found,))
    if found is None:
        raise ZfError(f"{file} is not there", code="ZF680", hint="name a file that exists")
    return found


def _no_yaml(source: Source, why: str) -> ZfError:
    problem = Problem("ZF680", f"the file cannot be imported: {why}", source.file)
    return ZfError("", problems=(problem,))


def _look_at_depth(source: Source) -> None:
    """Refuse what is nested so deep that composing it could crash."""
    depth = 0
    for event in yaml.parse(source.text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _no_yaml(source, f"it is nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Values:
    """Makes values of nodes, and counts them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = MAX_VALUES

    def of(self, node: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _no_yaml(self._source, f"with its aliases it has more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise _no_yaml(self._source, "an anchor holds itself, or it is nested too deep")
        made = self._made(node, depth)
        own = not node.tag.startswith("tag:yaml.org,2002:")
        return Tagged(node.tag, made, _line(node)) if own else made

    def _made(self, node: Any, depth: int) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            found = Seq(_line(node))
            for one in node.value:
                found.append(self.of(one, depth + 1))
                found.lines.append(_line(one))
            return found
        return _scalar(node)

    def _mapping(self, node: Any, depth: int) -> Map:
        found = Map(_line(node))
        merged: list[Map] = []
        for key, value in node.value:
            made = self.of(value, depth + 1)
            if key.value == "<<" and isinstance(key, yaml.ScalarNode):
                merged += made if isinstance(made, Seq) else [made]
                continue
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            found[name] = made
            found.lines[name] = _line(key)
        for below in merged:
            if isinstance(below, Map):
                for name, value in below.items():
                    if name not in found:
                        found[name] = value
                        found.lines[name] = below.line_of(name)
        return found


def _line(node: Any) -> int:
    line: int = node.start_mark.line
    return line + 1


def _scalar(node: Any) -> Any:
    """Nothing, a boolean or a whole number where that is plainly meant, else the text: 3.10 stays
    3.10.
    """
    said: str = node.value
    if node.style:  # a quote, or the sign of a block
        return said
    if said in _WORDS:
        return _WORDS[said]
    return int(said) if _INT.fullmatch(said) else said


def as_text(value: Any) -> str | None:
    """A scalar as the text that stands in the file, or nearly; None for a list or mapping."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None


def as_list(value: Any) -> list[Any]:
    """A list, or the one thing that stands in its place."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def as_map(value: Any) -> Map:
    """The mapping, or an empty one for anything else."""
    return value if isinstance(value, Map) else Map()


def file_in(path: str, names: tuple[str, ...], tool: str) -> str:
    """The file that is meant: `path` itself, or the first of these names in that folder."""
    if not os.path.isdir(path):
        return path
    for name in names:
        if os.path.isfile(f"{path}/{name}"):
            return os.path.join(path, name)
    listed = f"{', '.join(names[:-1])} or {names[-1]}" if names[1:] else names[0]
    raise ZfError(
        f"there is no {listed} in {printable(path)}",
        code="ZF680",
        hint=f"name the file, or the folder that it is in: zf import {tool} PATH",
    )
