"""What zf itself writes about tasks, without the secrets in it.

Of its own task a worker knows all secrets, those its output named included. `Redactor` knows what
can be known of all tasks of a run from outside, for what is written where no worker is: the plan,
tasks that did not run, attempts whose worker died. Ids are never touched: others refer to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.inputs import text_of, variable
from zf.instances import matrix_variable
from zf.lean.records import replace
from zf.model import NOTHING, definition_sha256, script_sha256
from zf.redact.secret_forms import SECRET_NAME_GLOBS, Secret, is_secret_name, secrets_in
from zf.redact.stream import StreamRedactor
from zf.variables import expand, has_references

if TYPE_CHECKING:
    from zf.inputs import Inputs
    from zf.model import Project, Step, Task


def secret_axes(tasks: Iterable[Task], project: Project) -> Iterator[Problem]:
    """Axes of matrices that are called like secrets, each once: their values are part of names, so
    that they stand wherever a proof speaks of the task.
    """
    told: set[tuple[str, str]] = set()
    for task in tasks:
        if not (task.matrix or task.matrix_from):
            continue
        base = task.base or task.id
        later = (axis for axis in task.matrix_from if axis not in _NO_AXES)
        for axis in task.matrix or later:
            globs = (*project.secrets, *task.secrets, *SECRET_NAME_GLOBS)
            if (base, axis) in told or not is_secret_name(matrix_variable(axis), globs):
                continue
            told.add((base, axis))
            yield Problem(
                code="ZF161",
                message=f"the axis '{axis}' of '{base}' is called like a secret, and its"
                " values stand in the names of its instances",
                file=task.file,
                line=task.line,
                hint="rename the axis; take what is secret from the environment, with pass_env",
            )


# Of a matrix that is known later.
_NO_AXES = frozenset({"from", "include", "exclude"})


class Redactor:
    """Hides every secret of every task, as far as they are known before a task runs."""

    def __init__(
        self,
        tasks: Iterable[Task],
        environ: Mapping[str, str],
        project: Project,
        inputs: Inputs = NOTHING,
    ) -> None:
        """The `inputs` are those of the run."""
        self._tasks = {task.id: task for task in tasks}
        own = [
            *_own_secrets(self._tasks.values(), environ, project),
            *secret_inputs(inputs),
        ]
        named = dict.fromkeys(project.secrets)
        for task in self._tasks.values():
            named |= dict.fromkeys(task.secrets)
        # Not by their names alone: what happens to be set in another shell is no part of a task.
        self._given = (
            *own,
            *(s for s in secrets_in(environ, named) if is_secret_name(s.name, named)),
        )
        self._defining: StreamRedactor | None = None
        self.secrets = (*secrets_in(environ, named), *own)
        self.full = StreamRedactor(self.secrets)
        self.text = self.full.text

    def inputs(self, inputs: Inputs) -> Inputs:
        """The inputs, those hidden whose values hold a secret, whatever zf.yaml says of them."""
        holds = self.full.holds_secret
        return {
            name: replace(given, hidden=True)
            if given.hidden or holds(text_of(given.value).encode(errors="replace"))
            else given
            for name, given in inputs.items()
        }

    def task(self, task: Task) -> Task:
        """The task as it may be shown."""
        if not self.full.holds_secret(free_text(task)):
            return task
        return without_secrets(task, self.full)

    def plan(self, plan: dict[str, Any]) -> dict[str, Any]:
        """What plan.json may say: titles and names of steps are all that is free text in it, and
        the digests are of tasks without secrets.
        """
        texts = [phase["title"] for phase in plan["phases"]]
        for row in plan["tasks"]:
            texts += (row["title"], *(step["name"] for step in row["steps"]))
        for task in self._tasks.values():
            texts += _texts(task)
        # All of them at once: there is hardly ever a secret in there.
        if not self.full.holds_secret(_joined(texts)):
            return plan
        hide = self.text
        return plan | {
            "phases": [phase | {"title": hide(phase["title"])} for phase in plan["phases"]],
            "tasks": [
                task
                | {
                    **self._digest(task),
                    "title": hide(task["title"]),
                    "steps": [step | {"name": hide(step["name"])} for step in task["steps"]],
                }
                for task in plan["tasks"]
            ],
        }

    def _digest(self, row: Mapping[str, Any]) -> dict[str, str]:
        """What another digest than the recorded one is, where it is of a task with secrets."""
        task = self._tasks.get(row["id"])
        if task is None or (defined := self.defined(task)) is task:
            return {}
        return {"sha256": definition_sha256(defined), "script_sha256": script_sha256(defined)}

    def defined(self, task: Task) -> Task:
        """The task as its digest in plan.json is taken: without the secrets its project gives or
        names. Else a reader of the proof could try values until the digest is right.
        """
        if self._defining is None:
            self._defining = StreamRedactor(self._given)
        if not self._defining.holds_secret(free_text(task)):
            return task
        return without_secrets(task, self._defining)

    def about(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """What run.json may say of machine, person, source and settings."""
        told = {name: about[name] for name in _FREE if name in about}
        if not self.full.holds_secret(_joined(_strings(told))):
            return dict(about)
        return {**about, **_hidden(told, self.text)}


# What of run.json was taken from outside; its other texts are digests, ids and names.
_FREE = ("platform", "host", "user", "ci", "source", "settings")
_KEPT = frozenset({"commit", "tree", "diff_sha256", "run_id"})


def _strings(value: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    """The same with every text hidden but digests and ids."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {k: v if k in _KEPT else _hidden(v, hide) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(one, hide) for one in value]
    return value


