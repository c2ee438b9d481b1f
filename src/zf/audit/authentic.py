"""Authenticity: check the signed statements against the files and the trusted keys.

The keys come from outside the bundle. Signatures are checked by ssh-keygen, by `cryptography` and,
for time stamps, by `openssl ts`. Each gets private copies of bytes already read, never a path
inside the bundle.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.audit import statement
from zf.audit.findings import Finding, State, Verdict
from zf.audit.signing import dsse, ssh
from zf.audit.signing.timestamps import stamp_time
from zf.errors import ZfError, printable
from zf.lean.record import field, mutable, record
from zf.proof import forms
from zf.proof.canonical import canonical
from zf.proof.journal import decode
from zf.proof.layout import ATTEST

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE = f"{statement.STATEMENT}.sig"
ENVELOPE, RESULT_ENVELOPE = dsse.name(statement.STATEMENT), dsse.name(statement.TEST_RESULT)
TIMESTAMP = f"{statement.STATEMENT}.tsr"
KNOWN = frozenset(
    {statement.STATEMENT, statement.TEST_RESULT, SIGNATURE, ENVELOPE, RESULT_ENVELOPE, TIMESTAMP}
)
# How far the clocks of a runner and of a time-stamping authority may lie apart.
_SKEW_S = 300.0
MAX_STATEMENT_BYTES = 256 * 1024 * 1024


@record
class Trust:
    """The keys a caller trusts: files that are not in the bundle.

    `allowed_signers` is OpenSSH's list, and `signers` the names in it of whom one must have signed
    (any one in it when empty); `public_key` is an Ed25519 key in PEM, for DSSE envelopes;
    `timestamp_ca` has the certificates of a time-stamping authority.
    """

    allowed_signers: str | None = None
    signers: tuple[str, ...] = ()
    public_key: str | None = None
    timestamp_ca: str | None = None

    def check_outside(self, bundle: str) -> None:
        """Refuse keys that lie in the bundle they are to vouch for, or cannot be read."""
        inside = os.path.realpath(bundle) + os.sep
        for path in (self.allowed_signers, self.public_key, self.timestamp_ca):
            if path is None:
                continue
            if os.path.realpath(path).startswith(inside):
                raise ZfError(
                    f"{printable(path)} is part of what it is to vouch for",
                    code="ZF637",
                    hint="take it from somewhere the maker of the bundle cannot write",
                )
            if not os.access(path, os.R_OK):
                raise ZfError(f"{printable(path)} cannot be read", code="ZF637")


NOBODY = Trust()


@mutable
class Check:
    """One look at attest/: feed it the files and what the run says, then read the results."""

    files: Mapping[str, bytes]
    facts: statement.Facts
    trust: Trust
    findings: list[Finding] = field(default_factory=list)
    stamped_at: datetime | None = None
    # Whose signatures hold and are trusted; those that hold, by a key that no one vouches for; and
    # those that could not be checked, as the key was not given.
    _trusted: list[str] = field(default_factory=list)
    _unvouched: list[str] = field(default_factory=list)
    _unchecked: list[str] = field(default_factory=list)

    def _found(self, verdict: str, kind: str, message: str, name: str) -> None:
        self.findings.append(Finding(verdict, kind, message, f"{ATTEST}/{name}"))

    def run(self) -> Verdict:
        """The verdict AUTHENTIC; what is wrong is in `findings`."""
        pinned = bool(self.trust.allowed_signers or self.trust.public_key)
        public_key = self._public_key()
        if statement.STATEMENT not in self.files:
            for name in sorted(self.files):
                self._found("INTACT", "statement", "belongs to a statement that is not there", name)
            if not pinned:
                summary = "anyone with write access could have created this bundle"
                return Verdict("AUTHENTIC", State.UNSIGNED, summary)
            self._found("AUTHENTIC", "unsigned", "is not there", statement.STATEMENT)
            return Verdict("AUTHENTIC", State.FAILED, "unsigned, and a signature is required")
        proven = self._statements()
        self._timestamp()
        self._ssh(proven)
        self._envelopes(proven, public_key)
        for key in sorted(proven):
            self._found("AUTHENTIC", "missing", f"no signature by {key}", statement.STATEMENT)
        return self._verdict(pinned)

    def _public_key(self) -> Ed25519PublicKey | None:
        if self.trust.public_key is None:
            return None
        from zf.audit.signing import ed25519  # noqa: PLC0415 - needs an extra

        return ed25519.load_public(self.trust.public_key)

    def _verdict(self, pinned: bool) -> Verdict:
        if any(finding.verdict == "AUTHENTIC" for finding in self.findings):
            return Verdict("AUTHENTIC", State.FAILED, "not signed as required")
        told = []
        if self._trusted:
            told.append("signed by " + ", ".join(self._trusted))
        if self._unvouched:
            by = ", ".join(self._unvouched)
            told.append(f"signed by {by}; whose key that is takes --allowed-signers FILE")
        if self._unchecked:
            by = ", ".join(self._unchecked)
            told.append(f"names {by} as a signer, not checked: that takes --public-key FILE")
        if not told:
            return Verdict("AUTHENTIC", State.UNSIGNED, "a statement without a signature")
        state = State.PASSED if pinned and self._trusted else State.NOT_CHECKED
        return Verdict("AUTHENTIC", state, "; ".join(told))

    def _statements(self) -> set[str]:
        """Hold both statements against the run; the ids of the keys said to have signed."""
        stated = self._read(statement.STATEMENT)
        result = self.files.get(statement.TEST_RESULT, b"")
        proven = _proven(stated)
        predicate = stated.get("predicate")
        approval = predicate.get("approval") if isinstance(predicate, dict) else None
        true = statement.run(
            self.facts,
            test_result_sha256=sha256(result).hexdigest(),
            signers=sorted(proven),
            approval=approval,
        )
        self._compare(statement.STATEMENT, stated, true)
        if statement.TEST_RESULT in self.files:
            said = self._read(statement.TEST_RESULT)
            self._compare(statement.TEST_RESULT, said, statement.test_result(self.facts))
        return proven

    def _read(self, name: str) -> Mapping[str, Any]:
        data = self.files[name]
        try:
            value = decode(data)
            if canonical(value) == data and isinstance(value, dict) and value:
                for problem in forms.problems(name.removesuffix(".json"), value):
                    self._found("INTACT", "statement", problem, name)
                return value
        except (ValueError, RecursionError):
            pass
        self._found("INTACT", "statement", "not canonical JSON", name)
        return {}

    def _compare(self, name: str, said: Mapping[str, Any], true: Mapping[str, Any]) -> None:
        # Through JSON, so that tuples and enums compare as what was written.
        for place in statement.differences(said, decode(canonical(true))):
            self._found("INTACT", "statement", f"{place} is not what the run says", name)
        if said and said.keys() != true.keys():
            self._found("INTACT", "statement", "not an in-toto statement", name)

    def _ssh(self, proven: set[str]) -> None:
        signature = self.files.get(SIGNATURE)
        if signature is None:
            if self.trust.allowed_signers:
                self._found("AUTHENTIC", "unsigned", "is not there", SIGNATURE)
            return
        stated = self.files[statement.STATEMENT]
        try:
            key = ssh.key_id(signature)
        except ValueError as error:
            self._found("AUTHENTIC", "bad_signature", str(error), SIGNATURE)
            return
        self._claim(key, proven, SIGNATURE)
        if self.trust.allowed_signers:
            at = None if self.stamped_at is None else f"{self.stamped_at:%Y%m%d%H%M%SZ}"
            signer, wrong = ssh.check(
                signature, stated, self.trust.allowed_signers, signers=self.trust.signers, at=at
            )
            if wrong:
                self._found("AUTHENTIC", "not_trusted", wrong, SIGNATURE)
            else:
                self._trusted.append(f"{signer} ({key})")
        else:
            wrong = ssh.check_self(signature, stated)
            if wrong:
                self._found("AUTHENTIC", "bad_signature", wrong, SIGNATURE)
            else:
                self._unvouched.append(key)

    def _envelopes(self, proven: set[str], pinned: Ed25519PublicKey | None) -> None:
        names = (ENVELOPE, RESULT_ENVELOPE)
        if pinned is None and not any(name in self.files for name in names):
            return
        for name, inner in zip(names, (statement.STATEMENT, statement.TEST_RESULT), strict=True):
            if name in self.files:
                self._envelope(name, inner, proven, pinned)
            else:
                self._found("AUTHENTIC", "unsigned", "is not there", name)

    def _envelope(
        self, name: str, inner: str, proven: set[str], pinned: Ed25519PublicKey | None
    ) -> None:
        try:
            payload, signatures = dsse.read(self.files[name])
        except ValueError as error:
            self._found("AUTHENTIC", "bad_signature", str(error), name)
            return
        if payload != self.files.get(inner):
            self._found("AUTHENTIC", "bad_signature", f"holds another {inner}", name)
        if len(signatures) != 1:
            self._found("AUTHENTIC", "bad_signature", "has not exactly one signature", name)
        for key, signature in signatures.items():
            if name == ENVELOPE:
                self._claim(key, proven, name)
            if pinned is None:
                # An envelope holds the key's digest, not the key: nothing can be checked.
                self._unchecked += [f"{key:.80}"] if name == ENVELOPE else []
                continue
            from zf.audit.signing import ed25519  # noqa: PLC0415 - needs an extra

            if key != ed25519.key_id(pinned):
                self._found("AUTHENTIC", "not_trusted", f"signed by another key: {key:.80}", name)
            elif not ed25519.fits(pinned, payload, signature):
                self._found("AUTHENTIC", "not_trusted", "the signature does not fit", name)
            elif name == ENVELOPE:
                self._trusted.append(key)

    def _claim(self, key: str, proven: set[str], name: str) -> None:
        """A signature must be by one of the keys that the statement says sign it."""
        if key in proven:
            proven.remove(key)
        else:
            message = f"the statement does not say that {key:.80} signs it"
            self._found("AUTHENTIC", "bad_signature", message, name)

    def _timestamp(self) -> None:
        token = self.files.get(TIMESTAMP)
        if self.trust.timestamp_ca is None:
            return
        if token is None:
            self._found("TIMED", "timestamp", "is not there", TIMESTAMP)
            return
        self.stamped_at, wrong = stamp_time(
            token, self.files[statement.STATEMENT], self.trust.timestamp_ca
        )
        if self.stamped_at is None:
            self._found("TIMED", "timestamp", wrong or "", TIMESTAMP)
        elif self.stamped_at.timestamp() < self.facts.account.clocks.last - _SKEW_S:
            message = f"the time stamp ({self.stamped_at:%Y-%m-%dT%H:%M:%SZ}) is older than the run"
            self._found("TIMED", "timestamp", message, TIMESTAMP)


def _proven(stated: Mapping[str, Any]) -> set[str]:
    value: Any = stated
    for key in ("predicate", "actor", "proven"):
        value = value.get(key) if isinstance(value, dict) else None
    return {key for key in value if isinstance(key, str)} if isinstance(value, list) else set()
