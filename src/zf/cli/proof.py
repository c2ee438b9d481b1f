"""Verbs about proofs: verify, seal, export, diff, replay."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import AsJson, Directory, as_typers, complete_task
from zf.cli.project import proofs_folder
from zf.cli.runs import RUN, find
from zf.cli.signing import signer
from zf.errors import Exit, ZfError, printable
from zf.settings import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.audit.authentic import Trust
    from zf.audit.conclusion import Verification
    from zf.audit.expected import Expectations

Approval = Annotated[
    str | None,
    typer.Option("--approval", metavar="TEXT", help="With --sign: who or what approved the run."),
]


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(_with_trusted_keys(verify))
    app.command()(seal)
    app.command()(export)
    app.command()(diff)
    app.command()(replay)


def _with_trusted_keys(verb: Callable[..., int]) -> Callable[..., int]:
    """The verb with an option for the trusted keys of every scheme of signing."""
    from zf.audit.signing.signers import SCHEMES

    @wraps(verb)
    def with_keys(**given: Any) -> int:
        return verb(**given)

    options = [
        Parameter(
            scheme.keys,
            Parameter.POSITIONAL_OR_KEYWORD,
            default=None,
            annotation=Annotated[str | None, typer.Option(metavar="FILE", help=scheme.about)],
        )
        for scheme in SCHEMES
    ]
    *own, _ = signature(verb, eval_str=True).parameters.values()
    at = next(i for i, parameter in enumerate(own) if parameter.name == "timestamp_ca")
    parameters = [*own[:at], *options, *own[at:]]
    with_keys.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    return with_keys


def verify(
    run: Annotated[str, RUN] = "latest",
    passed: Annotated[
        bool, typer.Option("--passed", help="Exit with 1 unless the run succeeded.")
    ] = False,
    expect_run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Expect this run id.")
    ] = None,
    commit: Annotated[
        str | None, typer.Option("--commit", metavar="SHA", help="Expect this source commit.")
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="SHA256", help="Expect this plan.json.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="SHA256", help="Expect this end of the journal."),
    ] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option("--phase", metavar="PHASE", help="Expect this phase to have been run."),
    ] = None,
    clean_tree: Annotated[
        bool, typer.Option("--clean-tree", help="Expect a work tree without changes.")
    ] = False,
    unchanged_tree: Annotated[
        bool,
        typer.Option("--unchanged-tree", help="Expect a work tree that no task changed."),
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option("--max-age", metavar="AGE", help="Expect a run not older than, say, 12h."),
    ] = None,
    signer: Annotated[
        list[str] | None,
        typer.Option("--signer", metavar="NAME", help="Of those, accept only NAME."),
    ] = None,
    timestamp_ca: Annotated[
        str | None,
        typer.Option("--timestamp-ca", metavar="FILE", help="Require a time stamp of this CA."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="Require what a policy says.")
    ] = None,
    vsa: Annotated[
        str | None,
        typer.Option("--vsa", metavar="FILE", help="Write the outcome as an attestation."),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
    **keys: str | None,
) -> int:
    """Say what a run came to, and check its proof: five verdicts, every finding."""
    from zf.audit.authentic import Trust
    from zf.audit.expected import Expectations
    from zf.audit.policy import age_s
    from zf.audit.verify import verify as check

    try:
        max_age_s = None if max_age is None else age_s(max_age)
    except ValueError as error:
        raise ZfError(f"--max-age {printable(max_age or '')}: {error}") from None
    expectations = Expectations(
        run=expect_run,
        commit=commit,
        plan=plan,
        head=head,
        phases=tuple(phase or ()),
        clean_tree=clean_tree,
        unchanged_tree=unchanged_tree,
        max_age_s=max_age_s,
    )
    trusted = {scheme: path for scheme, path in keys.items() if path is not None}
    if signer and "allowed_signers" not in trusted and policy is None:
        raise ZfError("--signer goes with --allowed-signers FILE, which holds the keys")
    trust = Trust(trusted, tuple(signer or ()), timestamp_ca)
    if policy is not None:
        expectations, trust = _with_policy(policy, expectations, trust)
    now = time.time()
    found = check(find(run), expectations, trust, now=now, passed=passed)
    print(json.dumps(found.as_json()) if as_json else found.render())
    if vsa is not None:
        _write_vsa(vsa, found, policy, now)
    return found.exit_code


def _with_policy(path: str, expectations: Expectations, trust: Trust) -> tuple[Expectations, Trust]:
    from zf.audit import policy
    from zf.errors import Problem
    from zf.plan.yaml import source, yaml12

    text = source.read(path, path)
    if text is None:
        raise ZfError(f"{printable(path)}: there is no such file")
    if isinstance(text, Problem):
        raise ZfError("the policy cannot be read", problems=(text,))
    document = yaml12.read(text)
    if document.problems:
        raise ZfError("the policy cannot be read", problems=tuple(document.problems))
    return policy.parse(document.value, os.path.dirname(path), expectations, trust)


def _write_vsa(path: str, found: Verification, policy: str | None, now: float) -> None:
    from zf.audit.vsa import summarise
    from zf.proof.files import write_json

    rules = b""
    if policy is not None:
        with open(policy, "rb") as file:
            rules = file.read()
    name = os.path.basename(policy) if policy else "command line"
    try:
        write_json(path, summarise(found, policy_name=name, policy=rules, now=now))
    except OSError as error:
        raise ZfError(f"--vsa {printable(path)}: {error.strerror}") from None


def seal(
    run: Annotated[str, RUN],
    sign: Annotated[bool, typer.Option("--sign", help="Sign it, too.")] = False,
    key: Annotated[str | None, as_typers(RunOptions.key)] = None,
    approval: Approval = None,
    _directory: Directory = None,
) -> int:
    """Close a run that was killed, as incomplete; or sign, with --sign, one that is sealed."""
    from zf.run.sealing import NotAsLeftError
    from zf.run.sealing import seal as close

    if not sign and (key or approval):
        raise ZfError("--key and --approval go with --sign")
    try:
        for done in close(
            proofs_folder(), find(run, own=True), signer(key) if sign else None, approval
        ):
            print(done)
    except NotAsLeftError as error:
        streams.say(sys.stderr, error.report + "\n")
        raise
    return Exit.OK


def export(
    run: Annotated[str, RUN],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="Where to; must not exist.")
    ],
    kind: Annotated[
        Literal["tar", "bagit", "ro-crate"],
        typer.Option("--format", help="An archive, a BagIt bag or an RO-Crate."),
    ] = "tar",
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Write a sealed run to hand over: the same run gives the same bytes."""
    from zf.audit.exporting.export import export as write
    from zf.proof.layout import MANIFEST
    from zf.run.lock import refuse_in_use

    run_dir = find(run)
    if not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        proofs, run_id = os.path.split(run_dir)
        refuse_in_use(proofs, run_id, "it is not sealed yet")
    try:
        done = write(run_dir, output, kind=kind)
    except OSError as error:
        raise ZfError(f"{printable(output)}: {error.strerror}") from None
    if as_json:
        told = {"path": done.path, "sha256": done.digest, "files": done.files, "bytes": done.size}
        print(json.dumps(told))
    elif done.digest is not None:
        print(f"{done.digest}  {printable(done.path)}")
    else:
        print(f"{done.files} files, {done.size} bytes: {printable(done.path)}")
    return Exit.OK


