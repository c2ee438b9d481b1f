"""Where a run came from, for run.json: program, machine, person, source and settings.

Asks git and the operating system, believes neither more than it must, and never fails: what cannot
be found out is null, and `source.note` says why.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import zf
from zf.events import timestamp

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Mapping, Sequence

SCHEMA = "zf/run/v2"
# A repository so large that git needs longer is described without its state rather than waited for.
GIT_TIMEOUT_S = 10.0
# Nothing git reads on the way may run a program or wait for a person.
_GIT = (
    "git",
    "--no-pager",
    "--no-optional-locks",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.untrackedCache=false",
    "-c",
    "color.ui=false",
)
# Set inside hooks; they would make git answer for another repository than the root's.
_GIT_LOCAL = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_STATUS = ("status", "--porcelain=v2", "--branch", "--untracked-files=normal", "-z")
# The variable by which one knows the system -> where it tells the run, and who set it off.
_CI_SYSTEMS = {
    "GITHUB_ACTIONS": ("GITHUB_RUN_ID", "GITHUB_ACTOR"),
    "GITLAB_CI": ("CI_PIPELINE_URL", "GITLAB_USER_LOGIN"),
    "BUILDKITE": ("BUILDKITE_BUILD_URL", "BUILDKITE_BUILD_CREATOR"),
    "CIRCLECI": ("CIRCLE_BUILD_URL", "CIRCLE_USERNAME"),
    "TF_BUILD": ("BUILD_BUILDURI", "BUILD_REQUESTEDFOR"),
    "JENKINS_URL": ("BUILD_URL", "BUILD_USER_ID"),
}
# What a person's own git configuration would otherwise change in a diff's bytes.
_DIFF = (
    "diff",
    "--no-ext-diff",
    "--no-textconv",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-relative",
    "--diff-algorithm=myers",
    "--unified=3",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--submodule=short",
)


def collect(
    root: str,
    argv: Sequence[str],
    *,
    run_id: str,
    settings: Mapping[str, Mapping[str, Any]],
    started_at: str | None = None,
    exclude: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    redact: Callable[[str], str] = str,
) -> dict[str, Any]:
    """What run.json holds.

    `settings` maps each name to its value and source; `exclude` names folders under `root` whose
    files do not make the tree dirty (the proofs); `redact` sees every text a user could have
    put a secret into.
    """
    uname = os.uname()
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "zf_version": zf.__version__,
        "python_version": ".".join(map(str, sys.version_info[:3])),
        "platform": f"{uname.sysname} {uname.release} {uname.machine}",
        "host": uname.nodename,
        "user": user_name(),
        "ci": ci(os.environ if environ is None else environ),
        "command": [redact(word) for word in argv],
        "started_at": started_at or timestamp(time.time()),
        "source": source(root, exclude=exclude, environ=environ),
        "settings": {name: dict(setting) for name, setting in settings.items()},
    }


def ci(environ: Mapping[str, str]) -> dict[str, str | None] | None:
    """What the CI system says of itself; None outside the ones known here. Nobody checks it."""
    for system, (run, actor) in _CI_SYSTEMS.items():
        if environ.get(system):
            return {"system": system, "run": environ.get(run), "actor": environ.get(actor)}
    return None


def user_name() -> str:
    """The account's name, or its number where it has none (a container's usual case)."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def source(
    root: str, *, exclude: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The commit and state of the work tree `root` is in, as git tells it.

    `diff_sha256` is null for a clean tree; otherwise it is the SHA-256 over the binary diff
    against the commit, followed by git's own status lines (which name the untracked files).
    """
    found: dict[str, Any] = dict.fromkeys(
        ("commit", "branch", "tree", "dirty", "diff_sha256", "repo", "note")
    )
    if not _may_be_work_tree(root):
        found["note"] = _NO_WORK_TREE
        return found
    environment = git_environment(os.environ if environ is None else environ)
    # Relative to the root, and away from what zf itself writes there.
    inside = [os.path.relpath(path, root) if os.path.isabs(path) else path for path in exclude]
    paths = (":(top)", *(f":(exclude,literal){path}" for path in inside))
    try:
        # Side by side: each costs milliseconds, most of them waiting.
        status = _git(root, environment, "status", "--porcelain=v2", "--branch", "-z", "--", *paths)
        tree = _git(root, environment, "rev-parse", "--verify", "--quiet", "HEAD^{tree}")
        remote = _git(root, environment, "config", "--get", "remote.origin.url")
    except OSError as error:
        found["note"] = f"git could not be started: {error.strerror}"
        return found
    deadline = time.monotonic() + GIT_TIMEOUT_S
    told = _finish(status, deadline)
    found["tree"] = _line(_finish(tree, deadline))
    found["repo"] = _without_password(_line(_finish(remote, deadline)))
    if told is None:
        found["note"] = f"git gave no answer in time, or {_NO_WORK_TREE}"
        return found
    lines = told.split(b"\0")
    head = {
        key: value
        for key, _, value in (
            line[2:].decode("utf-8", "backslashreplace").partition(" ")
            for line in lines
            if line.startswith(b"# ")
        )
    }
    commit, branch = head.get("branch.oid"), head.get("branch.head")
    found["commit"] = None if commit == "(initial)" else commit
    found["branch"] = None if branch == "(detached)" else branch
    changes = [line for line in lines if line and not line.startswith(b"# ")]
    found["dirty"] = bool(changes)
    if changes:
        found["diff_sha256"] = _diff_digest(root, environment, found["commit"], paths, changes)
    return found


def _may_be_work_tree(root: str) -> bool:
    """Whether git could find one from here; asking it takes 8 ms, import and all."""
    folder = os.path.abspath(root)
    while not os.path.lexists(f"{folder}/.git"):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return True


_NO_WORK_TREE = "this is not a git work tree"


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which git answers for the folder it is asked in, and asks nobody."""
    kept = {name: value for name, value in environ.items() if name not in _GIT_LOCAL}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _git(root: str, environment: Mapping[str, str], *words: str) -> subprocess.Popen[bytes]:
    import subprocess  # noqa: PLC0415 - 3 ms where there is no repository

    return subprocess.Popen(
        (*_GIT, *words),
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _finish(git: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What git printed; None when it failed or took too long (then it is ended)."""
    from subprocess import TimeoutExpired  # noqa: PLC0415 - as above

    with git:
        try:
            out, _ = git.communicate(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutExpired:
            git.kill()
            return None
    return out if git.returncode == 0 else None


def _line(out: bytes | None) -> str | None:
    text = (out or b"").decode("utf-8", "backslashreplace").strip()
    return text or None


def _without_password(url: str | None) -> str | None:
    """The address of the repository without what may stand before the @ of its host."""
    if url is None:
        return None
    from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415 - 3 ms where there is no remote

    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url


def _diff_digest(
    root: str,
    environment: Mapping[str, str],
    commit: str | None,
    paths: Iterable[str],
    changes: Iterable[bytes],
) -> str | None:
    digest = sha256()
    if commit is not None:
        git = _git(root, environment, *_DIFF, commit, "--", *paths)
        diff = _finish(git, time.monotonic() + GIT_TIMEOUT_S)
        if diff is None:
            return None
        digest.update(diff)
    for change in changes:
        digest.update(change + b"\0")
    return digest.hexdigest()
