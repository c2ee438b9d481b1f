"""What zf itself writes about tasks, without the secrets in it.

Of its own task a worker knows all secrets, those its output named included. `Veil` knows what can
be known of all tasks of a run from outside, for whatever is written where no worker is: the plan,
tasks that did not run, attempts whose worker died. Ids are never touched: others refer to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.proof.store import task_lines
from zf.record import replace
from zf.work.redact import Redactor
from zf.work.secret_forms import (
    SECRET_NAME_GLOBS,
    WEAK_BYTES,
    Secret,
    is_secret_name,
    secrets_in,
)

if TYPE_CHECKING:
    from zf.model import Project, Step, Task


class Veil:
    """Hides every secret of every task, as far as they are known before a task runs."""

    def __init__(self, tasks: Iterable[Task], environ: Mapping[str, str], project: Project) -> None:
        self._secrets = tuple(_secrets(tasks, environ, project))
        self._redactor = Redactor(self._secrets)
        self.text = self._redactor.text

    def task(self, task: Task) -> Task:
        """The task as it may be shown."""
        if not self._redactor.search((task_lines(task).encode("ascii"),)):
            return task
        return without_secrets(task, self._redactor)

    def plan(self, plan: dict[str, Any]) -> dict[str, Any]:
        """What plan.json may say: titles and names of steps are all that is free text in it."""
        texts = [phase["title"] for phase in plan["phases"]]
        for task in plan["tasks"]:
            texts += (task["title"], *(step["name"] for step in task["steps"]))
        # One look at all of them: there is hardly ever a secret in there.
        if not self._redactor.search(("\0".join(texts).encode(errors="surrogateescape"),)):
            return plan
        hide = self.text
        return plan | {
            "phases": [phase | {"title": hide(phase["title"])} for phase in plan["phases"]],
            "tasks": [
                task
                | {
                    "title": hide(task["title"]),
                    "steps": [step | {"name": hide(step["name"])} for step in task["steps"]],
                }
                for task in plan["tasks"]
            ],
        }

    def artifacts(self, task: Task) -> ArtifactSecrets:
        """What the task's artifacts must not hold."""
        return ArtifactSecrets(self._redactor, self._secrets, task.allow_secrets_in)


def _secrets(
    tasks: Iterable[Task], environ: Mapping[str, str], project: Project
) -> Iterable[Secret]:
    named = dict.fromkeys(project.secrets)
    own: list[Secret] = []
    # Tasks use the same names again and again.
    is_secret = cache(is_secret_name)
    for task in tasks:
        if not (task.env or task.secrets):
            continue
        named |= dict.fromkeys(task.secrets)
        globs = (*project.secrets, *task.secrets, *SECRET_NAME_GLOBS)
        own += [
            Secret(name, value.encode(errors="surrogateescape"))
            for name, value in task.env.items()
            if value and is_secret(name, globs)
        ]
    return (*secrets_in(environ, named), *own)


class ArtifactSecrets:
    """What is looked for in artifacts: all that is hidden in output, but for values so short that
    they occur by chance. Hiding one of those costs a word; here it would cost the task.
    """

    def __init__(
        self, redactor: Redactor, secrets: Iterable[Secret], patterns: tuple[str, ...]
    ) -> None:
        self._redactor = redactor
        self._weak = {f"secret:{one.name}" for one in secrets if len(one.value) < WEAK_BYTES}
        self._patterns = patterns
        # What was let through, for the proof to say.
        self.allowed: list[str] = []

    def search(self, path: str, data: Iterable[bytes]) -> list[str]:
        """The rules that forbid the artifact; none where its name matches one of `patterns`."""
        rules = [rule for rule in self._redactor.search(data) if rule not in self._weak]
        if rules and any(fnmatchcase(path, pattern) for pattern in self._patterns):
            found = f"holds what must not be seen ({', '.join(sorted(rules))})"
            self.allowed.append(f"artifact {printable(path)} {found}: allow_secrets_in permits it")
            return []
        return rules

    def text(self, text: str) -> str:
        """The text without what must not be seen."""
        return self._redactor.text(text)


def without_secrets(task: Task, redactor: Redactor) -> Task:
    """The task as it may be shown; its id, names of variables and numbers stay."""
    hide = redactor.text

    def hidden(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return tuple(replace(step, name=hide(step.name), run=hide(step.run)) for step in steps)

    return replace(
        task,
        title=hide(task.title),
        workdir=hide(task.workdir),
        env={name: hide(value) for name, value in task.env.items()},
        artifacts=tuple(map(hide, task.artifacts)),
        allow_secrets_in=tuple(map(hide, task.allow_secrets_in)),
        steps=hidden(task.steps),
        cleanup=hidden(task.cleanup),
    )
