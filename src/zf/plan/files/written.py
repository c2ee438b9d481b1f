"""One file as it was read: its text, the values in it, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.lean.records import Struct, field
from zf.plan.files.place import Loc
from zf.plan.yaml import source, yaml12
from zf.plan.yaml.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails
    from yaml.nodes import Node

    from zf.plan.form import Form


class Written(Struct):
    """A file that is there. `source` is None where its text could not be had, and then, or where
    the text is no YAML or empty, `root` is None.
    """

    path: str
    file: str
    source: Source | None
    document: yaml12.Document
    problems: list[Problem] = field(default_factory=list)

    @property
    def root(self) -> Node | None:
        return self.document.root

    @property
    def value(self) -> Any:
        return self.document.value

    def mapping(self, key: str) -> dict[str, Any]:
        """What the file has under a key, if that is a mapping."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return found if isinstance(found, dict) else {}

    def explained(self, form: Form, errors: Iterable[ErrorDetails]) -> list[Problem]:
        """What a form has against it, as problems of the file."""
        found = list(errors)
        if not found or self.source is None:
            return []
        from zf.plan.yaml import wording  # noqa: PLC0415 - of a bad file

        return wording.explain(self.source, self.document, form, found)

    def problem(self, loc: Loc, code: str, message: str, hint: str | None) -> Problem:
        """A finding about the value at `loc`, or about its key where that ends with `KEY`."""
        assert self.source is not None
        node = self.document.node_at(loc)
        return self.source.problem(code, message, node.start_mark, node.end_mark, hint=hint)


def read(path: str, file: str) -> Written | None:
    """The file at `path`; None when there is nothing of that name."""
    found = source.read(path, file)
    if found is None:
        return None
    if isinstance(found, Problem):
        return Written(path, file, None, yaml12.Document(), [found])
    document = yaml12.read(found)
    return Written(path, file, found, document, document.problems)
