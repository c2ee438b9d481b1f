"""Signing and its checks, against the real ssh-keygen, openssl, securesystemslib and in-toto."""

import base64
import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as ResultPb
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from tests.support import proof_bundles
from tests.support.forged_seal import seal
from tests.support.proof_bundles import BEGAN
from tests.support.proof_keys import make_authority, make_keys, run, stamp, with_status_text
from zf.audit import authentic, statement
from zf.audit.account import Account, TaskAccount
from zf.audit.authentic import Trust
from zf.audit.findings import State
from zf.audit.signing import envelope as form
from zf.audit.signing import ssh, timestamps
from zf.audit.signing.attest import attest, default_key, signer_for
from zf.audit.verify import Expectations, verify
from zf.errors import ZfError
from zf.proof.canonical import canonical

NOW = BEGAN + 60


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


def sign(path: Path, *keys: Path, **more) -> list[str]:
    with ExitStack() as opened:
        return attest(str(path), [signer_for(str(key), opened) for key in keys], **more)


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory) -> Path:
    made = proof_bundles.full(tmp_path_factory.mktemp("signed"))
    sign(made.path, keys / "alice", keys / "key.pem")
    return made.path


@pytest.fixture
def bundle(signed, tmp_path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "bundle"))


@pytest.fixture
def both(keys) -> Trust:
    return Trust(
        {"allowed_signers": str(keys / "allowed"), "public_key": str(keys / "key.pub.pem")}
    )


def look(path: Path, trust: Trust = authentic.NO_TRUST):
    return verify(str(path), trust=trust, now=NOW)


def kinds(path: Path, trust: Trust) -> set[tuple[str, str]]:
    return {(f.verdict, f.kind) for f in look(path, trust).findings}


# What is written


def test_the_files_of_an_attestation(keys, tmp_path):
    made = proof_bundles.small(tmp_path)
    assert sign(made.path, keys / "alice", keys / "key.pem") == [
        "attest/statement.dsse.json",
        "attest/statement.json",
        "attest/statement.json.sig",
        "attest/test-result.dsse.json",
        "attest/test-result.json",
    ]


def test_signing_changes_nothing_that_was_sealed(keys, tmp_path):
    made = proof_bundles.small(tmp_path)
    before = (made.path / "MANIFEST.sha256").read_bytes()
    sign(made.path, keys / "alice")
    seal(str(made.path))
    assert (made.path / "MANIFEST.sha256").read_bytes() == before


def test_the_statement(signed):
    stated = json.loads((signed / "attest/statement.json").read_text())
    assert list(stated) == sorted(("_type", "predicate", "predicateType", "subject"))
    subjects = {s["name"]: s["digest"] for s in stated["subject"]}
    assert subjects["MANIFEST.sha256"] == {
        "sha256": sha256((signed / "MANIFEST.sha256").read_bytes()).hexdigest()
    }
    assert subjects["https://example.org/x.git"] == {"gitCommit": proof_bundles.COMMIT}
    for task in ("good", "held"):
        data = (signed / task / "40-checksums/task.sha256").read_bytes()
        assert subjects[f"{task}/40-checksums/task.sha256"] == {"sha256": sha256(data).hexdigest()}
    predicate = stated["predicate"]
    assert predicate["run"]["id"] == "r1"
    assert predicate["run"]["exit_code"] == 1
    assert predicate["actor"]["claimed"]["user"] == "alice"
    assert len(predicate["actor"]["proven"]) == 2
    assert predicate["approval"] is None
    rows = {row["id"]: row for row in predicate["tasks"]}
    assert (rows["flaky"]["attempts"], rows["flaky"]["flaky"]) == (2, True)
    assert (rows["good"]["attempts"], rows["good"]["flaky"]) == (1, False)
    assert (rows["held"]["needs"], rows["held"]["status"]) == (["bad"], "blocked")
    assert predicate["events"]["head"] == look(signed).result["head"]


def test_the_test_result(signed):
    result = json.loads((signed / "attest/test-result.json").read_text())["predicate"]
    assert result["result"] == "FAILED"
    assert result["passedTests"] == ["flaky", "good"]
    assert result["failedTests"] == ["bad", "held", "slow", "stopped"]
    assert result["warnedTests"] == []


