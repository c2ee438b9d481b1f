"""What a step's environment is: a documented allow-list, `pass_env`, the task's `env`, zf's own.

Later ones win. Values of the allow-list and of `env` go into the proof, of the rest only the names.
The allow-list is in `variables.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import translate
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING

from zf.inputs import Inputs, known_to, text_of, variable
from zf.lean import lazy
from zf.lean.records import Struct
from zf.model import NOTHING, Project, Step, Task
from zf.redact.redactor import secret_inputs
from zf.redact.secret_forms import SECRET_NAME_GLOBS, Secret, is_secret_name
from zf.tracing import TRACEPARENT
from zf.variables import OF_A_MACHINE, expand, has_references, is_allowed
from zf.work.interpreters import OPEN, way
from zf.work.supervise.leftovers import COOKIE

if TYPE_CHECKING:
    from zf.proof.tree.records import Place

# What the folder is called in which steps tell zf something, after the worker's number.
CHANNEL = ".told"
METRICS, OUTPUT, RUN_FACTS = "ZF_METRICS", "ZF_OUTPUT", "ZF_RUN_FACTS"
# When that folder was changed while nothing was put into it: a time that no clock shows. So a
# single look says that the steps told nothing, as nearly all do.
UNTOUCHED_NS = (0, 0)
_NOTHING_GIVEN: tuple[dict[str, str], set[str]] = ({}, set())
_WITH_PASSWORD = lazy.pattern(r"\w+://[^/\s]*@")
# Shorter values turn up inside innocent ones.
_TELLING = 4
# Where a shell's script uses a variable, and what may be one in any other script.
_MENTIONED = lazy.pattern(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_CAPITALS = lazy.pattern(r"\b([A-Z][A-Z0-9_]{2,})\b")
# Where a script gives it a value itself.
_GIVEN = r"\b{0}=|\bfor\s+{0}\b|\bread\b[^\n]*\b{0}\b"
# What shells set, or bash would not need to be passed.
_SHELLS_OWN = frozenset(
    {
        *("BASH", "BASHPID", "BASH_VERSION", "COLUMNS", "EUID", "HOSTNAME", "HOSTTYPE", "IFS"),
        *("LINENO", "LINES", "MACHTYPE", "OLDPWD", "OPTARG", "OPTIND", "OSTYPE", "PPID", "PS4"),
        *("PWD", "RANDOM", "REPLY", "SECONDS", "SHLVL", "UID", "_"),
    }
)


def channel_files(channel: str, task: str, attempt: int) -> dict[str, str]:
    """The variables that name the files in which an attempt tells something, with their paths."""
    path = f"{channel}/{task}.{attempt}"
    return {METRICS: f"{path}.metrics", OUTPUT: f"{path}.output"}


def facts_file(channel: str, task: str, attempt: int) -> str:
    """Where a handler finds what its run, or phase, came to."""
    return f"{channel}/{task}.{attempt}.run-facts.json"


def own_variables(
    place: Place,
    task: Task,
    attempt: int,
    *,
    folder: str,
    artifacts: str,
    needs: str,
    channel: str,
    cookie: str,
    ports: Mapping[str, str] = NOTHING,
) -> dict[str, str]:
    """Zf's variables for an attempt: `folder` is its proof, `needs` is empty without any; `ports`
    tell those of its services and its phase's.
    """
    return {
        "RUN_ID": place.run,
        "TASK_ID": task.id,
        "PHASE": task.phase,
        "TASK_DIR": f"{place.root}/{task.file}".rpartition("/")[0],
        "ZENFLOW_ROOT": place.root,
        "PROOF_DIR": folder,
        **({"NEEDS_DIR": needs} if needs else {}),
        "ARTIFACTS_DIR": artifacts,
        "ATTEMPT": str(attempt),
        "COMPOSE_PROJECT_NAME": compose_project_name(place.run, task.id),
        **channel_files(channel, task.id, attempt),
        **({RUN_FACTS: facts_file(channel, task.id, attempt)} if task.on_end else {}),
        COOKIE: cookie,
        **ports,
    }


def has_password(value: str) -> bool:
    """Whether it is like `http://user:password@proxy`: passed on, but never recorded."""
    return "://" in value and _WITH_PASSWORD.match(value) is not None


def untold(
    variables: Mapping[str, str], around: Mapping[str, str], globs: Sequence[str]
) -> frozenset[str]:
    """Those of the variables that a condition may name but whose values are not told: by their
    names, or as they hold a secret of those `around`.
    """
    hidden = {name for name in variables if is_secret_name(name, globs)}
    if variables.keys() - hidden:
        secrets = [v for n, v in around.items() if is_secret_name(n, globs)]
        hidden |= {name for name, value in variables.items() if _holds_secret(value, secrets)}
    return frozenset(hidden)


def _holds_secret(value: str, secrets: Iterable[str]) -> bool:
    if has_password(value):
        return True
    return any(len(secret) >= _TELLING and secret in value for secret in secrets)


class Environment(Struct, frozen=True):
    """The variables of a task's steps; STEP_INDEX and TRACEPARENT, which differ from step to step,
    are missing.

    `recorded` names those whose values the proof may show, `hidden` the others.
    """

    values: dict[str, str]
    recorded: frozenset[str] | set[str]
    hidden: tuple[str, ...]

    def for_step(
        self, index: int, traceparent: str = "", own: Mapping[str, str] = NOTHING
    ) -> dict[str, str]:
        """`values` itself, with its STEP_INDEX changed to `index` (from 0), and its TRACEPARENT if
        it has a trace: no copy, for speed, but where the step has variables of its `own`.
        """
        self.values["STEP_INDEX"] = str(index)
        if traceparent:
            self.values[TRACEPARENT] = traceparent
        return {**self.values, **own} if own else self.values

    def of_commands(self, task: Task) -> dict[str, StepEnvironment]:
        """What those commands add to it that have variables of their own, by the names of their
        files.
        """
        if not any(map(_variables_of, task.steps + task.cleanup)):
            return {}
        return {
            f"{kind}-{index}": self._of_step(step)
            for kind, steps in (("step", task.steps), ("cleanup", task.cleanup))
            for index, step in enumerate(steps)
            if step.env
        }

    def _of_step(self, step: Step) -> StepEnvironment:
        """What the step adds to it; a name in its values may be one of these variables."""
        seen = {k: v for k, v in self.values.items() if k not in _UNSEEN}
        found = expand(step.env, seen.get)
        untold = _taking(found.outside, self.hidden)
        return StepEnvironment(found.values, found.values.keys() - untold)


class StepEnvironment(Struct, frozen=True):
    """The variables of one step, and those of them whose values the proof may show."""

    values: Mapping[str, str]
    recorded: frozenset[str] | set[str]

    def shown(self, hide: Callable[[str], str]) -> dict[str, str | None]:
        """The variables as the proof has them: null for a value that it does not tell."""
        told = self.recorded
        return {k: hide(v) if k in told else None for k, v in self.values.items()}


_variables_of = attrgetter("env")
_UNSEEN = frozenset({COOKIE, METRICS, OUTPUT, RUN_FACTS})


def _taking(outside: Mapping[str, frozenset[str]], hidden: Collection[str]) -> set[str]:
    """The variables whose values hold one that the proof does not tell."""
    return {name for name, taken in outside.items() if not taken.isdisjoint(hidden)}


class Outside:
    """The part of the runner's own environment that steps may see; the same for many tasks."""

    def __init__(
        self,
        environ: Mapping[str, str],
        project: Project,
        inputs: Inputs = NOTHING,
        of_the_run: Sequence[Secret] = (),
    ) -> None:
        """`of_the_run` are the secrets of all tasks, which the caller's shell may have put into the
        arguments of any.
        """
        self._environ = environ
        self._inputs = inputs
        self._of_the_run = of_the_run
        # The inputs as variables, by phase, and the names of those that are recorded.
        self._given: dict[str, tuple[dict[str, str], set[str]]] = {}
        self._project_patterns = (*project.pass_env, *project.required_env)
        self._allowed = {name: value for name, value in environ.items() if is_allowed(name)}
        self._shown = frozenset(
            name
            for name, value in self._allowed.items()
            if name.isascii() and name.isidentifier() and not has_password(value)
        )
        self._passed: dict[tuple[str, ...], dict[str, str]] = {}
        self._project_secrets = project.secrets
        self._secret_among: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = {}

    def passed(self, patterns: tuple[str, ...]) -> dict[str, str]:
        """What the project's `pass_env` and these patterns name, beyond the allow-list."""
        found = self._passed.get(patterns)
        if found is None:
            found = self._passed[patterns] = _matching(
                self._environ, (*self._project_patterns, *patterns)
            )
        return found

    def seen(self, task: Task) -> Mapping[str, str]:
        """What its steps see of the runner's environment."""
        return {**self._allowed, **self.passed(task.pass_env + task.required_env)}

    def of_this_machine(self) -> dict[str, str]:
        """Of the allow-list what says where things are on this machine, and is in no container."""
        return {name: value for name, value in self._allowed.items() if name in OF_A_MACHINE}

    def is_from_outside(self, name: str) -> bool:
        """Whether the allow-list is why steps see it, unless something else sets it, too."""
        return name in self._allowed

    def named(self, patterns: tuple[str, ...]) -> dict[str, str]:
        """What these patterns name, whether steps may see it or not."""
        return _matching(self._environ, patterns)

    def build(
        self, task: Task, own: Mapping[str, str], taken: Mapping[str, str] = NOTHING
    ) -> Environment:
        """The environment of a task's steps; `own` are zf's variables for this attempt, `taken`
        those that hold outputs of its needs.
        """
        passed = self.passed(task.pass_env + task.required_env)
        allowed, shown = self._allowed, self._shown
        if task.container:  # the image has its own places and programs
            allowed = {name: value for name, value in allowed.items() if name not in OF_A_MACHINE}
            shown = shown - OF_A_MACHINE
        given, told = self._given_to(task.phase) if self._inputs else _NOTHING_GIVEN
        env, untold = task.env, set()
        if env and has_references(env):
            seen = {**self.seen(task), **given, **taken, **own}
            found = expand(env, lambda name: None if name in _UNSEEN else seen.get(name))
            env = found.values
            # A value of `pass_env` is not recorded, nor is what is made of it.
            plain = {*shown - given.keys(), *told, *taken, *own}
            untold = _taking(found.outside, seen.keys() - plain)
        values = {**allowed, **passed, **given, **env, **taken, **own}
        # Processes with the cookie belong to the run, and are killed once the run is dead; a shell
        # that sources env.sh is not one of them.
        recorded = {*shown - given.keys(), *told, *env, *taken, *own} - _UNSEEN - untold
        hidden = tuple(sorted(values.keys() - recorded)) if len(values) > len(recorded) else ()
        return Environment(values, recorded, hidden)

    def _given_to(self, phase: str) -> tuple[dict[str, str], set[str]]:
        """The variables of the inputs that the tasks of a phase know of, and which of them the
        proof may show.
        """
        if phase not in self._given:
            known = {variable(name): one for name, one in known_to(self._inputs, phase).items()}
            told = {name for name, one in known.items() if not one.hidden}
            self._given[phase] = {name: text_of(one.value) for name, one in known.items()}, told
        return self._given[phase]

    def not_passed(self, step: Step, env: Mapping[str, str]) -> list[str]:
        """The variables of the runner that the script of a step names, and that are not in its
        environment: at most five.
        """
        mentioned = _MENTIONED if way(step.shell) == OPEN else _CAPITALS
        found = dict.fromkeys(mentioned.findall(step.run))
        names = [n for n in found if n in self._environ and n not in env and n not in _SHELLS_OWN]
        return [n for n in names if not re.search(_GIVEN.format(n), step.run)][:5]

    def secrets(
        self, task: Task, environment: Environment, steps: Iterable[StepEnvironment] = ()
    ) -> tuple[Secret, ...]:
        """What a task's output must not show: of what it sees, variables whose names say so; and
        whatever project and task name, passed on or not, as it may be read from elsewhere.
        """
        named = (*self._project_secrets, *task.secrets)
        found = _matching(self._environ, named) if named else {}
        found |= self._secret_values(environment.values, named, task.phase)
        secrets = [Secret(name, os.fsencode(value)) for name, value in found.items() if value]
        for step in steps:
            own = self._secret_values(step.values, named, task.phase)
            secrets += [Secret(n, os.fsencode(value)) for n, value in own.items() if value]
        if task.arguments:
            secrets += self._of_the_run
        return (*secrets, *secret_inputs(self._inputs)) if self._inputs else tuple(secrets)

    def _secret_values(
        self, seen: Mapping[str, str], named: tuple[str, ...], phase: str
    ) -> dict[str, str]:
        """Those of the variables that are called like secrets; of inputs it is known whether they
        are any.
        """
        names = tuple(seen)
        if self._inputs:
            told = self._given_to(phase)[1]
            names = tuple([n for n in seen if n not in told or is_secret_name(n, named)])
        return {name: seen[name] for name in self._secret_names(names, named)}

    def for_condition(
        self, names: Iterable[str], env: Mapping[str, str], task: Task
    ) -> tuple[dict[str, str], frozenset[str]]:
        """The variables of these names that a condition of a step with this environment may look
        at, and those, and keys of inputs, whose values are not told.
        """
        around = {**self._environ, **env}
        seen = {name: around[name] for name in names if name in around}
        globs = (*self._project_secrets, *task.secrets, *SECRET_NAME_GLOBS)
        inputs = known_to(self._inputs, task.phase) if self._inputs else NOTHING
        hidden = {name for name, one in inputs.items() if one.hidden}
        keys = {key for name in hidden for key in (f"input.{name}", variable(name))}
        return seen, untold(seen, around, globs) | keys

    def _secret_names(self, names: tuple[str, ...], named: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the names that say so. Remembered, as most tasks see the same names."""
        known = self._secret_among.get((names, named))
        if known is None:
            globs = (*named, *SECRET_NAME_GLOBS)
            known = tuple([name for name in names if is_secret_name(name, globs)])
            self._secret_among[names, named] = known
        return known


def _matching(environ: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Fnmatch globs, upper and lower case told apart as the shell does."""
    joined = "|".join(translate(pattern) for pattern in patterns)
    if not joined:
        return {}
    matches = re.compile(joined).match
    return {name: value for name, value in environ.items() if matches(name)}


def compose_project_name(run: str, task: str) -> str:
    """`zf-<run>-<task>` as Docker Compose accepts it.

    When folding to `[a-z0-9_-]` changed something or the name is over 63 characters (what a DNS
    label may hold), part of a hash of the unfolded name keeps it unique.
    """
    whole = f"zf-{run}-{task}"
    folded = _NOT_IN_COMPOSE.sub("-", whole.lower())
    if folded == whole and len(whole) <= _MAX_COMPOSE_NAME:
        return whole
    mark = sha256(whole.encode()).hexdigest()[:8]
    return f"{folded[: _MAX_COMPOSE_NAME - 9]}-{mark}"


_MAX_COMPOSE_NAME = 63
_NOT_IN_COMPOSE = lazy.pattern(r"[^a-z0-9_-]")
