"""Runs that are signed at their end, by the real zf with real keys."""

import hashlib
import json
import os
import shutil
import signal

import pytest

from tests.support import proof_keys
from tests.support.program import heard

# And nothing of an attempt to sign.
IN_PROOFS = {".gitignore", ".locks", "r1"}


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").mkdir()
    return proof_keys.make_keys(tmp_path / "keys")


def verify(project, keys, run="r1"):
    return project.zf("verify", run, "--allowed-signers", str(keys / "allowed"))


def test_a_run_is_unsigned_unless_asked(project):
    project.task("t", "true")
    done = project.zf("run-phase", "A", "--run-id", "r1")
    head = json.loads(project.zf("verify", "r1", "--json").out)["result"]["head"]
    assert done.code == 0
    assert done.out.splitlines()[-3:] == [
        "proof: proofs/r1",
        f"head: {head}",
        "UNSIGNED: to sign it, zf seal r1 --sign",
    ]
    assert project.zf("verify", "r1", "--head", head).code == 0
    assert project.zf("verify", "r1", "--head", head[::-1]).code == 4


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--sign", "--key", "alice"], {}),
        (["--sign"], {"ZF_SIGNING_KEY": "alice"}),
        (["--sign", "--key", "alice"], {"ZF_SIGNING_KEY": "mallory"}),
    ],
)
def test_a_run_is_signed_at_its_end(project, keys, words, env):
    project.task("t", "true")
    words = [str(keys / word) if word == "alice" else word for word in words]
    env = {name: str(keys / value) for name, value in env.items()}
    done = project.zf("run-phase", "A", "--run-id", "r1", *words, env=env)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1].startswith("signed by: SHA256:")
    assert "UNSIGNED" not in done.out
    found = verify(project, keys)
    assert (found.code, "signed by alice@example.org" in found.out) == (0, True)
    recorded = project.json("r1", "run.json")["settings"]["sign"]
    assert recorded == {"value": True, "source": "--sign"}


def test_git_names_the_key_and_the_project_file_asks_for_it(project, keys, tmp_path):
    project.task("t", "true")
    (project.root / "zf.yaml").write_text("sign: true\n")
    (tmp_path / ".gitconfig").write_text(
        f"[gpg]\nformat = ssh\n[user]\nsigningkey = {keys / 'alice'}\n"
    )
    home = {"HOME": str(tmp_path)}
    done = project.zf("run-task", "t", "--run-id", "r1", "--json", env=home)
    assert done.code == 0, done.err
    said = json.loads(done.out)["signed_by"]
    statement = project.json("r1", "attest", "statement.json")
    assert statement["predicate"]["actor"]["proven"] == [said]
    assert verify(project, keys).code == 0
    recorded = project.json("r1", "run.json")["settings"]["sign"]
    assert recorded == {"value": True, "source": "zf.yaml"}
    done = project.zf("run-task", "t", "--run-id", "r2", "--json", "--no-sign", env=home)
    assert json.loads(done.out)["signed_by"] is None
    assert not project.proof("r2", "attest").exists()


def test_a_failed_run_is_signed_too_and_so_is_its_rerun(project, keys):
    project.task("t", "exit 3")
    signs = ("--sign", "--key", str(keys / "key.pem"))
    assert project.zf("run-phase", "A", "--run-id", "r1", *signs).code == 1
    assert project.zf("rerun", "r1", "--failed", "--run-id", "r2", *signs).code == 1
    for run in ("r1", "r2"):
        words = ("--public-key", str(keys / "key.pub.pem"))
        assert project.zf("verify", run, *words).code == 0


def test_a_resumed_run_is_signed_as_it_was_to_be(project, keys):
    project.task("t", "test -e ../go || { touch ../started; exec sleep 300; }", workdir="tasks")
    signs = ("--sign", "--key", str(keys / "alice"), "--progress", "json")
    zf = project.popen("run-phase", "A", "--run-id", "r1", *signs)
    heard(zf, "attempt_started")
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    (project.root / "go").touch()
    done = project.zf("resume", "r1", env={"HOME": str(keys)})
    assert (done.code, "no key to sign with" in done.err) == (2, True)
    done = project.zf("resume", "r1", env={"ZF_SIGNING_KEY": str(keys / "alice")})
    assert (done.code, "signed by: SHA256:" in done.out) == (0, True), done.err
    assert verify(project, keys).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sign"], "no key to sign with"),
        (["--sign", "--key", "absent"], "absent: No such file"),
        (["--sign", "--key", "tasks/t/task.yaml"], "is not a key that ssh-keygen can read"),
        (["--key", "k"], "--key goes with --sign"),
    ],
)
def test_nothing_is_run_without_a_key(project, words, said):
    project.task("t", "touch ran", workdir="tasks")
    done = project.zf("run-phase", "A", *words, env={"HOME": str(project.root)})
    assert (done.code, done.out, said in done.err) == (2, "", True)
    assert not (project.root / "tasks" / "ran").exists()


