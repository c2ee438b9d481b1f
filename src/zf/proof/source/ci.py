"""What CI systems say of the run in their variables: one row for each system. Unverified.

A pull request's branch is not recorded as the branch: anyone may name a fork's branch `main`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.lean.records import Struct, field


class Told(Struct, frozen=True):
    """What a CI system says, None where it says nothing. `says` names, for `commit`, `branch` and
    `tag`, the variable that told it.
    """

    about: Mapping[str, str | None]
    commit: str | None = None
    branch: str | None = None
    tag: str | None = None
    says: Mapping[str, str] = field(default_factory=dict)


# How each row's words are read: the first of the variables that is set; `{NAME}` puts a text
# together, and is nothing if one of its variables is not set. `ref` is a whole git ref, which says
# by itself whether it is a branch, a tag or a request.
_Row = Mapping[str, tuple[str, ...]]
_SYSTEMS: Mapping[str, _Row] = {
    "GITHUB_ACTIONS": {
        "run": ("GITHUB_RUN_ID",),
        "url": ("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",),
        "actor": ("GITHUB_ACTOR",),
        "event": ("GITHUB_EVENT_NAME",),
        "attempt": ("GITHUB_RUN_ATTEMPT",),
        "job": ("GITHUB_JOB",),
        "commit": ("GITHUB_SHA",),
        "ref": ("GITHUB_REF",),
    },
    "GITLAB_CI": {
        "run": ("CI_PIPELINE_URL", "CI_PIPELINE_ID"),
        "url": ("CI_JOB_URL", "CI_PIPELINE_URL"),
        "actor": ("GITLAB_USER_LOGIN",),
        "event": ("CI_PIPELINE_SOURCE",),
        "job": ("CI_JOB_NAME",),
        "request": ("CI_MERGE_REQUEST_IID",),
        "commit": ("CI_COMMIT_SHA",),
        "branch": ("CI_COMMIT_BRANCH",),
        "tag": ("CI_COMMIT_TAG",),
    },
    "BUILDKITE": {
        "run": ("BUILDKITE_BUILD_URL",),
        "url": ("BUILDKITE_BUILD_URL",),
        "actor": ("BUILDKITE_BUILD_CREATOR",),
        "event": ("BUILDKITE_SOURCE",),
        "attempt": ("BUILDKITE_RETRY_COUNT",),
        "job": ("BUILDKITE_LABEL",),
        "request": ("BUILDKITE_PULL_REQUEST",),
        "commit": ("BUILDKITE_COMMIT",),
        "branch": ("BUILDKITE_BRANCH",),
        "tag": ("BUILDKITE_TAG",),
    },
    "CIRCLECI": {
        "run": ("CIRCLE_BUILD_URL",),
        "url": ("CIRCLE_BUILD_URL",),
        "actor": ("CIRCLE_USERNAME",),
        "job": ("CIRCLE_JOB",),
        "request": ("CIRCLE_PULL_REQUEST",),
        "commit": ("CIRCLE_SHA1",),
        "branch": ("CIRCLE_BRANCH",),
        "tag": ("CIRCLE_TAG",),
    },
    "TF_BUILD": {
        "run": ("BUILD_BUILDURI",),
        "url": (
            "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        ),
        "actor": ("BUILD_REQUESTEDFOR",),
        "event": ("BUILD_REASON",),
        "attempt": ("SYSTEM_JOBATTEMPT",),
        "job": ("SYSTEM_JOBNAME",),
        "request": ("SYSTEM_PULLREQUEST_PULLREQUESTID",),
        "commit": ("BUILD_SOURCEVERSION",),
        "ref": ("BUILD_SOURCEBRANCH",),
    },
    "JENKINS_URL": {
        "run": ("BUILD_URL",),
        "url": ("BUILD_URL",),
        "actor": ("BUILD_USER_ID",),
        "job": ("JOB_NAME",),
        "request": ("CHANGE_ID",),
        "commit": ("GIT_COMMIT",),
        "branch": ("BRANCH_NAME", "GIT_LOCAL_BRANCH", "GIT_BRANCH"),
        "tag": ("TAG_NAME",),
    },
    "BITBUCKET_BUILD_NUMBER": {
        "run": ("BITBUCKET_BUILD_NUMBER",),
        "url": ("{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",),
        "actor": ("BITBUCKET_STEP_TRIGGERER_UUID",),
        "attempt": ("BITBUCKET_STEP_RUN_NUMBER",),
        "request": ("BITBUCKET_PR_ID",),
        "commit": ("BITBUCKET_COMMIT",),
        "branch": ("BITBUCKET_BRANCH",),
        "tag": ("BITBUCKET_TAG",),
    },
    "TRAVIS": {
        "run": ("TRAVIS_BUILD_WEB_URL",),
        "url": ("TRAVIS_JOB_WEB_URL",),
        "event": ("TRAVIS_EVENT_TYPE",),
        "job": ("TRAVIS_JOB_NAME",),
        "request": ("TRAVIS_PULL_REQUEST",),
        "commit": ("TRAVIS_COMMIT",),
        "branch": ("TRAVIS_BRANCH",),
        "tag": ("TRAVIS_TAG",),
    },
    "DRONE": {
        "run": ("DRONE_BUILD_LINK",),
        "url": ("DRONE_BUILD_LINK",),
        "actor": ("DRONE_BUILD_TRIGGER",),
        "event": ("DRONE_BUILD_EVENT",),
        "job": ("DRONE_STEP_NAME",),
        "request": ("DRONE_PULL_REQUEST",),
        "commit": ("DRONE_COMMIT_SHA", "DRONE_COMMIT"),
        "branch": ("DRONE_BRANCH",),
        "tag": ("DRONE_TAG",),
    },
    "APPVEYOR": {
        "run": ("APPVEYOR_BUILD_ID",),
        "url": ("{APPVEYOR_URL}/project/{APPVEYOR_REPO_NAME}/builds/{APPVEYOR_BUILD_ID}",),
        "actor": ("APPVEYOR_REPO_COMMIT_AUTHOR",),
        "job": ("APPVEYOR_JOB_NAME",),
        "request": ("APPVEYOR_PULL_REQUEST_NUMBER",),
        "commit": ("APPVEYOR_REPO_COMMIT",),
        "branch": ("APPVEYOR_REPO_BRANCH",),
        "tag": ("APPVEYOR_REPO_TAG_NAME",),
    },
}
_ABOUT = ("run", "url", "actor", "event", "attempt", "job", "request")
# What systems say instead of nothing.
_NONE = {"", "false"}
_REFS = {"refs/heads/": "branch", "refs/tags/": "tag"}
_REQUESTS = ("refs/pull/", "refs/merge-requests/")


def told(environ: Mapping[str, str]) -> Told | None:
    """What the CI system says; None outside the ones known here."""
    for system, row in _SYSTEMS.items():
        if environ.get(system, "") not in _NONE:
            return _told(system, row, environ)
    return None


def _told(system: str, row: _Row, environ: Mapping[str, str]) -> Told:
    found = {key: _first(words, environ) for key, words in row.items()}
    values: dict[str, str | None] = {key: value for key, (value, _) in found.items()}
    says = {key: name for key, (value, name) in found.items() if value}
    if ref := values.pop("ref", None):
        _read_ref(ref, says.pop("ref"), values, says)
    if values.get("request"):
        values["branch"] = None
    elif branch := values.get("branch"):
        # Jenkins names the remote's branch.
        values["branch"] = branch.removeprefix("origin/")
    about: dict[str, Any] = {"system": system} | {key: values.get(key) for key in _ABOUT}
    where = {key: values.get(key) for key in ("commit", "branch", "tag")}
    return Told(about, **where, says={key: says[key] for key in where if where[key]})


def _read_ref(ref: str, name: str, values: dict[str, str | None], says: dict[str, str]) -> None:
    for prefix, key in _REFS.items():
        if ref.startswith(prefix):
            values[key], says[key] = ref.removeprefix(prefix), name
    if ref.startswith(_REQUESTS):
        values["request"] = ref.split("/")[2]


def _first(words: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str | None, str]:
    """The first of these that is set, and its variable."""
    for word in words:
        if "{" in word:
            try:
                return word.format_map(environ), word
            except KeyError:
                continue
        if environ.get(word, "") not in _NONE:
            return environ[word], word
    return None, ""