def _texts(task: Task) -> list[str]:
    """The free texts of a task."""
    texts = [task.title, task.workdir, task.condition, *task.env.values(), *task.artifacts]
    texts += (*task.arguments, *task.allow_secrets_in)
    for one in task.services:
        texts += (one.run, one.image, one.ready)
    for globs in task.reports.values():
        texts += globs
    for step in task.steps + task.cleanup:
        texts += (step.name, step.run)
        if step.env or step.shell or step.workdir or step.condition:
            texts += (*step.env.values(), *step.shell, step.workdir, step.condition)
    return texts


def free_text(task: Task) -> bytes:
    """All free texts of a task, to be searched at once."""
    return _joined(_texts(task))


def _joined(texts: Iterable[str]) -> bytes:
    return "\0".join(texts).encode(errors="surrogateescape")


def hidden_by_name(inputs: Inputs, project: Project) -> Inputs:
    """The inputs, those hidden that are called like secrets and not declared to be none."""
    globs = (*project.secrets, *SECRET_NAME_GLOBS)
    return {
        name: replace(given, hidden=True)
        if given.value and not given.may_be_shown and is_secret_name(variable(name), globs)
        else given
        for name, given in inputs.items()
    }


def secret_inputs(inputs: Inputs) -> list[Secret]:
    """The values of inputs that must not be seen."""
    return [
        Secret(variable(name), text.encode(errors="surrogateescape"))
        for name, given in inputs.items()
        if given.hidden and (text := text_of(given.value))
    ]


def _own_secrets(
    tasks: Iterable[Task], environ: Mapping[str, str], project: Project
) -> list[Secret]:
    """The values that task files themselves give to variables with names of secrets."""
    own: list[Secret] = []
    # Tasks use the same names again and again.
    is_secret = cache(is_secret_name)
    for task in tasks:
        for env in (task.env, *(step.env for step in (*task.steps, *task.cleanup) if step.env)):
            if not env:
                continue
            globs = (*project.secrets, *task.secrets, *SECRET_NAME_GLOBS)
            own += [
                Secret(name, value.encode(errors="surrogateescape"))
                for name, value in _meant(env, {**environ, **task.env}).items()
                if value and is_secret(name, globs)
            ]
    return own


def _meant(env: Mapping[str, str], around: Mapping[str, str]) -> Mapping[str, str]:
    """The values of such a map, those aside that name what only an attempt has."""
    return expand(env, around.get).values if has_references(env) else env


def without_secrets(task: Task, redactor: StreamRedactor) -> Task:
    """The task as it may be shown; its id, names of variables and numbers stay."""
    hide = redactor.text

    def hidden(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(
            replace(
                step,
                name=hide(step.name),
                run=hide(step.run),
                shell=tuple(map(hide, step.shell)),
                env={name: hide(value) for name, value in step.env.items()},
                workdir=hide(step.workdir),
                condition=hide(step.condition),
            )
            for step in steps
        )

    return replace(
        task,
        title=hide(task.title),
        workdir=hide(task.workdir),
        condition=hide(task.condition),
        env={name: hide(value) for name, value in task.env.items()},
        artifacts=tuple(map(hide, task.artifacts)),
        required_artifacts=tuple(map(hide, task.required_artifacts)),
        allow_secrets_in=tuple(map(hide, task.allow_secrets_in)),
        arguments=tuple(map(hide, task.arguments)),
        reports={kind: [*map(hide, globs)] for kind, globs in task.reports.items()},
        steps=hidden(task.steps),
        cleanup=hidden(task.cleanup),
        services=tuple(
            replace(one, run=hide(one.run), image=hide(one.image), ready=hide(one.ready))
            for one in task.services
        ),
    )