@pytest.mark.parametrize(("script", "code"), [("true", 1), ("exit 7", 7)])
def test_a_run_that_cannot_be_signed_stays_sealed(project, keys, script, code):
    """The public key is there, but nobody has the private one: that shows only in signing."""
    (keys / "alice.pub").rename(keys / "lonely.pub")
    project.task("t", script)
    words = ("--sign", "--key", str(keys / "lonely.pub"))
    done = project.zf("run-task", "t", "--run-id", "r1", *words)
    assert done.code == code
    assert done.out.splitlines()[-1] == "UNSIGNED: to sign it, zf seal r1 --sign"
    assert "error[ZF631]: ssh-keygen did not sign" in done.err
    assert "error[ZF644]: run r1 is sealed, but could not be signed\n  hint: to sign it" in done.err
    assert project.zf("verify", "r1").code == 0
    assert project.zf("seal", "r1", "--sign", "--key", str(keys / "alice")).code == 0
    assert {path.name for path in (project.root / "proofs").iterdir()} == IN_PROOFS


def test_what_is_signed_says_what_was_hidden_and_which_run_came_before(project, keys):
    project.task("t", 'echo "$API_TOKEN"; echo "$API_TOKEN" >&2', pass_env=["API_TOKEN"])
    signs = ("--sign", "--key", str(keys / "alice"))
    env = {"API_TOKEN": "hunter2hunter2"}
    stated = []
    for run in ("r1", "r2"):
        assert project.zf("run-phase", "A", "--run-id", run, *signs, env=env).code == 0
        stated.append(project.json(run, "attest", "statement.json")["predicate"])
    assert [one["redactions"] for one in stated] == [{"secret:API_TOKEN": 2}] * 2
    assert stated[0]["previous"] == {"run": None, "head": None}
    assert stated[1]["previous"] == {"run": "r1", "head": stated[0]["events"]["head"]}


def test_one_task_is_checked_alone_against_the_statement(project, keys, tmp_path):
    """With nothing but its own folder, what was signed, and tools that are not zf's."""
    project.task("t", "echo one")
    project.task("other", "echo two")
    words = ("--run-id", "r1", "--sign", "--key", str(keys / "alice"))
    assert project.zf("run-phase", "A", *words).code == 0
    alone = tmp_path / "alone"
    shutil.copytree(project.proof("r1", "t"), alone)
    check = ["sha256sum", "--check", "--strict", "--quiet", "40-checksums/task.sha256"]
    proof_keys.run(*check, cwd=alone)
    subjects = project.json("r1", "attest", "statement.json")["subject"]
    digests = {one["name"]: one["digest"].get("sha256") for one in subjects}
    listed = hashlib.sha256((alone / "40-checksums/task.sha256").read_bytes()).hexdigest()
    assert digests["t/40-checksums/task.sha256"] == listed
    assert digests["other/40-checksums/task.sha256"] != listed


def test_ctrl_c_while_it_is_signed_leaves_it_unsigned(project, keys, tmp_path):
    """As at a terminal where ssh-keygen asks for a passphrase."""
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    slow = tmp_path / "bin" / "ssh-keygen"
    slow.parent.mkdir()
    real = shutil.which("ssh-keygen")
    slow.write_text(
        f'#!/bin/sh\n[ "$1" != -Y ] || {{ echo asked > {asked}; exec sleep 60; }}\nexec {real} "$@"\n'
    )
    slow.chmod(0o755)
    project.task("t", "true")
    words = ("--run-id", "r1", "--sign", "--key", str(keys / "alice"))
    env = {"PATH": f"{slow.parent}:{os.environ['PATH']}"}
    zf = project.popen("run-phase", "A", *words, env=env, start_new_session=True)
    assert asked.read_text() == "asked\n"
    os.killpg(zf.pid, signal.SIGINT)
    out, err = zf.communicate()
    assert zf.returncode == 130, err
    assert "PASS r1: 1 task: 1 success" in out
    assert out.splitlines()[-1] == "UNSIGNED: to sign it, zf seal r1 --sign"
    assert "Traceback" not in err
    assert project.zf("verify", "r1").code == 0
    assert {path.name for path in (project.root / "proofs").iterdir()} == IN_PROOFS
