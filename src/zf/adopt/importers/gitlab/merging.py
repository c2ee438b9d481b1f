"""A pipeline with its local includes, and its jobs with what they extend and refer to."""

from __future__ import annotations

import os
from typing import Any

from zf.adopt.importers import reading
from zf.adopt.importers.model import Import, Job, Origin
from zf.adopt.importers.names import as_id
from zf.adopt.importers.reading import Map, Seq, Tagged, as_list, as_map, as_text

_MOST_FILES = 50
_MOST_DEPTH = 11
# Keys of the top that are no jobs.
TOP = {
    "after_script",
    "before_script",
    "cache",
    "default",
    "image",
    "include",
    "services",
    "spec",
    "stages",
    "types",
    "variables",
    "workflow",
}


def whole(origin: Origin, source: Import) -> Map:
    """The file, over what it includes."""
    return _file(origin, origin, source, [])


def _file(origin: Origin, root: Origin, source: Import, seen: list[str]) -> Map:
    said = reading.yaml_of(origin.path, origin.file)
    seen.append(os.path.realpath(origin.path))
    merged = Map()
    line = said.line_of("include")
    for one in as_list(said.get("include")):
        path = as_text(one.get("local") if isinstance(one, Map) else one) or ""
        inner = root.beside(path.lstrip("/"))
        construct = f"include {path or ', '.join(f'{k}: {v}' for k, v in as_map(one).items())}"
        is_local = path and "://" not in path and "*" not in path
        if is_local and not inner.unread and len(seen) < _MOST_FILES:
            if os.path.realpath(inner.path) not in seen:
                over(merged, _file(inner, root, source, seen))
            source.exact(construct, line=line, job=None)
        else:
            job = Job(f"include-{as_id(path or 'elsewhere')}-{len(source.jobs) + 1}", line)
            source.jobs.append(job)
            why = inner.unread if is_local else "what it says is not in this project"
            remedy = f"{why or 'too many files are included'}: write what it adds"
            source.manual(construct, remedy, line=line, job=job)
    over(merged, said)
    return merged


def over(below: Map, above: Map) -> None:
    """Lay one mapping over another: mappings in it are merged, all else is replaced."""
    for key, value in above.items():
        known = below.get(key)
        if isinstance(known, Map) and isinstance(value, Map):
            made = Map(value.line)
            over(made, known)
            over(made, value)
            below[key] = made
        else:
            below[key] = value
        below.lines[key] = above.line_of(key)


class Jobs:
    """The jobs of a pipeline, each as it comes to be; `wrong` says what of one cannot be had."""

    def __init__(self, said: Map) -> None:
        self.said = said
        self.wrong: dict[str, list[str]] = {}

    def names(self) -> list[str]:
        """Those that are run: not hidden ones, nor what is no job."""
        return [
            name
            for name, one in self.said.items()
            if name not in TOP and not name.startswith(".") and isinstance(one, Map)
        ]

    def job(self, name: str) -> Map:
        """A job with what it extends, references in it looked up."""
        found = self._extended(name, name, 0)
        made = Map(self.said.line_of(name))
        for key, value in found.items():
            made[key] = self._referred(value, name, 0)
            made.lines[key] = found.line_of(key)
        return made

    def _extended(self, name: str, owner: str, depth: int) -> Map:
        own = as_map(self.said.get(name))
        made = Map(own.line)
        for base in as_list(own.get("extends")):
            text = as_text(base) or ""
            if text not in self.said or depth >= _MOST_DEPTH:
                self.wrong.setdefault(owner, []).append(f"extends: {text}")
            else:
                over(made, self._extended(text, owner, depth + 1))
        over(made, own)
        made.pop("extends", None)
        return made

    def _referred(self, value: Any, owner: str, depth: int) -> Any:
        """The value with what `!reference` names in its place."""
        if isinstance(value, Tagged):
            return self._reference(value, owner, depth)
        if isinstance(value, Seq):
            made = Seq(value.line)
            for one, line in value.with_lines():
                new = self._referred(one, owner, depth)
                is_put_in = isinstance(one, Tagged) and isinstance(new, list)
                for each in new if is_put_in else [new]:
                    made.append(each)
                    made.lines.append(line)
            return made
        if isinstance(value, Map):
            found = Map(value.line)
            for key, one in value.items():
                found[key] = self._referred(one, owner, depth)
                found.lines[key] = value.line_of(key)
            return found
        return value

    def _reference(self, value: Tagged, owner: str, depth: int) -> Any:
        path = [as_text(one) or "" for one in as_list(value.value)]
        found: Any = self.said
        for number, key in enumerate(path):
            if number == 0 and key in self.said and key not in TOP:
                found = self._extended(key, owner, depth + 1)
            else:
                found = found.get(key) if isinstance(found, Map) else None
        if value.tag != "!reference" or found is None or depth >= _MOST_DEPTH:
            self.wrong.setdefault(owner, []).append(f"{value.tag} {', '.join(path)}")
            return None
        return self._referred(found, owner, depth + 1)
