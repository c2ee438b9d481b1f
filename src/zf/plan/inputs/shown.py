"""What can be given to runs of a project, as `zf list` shows it."""

from __future__ import annotations

from collections.abc import Iterator

from zf.errors import printable
from zf.inputs import Input, text_of
from zf.model import Project

_SHOWN_CHARS = 40


def lines(project: Project) -> Iterator[str]:
    """A line for each input, below a heading; nothing where there are none."""
    rows = [(name, "", one) for name, one in project.inputs.items()]
    for phase, about in project.phases.items():
        rows += [(name, phase, one) for name, one in about.inputs.items()]
    width = max((len(name) for name, _, _ in rows), default=0)
    if rows:
        yield "inputs"
    for name, phase, one in rows:
        told = [_values(one), *_more(one, phase)]
        yield printable(f"  {name:{width}}  {', '.join(told)}: {one.description}".rstrip(": "))


def _values(one: Input) -> str:
    if one.options:
        kind = "some of " if one.type == "list" else ""
        return kind + "|".join(one.options)
    if one.least is None and one.most is None:
        return one.type
    least, most = ("" if end is None else text_of(end) for end in (one.least, one.most))
    return f"{one.type} {least}..{most}"


def _more(one: Input, phase: str) -> Iterator[str]:
    if phase:
        yield f"phase {phase}"
    if one.required:
        yield "required"
    if one.secret:
        yield "secret"
    if one.default is not None:
        text = text_of(one.default).replace("\n", ",")
        yield f"default {text if len(text) <= _SHOWN_CHARS else f'{text[:_SHOWN_CHARS]}...'}"
