"""SSH signatures: made and checked by `ssh-keygen` itself, so no key is ever in zf's hands.

The agent, hardware keys and certificates work because ssh-keygen does them. Only the armour is
read here, to name the key and to refuse any byte of it that the signature does not cover.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from zf.audit.statement import STATEMENT
from zf.errors import ZfError, printable
from zf.lean import lazy
from zf.lean.records import Struct

if TYPE_CHECKING:
    import subprocess
    import tempfile

    from zf.audit.signing.signers import Examined
else:  # a proof that is not signed is verified without them
    subprocess = lazy.module("subprocess")
    tempfile = lazy.module("tempfile")

SIGNATURE = f"{STATEMENT}.sig"
FILES = (SIGNATURE,)
NAMESPACE = "zf-run-v1"
# A person may have to touch a hardware key or type a passphrase.
SIGN_TIMEOUT_S = 120.0
_VERIFY_TIMEOUT_S = 30.0
_MAX_PRINCIPALS = 16
INSTALL = "install OpenSSH 8.9 or later: SSH signatures are made and checked with it"
_MAX_KEY_BYTES = 65_536
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_MAGIC = b"SSHSIG\x00\x00\x00\x01"


class SshSigner:
    """Signs with a private key file, or with the agent when given a public one."""

    def __init__(self, key: str, namespace: str = NAMESPACE) -> None:
        self._key = key
        self._namespace = namespace
        listed = ask(["-l", "-E", "sha256", "-f", key], b"", SIGN_TIMEOUT_S)
        if listed.code != 0:
            raise ZfError(
                f"{printable(key)} is not a key that ssh-keygen can read",
                code="ZF630",
                hint=listed.said or "name a private key, or a public one whose owner is the agent",
            )
        # Bits, fingerprint, comment: only what comes before the comment is not free text.
        self.key_id = listed.out.split()[1].decode("ascii", "replace")

    def sign(self, name: str, data: bytes) -> Mapping[str, bytes]:
        """The file to keep beside `name`; ZfError when ssh-keygen does not sign."""
        words = ["-Y", "sign", "-n", self._namespace, "-f", self._key]
        signed = ask(words, data, SIGN_TIMEOUT_S)
        if signed.code != 0:
            raise ZfError(
                f"ssh-keygen did not sign with {printable(self._key)}",
                code="ZF631",
                hint=signed.said or "is the key in the agent? (ssh-add -l)",
            )
        # The key's name was read from a listing, which may be of several keys; the statement says
        # it by now, so the signature has to be by that very one.
        made_by = key_id(signed.out, self._namespace)
        if made_by != self.key_id:
            raise ZfError(
                f"ssh-keygen signed with {made_by}, which is not the first key of "
                f"{printable(self._key)}, {self.key_id}",
                code="ZF631",
                hint="name a file that holds one key",
            )
        return {f"{name}.sig": signed.out}

    def public(self) -> tuple[str, bytes]:
        """A list of allowed signers with this key alone."""
        return "allowed_signers", b'zf namespaces="%b" %b\n' % (
            self._namespace.encode(),
            self._public(),
        )

    def _public(self) -> bytes:
        """The public key in a line, without its comment."""
        for path in (self._key, f"{self._key}.pub"):
            try:
                with open(path, "rb") as file:
                    words = file.read(_MAX_KEY_BYTES).split()
            except OSError:
                continue
            if len(words) > 1 and words[0].startswith((b"ssh-", b"ecdsa-", b"sk-")):
                return b" ".join(words[:2])
        shown = ask(["-y", "-f", self._key], b"", SIGN_TIMEOUT_S)
        if shown.code != 0:
            raise ZfError(
                f"ssh-keygen does not tell the public key of {printable(self._key)}",
                code="ZF630",
                hint=shown.said or "keep the public key beside it, as ssh-keygen makes it",
            )
        return b" ".join(shown.out.split()[:2])


def is_text(key: str) -> bool:
    """Whether a key is named by a public key's own text, as git's user.signingkey may be."""
    return key.startswith(("key::", "ssh-", "ecdsa-", "sk-")) and not os.path.exists(key)


def takes(_key: str, _head: bytes) -> bool:
    """Any key: ssh-keygen itself says when it cannot read one."""
    return True


def signer(key: str, opened: ExitStack) -> SshSigner:
    """The signer for a key file, or for a public key as text, which the agent has."""
    if is_text(key):
        return SshSigner(opened.enter_context(literal_key(key)))
    return SshSigner(os.path.expanduser(key))


def load(path: str) -> str:
    """OpenSSH's list of allowed signers: ssh-keygen reads it."""
    return path


def examine(
    files: Mapping[str, bytes],
    allowed_signers: str | None,
    signers: tuple[str, ...],
    at: str | None,
    found: Examined,
) -> None:
    """The signature beside the statement."""
    signature = files.get(SIGNATURE)
    if signature is None:
        if allowed_signers:
            found.flaws.append(("unsigned", "is not there", SIGNATURE))
        return
    try:
        key = key_id(signature)
    except ValueError as error:
        found.flaws.append(("bad_signature", str(error), SIGNATURE))
        return
    found.claims.append((key, SIGNATURE))
    if allowed_signers:
        signer, wrong = check(signature, files[STATEMENT], allowed_signers, signers=signers, at=at)
        if wrong:
            found.flaws.append(("not_trusted", wrong, SIGNATURE))
        else:
            found.trusted.append(f"{signer} ({key})")
    elif wrong := check_self(signature, files[STATEMENT]):
        found.flaws.append(("bad_signature", wrong, SIGNATURE))
    else:
        found.unvouched.append(key)