def diff(
    first: Annotated[str, RUN],
    second: Annotated[str, RUN],
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Say what differs between two runs: statuses, scripts, environment values, artifacts."""
    from zf.audit.compare import compare

    found = compare(find(first), find(second))
    print(json.dumps(found.as_json()) if as_json else found.render(), end="\n" * as_json)
    return Exit.OK if found.same else Exit.FAILED


def replay(
    run: Annotated[str, RUN],
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="A task's id.", autocompletion=complete_task)
    ],
    keep: Annotated[
        str | None,
        typer.Option("--keep", metavar="DIR", help="Keep what is made, in a new folder DIR."),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Run a recorded task again, from its recorded commit, and say what came out equal."""
    from zf.plan.places import find_root
    from zf.run.replay import replay as again

    root, _ = find_root(os.getcwd())
    with ExitStack() as scratch:
        if keep is None:
            folder = scratch.enter_context(tempfile.TemporaryDirectory(prefix="zf-replay-"))
        else:
            folder = _new_folder(keep)
        found = again(find(run), task, folder, root=root, environ=os.environ)
        print(json.dumps(found.as_json()) if as_json else found.render(), end="\n" * as_json)
    return Exit.OK if found.same else Exit.FAILED


def _new_folder(path: str) -> str:
    try:
        os.mkdir(path)
    except OSError as error:
        raise ZfError(f"--keep {printable(path)}: {error.strerror}") from None
    return os.path.abspath(path)