@pytest.mark.parametrize(
    ("outcomes", "exit_code", "result"),
    [
        ({"a": {"status": "success"}}, 0, "PASSED"),
        ({"a": {"status": "skipped"}}, 0, "PASSED"),
        ({"a": {"status": "failure", "warned": True}}, 0, "WARNED"),
        ({"a": {"status": "success"}}, 130, "FAILED"),
        ({"a": {"status": "lost"}}, 1, "FAILED"),
        ({}, 0, "FAILED"),
    ],
)
def test_the_result_of_a_run(outcomes, exit_code, result):
    account = statement_account(outcomes, exit_code)
    facts = statement.Facts({}, {"tasks": [{"id": "a"}]}, account, "", {})
    assert statement.test_result(facts)["predicate"]["result"] == result


def statement_account(outcomes, exit_code):
    tasks = {name: TaskAccount(began=1, terminal=end) for name, end in outcomes.items()}
    return Account(ended={"exit_code": exit_code}, tasks=tasks)


def test_redactions_add_up_by_rule():
    statuses = [
        {"redactions": {"secret": 2, "jwt": 1}},
        {"redactions": {"secret": 3, "odd": "x"}},
        {"redactions": None},
        {},
    ]
    assert statement.redactions(statuses) == {"secret": 5, "jwt": 1}


def test_an_approval_is_signed_with_the_rest(keys, tmp_path, both):
    made = proof_bundles.small(tmp_path)
    sign(made.path, keys / "alice", keys / "key.pem", approval="CHANGE-17")
    stated = json.loads((made.path / "attest/statement.json").read_text())
    assert stated["predicate"]["approval"] == "CHANGE-17"
    assert look(made.path, both).exit_code == 0


# What is verified


def test_a_signed_run_verifies_for_those_who_trust_the_key(bundle, both):
    found = look(bundle, both)
    assert (found.exit_code, found.findings) == (0, ())
    assert found.verdicts[2].state == State.PASSED
    assert found.verdicts[2].summary.startswith("signed by alice@example.org (SHA256:")


def test_a_signed_run_nobody_vouches_for_is_not_called_authentic(bundle):
    found = look(bundle)
    assert found.exit_code == 0
    assert found.verdicts[2].state == State.NOT_CHECKED
    assert "takes --allowed-signers FILE" in found.verdicts[2].summary


def test_one_kind_of_signature_is_enough_when_only_that_is_asked_for(keys, tmp_path, both):
    for number, key in enumerate(("alice", "key.pem")):
        made = proof_bundles.small(tmp_path / str(number))
        sign(made.path, keys / key)
        trust = Trust({"allowed_signers": both.keys["allowed_signers"]})
        if number:
            trust = Trust({"public_key": both.keys["public_key"]})
        assert look(made.path, trust).exit_code == 0
        assert look(made.path, both).exit_code == 4


def test_an_unsigned_run_is_refused_where_a_signature_is_required(tmp_path, both):
    made = proof_bundles.small(tmp_path)
    found = look(made.path, both)
    assert found.exit_code == 4
    assert [f.render() for f in found.findings] == [
        "AUTHENTIC [unsigned] attest/statement.json: is not there"
    ]


def test_a_statement_without_any_signature_is_unsigned(tmp_path):
    made = proof_bundles.small(tmp_path)
    attest(str(made.path), [])
    assert look(made.path).verdicts[2].state == State.UNSIGNED


def test_another_key_is_refused(bundle, keys, both):
    shutil.rmtree(bundle / "attest")
    sign(bundle, keys / "mallory", keys / "other.pem")
    assert kinds(bundle, both) == {("AUTHENTIC", "not_trusted")}
    assert look(bundle, both).exit_code == 4
    assert look(bundle).exit_code == 0


def test_another_signers_name_is_refused(bundle, both):
    named = Trust({"allowed_signers": both.keys["allowed_signers"]}, signers=("bob@example.org",))
    assert kinds(bundle, named) == {("AUTHENTIC", "not_trusted")}
    named = Trust(
        {"allowed_signers": both.keys["allowed_signers"]},
        signers=("bob@example.org", "alice@example.org"),
    )
    assert kinds(bundle, named) == set()


def test_a_signature_for_another_purpose_is_refused(bundle, keys, both):
    stated = bundle / "attest" / "statement.json"
    stated.with_suffix(".json.sig").unlink()
    run("ssh-keygen", "-Y", "sign", "-n", "git", "-f", keys / "alice", stated)
    messages = [f.message for f in look(bundle, both).findings]
    assert "signed for 'git', not 'zf-run-v1'" in messages


