"""What tasks do with inputs that cannot be meant: variables of their names, and templates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from zf.inputs import Input, variable
from zf.lean import lazy
from zf.lean.records import replace
from zf.model import Project, Task, declares_inputs
from zf.plan.files.place import Loc
from zf.plan.yaml.yaml12 import KEY

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.plan.drafts import Draft

# What GitHub, GitLab, and go-task would put something else for. What Docker's and others' options
# take for templates looks like the last, so that counts only where it names an input.
_TEMPLATE = lazy.pattern(
    r"\$\{\{\s*(?P<github>[^{}]*?)\s*\}\}"
    r"|\$\[\[\s*(?P<gitlab>[^\[\]]*?)\s*\]\]"
    r"|\{\{\s*\.(?P<task>\w+)\s*\}\}"
)
_ARGUMENTS = "CLI_ARGS"


def known_to(project: Project, draft: Draft) -> Mapping[str, Input]:
    """The inputs that a task knows of."""
    phase = project.phases.get(draft.task.phase) if draft.task else None
    return {**project.inputs, **phase.inputs} if phase and phase.inputs else project.inputs


def fields(project: Project, *, is_good: bool) -> Callable[[Draft], Collection[str]]:
    """Which inputs a condition of a task may name. Of a project file that is no good it is not
    known, so there all are.
    """

    def known(draft: Draft) -> Collection[str]:
        if not is_good:
            return {field.key for _, one in draft.conditions() for field in one.fields}
        return {f"input.{name}" for name in known_to(project, draft)}

    return known


def check_env(drafts: Iterable[Draft], project: Project) -> Iterator[Problem]:
    """Variables that tasks set which are those of inputs."""
    if not declares_inputs(project):
        return
    for draft in drafts:
        names = {variable(name): name for name in known_to(project, draft)}
        for loc, env in _environments(draft.task):
            for each in [each for each in names if each in env]:
                message = f"'{each}' is what steps know the input '{names[each]}' as"
                yield draft.problem((*loc, each, KEY), "ZF278", message, "choose another name")


def _environments(task: Task | None) -> Iterator[tuple[Loc, Collection[str]]]:
    """Each `env` of a task, and where it is."""
    if task is None:
        return
    if task.env or task.env_from:
        yield ("env",), {*task.env, *task.env_from}
    for kind, steps in (("commands", task.steps), ("cleanup", task.cleanup)):
        for index, step in enumerate(steps):
            if step.env:
                yield (kind, index, "env"), step.env


def template_warnings(drafts: Iterable[Draft], project: Project) -> Iterator[Problem]:
    """Scripts with templates, for which zf puts nothing."""
    for draft in drafts:
        for index, step in enumerate(draft.task.steps if draft.task else ()):
            if "{{" in step.run or "$[[" in step.run:
                yield from _templates(draft, index, step.run, known_to(project, draft))


def _templates(
    draft: Draft, index: int, script: str, inputs: Mapping[str, Input]
) -> Iterator[Problem]:
    names = {each: name for name in inputs for each in (name, name.upper().replace("-", "_"))}
    for found in _TEMPLATE.finditer(script):
        name = found["task"]
        if name is not None and name not in names and name != _ARGUMENTS:
            continue
        said = found["github"] or found["gitlab"] or name or ""
        meant = names.get(said.removeprefix("inputs.").removeprefix("input."))
        hint = f'write "${variable(meant)}"' if meant else 'values come as variables: "$NAME"'
        if name == _ARGUMENTS:
            hint = 'write "$@"'
        pointer, at = draft.pointer(("commands", index, "run"))
        message = f"zf puts nothing for {found[0]}: bash gets the script as it is written"
        where = found.start(), len(found[0])
        yield replace(pointer.inside(at, *where, "ZF277", message, hint), severity="warning")
