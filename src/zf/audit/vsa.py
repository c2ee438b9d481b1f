"""The outcome of a verification as an in-toto statement others can rely on: a SLSA Verification
Summary Attestation. Pure.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import zf
from zf.audit.findings import State
from zf.audit.result import Result
from zf.audit.statement import STATEMENT_TYPE
from zf.events import timestamp
from zf.proof.layout import ATTEST, JOURNAL, MANIFEST

if TYPE_CHECKING:
    from zf.audit.conclusion import Verification

PREDICATE = "https://slsa.dev/verification_summary/v1"
VERIFIER = "https://pypi.org/project/zenflow-runner/"
# Levels of our own, one for each verdict that passed: SLSA's speak of builds.
LEVEL = "ZF_{}"


def summarise(
    verification: Verification,
    *,
    policy_name: str,
    policy: bytes,
    now: float,
) -> dict[str, Any]:
    """The statement; its subject is the run's manifest (the journal's head when not sealed).

    `policy` is the policy file's bytes; without one, the command line's expectations in words.
    """
    result = verification.result
    subject = (
        {"name": MANIFEST, "digest": {"sha256": result["manifest_sha256"]}}
        if result["manifest_sha256"]
        else {"name": f"{JOURNAL}#head", "digest": {"sha256": result["head"]}}
    )
    # A whole proof of a failed run is nothing to deploy on, and this one word is all that is read.
    came_to = verification.outcome
    passed = verification.exit_code == 0 and came_to.state == Result.SUCCESS
    levels = [LEVEL.format(v.name) for v in verification.verdicts if v.state == State.PASSED]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {
            "verifier": {"id": VERIFIER, "version": {"zf": zf.__version__}},
            "timeVerified": timestamp(now),
            "resourceUri": f"zf:run:{verification.run}",
            "policy": {"uri": policy_name, "digest": {"sha256": sha256(policy).hexdigest()}},
            "inputAttestations": [
                {"uri": f"{ATTEST}/{name}", "digest": {"sha256": digest}}
                for name, digest in sorted(result["attestations"].items())
            ],
            "verificationResult": "PASSED" if passed else "FAILED",
            "verifiedLevels": levels if passed else ["FAILED"],
            "runResult": came_to.state.value,
            "slsaVersion": "1.0",
        },
    }
