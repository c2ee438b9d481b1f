"""Who may approve in a run, fixed when it begins: a step that edits the list of allowed signers
changes nothing for the run that it is part of.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from zf.errors import ZfError
from zf.model import Project, Task
from zf.plan.gates.approvers import TOKENS, Approvers

_MOST_BYTES = 1024 * 1024


def recorded(
    tasks: Iterable[Task],
    root: str,
    project: Project,
    environ: Mapping[str, str],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """What run.json has of that; empty where no task is to be approved. `about` is what it has
    besides.
    """
    asking = [task for task in tasks if task.approval]
    if not asking:
        return {}
    names = dict.fromkeys(name for task in asking for name in task.approval["by"])
    approvers = Approvers.of(root, project)
    # A key vouches for more than a token does, so a name that has one needs it.
    tokens = [name for name in names if name in approvers.tokens and not approvers.has_key(name)]
    return {
        "allowed_signers": approvers.lines_for(names),
        "tokens": tokens,
        "triggered_by": list(dict.fromkeys(_names(root, environ, about))),
        "trigger_keys": list(_keys(root, environ)),
    }


def _names(root: str, environ: Mapping[str, str], about: Mapping[str, Any]) -> Iterator[str]:
    """By what the one that started the run is known: as far as its surroundings tell."""
    trigger, ci = about.get("trigger"), about.get("ci")
    if isinstance(trigger, dict) and trigger.get("by"):
        yield str(trigger["by"])
    if isinstance(ci, dict) and ci.get("actor"):
        yield str(ci["actor"])
    for name in ("user.email", "user.name"):
        if said := _git(root, environ, name):
            yield said
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        if environ.get(name):
            yield environ[name]
    yield str(about["user"])


def _git(root: str, environ: Mapping[str, str], name: str) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(
            ["git", "config", "--get", name],
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=10,
        )
        return asked.stdout.decode("utf-8", "replace").strip()
    return ""


def _keys(root: str, environ: Mapping[str, str]) -> Iterator[str]:
    """The fingerprint of the key with which the one that started the run would sign."""
    from zf.audit.signing import ssh  # noqa: PLC0415 - few runs have any
    from zf.audit.signing.attest import default_key  # noqa: PLC0415 - as above

    chosen = default_key(root, environ)
    if chosen is not None:
        with suppress(ZfError), ExitStack() as opened:
            yield ssh.signer(chosen, opened).key_id


def token_key(root: str) -> Callable[[str], bytes | None]:
    """What gives the key of a token of the server by its name: the SHA-256 that the server keeps of
    it, where it is good now; None for any other.
    """

    def key_of(name: str) -> bytes | None:
        row = next((row for row in _rows(root) if row.get("name") == name), None)
        return str(row["sha256"]).encode() if row is not None else None

    return key_of


def token_named(root: str, sha256: str) -> str | None:
    """The name of the token with this digest, where it is good now."""
    return next((str(row["name"]) for row in _rows(root) if row.get("sha256") == sha256), None)


def _rows(root: str) -> Iterator[Mapping[str, Any]]:
    """The tokens of the project's server that may approve now."""
    from time import time  # noqa: PLC0415 - few runs have tokens

    from zf.events import timestamp  # noqa: PLC0415 - as above

    now = timestamp(time())
    try:
        with open(f"{root}/{TOKENS}", "rb") as file:
            rows = json.loads(file.read(_MOST_BYTES))["tokens"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("revoked_at") is not None:
            continue
        expires = row.get("expires_at")
        if row.get("role") in {"approver", "admin"} and (expires is None or expires > now):
            yield row
