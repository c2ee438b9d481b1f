"""Variables by name: which of its own zf lets every step see, and what `${NAME}` stands for in the
values of `env`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from zf.lean import lazy
from zf.lean.records import Struct, field
from zf.model import Task

# By purpose, as the reference page shows them. A name ending in `*` stands for all that begin so.
# Nothing in here may carry a secret: their values are written into the proof.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "User and places": ("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER"),
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
# Of these, those that say where things are on this machine, and so nothing in a container.
OF_A_MACHINE = frozenset(
    {
        *ALLOWED["User and places"],
        *ALLOWED["Folders"],
        *ALLOWED["Certificates"],
        *("DOCKER_CONTEXT", "DOCKER_HOST", "VIRTUAL_ENV"),
    }
)
_NAMES = frozenset(name for names in ALLOWED.values() for name in names if name[-1] != "*")
_PREFIXES = tuple(name[:-1] for names in ALLOWED.values() for name in names if name[-1] == "*")


def is_allowed(name: str) -> bool:
    """Whether every step may see it."""
    return name in _NAMES or name.startswith(_PREFIXES)


# What Linux lets one argument or variable have, with its name (MAX_ARG_STRLEN).
MAX_BYTES = 128 * 1024
# An escaped `${`; a reference; a `${` that is none.
_REFERENCE = lazy.pattern(
    r"\$(?P<escaped>\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\})?"
)


class BadReferenceError(ValueError):
    """A `${` that names nothing, `at` this character of the value."""

    def __init__(self, at: int) -> None:
        super().__init__("a '${' that is no ${NAME} or ${NAME:-default}")
        self.at = at


class Reference(Struct, frozen=True):
    """A `${NAME}`, or `${NAME:-default}`, at a character of a value."""

    name: str
    default: str | None
    at: int
    length: int


def references(text: str) -> Iterator[Reference]:
    """Those in a value of `env`; raises BadReferenceError for a `${` that is none."""
    for found in _REFERENCE.finditer(text):
        if found["escaped"]:
            continue
        if not found["name"]:
            raise BadReferenceError(found.start())
        at, end = found.span()
        yield Reference(found["name"], found["default"], at, end - at)


class Expanded(Struct):
    """The values that the texts of a map stand for. `outside` has the names that each took from
    beyond the map, itself or through others; `problems` says why there is no value.
    """

    values: dict[str, str] = field(default_factory=dict)
    outside: dict[str, frozenset[str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def has_references(env: Mapping[str, str]) -> bool:
    """Whether there is anything in there to expand."""
    for text in env.values():  # no expression, which is an object more: every task comes here  # noqa: SIM110
        if "${" in text:
            return True
    return False


def refers(task: Task) -> bool:
    """Whether a value of its variables, or of a step's, may name others."""
    if task.env and has_references(task.env):
        return True
    for step in (*task.steps, *task.cleanup):  # no expression: every task comes here  # noqa: SIM110
        if step.env and has_references(step.env):
            return True
    return False


def expand(env: Mapping[str, str], below: Callable[[str], str | None]) -> Expanded:
    """What the map means: a name in one of its values is another of its entries, or what `below`
    knows; so is an entry's own name. What comes from there is taken as it is.
    """
    done = Expanded()
    open_: set[str] = set()
    for first in env:
        todo = [first]
        while todo:
            name = todo[-1]
            if name in done.values or name in done.problems:
                todo.pop()
                continue
            others = _others(name, env)
            lacking = [n for n in others if n not in done.values and n not in done.problems]
            if open_.intersection(lacking):
                done.problems[name] = "it is part of a circle"
            elif lacking:
                open_.add(name)
                todo += lacking
            else:
                _expand_one(name, env[name], env, below, done)
    return done


def _others(name: str, env: Mapping[str, str]) -> list[str]:
    """The other entries of the map that its value names; none of a value that cannot be read."""
    try:
        named = [one.name for one in references(env[name])] if "${" in env[name] else []
    except BadReferenceError:
        return []
    return [one for one in named if one != name and one in env]


def _expand_one(
    name: str,
    text: str,
    env: Mapping[str, str],
    below: Callable[[str], str | None],
    done: Expanded,
) -> None:
    try:
        found = list(references(text)) if "${" in text else []
    except BadReferenceError as error:
        done.problems[name] = str(error)
        return
    parts, at, size = [], 0, 0
    outside: set[str] = set()
    for one in found:
        inside = one.name != name and one.name in env
        value = done.values.get(one.name) if inside else below(one.name)
        if inside:
            outside |= done.outside.get(one.name, frozenset())
        else:
            outside.add(one.name)
        value = value or one.default if one.default is not None else value
        if value is None:
            done.problems[name] = f"${{{one.name}}} is not set"
            return
        size += len(value)
        if size > MAX_BYTES:
            done.problems[name] = f"its value is longer than {MAX_BYTES // 1024} KiB"
            return
        parts += [unescaped(text[at : one.at]), value]
        at = one.at + one.length
    done.values[name] = "".join(parts) + unescaped(text[at:])
    if outside:
        done.outside[name] = frozenset(outside)


def unescaped(text: str) -> str:
    return text.replace("$${", "${")


def service_variables(service: str, ports: Iterable[str]) -> list[str]:
    """The variables that tell the ports of a service: `SVC_DB_PORT` is the first of a service `db`,
    and each is told by its own name, too, as `SVC_DB_ADMIN_PORT`.
    """
    name, words = _word(service), [_word(port) for port in ports]
    return [f"SVC_{name}_PORT", *(f"SVC_{name}_{one}_PORT" for one in words)] if words else []


def _word(name: str) -> str:
    """A name as a part of the name of a variable."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())