def test_an_expired_key_is_refused(bundle, keys, tmp_path):
    alice = (keys / "alice.pub").read_text()
    (tmp_path / "allowed").write_text(f'alice@example.org valid-before="20200101" {alice}')
    trust = Trust({"allowed_signers": str(tmp_path / "allowed")})
    assert kinds(bundle, trust) == {("AUTHENTIC", "not_trusted")}


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_an_edited_statement_is_found_twice(bundle, both):
    edit(bundle / "attest/statement.json", b'"exit_code":1', b'"exit_code":0')
    assert kinds(bundle, both) == {
        ("INTACT", "statement"),
        ("AUTHENTIC", "not_trusted"),
        ("AUTHENTIC", "bad_signature"),
    }
    assert look(bundle, both).exit_code == 1
    assert ("AUTHENTIC", "bad_signature") in kinds(bundle, authentic.NO_TRUST)


def test_a_statement_about_another_run_is_found_even_when_rightly_signed(
    bundle, keys, both, tmp_path
):
    other = proof_bundles.small(tmp_path, "r2")
    sign(other.path, keys / "alice", keys / "key.pem")
    shutil.rmtree(bundle / "attest")
    shutil.copytree(other.path / "attest", bundle / "attest")
    messages = {f.message for f in look(bundle, both).findings}
    assert "predicate.run.id is not what the run says" in messages
    assert look(bundle, both).exit_code == 1


def test_the_sealed_files_cannot_change_under_a_signature(bundle, both):
    edit(bundle / "run.json", b'"host":"example"', b'"host":"elsewhere"')
    seal(str(bundle))
    messages = {f.message for f in look(bundle, both).findings}
    assert messages >= {
        "subject[0].digest.sha256 is not what the run says",
        "predicate.host is not what the run says",
    }


@pytest.mark.parametrize(
    "name",
    [
        "statement.json",
        "statement.json.sig",
        "statement.dsse.json",
        "test-result.json",
        "test-result.dsse.json",
    ],
)
def test_every_changed_byte_of_an_attestation_is_found(bundle, both, name, request):
    path = bundle / "attest" / name
    data = path.read_bytes()
    # Each look starts ssh-keygen, so the plain suite takes a spread of the longer files.
    step = 1 if request.config.getoption("--campaign") else max(1, len(data) // 100)
    for place in range(0, len(data), step):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        assert look(bundle, both).exit_code in {1, 4}, place
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert look(bundle, both).exit_code in {1, 4}, size
    path.write_bytes(data + b"\n")
    assert look(bundle, both).exit_code in {1, 4}
    path.unlink()
    assert look(bundle, both).exit_code in {1, 4}


def test_what_is_no_part_of_an_attestation_is_surplus(bundle, both):
    (bundle / "attest" / "more").mkdir()
    (bundle / "attest" / "more" / "file").write_text("")
    (bundle / "attest" / "note").write_text("")
    assert {f.path for f in look(bundle, both).findings} == {"attest/more/file", "attest/note"}


def test_a_statement_taken_away_leaves_the_rest_unexplained(bundle):
    (bundle / "attest" / "statement.json").unlink()
    assert {(f.verdict, f.kind) for f in look(bundle).findings} == {("INTACT", "statement")}


def test_a_statement_is_no_place_for_anything_else(bundle):
    path = bundle / "attest" / "statement.json"
    path.write_bytes(canonical(json.loads(path.read_bytes()) | {"more": 1}))
    assert "not an in-toto statement" in {f.message for f in look(bundle).findings}
    path.write_bytes(canonical({"predicate": {"actor": {"proven": "x"}}}))
    assert "not an in-toto statement" in {f.message for f in look(bundle).findings}
    path.write_bytes(b"[]\n")
    assert "not canonical JSON" in {f.message for f in look(bundle).findings}


def test_an_older_statement_with_fewer_keys_still_agrees():
    assert statement.differences({"a": {"b": 1}}, {"a": {"b": 1, "new": 2}}) == []
    assert statement.differences({"a": {"b": 1}}, {"a": {"b": True}}) == ["a.b"]
    assert statement.differences({"a": [{"b": 1}, 2]}, {"a": [{"b": 2}, 2]}) == ["a[0].b"]
    assert statement.differences({"a": [1]}, {"a": [1, 2]}) == ["a"]


def test_keys_from_inside_the_bundle_are_no_keys_to_trust(bundle, keys):
    shutil.copy(keys / "allowed", bundle / "allowed")
    with pytest.raises(ZfError, match="part of what it is to vouch for"):
        look(bundle, Trust({"allowed_signers": str(bundle / "allowed")}))
    with pytest.raises(ZfError, match="cannot be read"):
        look(bundle, Trust({"public_key": str(keys / "absent")}))


def test_incomplete_and_signed_is_still_incomplete(keys, tmp_path, both):
    made = proof_bundles.killed(tmp_path)
    seal(str(made.path))
    sign(made.path, keys / "alice", keys / "key.pem")
    found = look(made.path, both)
    assert found.exit_code == 3
    assert found.verdicts[2].state == State.PASSED


# What cannot be signed


def test_a_run_is_signed_once_and_only_when_sealed(keys, tmp_path):
    made = proof_bundles.killed(tmp_path)
    with pytest.raises(ZfError, match="is not sealed"):
        sign(made.path, keys / "alice")
    seal(str(made.path))
    sign(made.path, keys / "alice")
    with pytest.raises(ZfError, match="is signed already"):
        sign(made.path, keys / "alice")


def test_a_full_disk_leaves_no_half_attestation(keys, tmp_path):
    made = proof_bundles.small(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As much as the signature, but not the statement: the disk is full in between.
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, limits[1]))
    try:
        with pytest.raises(ZfError, match="cannot be written: File too large") as caught:
            sign(made.path, keys / "alice")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == [made.path]
    assert look(made.path).exit_code == 0
    sign(made.path, keys / "alice")


