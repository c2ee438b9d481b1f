"""The Verification Summary Attestation, as in-toto's own library reads it."""

import json
from hashlib import sha256

from google.protobuf import json_format
from in_toto_attestation.predicates.vsa.v1.vsa_pb2 import VerificationSummary
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb

from tests.support import proof_bundles
from tests.support.proof_bundles import BEGAN
from zf.audit.signing.attest import attest
from zf.audit.verify import Expectations, verify
from zf.audit.vsa import summarise
from zf.proof.canonical import canonical


def told(verification) -> dict:
    made = summarise(verification, policy_name="policy.yaml", policy=b"rules", now=BEGAN)
    text = canonical(made).decode()
    parsed = json_format.Parse(text, StatementPb())
    Statement.copy_from_pb(parsed).validate()
    # in-toto's message is behind SLSA's page, which is the standard: it holds one level where
    # there is a list, and knows no version of the verifier.
    predicate = {key: value for key, value in made["predicate"].items() if key != "verifiedLevels"}
    json_format.ParseDict(predicate, VerificationSummary(), ignore_unknown_fields=True)
    return json.loads(text)


def test_a_verified_run(tmp_path):
    run = proof_bundles.tiny(tmp_path).path
    attest(str(run), [])
    made = told(verify(str(run), Expectations(run="r1"), now=BEGAN))
    manifest = sha256((run / "MANIFEST.sha256").read_bytes()).hexdigest()
    assert made["subject"] == [{"name": "MANIFEST.sha256", "digest": {"sha256": manifest}}]
    predicate = made["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["runResult"] == "success"
    assert predicate["verifiedLevels"] == ["ZF_INTACT", "ZF_COMPLETE", "ZF_EXPECTED", "ZF_TIMED"]
    assert predicate["resourceUri"] == "zf:run:r1"
    assert predicate["timeVerified"] == "2026-11-21T06:30:44.000000Z"
    assert predicate["policy"] == {
        "uri": "policy.yaml",
        "digest": {"sha256": sha256(b"rules").hexdigest()},
    }
    stated = sha256((run / "attest/statement.json").read_bytes()).hexdigest()
    assert predicate["inputAttestations"][0] == {
        "uri": "attest/statement.json",
        "digest": {"sha256": stated},
    }


def test_a_whole_proof_of_a_failed_run_is_no_pass(tmp_path):
    """All five verdicts hold: it is a true record of a failure, and must not be deployed on."""
    found = verify(str(proof_bundles.small(tmp_path).path), now=BEGAN)
    assert found.exit_code == 0
    predicate = told(found)["predicate"]
    assert predicate["verificationResult"] == "FAILED"
    assert predicate["verifiedLevels"] == ["FAILED"]
    assert predicate["runResult"] == "failure"


def test_a_run_that_fails_has_no_level(tmp_path):
    run = proof_bundles.killed(tmp_path)
    made = told(verify(str(run.path), now=BEGAN))
    assert made["subject"][0]["digest"] == {"sha256": run.head}
    assert made["predicate"]["verificationResult"] == "FAILED"
    assert made["predicate"]["verifiedLevels"] == ["FAILED"]
