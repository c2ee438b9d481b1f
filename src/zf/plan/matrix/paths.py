"""Paths, globs and images of a task with a matrix: `${MATRIX_PY}` in them is the value of an
instance.

The matrix is all that is known when its instances are made, so nothing else is put there. A value
is put as the text that it is: its wildcards match themselves, and no path that comes of it leaves
the project. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.instances import matrix_variable
from zf.lean.records import Struct, replace
from zf.model import Step, Task
from zf.plan.files.patterns import INSIDE
from zf.plan.suggest import nearest
from zf.variables import BadReferenceError, Reference, references, unescaped

if TYPE_CHECKING:
    from zf.plan.files.place import Loc

# The keys that hold lists of globs: those of git, and those of file names.
_GIT = ("sources", "generates")
_GLOBS = (*_GIT, "artifacts", "allow_secrets_in", "reports")
# The keys that name images, which lie nowhere.
_IMAGES = _IMAGE, _SERVICE = "container", "services"
# Of the names of variables this many are told.
_MOST_NAMES = 5
_INSIDE = re.compile(INSIDE)
_MATRIX = matrix_variable("")
_NAMED = re.compile(r"\$\{\w+(?::-[^{}]*)?\}")
# What stands for a character that is special in globs; each of the two knows `[` in one way only.
_ITSELF = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]", "\\": "[\\\\]"})
_ITSELF_FOR_GIT = _ITSELF | str.maketrans({"[": "\\["})


class BadPathError(ValueError):
    """Nothing can be put into a path: which of its characters are to blame, and a remedy."""

    def __init__(self, at: int, length: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.at, self.length, self.hint = at, length, hint


class Finding(Struct, frozen=True):
    """What is wrong with a path: where it stands in the task, and which of its characters."""

    loc: Loc
    at: int
    length: int
    message: str
    hint: str


def asking(form: Mapping[str, Any]) -> list[tuple[Loc, str]]:
    """The paths of a task's form in which something is to be put, and where they stand."""
    return [(loc, path) for loc, path in _paths(form) if "${" in path]


def check(
    paths: Iterable[tuple[Loc, str]],
    every: Sequence[Mapping[str, str]],
    *,
    any_name: bool = False,
) -> Iterator[Finding]:
    """Those of the paths into which the values of an instance cannot be put, each told once;
    `every` has those of each instance, by variable. With `any_name`, of a matrix of which it is
    known later what it sets, only what no value can mend.
    """
    named = {name for values in every for name in values}
    for loc, path in paths:
        try:
            if any_name:
                named = {one.name for one in _references(path) if one.name.startswith(_MATRIX)}
            _refuse_unknown(path, named)
            for values in [dict.fromkeys(named, "x")] if any_name else every:
                _put(path, str(loc[0]), values)
        except BadPathError as error:
            yield Finding(loc, error.at, error.length, str(error), error.hint)


def not_put(task: Task) -> Iterator[tuple[Loc, str]]:
    """Where a path of a task without a matrix has `${NAME}`, and what stands there."""
    listed: list[tuple[Loc, str]] = [(("workdir",), task.workdir)]
    if task.container:
        listed.append((("container",), task.container["image"]))
    for key in _GLOBS:
        if key != "reports":
            listed += [((key, index), one) for index, one in enumerate(getattr(task, key))]
    for loc, path in listed:
        found = _NAMED.search(path)
        if found is not None:
            yield loc, found[0]


def placed(task: Task, values: Mapping[str, str]) -> Task:
    """The task with these values of an instance, by variable, in its paths. Raises BadPathError."""
    if not any("${" in path for path in _paths_of(task)):
        return task

    def put(key: str, globs: Iterable[str]) -> tuple[str, ...]:
        return tuple([_put(one, key, values) for one in globs])

    return replace(
        task,
        **{key: put(key, getattr(task, key)) for key in _GLOBS if key != "reports"},
        required_artifacts=put("artifacts", task.required_artifacts),
        reports={kind: put("reports", globs) for kind, globs in task.reports.items()},
        workdir=_put(task.workdir, "workdir", values),
        container=_imaged(task.container, values),
        services=tuple(
            [replace(one, image=_put(one.image, _SERVICE, values)) for one in task.services]
        ),
        steps=_moved(task.steps, values),
        cleanup=_moved(task.cleanup, values),
    )