@pytest.mark.parametrize("name", ["run.json", "plan.json", "events.jsonl"])
def test_a_broken_run_is_not_signed(keys, tmp_path, name):
    made = proof_bundles.small(tmp_path)
    for data in (b"[]\n", None):
        (made.path / name).write_bytes(data) if data else (made.path / name).unlink()
        with pytest.raises(ZfError, match="cannot be signed"):
            sign(made.path, keys / "alice")


def test_bad_keys_are_named(keys, tmp_path):
    (tmp_path / "nonsense").write_text("hello")
    run("openssl", "genpkey", "-algorithm", "x25519", "-out", tmp_path / "x25519.pem")
    with ExitStack() as opened:
        for key, said in (
            ("nonsense", "is not a key that ssh-keygen can read"),
            ("absent", "No such file"),
            ("x25519.pem", "is not an Ed25519 private key"),
        ):
            with pytest.raises(ZfError, match=said):
                signer_for(str(tmp_path / key), opened)
    with pytest.raises(ZfError, match="is not an Ed25519 public key"):
        look(proof_bundles.small(tmp_path).path, Trust({"public_key": str(tmp_path / "nonsense")}))


def test_a_key_the_agent_does_not_hold_does_not_sign(keys, tmp_path):
    shutil.copy(keys / "alice.pub", tmp_path / "lonely.pub")
    signer = ssh.SshSigner(str(tmp_path / "lonely.pub"))
    with pytest.raises(ZfError, match="did not sign"):
        signer.sign("x", b"data")


def test_the_agent_signs_for_a_public_key(keys, tmp_path, both, monkeypatch):
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            run("ssh-add", "-q", keys / "alice")
            made = proof_bundles.small(tmp_path)
            sign(made.path, (keys / "alice.pub").read_text().strip())
        finally:
            agent.terminate()
    assert look(made.path, Trust({"allowed_signers": both.keys["allowed_signers"]})).exit_code == 0


