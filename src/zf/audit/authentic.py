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
from typing import Any

from zf.audit import statement
from zf.audit.findings import Finding, State, Verdict
from zf.audit.signing.signers import SCHEMES, Examined
from zf.audit.signing.timestamps import stamp_time
from zf.errors import ZfError, printable
from zf.lean.records import Struct, field
from zf.proof import forms
from zf.proof.canonical import canonical
from zf.proof.journal import decode
from zf.proof.layout import ATTEST

TIMESTAMP = f"{statement.STATEMENT}.tsr"
KNOWN = frozenset(
    {statement.STATEMENT, statement.TEST_RESULT, TIMESTAMP}.union(
        *(s.module.FILES for s in SCHEMES)
    )
)
# How far the clocks of a runner and of a time-stamping authority may lie apart.
_SKEW_S = 300.0
MAX_STATEMENT_BYTES = 256 * 1024 * 1024


class Trust(Struct, frozen=True):
    """The keys a caller trusts: files that are not in the bundle.

    `keys` has, for each scheme of `signing/signers.py` by which a signature is required, the file
    with the trusted keys; `signers` are names in OpenSSH's list of allowed signers, one of which
    must have signed (any one in it when empty); `timestamp_ca` is a file with the certificates of
    a time-stamping authority.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    signers: tuple[str, ...] = ()
    timestamp_ca: str | None = None

    def check_outside(self, bundle: str) -> None:
        """Refuse keys that lie in the bundle they are to vouch for, or cannot be read."""
        inside = os.path.realpath(bundle) + os.sep
        for path in (*self.keys.values(), self.timestamp_ca):
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


NO_TRUST = Trust()


class Check(Struct):
    """One look at attest/: feed it the files and what the run says, then read the results."""

    files: Mapping[str, bytes]
    facts: statement.Facts
    trust: Trust
    findings: list[Finding] = field(default_factory=list)
    stamped_at: datetime | None = None
    _signatures: Examined = field(default_factory=Examined)

    def _found(self, verdict: str, kind: str, message: str, name: str) -> None:
        self.findings.append(Finding(verdict, kind, message, f"{ATTEST}/{name}"))

    def run(self) -> Verdict:
        """The verdict AUTHENTIC; what is wrong is in `findings`."""
        pinned = bool(self.trust.keys)
        trusted = {
            s.keys: s.module.load(self.trust.keys[s.keys])
            for s in SCHEMES
            if s.keys in self.trust.keys
        }
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
        self._examine(proven, trusted)
        for key in sorted(proven):
            self._found("AUTHENTIC", "missing", f"no signature by {key}", statement.STATEMENT)
        return self._verdict(pinned)

    def _verdict(self, pinned: bool) -> Verdict:
        if any(finding.verdict == "AUTHENTIC" for finding in self.findings):
            return Verdict("AUTHENTIC", State.FAILED, "not signed as required")
        told = []
        signatures = self._signatures
        if signatures.trusted:
            told.append("signed by " + ", ".join(signatures.trusted))
        if signatures.unvouched:
            by = ", ".join(signatures.unvouched)
            told.append(f"signed by {by}; whose key that is takes --allowed-signers FILE")
        if signatures.unchecked:
            by = ", ".join(signatures.unchecked)
            told.append(f"names {by} as a signer, not checked: that takes --public-key FILE")
        if not told:
            return Verdict("AUTHENTIC", State.UNSIGNED, "a statement without a signature")
        state = State.PASSED if pinned and signatures.trusted else State.NOT_CHECKED
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

    def _examine(self, proven: set[str], trusted: Mapping[str, Any]) -> None:
        """Every signature, by the scheme that left it: the key it names, and whose it is."""
        at = None if self.stamped_at is None else f"{self.stamped_at:%Y%m%d%H%M%SZ}"
        found = self._signatures
        for scheme in SCHEMES:
            keys = trusted.get(scheme.keys)
            scheme.module.examine(self.files, keys, self.trust.signers, at, found)
        for key, name in found.claims:
            if key in proven:
                proven.remove(key)
            else:
                message = f"the statement does not say that {key:.80} signs it"
                found.flaws.append(("bad_signature", message, name))
        for kind, message, name in found.flaws:
            self._found("AUTHENTIC", kind, message, name)

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