def _imaged(container: Mapping[str, Any], values: Mapping[str, str]) -> Mapping[str, Any]:
    if not container:
        return container
    return {**container, "image": _put(container["image"], _IMAGE, values)}


def _moved(steps: tuple[Step, ...], values: Mapping[str, str]) -> tuple[Step, ...]:
    return tuple(
        [
            replace(step, workdir=_put(step.workdir, "workdir", values)) if step.workdir else step
            for step in steps
        ]
    )


def _paths(form: Mapping[str, Any]) -> Iterator[tuple[Loc, str]]:
    if "workdir" in form:
        yield ("workdir",), form["workdir"]
    if isinstance(container := form.get("container"), str):
        yield ("container",), container
    elif container:
        yield ("container", "image"), container["image"]
    for index, service in enumerate(form.get("services", ())):
        if "image" in service:
            yield ("services", index, "image"), service["image"]
    for key in _GLOBS:
        listed = form.get(key, ())
        kinds = listed.items() if isinstance(listed, dict) else [(None, listed)]
        for kind, globs in kinds:
            above = (key,) if kind is None else (key, kind)
            for index, one in enumerate(globs):
                loc = (*above, index)
                yield (loc, one) if isinstance(one, str) else ((*loc, "path"), one["path"])
    for key in ("commands", "cleanup"):
        for index, step in enumerate(form.get(key, ())):
            if "workdir" in step:
                yield (key, index, "workdir"), step["workdir"]


def _paths_of(task: Task) -> Iterator[str]:
    yield task.workdir
    if task.container:
        yield task.container["image"]
    for service in task.services:
        yield service.image
    for key in _GLOBS:
        yield from getattr(task, key) if key != "reports" else ()
    for globs in task.reports.values():
        yield from globs
    for step in (*task.steps, *task.cleanup):
        yield step.workdir


def _put(path: str, key: str, values: Mapping[str, str]) -> str:
    """The path with these values; raises BadPathError."""
    if "${" not in path:
        return path
    parts, at = [], 0
    for one in _references(path):
        value = values.get(one.name)
        value = value or one.default if one.default is not None else value
        if value is None:
            message = f"{_told(values)} has no value for {one.name}"
            raise BadPathError(one.at, one.length, message, f"give it one: ${{{one.name}:-other}}")
        parts += [unescaped(path[at : one.at]), _as_text(value, key)]
        at = one.at + one.length
    whole = "".join(parts) + unescaped(path[at:])
    if key in _IMAGES:
        return whole
    sign = "!" if key in _GIT and path[0] == "!" else ""
    if not _INSIDE.fullmatch(whole.removeprefix(sign)):
        message = (
            f"the path of {_told(values)} is {whole!r:.80}, which does not stay in the project"
        )
        raise BadPathError(0, len(path), message, "paths are relative to its root, without `..`")
    if key in _GIT and not sign and whole[0] == "!":
        return f"./{whole}"  # or it would take files out
    return whole


def _references(path: str) -> list[Reference]:
    try:
        return list(references(path))
    except BadReferenceError as error:
        hint = "write ${MATRIX_NAME} or ${MATRIX_NAME:-default}; $${ stands for the characters ${"
        raise BadPathError(error.at, 2, f"the path has {error}", hint) from None


def _refuse_unknown(path: str, named: Collection[str]) -> None:
    for one in _references(path):
        if one.name not in named:
            guess = nearest(one.name, named)
            known = ", ".join(f"${{{name}}}" for name in sorted(named)[:_MOST_NAMES])
            hint = f"did you mean '{guess}'?" if guess else f"what the matrix sets is {known}"
            message = f"nothing is put for {one.name} in a path: the matrix does not set it"
            raise BadPathError(one.at, one.length, message, hint)


def _told(values: Mapping[str, str]) -> str:
    """An instance, by what its variables are."""
    return f"the instance {' '.join(f'{name}={value}' for name, value in values.items()):.120}"


def _as_text(value: str, key: str) -> str:
    """What stands for a value: in a glob its wildcards match themselves."""
    if key not in _GLOBS:
        return value
    kept = value.translate(_ITSELF_FOR_GIT if key in _GIT else _ITSELF)
    # A space at the end is none for git.
    return f"{kept[:-1]}[ ]" if kept.endswith(" ") and key in _GIT else kept