def test_the_key_is_gits_where_none_is_named(tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    assert default_key(str(tmp_path), environ) is None
    (tmp_path / ".gitconfig").write_text("[user]\nsigningkey = ~/.ssh/id\n")
    assert default_key(str(tmp_path), environ) is None
    (tmp_path / ".gitconfig").write_text("[user]\nsigningkey = ~/.ssh/id\n[gpg]\nformat = ssh\n")
    assert default_key(str(tmp_path), environ) == "~/.ssh/id"
    assert default_key(str(tmp_path), environ | {"ZF_SIGNING_KEY": "k"}) == "k"
    assert default_key(str(tmp_path), {"PATH": "/nonexistent"}) is None


def test_what_git_prints_is_a_value_up_to_its_end_and_in_any_encoding(tmp_path):
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    config = b'[user]\nsigningkey = "/keys/\xff\\nb"\n[gpg]\nformat = ssh\n'
    (tmp_path / ".gitconfig").write_bytes(config)
    key = default_key(str(tmp_path), environ)
    assert key is not None
    assert os.fsencode(key) == b"/keys/\xff\nb"


def test_a_key_file_of_several_keys_signs_as_the_key_it_names(keys, tmp_path):
    """A listing begins with one key, the agent may hold another: no statement names the wrong."""
    two = tmp_path / "two.pub"
    two.write_text((keys / "mallory.pub").read_text() + (keys / "alice.pub").read_text())
    shutil.copy(keys / "alice", tmp_path / "two")
    made = proof_bundles.small(tmp_path)
    try:
        sign(made.path, tmp_path / "two")
    except ZfError as error:
        assert "two" in str(error)  # noqa: PT017 - either is right, what is wrong is neither
    else:
        assert look(made.path, Trust({"allowed_signers": str(keys / "allowed")})).exit_code == 0


def test_an_envelope_that_was_not_checked_names_no_signer(bundle, keys, both):
    """Its key is known by digest only: without --public-key nothing of it was looked at."""
    envelope = bundle / "attest/statement.dsse.json"
    payload, signatures = form.read(envelope.read_bytes())
    [key] = signatures
    envelope.write_bytes(form.write(payload, key, b"made up"))
    for trust in (authentic.NO_TRUST, Trust({"allowed_signers": both.keys["allowed_signers"]})):
        verdict = look(bundle, trust).verdicts[2]
        trusted, unchecked, told = verdict.summary.partition("names")
        assert key not in trusted
        assert unchecked
        assert "not checked" in told
    (bundle / "attest/statement.json.sig").unlink()
    assert "signed by" not in look(bundle).verdicts[2].summary
    assert look(bundle).verdicts[2].state != State.PASSED
    assert look(bundle, both).verdicts[2].state == State.FAILED


def test_missing_tools_are_named(keys, bundle, both, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ZfError, match="ssh-keygen is not installed"):
        look(bundle, both)
    with pytest.raises(ZfError, match="openssl is not installed"):
        timestamps.stamp_time(b"", b"", "ca")


def test_a_missing_extra_is_explained(keys):
    program = (
        "import sys; sys.modules['cryptography.exceptions'] = None\n"
        "from contextlib import ExitStack; from zf.errors import ZfError\n"
        "from zf.audit.signing.attest import signer_for\n"
        f"try: signer_for({str(keys / 'key.pem')!r}, ExitStack())\n"
        "except ZfError as error: print(error.problems[0].hint)\n"
    )
    said = run(sys.executable, "-c", program, text=True).stdout
    assert said == "pip install cryptography\n"


def test_an_ssh_keygen_that_hangs_is_left(tmp_path, monkeypatch):
    slow = tmp_path / "ssh-keygen"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(ssh, "_VERIFY_TIMEOUT_S", 0.2)
    assert ssh.check_self(b"", b"") == "ssh-keygen gave no answer in time"


# Forms that are not the one form


def armoured(blob: bytes) -> bytes:
    return ssh._armour(blob)


FIELDS = b"".join(len(f).to_bytes(4, "big") + f for f in (b"k", b"zf-run-v1", b"", b"sha512", b"s"))
GOOD = b"SSHSIG\0\0\0\1" + FIELDS


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (b"", "not an SSH signature"),
        (armoured(GOOD).replace(b"\n-----END", b"\n\n-----END"), "not the form"),
        (armoured(b"GPGSIG\0\0\0\1" + FIELDS), "not an SSH signature"),
        (armoured(GOOD + b"x"), "with something after it"),
        (armoured(GOOD[:-1]), "cut short"),
        (armoured(GOOD[:-4]), "cut short"),
        (armoured(GOOD.replace(b"zf-run-v1", b"zf-run-v2")), "signed for 'zf-run-v2'"),
    ],
)
def test_odd_ssh_signatures(signature, said):
    assert ssh.key_id(armoured(GOOD)).startswith("SHA256:")
    with pytest.raises(ValueError, match=said):
        ssh.key_id(signature)


