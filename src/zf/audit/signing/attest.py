"""Signing a sealed run: its statements, written down and signed, in `attest/`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import ExitStack
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.audit import statement
from zf.audit.account import Account
from zf.audit.signing import envelope, ssh
from zf.audit.signing.signers import module_for
from zf.errors import Exit, ZfError, in_shell, printable
from zf.proof import checksums
from zf.proof.bundle import Bundle
from zf.proof.canonical import canonical
from zf.proof.checksums import MAX_LIST_BYTES
from zf.proof.files import remove_tree, sync_folder, write_new
from zf.proof.journal import Chain, decode, raw_lines
from zf.proof.layout import ATTEST, JOURNAL, MANIFEST, PLAN, RUN, STATUS
from zf.proof.read import MAX_JSON_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zf.audit.signing.signers import Signer


def attest(
    run_dir: str,
    signers: Sequence[Signer],
    *,
    sealed: tuple[str, str] | None = None,
    approval: str | None = None,
) -> list[str]:
    """Sign a sealed run; returns the files written, relative to the run's folder.

    `sealed` are the digests of the journal's end and of the manifest that were verified: what is
    read here is signed only if it is that. `approval` names who or what approved the run, for
    instance a ticket; it is signed with the rest. Raises ZfError when the run is not sealed, or
    signed already: a second signature over another statement would leave two accounts of one run.
    """
    if os.path.lexists(f"{run_dir}/{ATTEST}"):
        raise ZfError(
            f"{printable(run_dir)} is signed already",
            code="ZF635",
            hint="remove its attest/ folder to sign it anew",
        )
    facts = _facts(run_dir, sealed)
    result = canonical(statement.test_result(facts))
    stated = canonical(
        statement.run(
            facts,
            test_result_sha256=sha256(result).hexdigest(),
            signers=[signer.key_id for signer in signers],
            approval=approval,
        )
    )
    files = {statement.TEST_RESULT: result}
    for signer in signers:
        signed = signer.sign(statement.STATEMENT, stated)
        # An envelope carries one statement, so the other needs its own; a signature beside the
        # file covers both, since the first names the digest of the second.
        if envelope.name(statement.STATEMENT) in signed:
            signed = {**signed, **signer.sign(statement.TEST_RESULT, result)}
        files |= signed
    files[statement.STATEMENT] = stated
    try:
        _place(run_dir, files)
    except OSError as error:
        raise ZfError(
            f"the signature on {printable(run_dir)} cannot be written: {error.strerror}",
            exit_code=Exit.FAILED,
            code="ZF643",
        ) from None
    return sorted(f"{ATTEST}/{name}" for name in files)


def _place(run_dir: str, files: Mapping[str, bytes]) -> None:
    """Put the files into `attest/`, all of them or none: half an attestation looks like tampering,
    so the folder is made ready outside the run's.
    """
    staging = tempfile.mkdtemp(prefix=".attest-", dir=os.path.dirname(os.path.abspath(run_dir)))
    try:
        # What mkdtemp makes is for its owner alone; all who may read the run may read this.
        os.chmod(staging, os.stat(run_dir).st_mode & 0o777)
        for name, data in files.items():
            write_new(f"{staging}/{name}", data)
        os.rename(staging, f"{run_dir}/{ATTEST}")
    except BaseException:
        remove_tree(staging)
        raise
    sync_folder(run_dir)


def signer_for(key: str, opened: ExitStack) -> Signer:
    """The signer for what a user names as a key: a file, or an SSH public key as text.

    `opened` keeps what must live as long as the signer does. Raises ZfError when the key cannot be
    used.
    """
    head = b""
    if not ssh.is_text(key):
        key = os.path.expanduser(key)
        try:
            with open(key, "rb") as file:
                head = file.read(64)
        except OSError as error:
            raise ZfError(f"{printable(key)}: {error.strerror}", code="ZF634") from None
    return module_for(key, head).signer(key, opened)


def chosen_key(key: str | None, root: str, environ: Mapping[str, str]) -> str:
    """The key named, or the one to sign with when none is. Raises ZfError where there is none."""
    chosen = key or default_key(root, environ)
    if chosen is None:
        raise ZfError(
            "no key to sign with",
            code="ZF639",
            hint="name one with --key or ZF_SIGNING_KEY, or set git's user.signingkey",
        )
    return chosen


def default_key(root: str, environ: Mapping[str, str]) -> str | None:
    """The key to sign with when none is named: ZF_SIGNING_KEY, else git's for SSH signatures."""
    if environ.get("ZF_SIGNING_KEY"):
        return environ["ZF_SIGNING_KEY"]
    if _git_config(root, environ, "gpg.format") == "ssh":
        return _git_config(root, environ, "user.signingkey")
    return None


def _git_config(root: str, environ: Mapping[str, str], name: str) -> str | None:
    try:
        asked = subprocess.run(
            # Ended by NUL, as a path may hold anything else, text in no known encoding too.
            ["git", "config", "--null", "--get", name],
            cwd=root,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    value, ended, _ = asked.stdout.partition(b"\0")
    return os.fsdecode(value) if ended and asked.returncode == 0 and value else None


def _facts(run_dir: str, sealed: tuple[str, str] | None) -> statement.Facts:
    with Bundle(run_dir) as bundle:
        try:
            manifest = bundle.read(MANIFEST, MAX_LIST_BYTES)
        except OSError:
            raise ZfError(
                f"{printable(run_dir)} is not sealed",
                code="ZF636",
                hint=f"zf seal {in_shell(run_dir)} seals it",
            ) from None
        try:
            run, plan = (_object(bundle, name) for name in (RUN, PLAN))
            chain, account = Chain(), Account()
            with os.fdopen(bundle.open(JOURNAL), "rb") as stream:
                for raw in raw_lines(stream):
                    account.feed(chain.accept(raw.removesuffix(b"\n")))
            if account.extended:
                from zf.audit.origins.extended import grown  # noqa: PLC0415 - few plans grow

                plan = grown(plan, account)
            ended = [name for name, task in account.tasks.items() if task.terminal is not None]
            statuses = [_object(bundle, f"{name}/{STATUS}") for name in ended]
            if sealed is not None:
                _refuse_changed(bundle, manifest, (chain.head, bundle.digests[MANIFEST]), sealed)
        except (OSError, ValueError) as error:
            raise ZfError(
                f"{printable(run_dir)} cannot be signed: {error}",
                code="ZF636",
                hint=f"zf verify {in_shell(run_dir)} says what is wrong with it",
            ) from None
        return statement.Facts(
            run,
            plan,
            account,
            chain.head,
            bundle.digests,
            statement.redactions(statuses),
            statement.shields(statuses),
            statement.isolations(statuses),
        )


def _refuse_changed(
    bundle: Bundle, manifest: bytes, found: tuple[str, str], sealed: tuple[str, str]
) -> None:
    """Raises ValueError when what was read is not what was verified, or not what is listed."""
    listed = checksums.parse(manifest)
    changed = any(listed.get(path, digest) != digest for path, digest in bundle.digests.items())
    if changed or found != sealed:
        raise ValueError("it changed after it was verified")


def _object(bundle: Bundle, path: str) -> Mapping[str, Any]:
    value = decode(bundle.read(path, MAX_JSON_BYTES))
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a JSON object")  # noqa: TRY004 - a finding about data
    return value
