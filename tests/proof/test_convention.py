"""conventions/PROOFS_CONVENTION.md and the schemas say what is, and the commands on the page work."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError
from msgspec.structs import fields

from tests.support import proof_bundles, proof_schemas, proof_tables
from tests.support.proof_bundles import BEGAN, FAILED, Run
from tests.support.proof_keys import make_authority, make_keys, stamp
from zf.audit.authentic import Trust
from zf.audit.compare import compare
from zf.audit.policy import _RULES
from zf.audit.signing.attest import attest
from zf.audit.signing.ed25519 import DsseSigner
from zf.audit.signing.ssh import SshSigner
from zf.audit.verify import verify
from zf.events import TYPES

ROOT = Path(__file__).resolve().parents[2]
PAGE = proof_tables.PAGE.read_text()
POLICY_PAGE = (ROOT / "docs" / "reference" / "policy.md").read_text()
BLOCKS = re.findall(r"(?ms)^```sh\n(.*?)^```$", PAGE)


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Path:
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory) -> Path:
    made = proof_bundles.full(tmp_path_factory.mktemp("signed"))
    signers = [SshSigner(str(keys / "alice")), DsseSigner(str(keys / "key.pem"))]
    attest(str(made.path), signers)
    return made.path


@pytest.fixture
def bundle(signed, tmp_path) -> Path:
    return Path(shutil.copytree(signed, tmp_path / "bundle"))


def test_the_tables_are_those_of_the_schemas():
    assert proof_tables.filled(PAGE) == PAGE, "run ./dev python tests/support/proof_tables.py"


@pytest.mark.parametrize("path", sorted(proof_schemas.SCHEMAS.glob("*.json")), ids=lambda p: p.name)
def test_every_schema_is_one(path):
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["title"]


def test_every_file_of_a_run_has_the_form_of_its_schema(signed, tmp_path):
    assert proof_schemas.check_run(signed) > 40
    assert proof_schemas.check_run(proof_bundles.killed(tmp_path).path) > 5


def test_what_verify_and_diff_print_has_the_form_of_its_schema(signed, keys, tmp_path):
    trust = Trust({"allowed_signers": str(keys / "allowed")})
    killed = proof_bundles.killed(tmp_path)
    for path in (signed, killed.path):
        proof_schemas.check(verify(str(path), trust=trust, now=BEGAN).as_json(), "verification")
    proof_schemas.check(compare(str(signed), str(killed.path)).as_json(), "diff")


def test_a_schema_refuses_what_is_not_in_its_form(signed):
    run = json.loads((signed / "run.json").read_text())
    proof_schemas.check(run, "run")
    with pytest.raises(ValidationError):
        proof_schemas.check({**run, "run_id": "../x"}, "run")
    with pytest.raises(AssertionError, match="does not describe"):
        proof_schemas.check({**run, "made_up": 1}, "run")


def test_every_event_and_every_field_of_it_is_in_the_schema():
    parts = proof_tables.schema("event")["$defs"]
    assert set(parts) == set(TYPES)
    envelope = {"seq", "prev", "wall", "mono", "run", "type"}
    for name, kind in TYPES.items():
        assert set(parts[name]["properties"]) - envelope == {f.name for f in fields(kind)} - {"run"}
        assert f"`{name}`" in PAGE


def test_the_tree_on_the_page_is_the_tree_of_a_run(signed):
    """Every file of a run with every outcome is on the page, in its place."""
    tree = re.search(r"(?ms)^```\n(<run>/.*?)^```$", PAGE)[1]
    told = set(re.findall(r"[\w.-]+\.\w+|\.timeout_killed|[\w-]+/", tree))
    for path in signed.rglob("*"):
        name = str(path.relative_to(signed))
        if "30-artifacts/" in name or not path.is_file():
            continue
        assert re.sub(r"-\d+\.", "-N.", path.name) in told, name
        inside = re.sub(r"^[^/]+/(attempts/\d+/)?", "", name).split("/")[0] + "/"
        assert "/" not in name or inside in told or name.startswith("attest/"), name


# The commands


def shell(script: str, bundle: Path, keys: Path, **more: str) -> subprocess.CompletedProcess:
    env = {
        **os.environ,
        "TMPDIR": str(bundle.parent),
        "ALLOWED_SIGNERS": str(keys / "allowed"),
        "PUBLIC_KEY": str(keys / "key.pub.pem"),
        **more,
    }
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=bundle, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def block(word: str) -> str:
    [found] = [text for text in BLOCKS if word in text]
    return found


def test_there_is_a_test_for_every_block_of_commands():
    assert len(BLOCKS) == 7


@pytest.mark.parametrize(
    ("word", "harm"),
    [
        ("MANIFEST.sha256\nfind", lambda run: (run / "good/20-logs/step-0.log").write_text("x")),
        ("MANIFEST.sha256\nfind", lambda run: (run / "good/more").write_text("x")),
        ("MANIFEST.sha256\nfind", lambda run: (run / "good/more").symlink_to("x")),
        ("events.jsonl\necho", lambda run: edit(run / "events.jsonl", b"timeout", b"success")),
        ("plan_sha256", lambda run: edit(run / "plan.json", b"Task good", b"Task bad")),
        ("plan_sha256", lambda run: (run / "good").rename(run / "x")),
        ("plan_sha256", lambda run: edit(run / "bad/40-checksums/task.sha256", b"a", b"b")),
        ("find-principals", lambda run: edit(run / "attest/statement.json", b"alice", b"malory")),
        ("find-principals", lambda run: edit(run / "MANIFEST.sha256", b"a", b"b")),
        ("envelope()", lambda run: edit(run / "attest/statement.json", b"alice", b"malory")),
        (
            "envelope()",
            lambda run: edit(run / "attest/statement.dsse.json", b'"sig":"', b'"sig":"A'),
        ),
        ("$TASK", lambda run: edit(run / "good/20-logs/step-0.log", b"h", b"j")),
        ("$TASK", lambda run: edit(run / "good/40-checksums/task.sha256", b"a", b"b")),
    ],
)
def test_the_commands_pass_on_a_good_run_and_fail_on_a_changed_one(bundle, keys, word, harm):
    script = block(word)
    done = shell(script, bundle, keys, TASK="good")
    assert done.returncode == 0, done.stdout + done.stderr
    if word == "events.jsonl\necho":
        assert done.stdout == verify(str(bundle), now=BEGAN).result["head"] + "\n"
    harm(bundle)
    assert shell(script, bundle, keys, TASK="good").returncode != 0


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_the_commands_for_time_stamps_are_those_zf_uses(tmp_path):
    (tmp_path / "tsa").mkdir()
    authority = make_authority(tmp_path / "tsa")
    made = Run(tmp_path / "proofs").plan(one=())
    made.attempt("one", FAILED)
    run = made.end(1).path
    attest(str(run), [])
    stamp(authority, run / "attest/statement.json")
    done = shell(block("openssl ts"), run, tmp_path, TIMESTAMP_CA=str(authority / "ca.pem"))
    assert (done.returncode, "Time stamp:" in done.stdout) == (0, True), done.stderr


# Policies


def test_the_page_on_policies_has_every_rule():
    told = re.findall(r"(?m)^\| `(\w+)` \|", POLICY_PAGE)
    assert told == list(_RULES)
