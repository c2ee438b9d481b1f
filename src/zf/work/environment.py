"""What a step's environment is: a documented allow-list, `pass_env`, the task's `env`, zf's own.

Later ones win. Values of the allow-list and of `env` go into the proof, of the rest only the names.
The allow-list is the table in docs/reference/environment.md; a test compares the two.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from hashlib import sha256

from zf.inputs import Inputs, known_to, text_of, variable
from zf.lean import lazy
from zf.lean.records import Struct
from zf.model import NOTHING, Project, Task
from zf.redact.redactor import secret_inputs
from zf.redact.secret_forms import SECRET_NAME_GLOBS, Secret, is_secret_name
from zf.tracing import TRACEPARENT
from zf.work.supervise.leftovers import COOKIE

# What the folder is called in which steps tell zf something, after the worker's number.
CHANNEL = ".told"
METRICS, OUTPUT = "ZF_METRICS", "ZF_OUTPUT"
# When that folder was changed while nothing was put into it: a time that no clock shows. So a
# single look says that the steps told nothing, as nearly all do.
UNTOUCHED_NS = (0, 0)
# By purpose, as the reference page shows them. A name ending in `*` stands for all that begin so.
# Nothing in here may carry a secret: their values are written into the proof.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "Who and where": ("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER"),
    "Language and time": ("LANG", "LANGUAGE", "LC_*", "TZ"),
    "Terminal": ("CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "FORCE_COLOR", "NO_COLOR", "TERM"),
    "Folders": (
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
    ),
    "Proxies": (
        "ALL_PROXY",
        "FTP_PROXY",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "all_proxy",
        "ftp_proxy",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ),
    "Certificates": (
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    ),
    "Builds and tools": (
        "DOCKER_CONTEXT",
        "DOCKER_HOST",
        "SOURCE_DATE_EPOCH",
        "VIRTUAL_ENV",
    ),
    "Any CI": ("CI",),
    "GitHub Actions": (
        "GITHUB_ACTIONS",
        "GITHUB_ACTOR",
        "GITHUB_BASE_REF",
        "GITHUB_EVENT_NAME",
        "GITHUB_HEAD_REF",
        "GITHUB_JOB",
        "GITHUB_REF",
        "GITHUB_REF_NAME",
        "GITHUB_REF_TYPE",
        "GITHUB_REPOSITORY",
        "GITHUB_REPOSITORY_OWNER",
        "GITHUB_RUN_ATTEMPT",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_NUMBER",
        "GITHUB_SERVER_URL",
        "GITHUB_SHA",
        "GITHUB_WORKFLOW",
        "GITHUB_WORKSPACE",
        "RUNNER_ARCH",
        "RUNNER_NAME",
        "RUNNER_OS",
        "RUNNER_TEMP",
        "RUNNER_TOOL_CACHE",
    ),
    "GitLab CI": (
        "CI_COMMIT_BRANCH",
        "CI_COMMIT_REF_NAME",
        "CI_COMMIT_REF_SLUG",
        "CI_COMMIT_SHA",
        "CI_COMMIT_SHORT_SHA",
        "CI_COMMIT_TAG",
        "CI_DEFAULT_BRANCH",
        "CI_JOB_ID",
        "CI_JOB_NAME",
        "CI_JOB_STAGE",
        "CI_JOB_URL",
        "CI_MERGE_REQUEST_IID",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
        "CI_NODE_INDEX",
        "CI_NODE_TOTAL",
        "CI_PIPELINE_ID",
        "CI_PIPELINE_IID",
        "CI_PIPELINE_SOURCE",
        "CI_PIPELINE_URL",
        "CI_PROJECT_DIR",
        "CI_PROJECT_ID",
        "CI_PROJECT_NAME",
        "CI_PROJECT_PATH",
        "CI_PROJECT_URL",
        "CI_RUNNER_ID",
        "CI_SERVER_HOST",
        "CI_SERVER_URL",
        "GITLAB_CI",
    ),
    "Jenkins": (
        "BRANCH_NAME",
        "BUILD_ID",
        "BUILD_NUMBER",
        "BUILD_URL",
        "CHANGE_ID",
        "CHANGE_TARGET",
        "GIT_BRANCH",
        "GIT_COMMIT",
        "JENKINS_URL",
        "JOB_NAME",
        "NODE_NAME",
        "WORKSPACE",
    ),
    "Others": (
        "APPVEYOR",
        "BITBUCKET_BRANCH",
        "BITBUCKET_BUILD_NUMBER",
        "BITBUCKET_COMMIT",
        "BUILDKITE",
        "BUILDKITE_BRANCH",
        "BUILDKITE_BUILD_NUMBER",
        "BUILDKITE_COMMIT",
        "CIRCLECI",
        "CIRCLE_BRANCH",
        "CIRCLE_BUILD_NUM",
        "CIRCLE_JOB",
        "CIRCLE_SHA1",
        "DRONE",
        "DRONE_BRANCH",
        "DRONE_BUILD_NUMBER",
        "DRONE_COMMIT",
        "TEAMCITY_VERSION",
        "TF_BUILD",
        "TRAVIS",
        "TRAVIS_BRANCH",
        "TRAVIS_BUILD_NUMBER",
        "TRAVIS_COMMIT",
    ),
}
_NAMES = frozenset(name for names in ALLOWED.values() for name in names if name[-1] != "*")
_PREFIXES = tuple(name[:-1] for names in ALLOWED.values() for name in names if name[-1] == "*")
_NOTHING_GIVEN: tuple[dict[str, str], set[str]] = ({}, set())
_WITH_PASSWORD = lazy.pattern(r"\w+://[^/\s]*@")


def channel_files(channel: str, task: str, attempt: int) -> dict[str, str]:
    """The variables that name the files in which an attempt tells something, with their paths."""
    path = f"{channel}/{task}.{attempt}"
    return {METRICS: f"{path}.metrics", OUTPUT: f"{path}.output"}


def has_password(value: str) -> bool:
    """Whether it is like `http://user:password@proxy`: passed on, but never recorded."""
    return "://" in value and _WITH_PASSWORD.match(value) is not None


class Environment(Struct, frozen=True):
    """The variables of a task's steps; STEP_INDEX and TRACEPARENT, which differ from step to step,
    are missing.

    `recorded` names those whose values the proof may show, `hidden` the others.
    """

    values: dict[str, str]
    recorded: frozenset[str] | set[str]
    hidden: tuple[str, ...]

    def for_step(self, index: int, traceparent: str = "") -> dict[str, str]:
        """`values` itself, with its STEP_INDEX changed to `index` (from 0), and its TRACEPARENT if
        it has a trace: no copy, for speed.
        """
        self.values["STEP_INDEX"] = str(index)
        if traceparent:
            self.values[TRACEPARENT] = traceparent
        return self.values


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
        self._project_patterns = project.pass_env
        self._allowed = {
            name: value
            for name, value in environ.items()
            if name in _NAMES or name.startswith(_PREFIXES)
        }
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
        passed = self.passed(task.pass_env)
        given, told = self._given_to(task.phase) if self._inputs else _NOTHING_GIVEN
        values = {**self._allowed, **passed, **given, **task.env, **taken, **own}
        # Processes with the cookie belong to the run, and are killed once the run is dead; a shell
        # that sources env.sh is not one of them.
        recorded = {*self._shown - given.keys(), *told, *task.env, *taken, *own}
        recorded -= {COOKIE, METRICS, OUTPUT}
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

    def secrets(self, task: Task, environment: Environment) -> tuple[Secret, ...]:
        """What a task's output must not show: of what it sees, variables whose names say so; and
        whatever project and task name, passed on or not, as it may be read from elsewhere.
        """
        named = (*self._project_secrets, *task.secrets)
        seen = environment.values
        found = _matching(self._environ, named) if named else {}
        names = tuple(seen)
        if self._inputs:  # of which it is known whether they are secret
            told = self._given_to(task.phase)[1]
            names = tuple([n for n in seen if n not in told or is_secret_name(n, named)])
        found |= {name: seen[name] for name in self._secret_names(names, named)}
        secrets = [Secret(name, os.fsencode(value)) for name, value in found.items() if value]
        if task.arguments:
            secrets += self._of_the_run
        return (*secrets, *secret_inputs(self._inputs)) if self._inputs else tuple(secrets)

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