def envelope(**changes) -> bytes:
    good = {"payload": "e30=", "payloadType": form.PAYLOAD_TYPE, "signatures": []}
    return canonical({key: value for key, value in (good | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "not canonical JSON"),
        (b"[]\n", "not canonical JSON"),
        (envelope(payload=None), "not a DSSE envelope"),
        (envelope(payloadType="text/plain"), "holds 'text/plain'"),
        (envelope(signatures={}), "not key ids"),
        (envelope(signatures=[{"keyid": 1, "sig": ""}]), "not key ids"),
        (envelope(signatures=[{"keyid": "k"}]), "not key ids"),
        (envelope(signatures=[{"keyid": "k", "sig": None}]), "not canonical base64"),
        (envelope(payload="e31="), "not canonical base64"),
        (envelope(payload="e3"), "Incorrect padding"),
    ],
)
def test_odd_envelopes(data, said):
    assert form.read(envelope()) == (b"{}", {})
    with pytest.raises(ValueError, match=said):
        form.read(data)


def test_an_envelope_holds_one_signature_over_the_file_beside_it(bundle, both):
    path = bundle / "attest/statement.dsse.json"
    value = json.loads(path.read_text())
    value["signatures"] *= 1
    value["signatures"].append({"keyid": "more", "sig": "AAAA"})
    path.write_bytes(canonical(value))
    assert "has not exactly one signature" in {f.message for f in look(bundle, both).findings}
    path.write_bytes(canonical(value | {"payload": "e30="}))
    assert "holds another statement.json" in {f.message for f in look(bundle, both).findings}


# What other people's tools say


def test_ssh_keygen_alone_verifies(signed, keys):
    words = [
        "-Y",
        "verify",
        "-n",
        "zf-run-v1",
        "-I",
        "alice@example.org",
        "-s",
        "statement.json.sig",
    ]
    stated = (signed / "attest/statement.json").read_bytes()
    where = signed / "attest"
    run("ssh-keygen", *words, "-f", keys / "allowed", cwd=where, input=stated)
    for data, names in (
        (stated + b" ", words),
        (stated, [w.replace("alice", "bob") for w in words]),
    ):
        bad = subprocess.run(
            ["ssh-keygen", *names, "-f", keys / "allowed"],
            cwd=where, input=data, capture_output=True, check=False,
        )  # fmt: skip
        assert bad.returncode != 0


@pytest.mark.parametrize("name", ["statement", "test-result"])
def test_openssl_alone_verifies_an_envelope(signed, keys, tmp_path, name):
    value = json.loads((signed / f"attest/{name}.dsse.json").read_text())
    payload = base64.b64decode(value["payload"])
    assert payload == (signed / f"attest/{name}.json").read_bytes()
    kind = value["payloadType"]
    (tmp_path / "pae").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(value["signatures"][0]["sig"]))
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin", "-in", tmp_path / "pae"]
    run(*words, "-sigfile", tmp_path / "sig", "-inkey", keys / "key.pub.pem")
    with pytest.raises(subprocess.CalledProcessError):
        run(*words, "-sigfile", tmp_path / "sig", "-inkey", keys / "other.pub.pem")


def test_securesystemslib_verifies_an_envelope(signed, keys):
    for name in ("statement", "test-result"):
        value = json.loads((signed / f"attest/{name}.dsse.json").read_text())
        key_id = value["signatures"][0]["keyid"]
        sent = Envelope.from_dict(value)
        for pem, good in (("key.pub.pem", True), ("other.pub.pem", False)):
            public = load_pem_public_key((keys / pem).read_bytes())
            key = SSlibKey.from_crypto(public, keyid=key_id)
            if good:
                assert sent.verify([key], 1)
            else:
                with pytest.raises(VerificationError):
                    sent.verify([key], 1)


def test_in_toto_reads_the_statements(signed):
    for name, kind in (
        ("statement", statement.RUN_PREDICATE),
        ("test-result", statement.TEST_RESULT_PREDICATE),
    ):
        text = (signed / f"attest/{name}.json").read_text()
        parsed = json_format.Parse(text, StatementPb())
        Statement.copy_from_pb(parsed).validate()
        assert parsed.predicate_type == kind
    result = json_format.ParseDict(json.loads(text)["predicate"], ResultPb())
    assert list(result.passed_tests) == ["flaky", "good"]


# Time stamps


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Path:
    return make_authority(tmp_path_factory.mktemp("tsa"))


