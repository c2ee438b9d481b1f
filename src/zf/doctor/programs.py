"""The programs that zf calls: whether they are there, can be started, and can do what is asked of
them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from zf.audit.signing import ssh
from zf.doctor.finding import NOTE, OK, PROBLEM, Finding
from zf.doctor.here import Here
from zf.errors import ZfError, printable
from zf.proof.source.provenance import Source
from zf.work.interpreters import script_path
from zf.work.shell import MISSING, which

_TIMEOUT_S = 30.0
_INSTALL = "install it: apt-get install {0}, apk add {0} or dnf install {0}"


def python(_here: Here) -> Iterator[Finding]:
    """The interpreter that runs zf."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", OK, f"{version}, {sys.executable}")


def bash(here: Here) -> Iterator[Finding]:
    """What runs steps, and how it gets their scripts."""
    program = which("bash", here.environ.get("PATH", os.defpath))
    if program is None:
        remedy = f"{_INSTALL.format('bash')}; or give tasks a `shell` that is there"
        yield Finding("bash", PROBLEM, "bash is not on the PATH, which runs every step", remedy)
    else:
        yield _answers("bash", [program, "-c", "echo $BASH_VERSION"], PROBLEM)
    if script_path() is None:
        problem, _, remedy = MISSING.partition(": ")
        yield Finding("bash", PROBLEM, problem, remedy)


def git(here: Here) -> Iterator[Finding]:
    """What a run asks for its commit and its changes, and whether it answers."""
    if which("git", here.environ.get("PATH", os.defpath)) is None:
        found = "git is not on the PATH: proofs name no commit and no changes"
        yield Finding("git", NOTE, found, _INSTALL.format("git"))
        return
    version = _answers("git", ["git", "--version"], PROBLEM)
    if version.state != OK or not here.folder:
        yield version
        return
    facts = Source.look(here.root or here.folder, environ=here.environ).facts
    if facts["commit"]:
        yield Finding("git", OK, f"{version.found}; commit {facts['commit'][:12]}")
    elif note := facts["note"]:
        remedy = "" if "refused" in note else "git init, and a commit, if it is to be one"
        told, _, allow = note.partition(" (git config ")
        if allow:
            remedy = f"git config {allow.partition(' allows it')[0]}"
        yield Finding("git", NOTE, f"{told}: proofs name no commit", remedy)
    else:
        remedy = "git commit, so that a proof can name what it is of"
        yield Finding("git", NOTE, f"{version.found}; there is no commit yet", remedy)


def ssh_keygen(here: Here) -> Iterator[Finding]:
    """What makes and checks signatures: tried out, as its version is not all that counts."""
    # A project that signs does not begin a run without it.
    sign = here.settings is not None and here.settings.sign.value
    state = PROBLEM if sign else NOTE
    path = here.environ.get("PATH", os.defpath)
    program, version = which("ssh-keygen", path), _openssh(path)
    try:
        with tempfile.TemporaryDirectory(prefix="zf-doctor-") as folder:
            wrong = _sign_and_check(f"{folder}/key")
    except ZfError as error:
        first = error.problems[0]
        hint = first.hint if first.code == "ZF632" else ""
        wrong = first.message if hint else f"{first.message}: {first.hint}"
    if not wrong:
        yield Finding("ssh-keygen", OK, f"{version}, {program}: signs and checks")
        return
    found = wrong if program is None else f"{version}, {program}, cannot sign: {wrong}"
    yield Finding("ssh-keygen", state, found, ssh.INSTALL)


def _openssh(path: str) -> str:
    """What OpenSSH calls itself; its ssh-keygen has no words for that."""
    if which("ssh", path) is None:
        return "of unknown version"
    try:
        done = subprocess.run(
            ["ssh", "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "of unknown version"
    said = (done.stderr or done.stdout).decode("utf-8", "replace")
    return printable(said.partition(",")[0].strip().replace("_", " ")) or "of unknown version"


def _sign_and_check(key: str) -> str:
    """Sign with a key made for it, and check that; what is wrong, if anything. Raises ZfError."""
    made = ssh.ask(["-q", "-t", "ed25519", "-N", "", "-C", "zf", "-f", key], b"", _TIMEOUT_S)
    if made.code != 0:
        return f"it made no key: {made.said}"
    data = b"zf doctor"
    [signature] = ssh.SshSigner(key).sign("data", data).values()
    return ssh.check_self(signature, data) or ""


def openssl(here: Here) -> Iterator[Finding]:
    """What checks time stamps, and nothing else."""
    if which("openssl", here.environ.get("PATH", os.defpath)) is None:
        found = "openssl is not on the PATH: time stamps of proofs cannot be checked"
        yield Finding("openssl", NOTE, found, f"if proofs have any, {_INSTALL.format('openssl')}")
        return
    yield _answers("openssl", ["openssl", "version"], NOTE)


def _answers(area: str, words: list[str], otherwise: str) -> Finding:
    """What a program says of its version; in the state `otherwise` if it cannot be started."""
    remedy = f"see why it cannot be started: {' '.join(words)}"
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else "it gave no answer in time"
        return Finding(area, otherwise, f"{words[0]} could not be started: {why}", remedy)
    said = done.stdout.decode("utf-8", "replace").partition("\n")[0].strip()
    if done.returncode != 0 or not said:
        return Finding(area, otherwise, f"{words[0]} exited with {done.returncode}", remedy)
    path = which(area, os.environ.get("PATH", os.defpath))
    version = said.removeprefix(f"{area} version ").partition(" (Library")[0]
    return Finding(area, OK, f"{version}, {path}")
