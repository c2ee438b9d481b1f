"""Values of `env`: what their `${NAME}` refer to, and whether that is there. Pure, but for the
environment that a run is about to have, which is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from zf.lean.records import Struct
from zf.model import RESERVED_ENV, Project, Service, Step, Task
from zf.plan.suggest import nearest
from zf.plan.topology import shortest_cycles
from zf.plan.topology import shown as in_circle
from zf.variables import (
    BadReferenceError,
    Reference,
    expand,
    is_allowed,
    references,
    service_variables,
)

# What zf sets, but not before a step starts, or for itself.
_UNSEEN = frozenset({"STEP_INDEX", "TRACEPARENT", "ZF_COOKIE", "ZF_METRICS", "ZF_OUTPUT"})
_OURS = RESERVED_ENV - _UNSEEN

Loc = tuple[int | str, ...]


class Finding(Struct, frozen=True):
    """What is wrong with a value: where it stands in the task, and which of its characters; the
    whole where `length` is 0.
    """

    code: str
    loc: Loc
    at: int
    length: int
    message: str
    hint: str | None


def _maps(task: Task) -> Iterator[tuple[Loc, Mapping[str, str], Step | None]]:
    """Its maps of variables and where they stand; those of steps with their step."""
    if task.env:
        yield ("env",), task.env, None
    for key, steps in (("commands", task.steps), ("cleanup", task.cleanup)):
        for index, step in enumerate(steps):
            if step.env:
                yield (key, index, "env"), step.env, step


def check(task: Task, project: Project, also: Collection[str] = ()) -> Iterator[Finding]:
    """References that cannot be read, name nothing that steps see, or go round in a circle.
    `also` are variables that a task has without saying so.
    """
    globs = (*task.pass_env, *project.pass_env)
    named = {*task.required_env, *project.required_env, *_OURS, *task.env_from, *also}
    phase = project.phases.get(task.phase)
    named.update(of_services((*task.services, *(phase.services if phase else ()))))
    if not task.needs:
        named.discard("NEEDS_DIR")
    for loc, env, step in _maps(task):
        below = named | (task.env.keys() if step else set())
        for name, text in env.items():
            if "${" in text:
                yield from _check_one((*loc, name), text, below, env, globs)
        yield from _circles(loc, env)


def of_services(services: Iterable[Service]) -> Iterator[str]:
    """The variables that tell their ports."""
    return (name for one in services for name in service_variables(one.name, one.ports))


def _check_one(
    loc: Loc, text: str, below: set[str], env: Mapping[str, str], globs: tuple[str, ...]
) -> Iterator[Finding]:
    try:
        found = list(references(text))
    except BadReferenceError as error:
        hint = "write ${NAME} or ${NAME:-default}; $${ stands for the characters ${"
        yield Finding("ZF261", loc, error.at, 2, f"'{loc[-1]}' has {error}", hint)
        return
    for one in found:
        own = one.name in env and one.name != loc[-1]
        if own or one.name in below or is_allowed(one.name):
            continue
        if any(fnmatchcase(one.name, glob) for glob in globs):
            continue
        known = below | env.keys() - {loc[-1]}
        yield Finding("ZF262", loc, one.at, one.length, *_unknown(loc, one, known))


def _unknown(loc: Loc, one: Reference, known: set[str]) -> tuple[str, str]:
    guess = nearest(one.name, known)
    hint = f"add it to `pass_env`, or write $${{{one.name}}} for these characters"
    if one.name == "NEEDS_DIR":
        hint = "it is there for a task with `needs`"
    elif one.name in RESERVED_ENV:
        hint = "it is set when a step starts: use it in `run`"
    elif guess:
        hint = f"did you mean '{guess}'?"
    return f"'{loc[-1]}' names {one.name}, which steps do not see", hint


def _circles(loc: Loc, env: Mapping[str, str]) -> Iterator[Finding]:
    needs = {name: _named(name, text) & env.keys() for name, text in env.items()}
    for cycle in shortest_cycles(needs):
        message = f"values name each other in a circle: {in_circle([*cycle, cycle[0]])}"
        yield Finding("ZF263", (*loc, cycle[0]), 0, 0, message, "write one of them out")


def _named(name: str, text: str) -> set[str]:
    try:
        return {one.name for one in references(text)} - {name} if "${" in text else set()
    except BadReferenceError:
        return set()


def check_here(
    task: Task, seen: Callable[[str], str | None], also: Collection[str] = ()
) -> Iterator[Finding]:
    """Values that come to nothing in the environment of a run: a variable that they name is not
    set, or they are too long. `seen` has what the task's steps see of the environment, and `also`
    are variables that they have besides.
    """
    ours = dict.fromkeys((*_OURS, *task.env_from, *of_services(task.services), *also), "")
    below: Mapping[str, str] = {}
    for loc, env, step in _maps(task):

        def look(name: str, below: Mapping[str, str] = below) -> str | None:
            return below.get(name, ours.get(name, seen(name)))

        found = expand(env, look)
        for name, why in found.problems.items():
            hint = "set it, or give a default: ${NAME:-default}" if why.endswith("set") else None
            yield Finding("ZF264", (*loc, name), 0, 0, f"'{name}' has no value: {why}", hint)
        if step is None:
            below = found.values


def lacking(task: Task, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The variables without which no run of the task begins, and which are not set, or empty."""
    for index, name in enumerate(task.required_env):
        if not (environ.get(name) or task.env.get(name)):
            hint = f"set {name} before zf is started"
            message = f"task '{task.id}' requires {name}, which is {_how(name, environ)}"
            yield Finding("ZF265", ("required_env", index), 0, 0, message, hint)


def lacking_of_project(project: Project, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The same for every run of the project."""
    for index, name in enumerate(project.required_env):
        if not environ.get(name):
            hint = f"set {name} before zf is started"
            message = f"the project requires {name}, which is {_how(name, environ)}"
            yield Finding("ZF265", ("required_env", index), 0, 0, message, hint)


def _how(name: str, environ: Mapping[str, str]) -> str:
    return "empty" if name in environ else "not set"
