"""The project: whether its files are valid, whether a run of it would be refused, and whether its
proofs can be signed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

from zf.audit.signing import ssh
from zf.audit.signing.attest import chosen_key, default_key, signer_for
from zf.doctor.finding import NOTE, OK, PROBLEM, Finding, refused
from zf.doctor.here import Here
from zf.errors import ZfError, printable
from zf.inputs import NO_WORDS
from zf.model import NOTHING
from zf.plan.graph import plan_named
from zf.plan.inputs import given
from zf.redact.redactor import Redactor, hidden_by_name
from zf.report.words import count
from zf.run import opening
from zf.run.host.machine import problems_here
from zf.run.request import RunRequest, limits_of
from zf.settings import RunOptions

_TIMEOUT_S = 30.0


def project(here: Here) -> Iterator[Finding]:
    """Whether its files are valid, here."""
    if here.no_project is not None:
        problem = here.no_project.problems[0]
        # A place without a project is no fault; one that means to be a project is.
        state = NOTE if problem.code == "ZF101" else PROBLEM
        yield Finding("project", state, problem.message, problem.hint or "")
    if here.bad_setting is not None:
        yield from refused("settings", here.bad_setting, "unset it, or set it otherwise")
    if not here.root:
        return
    problems = [*here.problems]
    if here.flow is not None:
        problems += problems_here(here.flow, {})
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        found = f"{count(errors, 'error')} in the files of {printable(here.root)}"
        yield Finding("project", PROBLEM, found, "zf validate shows each with its place")
    elif problems:
        yield Finding("project", NOTE, count(len(problems), "warning"), "zf validate shows them")
    elif here.flow is not None:
        phases = len({task.phase for task in here.flow.tasks.values()})
        valid = f"{count(len(here.flow.tasks), 'task')} in {count(phases, 'phase')}: valid"
        yield Finding("project", OK, valid)


def run(here: Here) -> Iterator[Finding]:
    """Whether `zf run` would begin: what it asks before it does is asked here."""
    flow, settings = here.flow, here.settings
    if flow is None or settings is None or not flow.tasks:
        return
    plan = plan_named(flow, (), phase_timeout_s=settings.phase_timeout_s.value)
    try:
        phases = [phase.name for phase in plan.phases]
        inputs, _ = given.resolve(flow.project, phases, NO_WORDS, here.environ)
    except ZfError as error:
        inputs = NOTHING
        first = error.problems[0]
        yield Finding("run", NOTE, f"zf run has to be given: {first.message}", first.hint or "")
    inputs = hidden_by_name(inputs, flow.project)
    request = RunRequest(
        flow,
        plan,
        settings,
        limits_of(flow, plan, settings, RunOptions()),
        here.environ,
        Redactor(plan.tasks.values(), here.environ, flow.project, inputs),
        watch=lambda *_: None,
        inputs=inputs,
    )
    problems: list[Finding] = []
    for ask in (opening.refuse_impossible, opening.refuse_unset, opening.refuse_unable):
        try:
            ask(request)
        except ZfError as error:
            problems += refused("run", error)
    yield from problems
    if not problems:
        yield Finding("run", OK, f"zf run would begin with {count(len(plan.tasks), 'task')}")


def signing(here: Here) -> Iterator[Finding]:
    """Whether there is a key, and it can be used."""
    wanted = here.settings is not None and here.settings.sign.value
    folder = here.root or here.folder or "/"
    if not wanted and default_key(folder, here.environ) is None:
        yield Finding("signing", OK, "no key is set up, and no run is to be signed")
        return
    try:
        key = chosen_key(None, folder, here.environ)
        with ExitStack() as opened:
            signer = signer_for(key, opened)
        unready = _unready(key, signer.key_id) if isinstance(signer, ssh.SshSigner) else ""
    except ZfError as error:
        if wanted:
            raise
        first = error.problems[0]
        yield Finding("signing", NOTE, first.message, first.hint or "")
        return
    when = "every run is signed" if wanted else "runs are signed with --sign"
    if unready:
        yield Finding("signing", NOTE, f"{signer.key_id}: {unready}", "ssh-add keeps it at hand")
    else:
        yield Finding("signing", OK, f"{signer.key_id}: {when}")


def _unready(key: str, fingerprint: str) -> str:
    """Why a run could not be signed with it unattended; empty if it can."""
    if not ssh.is_text(key) and not key.endswith(".pub"):
        path = os.path.expanduser(key)
        opened = ssh.ask(["-y", "-P", "", "-f", path], b"", _TIMEOUT_S)
        if opened.code == 0:
            return ""
    try:
        held = subprocess.run(
            ["ssh-add", "-l", "-E", "sha256"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        held = ""
    return "" if fingerprint in held.split() else "the agent does not have it, to sign unattended"
