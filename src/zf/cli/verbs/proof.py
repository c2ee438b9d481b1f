"""Verbs about proofs: verify, seal, export, diff, replay."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zf.cli.display import streams
from zf.cli.options import RUN, TASK, AsJson, Directory, as_typers, gathering, one_of
from zf.cli.project import find_run, proofs_folder
from zf.cli.signing import signer
from zf.errors import Exit, ZfError, in_shell, printable
from zf.inputs import pairs
from zf.model import NOTHING
from zf.settings import RunOptions
from zf.typed import refuse_dash

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.audit.authentic import Trust
    from zf.audit.conclusion import Verification
    from zf.audit.expected import Expectations
    from zf.run.retention.ledger import Entry

Approval = Annotated[
    str | None,
    typer.Option(
        "--approval",
        metavar="TEXT",
        help="With --sign: what approved the run, such as a ticket; it is signed with the rest.",
    ),
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

    annotated = {
        scheme.keys: Annotated[str | None, typer.Option(metavar="FILE", help=scheme.about)]
        for scheme in SCHEMES
    }
    return gathering(verb, "keys", annotated)


def verify(
    run: Annotated[str, RUN] = "latest",
    passed: Annotated[
        bool, typer.Option("--passed", help="Exit with 1 unless the run succeeded.")
    ] = False,
    expect_run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="Expect this run id.")
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            "--commit", metavar="SHA", help="Expect this source commit; seven digits or more."
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="SHA256", help="Expect this digest of plan.json."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="SHA256",
            help="Expect this end of the journal: what zf printed when the run was over.",
        ),
    ] = None,
    phase: Annotated[
        list[str] | None,
        typer.Option(
            "--phase",
            metavar="PHASE",
            help="Expect this phase to have been run, with all of its tasks and not without what"
            " they need. Can be given again.",
        ),
    ] = None,
    clean_tree: Annotated[
        bool,
        typer.Option(
            "--clean-tree", help="Expect a work tree that had no changes when the run began."
        ),
    ] = False,
    unchanged_tree: Annotated[
        bool,
        typer.Option(
            "--unchanged-tree",
            help="Expect a work tree that was the same, commit and files, when the run ended.",
        ),
    ] = False,
    no_cached: Annotated[
        bool,
        typer.Option(
            "--no-cached", help="Expect that no result of an earlier run counts for any task."
        ),
    ] = False,
    no_interactive: Annotated[
        bool,
        typer.Option(
            "--no-interactive",
            help="Expect that no task had the terminal (--tty), where a person could type.",
        ),
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="AGE",
            help="Expect a run that ended not longer ago than AGE: 90s, 15m, 12h, 7d.",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=VALUE",
            help="Expect this value of an input; of a hidden one, by its digest. Can be given"
            " again.",
        ),
    ] = None,
    keys: Mapping[str, str | None] = NOTHING,
    signer: Annotated[
        list[str] | None,
        typer.Option(
            "--signer",
            metavar="NAME",
            help="Of the allowed signers, accept only this one. Can be given again.",
        ),
    ] = None,
    timestamp_ca: Annotated[
        str | None,
        typer.Option(
            "--timestamp-ca",
            metavar="FILE",
            help="Require a time stamp by an authority with one of these certificates.",
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="Require all that a policy says.")
    ] = None,
    vsa: Annotated[
        str | None,
        typer.Option(
            "--vsa",
            metavar="FILE",
            help="Write the outcome as a SLSA Verification Summary Attestation: PASSED if nothing"
            " is wrong and the run succeeded.",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
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
        inputs=pairs(RunOptions.inputs.read(given)) if given else {},
        no_cached=no_cached,
        no_interactive=no_interactive,
    )
    refuse_dash(vsa, "--vsa")
    trusted = {scheme: path for scheme, path in keys.items() if path is not None}
    if signer and "allowed_signers" not in trusted and policy is None:
        raise ZfError("--signer goes with --allowed-signers FILE, which holds the keys")
    trust = Trust(trusted, tuple(signer or ()), timestamp_ca)
    if policy is not None:
        expectations, trust = _with_policy(policy, expectations, trust)
    now = time.time()
    try:
        path = find_run(run)
    except ZfError as error:
        if (entry := getattr(error, "entry", None)) is None:
            raise
        return _gone(entry, head, as_json=as_json)
    beside = os.path.dirname(os.path.abspath(path))
    found = check(path, expectations, trust, now=now, passed=passed, beside=beside)
    print(json.dumps(found.as_json()) if as_json else found.render())
    if vsa is not None:
        _write_vsa(vsa, found, policy, now)
    return found.exit_code


def _gone(entry: Entry, head: str | None, *, as_json: bool) -> int:
    """What is left of a run that was pruned; nothing of that can be verified."""
    from zf.run.retention.ledger import told

    print(json.dumps({"pruned": dict(entry.said)}) if as_json else told(entry))
    if head is not None and head != entry.said.get("head"):
        raise ZfError(
            f"the run had another head than {printable(head)}",
            exit_code=Exit.UNTRUSTED,
            code="ZF613",
        )
    return Exit.USAGE


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
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign it, too. It is verified first.")
    ] = False,
    key: Annotated[str | None, as_typers(RunOptions.key)] = None,
    approval: Approval = None,
    _directory: Directory = None,
) -> int:
    """Close a run that was killed, as incomplete; or sign, with --sign, one that is sealed."""
    from zf.proof.layout import MANIFEST
    from zf.run.sealing import NotAsLeftError
    from zf.run.sealing import seal as close

    if not sign and (key or approval):
        raise ZfError("--key and --approval go with --sign")
    run_dir = find_run(run, own=True)
    if not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        from zf.cli.verbs.rerun import finish_owed

        finish_owed(run_dir)
    try:
        for done in close(proofs_folder(), run_dir, signer(key) if sign else None, approval):
            print(done)
    except NotAsLeftError as error:
        streams.say(sys.stderr, error.report + "\n")
        raise
    return Exit.OK


def _formats() -> Any:
    from zf.audit.exporting import FORMATS

    about = {name: form.about for name, form in FORMATS.items()}
    return one_of("What is written.", about)


def export(
    run: Annotated[str, RUN],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="PATH", help="Where to; it must not exist."),
    ] = None,
    kind: Annotated[str, _formats()] = "tar",
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp",
            metavar="[=URL]",
            help="Send the run as OpenTelemetry's spans instead, over OTLP/HTTP, to the collector"
            " at URL; alone, to OTEL_EXPORTER_OTLP_ENDPOINT or http://localhost:4318. Needs"
            " OpenTelemetry's packages.",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Write a sealed run to hand over: the same run gives the same bytes. Or one that is suspended,
    to be resumed elsewhere.
    """
    from zf.audit.exporting.export import export as write
    from zf.proof.layout import MANIFEST
    from zf.run.host.lock import refuse_in_use

    if (output is None) == (otlp is None):
        raise ZfError("a run is written with --output PATH, or sent with --otlp: name one of them")
    collector = None if otlp is None else RunOptions.otlp.read(otlp)
    run_dir = find_run(run)
    if not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        proofs, run_id = os.path.split(run_dir)
        refuse_in_use(proofs, run_id, "it is not sealed yet")
    if collector is not None:
        return _send(run_dir, collector, as_json=as_json)
    assert output is not None
    refuse_dash(output, "--output")
    try:
        done = write(run_dir, output, kind=kind)
    except OSError as error:
        raise ZfError(f"{printable(output)}: {error.strerror}") from None
    if done.waiting:
        run_id, names = os.path.basename(run_dir), ", ".join(map(printable, done.waiting))
        told_of = (
            f"run {printable(run_id)} is suspended, not sealed: it waits for approval of {names}"
        )
        streams.say(sys.stderr, f"{told_of}\nto go on with it: zf resume {in_shell(output)}\n")
    if as_json:
        told = {"path": done.path, "sha256": done.digest, "files": done.files, "bytes": done.size}
        print(json.dumps(told))
    elif done.digest is not None:
        print(f"{done.digest}  {printable(done.path)}")
    else:
        print(f"{done.files} files, {done.size} bytes: {printable(done.path)}")
    return Exit.OK


def _send(run_dir: str, where: str, *, as_json: bool) -> int:
    from zf.cli.display import telemetry
    from zf.cli.display.reports import recorded

    sent = telemetry.send(recorded(os.path.abspath(run_dir)), where)
    print(json.dumps(sent.as_json()) if as_json else printable(sent.render()))
    return Exit.OK


def diff(
    first: Annotated[str, RUN],
    second: Annotated[str, RUN],
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Say what differs between two runs: statuses, scripts, environment values, artifacts."""
    from zf.audit.compare import compare

    found = compare(find_run(first), find_run(second))
    print(json.dumps(found.as_json()) if as_json else found.render(), end="\n" * as_json)
    return Exit.OK if found.same else Exit.FAILED


def replay(
    run: Annotated[str, RUN],
    task: Annotated[str, TASK],
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
        found = again(find_run(run), task, folder, root=root, environ=os.environ)
        print(json.dumps(found.as_json()) if as_json else found.render(), end="\n" * as_json)
    return Exit.OK if found.same else Exit.FAILED


def _new_folder(path: str) -> str:
    try:
        os.mkdir(path)
    except OSError as error:
        raise ZfError(f"--keep {printable(path)}: {error.strerror}") from None
    return os.path.abspath(path)