def test_a_time_stamp_says_since_when_the_statement_exists(bundle, authority, both):
    stamp(authority, bundle / "attest/statement.json")
    trust = Trust(
        {"allowed_signers": both.keys["allowed_signers"]}, timestamp_ca=str(authority / "ca.pem")
    )
    before = datetime.now(UTC) - timedelta(seconds=60)
    found = look(bundle, trust)
    stamped, wrong = timestamps.stamp_time(
        (bundle / "attest/statement.json.tsr").read_bytes(),
        (bundle / "attest/statement.json").read_bytes(),
        str(authority / "ca.pem"),
    )
    assert wrong is None
    assert stamped is not None
    # These bundles say they are of a fixed day: the stamp is right to be elsewhere in time.
    if stamped.timestamp() < BEGAN:
        assert "is older than the run" in found.findings[0].message
    else:
        assert f"existed on {stamped:%Y-%m-%dT%H:%M:%SZ}" in found.verdicts[4].summary
        assert found.exit_code == 0
    assert stamped >= before


def test_a_time_stamp_of_something_else_is_refused(bundle, authority, both):
    trust = Trust(timestamp_ca=str(authority / "ca.pem"))
    assert kinds(bundle, trust) == {("TIMED", "timestamp")}
    other = bundle.parent / "other"
    other.write_text("other")
    stamp(authority, other)
    shutil.move(f"{other}.tsr", bundle / "attest/statement.json.tsr")
    found = look(bundle, trust)
    assert "does not verify" in found.findings[0].message
    assert found.verdicts[4].state == State.FAILED
    assert found.exit_code == 4
    (bundle / "attest/statement.json.tsr").write_bytes(b"")
    assert look(bundle, trust).exit_code == 4


def test_unsigned_text_in_an_answer_is_no_time(bundle, authority, keys, tmp_path):
    """A forged line in the status, before the token's own: an expired key stays expired."""
    stamp(authority, bundle / "attest/statement.json")
    stamped = bundle / "attest/statement.json.tsr"
    ca = str(authority / "ca.pem")
    stated = (bundle / "attest/statement.json").read_bytes()
    true = timestamps.stamp_time(stamped.read_bytes(), stated, ca)
    forged = "\nTime stamp: Jan  1 00:00:00 2019 GMT\n"
    stamped.write_bytes(with_status_text(tmp_path, stamped.read_bytes(), forged))
    shown = run("openssl", "ts", "-reply", "-in", stamped, "-text", text=True).stdout
    assert shown.index("Jan  1 00:00:00 2019") < shown.index("TST info")  # what a grep would take
    assert timestamps.stamp_time(stamped.read_bytes(), stated, ca) == true
    assert true[0] is not None
    assert true[0].year >= 2026
    alice = (keys / "alice.pub").read_text()
    (tmp_path / "allowed").write_text(f'alice@example.org valid-before="20200101" {alice}')
    found = look(bundle, Trust({"allowed_signers": str(tmp_path / "allowed")}, timestamp_ca=ca))
    assert ("AUTHENTIC", "not_trusted") in {(f.verdict, f.kind) for f in found.findings}


@pytest.mark.parametrize(
    "text", [b"", b"0", b"\x30\x80\0\0", b"\x30\x02\x05\0", b"\x30\x84\xff\xff\xff\xff"]
)
def test_what_is_no_token_has_no_time(text):
    with pytest.raises(ValueError, match=r"cut short|not a token"):
        timestamps._time_of(text)


def test_an_old_key_is_good_for_what_a_time_stamp_shows_to_be_older(
    bundle, authority, keys, tmp_path
):
    """The key expired, but the statement is known to be older than that."""
    stamp(authority, bundle / "attest/statement.json")
    stamped, _ = timestamps.stamp_time(
        (bundle / "attest/statement.json.tsr").read_bytes(),
        (bundle / "attest/statement.json").read_bytes(),
        str(authority / "ca.pem"),
    )
    assert stamped is not None
    signature = (bundle / "attest/statement.json.sig").read_bytes()
    stated = (bundle / "attest/statement.json").read_bytes()
    alice = (keys / "alice.pub").read_text()
    (tmp_path / "allowed").write_text(f'alice@example.org valid-before="20200101" {alice}')
    for at, good in (("20190101000000Z", True), ("20210101000000Z", False), (None, False)):
        signer, wrong = ssh.check(signature, stated, str(tmp_path / "allowed"), signers=(), at=at)
        assert (signer is not None, wrong is None) == (good, good)


def test_expectations_and_trust_go_together(bundle, both):
    found = verify(str(bundle), Expectations(run="r1"), both, now=NOW)
    assert found.exit_code == 0
    assert verify(str(bundle), Expectations(run="r2"), both, now=NOW).exit_code == 4
