"""Signing from the command line: with which key, and at the end of a run that is to be signed."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from zf.errors import Exit, Problem, ZfError
from zf.settings import REPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from zf.audit.authentic import Trust
    from zf.audit.signing.signers import Signer
    from zf.cli.display.progress import Watcher
    from zf.model import Flow
    from zf.run.gates.decide import Decider
    from zf.run.sealing import Launched
    from zf.settings import RunOptions


# By which OpenTelemetry's programs are told of a collector.
_COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


@contextmanager
def signer(key: str | None) -> Iterator[Signer]:
    """What signs: the key named, or the one that the environment or git names.

    Raises ZfError when there is none, or it cannot be used.
    """
    from zf.audit.signing.attest import chosen_key, signer_for

    chosen = chosen_key(key, os.getcwd(), os.environ)
    with ExitStack() as opened:
        yield signer_for(chosen, opened)


def decider(key: str | None, called: str, root: str, opened: ExitStack) -> Decider:
    """The one that approves or rejects: by the key named, by the token in ZF_TOKEN, or else by the
    key that the environment or git names. Raises ZfError when there is none.
    """
    from hashlib import sha256

    from zf.audit.signing.attest import chosen_key
    from zf.run.gates.decide import Key, Token
    from zf.run.gates.terms import token_named

    if key is None and (secret := os.environ.get("ZF_TOKEN")):
        digest = sha256(secret.encode("utf-8", "replace")).hexdigest()
        name = token_named(root, digest)
        if name is None:
            raise ZfError(
                "ZF_TOKEN is no token of this project that may approve",
                code="ZF744",
                hint="zf token list shows those there are, with their roles",
            )
        return Token(name, digest)
    return Key(chosen_key(key, root, os.environ), opened, called)


def trust_of(chosen: Signer, opened: ExitStack) -> Trust:
    """Trust in what the same key has signed; `opened` keeps the file that says so."""
    from tempfile import TemporaryDirectory

    from zf.audit.authentic import Trust

    scheme, public = chosen.public()
    path = f"{opened.enter_context(TemporaryDirectory(prefix='zf-trust-'))}/{scheme}"
    with open(path, "wb") as stream:
        stream.write(public)
    return Trust({scheme: path})


def signer_of_run(*, sign: bool, key: str | None) -> AbstractContextManager[Signer | None]:
    """What is to sign a run, if it is to be signed; to be entered before the run begins: one that
    takes an hour is not to find at its end that there is no key. Raises ZfError.
    """
    if not sign and key is not None:
        raise ZfError("--key goes with --sign")
    return signer(key) if sign else nullcontext()


def conclude(
    done: Launched,
    watcher: Watcher,
    chosen: Signer | None,
    hide: Callable[[str], str],
    options: RunOptions,
    flow: Flow,
) -> int:
    """Sign the proof of a run that is over, where that is wanted, show what came of it, and write
    the reports that are asked for, and what the CI system, a collector and channels are told.

    A run that cannot be signed stays sealed, and does not exit with 0. What is said of its files is
    told with what `hide` leaves of it.
    """
    try:
        return _signed(done, watcher, chosen, hide)
    finally:
        if any(map(options.values.get, REPORTS)):
            from zf.cli.display import reports

            reports.write_of_run(done.run_dir, options, hide)
        if options.otlp or any(map(os.environ.get, _COLLECTORS)):
            from zf.cli.display import telemetry

            telemetry.send_of_run(done.run_dir, options, hide)
        if watcher.ci == "github":
            from zf.cli.display import ci

            ci.tell_github(done, options, os.environ)
        if flow.project.notify:
            from zf.cli.display import notices

            notices.run_ended(done, flow, hide)


def _signed(
    done: Launched, watcher: Watcher, chosen: Signer | None, hide: Callable[[str], str]
) -> int:
    from zf.run.sealing import sign_sealed

    if chosen is not None and not done.facts.suspended:
        try:
            done = sign_sealed(done, chosen, hide)
        except ZfError as error:
            watcher.finish(done, None)
            raise _unsigned(done, error) from None
        except KeyboardInterrupt:
            # Ctrl-C where a passphrase was asked for: the run itself is over, and is told.
            watcher.finish(done, None)
            raise
    unsigned = chosen is None or done.facts.tampered or done.facts.suspended
    signed_by = None if unsigned or chosen is None else chosen.key_id
    code = watcher.finish(done, signed_by)
    _refuse_tampered(done)
    return code


# However many files were exchanged: those that come first say enough.
_MOST_TOLD = 20


def _refuse_tampered(done: Launched) -> None:
    """Raises ZfError (exit 1) when a run's folder holds what zf did not write."""
    differences = done.facts.tampered
    if not differences:
        return
    told = list(differences[:_MOST_TOLD])
    if len(differences) > _MOST_TOLD:
        told.append(f"and {len(differences) - _MOST_TOLD} more")
    if done.manifest_sha256:
        became = f"run {done.run} was sealed as zf wrote it, so zf verify finds this, too"
    else:
        became = f"run {done.run} could not be sealed"
    problems = [Problem(code="ZF149", message=f"TAMPERED WHILE RUNNING: {one}") for one in told]
    hint = "something that ran at the same time wrote to its folder: find it, and run again"
    problems.append(Problem(code="ZF149", message=became, hint=hint))
    raise ZfError(problems[0].message, exit_code=Exit.FAILED, problems=tuple(problems))


def _unsigned(done: Launched, error: ZfError) -> ZfError:
    said = Problem(
        code="ZF644",
        message=f"run {done.run} is sealed, but could not be signed",
        hint=f"to sign it: zf seal {done.run} --sign",
    )
    code = done.exit_code or Exit.FAILED
    return ZfError(str(error), exit_code=code, problems=(*error.problems, said))
