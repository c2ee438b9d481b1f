"""`strategy` of a job of GitHub Actions -> the matrix of its task."""

from __future__ import annotations

import re
from typing import Any

from zf.adopt.importers.model import Import, Job
from zf.adopt.importers.reading import Map, as_list, as_text

_AXIS = re.compile("[A-Za-z_][A-Za-z0-9_-]{0,63}")
_TAKEN = {"etc", "from", "max_parallel", "fail_fast", "include", "exclude"}
_MOST_CHARS = 1000


class Matrix:
    """Reads `strategy`, and puts a matrix into the task if zf can have it."""

    def __init__(self, source: Import, job: Job, said: Map) -> None:
        self._source, self._job, self._said = source, job, said

    def take(self) -> tuple[str, ...]:
        """The names of all axes of the matrix that the task has."""
        said = self._said.get("matrix")
        if said is None:
            return ()
        line = self._said.line_of("matrix")
        made = self._made(said) if isinstance(said, Map) else None
        if made is None:
            remedy = "write the values as lists of texts: zf takes no others, and none of a run"
            self._source.manual(f"matrix: {_shown(said)}", remedy, line=line, job=self._job)
            return ()
        axes = [key for key in made if key not in {"include", "exclude"}]
        axes += [key for one in made.get("include", ()) for key in one]
        made |= self._limits()
        self._job.keys["matrix"] = made
        self._source.exact(f"matrix: {', '.join(dict.fromkeys(axes))}", line=line, job=self._job)
        return tuple(dict.fromkeys(axes))

    def _made(self, said: Map) -> dict[str, Any] | None:
        """The matrix as zf has it; None if there is a value that it cannot have."""
        made: dict[str, Any] = {}
        for key, value in said.items():
            if key in {"include", "exclude"}:
                listed = [_entry(one) for one in value] if isinstance(value, list) else [None]
                if None in listed:
                    return None
                made[key] = listed
            else:
                values = [_value(one) for one in value] if isinstance(value, list) else [None]
                if None in values or not _is_axis(key) or not values:
                    return None
                made[key] = list(dict.fromkeys(values))
        return made or None

    def _limits(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if isinstance(many := self._said.get("max-parallel"), int) and many > 0:
            found["max_parallel"] = many
        if self._said.get("fail-fast") is not False:
            found["fail_fast"] = True
        for key in ("max-parallel", "fail-fast"):
            if key in self._said:
                if "${{" in (as_text(self._said[key]) or ""):
                    what = "left out, as it is known when GitHub runs"
                    self._source.changed(key, what, line=self._said.line_of(key), job=self._job)
                else:
                    self._source.exact(key, line=self._said.line_of(key), job=self._job)
        return found


def _is_axis(name: str) -> bool:
    return _AXIS.fullmatch(name) is not None and name not in _TAKEN


def _value(value: Any) -> str | None:
    text = as_text(value)
    if text is None or "${{" in text or len(text) > _MOST_CHARS:
        return None
    return text


def _entry(said: Any) -> dict[str, str] | None:
    if not isinstance(said, Map) or not said:
        return None
    made = {key: _value(value) for key, value in said.items()}
    if None in made.values() or not all(map(_is_axis, made)):
        return None
    return {key: value for key, value in made.items() if value is not None}


def _shown(value: Any) -> str:
    if isinstance(value, Map):
        return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    return ", ".join(map(_shown, as_list(value))) if isinstance(value, list) else str(value)