@contextmanager
def literal_key(public: str) -> Iterator[str]:
    """A file that holds a public key given as text, as git's user.signingkey may be."""
    with tempfile.TemporaryDirectory(prefix="zf-key-") as folder:
        path = f"{folder}/key.pub"
        with open(path, "w", encoding="utf-8") as file:
            file.write(public.removeprefix("key::") + "\n")
        yield path


def key_id(signature: bytes, wanted: str = NAMESPACE) -> str:
    """The fingerprint of the key in an armoured signature, as `ssh-keygen -l` shows it.

    Raises ValueError unless the armour is exactly the one ssh-keygen writes for this blob.
    """
    if not (signature.startswith(_BEGIN) and signature.endswith(_END)):
        raise ValueError("not an SSH signature")
    blob = base64.b64decode(signature[len(_BEGIN) : -len(_END)].replace(b"\n", b""), validate=True)
    if _armour(blob) != signature:
        raise ValueError("not the form in which ssh-keygen writes a signature")
    if not blob.startswith(_MAGIC):
        raise ValueError("not an SSH signature")
    public, namespace, *_ = _fields(blob[len(_MAGIC) :])
    if namespace != wanted.encode():
        raise ValueError(f"signed for {namespace.decode('utf-8', 'replace')!r}, not {wanted!r}")
    return "SHA256:" + base64.b64encode(sha256(public).digest()).decode("ascii").rstrip("=")


def _armour(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    lines = [text[start : start + 70] + b"\n" for start in range(0, len(text), 70)]
    return _BEGIN + b"".join(lines) + _END


def _fields(data: bytes) -> list[bytes]:
    fields = []
    for _ in range(5):
        if len(data) < 4 or len(data) < 4 + (size := struct.unpack(">I", data[:4])[0]):
            raise ValueError("an SSH signature cut short")
        fields.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise ValueError("an SSH signature with something after it")
    return fields


def check_self(signature: bytes, data: bytes) -> str | None:
    """What is wrong with the signature as mathematics, by any key; None when nothing is."""
    with _file(signature) as path:
        checked = ask(
            ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", path], data, _VERIFY_TIMEOUT_S
        )
    return None if checked.code == 0 else checked.said or "the signature does not fit"


def check(
    signature: bytes,
    data: bytes,
    allowed_signers: str,
    *,
    signers: Sequence[str],
    at: str | None,
    namespace: str = NAMESPACE,
) -> tuple[str | None, str | None]:
    """The name in `allowed_signers` that made the signature, and what is wrong; one is None.

    With `signers`, it must be one of these names. `at` is when it is known to have existed
    (`YYYYmmddHHMMSSZ`), for keys that expired since.
    """
    when = [] if at is None else [f"-Overify-time={at}"]
    with _file(signature) as path:
        common = ["-s", path, "-f", allowed_signers, *when]
        if not signers:
            # A guess at the names to ask about, no more: what counts is that -Y verify agrees. A
            # name in a certificate is its maker's text, so any of them may be none.
            found = ask(["-Y", "find-principals", *common], b"", _VERIFY_TIMEOUT_S)
            signers = found.out.decode("utf-8", "replace").split("\n")[:_MAX_PRINCIPALS]
            signers = [signer for signer in signers if signer]
        said = "made by a key that is not, or no longer, among the allowed signers"
        for signer in signers:
            words = ["-Y", "verify", "-n", namespace, "-I", signer, *common]
            verified = ask(words, data, _VERIFY_TIMEOUT_S)
            if verified.code == 0:
                return signer, None
            said = f"does not verify for {signer}: {verified.said}"
    return None, said


class _Answer(Struct, frozen=True):
    code: int
    out: bytes
    said: str


def ask(words: list[str], data: bytes, timeout_s: float) -> _Answer:
    """What ssh-keygen answers. Raises ZfError when it is not there, or cannot be started."""
    try:
        done = subprocess.run(
            ["ssh-keygen", *words],
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ZfError(
            "ssh-keygen is not installed",
            code="ZF632",
            hint=INSTALL,
        ) from None
    except OSError as error:
        raise ZfError(
            f"ssh-keygen could not be started: {error.strerror}", code="ZF632", hint=INSTALL
        ) from None
    except subprocess.TimeoutExpired:
        return _Answer(1, b"", "ssh-keygen gave no answer in time")
    # That no signature is by a key of that name it says where else its answers stand.
    told = done.stderr.strip() or (done.stdout if done.returncode else b"")
    lines = told.decode("utf-8", "replace").strip().splitlines()
    said = printable(lines[-1]) if lines else ""
    return _Answer(done.returncode, done.stdout, said)


@contextmanager
def _file(data: bytes) -> Iterator[str]:
    """A private copy of bytes already read, so that no tool opens a path inside the bundle."""
    with tempfile.NamedTemporaryFile(prefix="zf-verify-") as file:
        file.write(data)
        file.flush()
        yield file.name
