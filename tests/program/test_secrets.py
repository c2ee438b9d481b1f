"""Secrets planted wherever a run could let them out, and `grep -r` over everything it left."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from urllib.parse import quote, quote_plus

import pytest

from tests.support.program import heard

NAMED = "open sesame/please+now"
TOKEN = "tök3n?with&odd=chars"
LINES = "first-secret-line\nsecond: {secret} 'line'\nthird\\secret\"line"
OWN = "correct-horse-battery"
MASKED = "masked-by-the-output"
PEM = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQ"
SECRETS = {"NAMED": NAMED, "API_TOKEN": TOKEN, "LINES": LINES}

# Prints the values of these variables, and one more, in every form.
PRINT = r"""
import base64, json, os, sys, urllib.parse
for value in [os.environ[n] for n in ("NAMED", "API_TOKEN", "LINES", "DB_PASSWORD")] + sys.argv[1:]:
    data = value.encode()
    print(value, json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value), data)
    print(data.hex(), data.hex().upper(), urllib.parse.quote(value), urllib.parse.quote(value, ""))
    print(urllib.parse.quote_plus(value), *value.splitlines(), sep="\n")
    for before in (b"", b"1", b"22", b"user:"):
        print(base64.b64encode(before + data).decode(), base64.urlsafe_b64encode(before + data))
        print(base64.encodebytes(before + data * 9).decode())
"""


def forms(value: str) -> set[str]:
    """How a secret may look, by the issue's list; written without a look at zf's own."""
    found = set()
    for text in {value, *value.splitlines()}:
        data = text.encode()
        found |= {text, data.hex(), data.hex().upper(), json.dumps(text)[1:-1]}
        found |= {json.dumps(text, ensure_ascii=False)[1:-1], quote(text), quote(text, safe="")}
        found |= {quote_plus(text)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Those characters of it that no neighbour has a part in.
            data = b"\0" * shift + value.encode()
            whole = encode(data).rstrip(b"=").decode()
            found.add(whole[(shift * 8 + 5) // 6 : len(data) * 8 // 6])
    return {line for form in found for line in form.splitlines()}


def left(folder, values=(NAMED, TOKEN, LINES, OWN, MASKED, PEM)) -> list[str]:
    """The lines that hold a secret, as grep tells them."""
    patterns = "\n".join(sorted(form for value in values for form in forms(value)))
    words = ["grep", "-r", "-a", "-F", "-f", "-", str(folder)]
    done = subprocess.run(words, input=patterns, text=True, capture_output=True, check=False)
    assert done.returncode in {0, 1}, done
    names = subprocess.run(["find", str(folder)], text=True, capture_output=True, check=True)
    named = [
        name for name in names.stdout.splitlines() if any(f in name for f in patterns.splitlines())
    ]
    return done.stdout.splitlines() + named


@pytest.fixture
def planted(project):
    """Tasks that let secrets out in every way they have."""
    (project.root / "zf.yaml").write_text("secrets: [LINES]\ngrace_sec: 1\n")
    (project.root / "print.py").write_text(PRINT)
    project.env |= SECRETS
    common = {
        "pass_env": ["NAMED", "API_TOKEN", "LINES", "MASKED"],
        "secrets": ["NAMED"],
        "env": {"DB_PASSWORD": OWN, "INNOCENT": f"with {OWN} in it"},
        "title": f"Say {NAMED} and {OWN}",
    }
    shout = f"{sys.executable} print.py"
    project.task(
        "printed",
        f"{shout}; {shout} >&2",
        f"echo ::add-mask::{MASKED}; echo next; {shout} {MASKED}",
        f"printf -- '-----BEGIN PRIVATE KEY-----\\n{PEM}\\n-----END PRIVATE KEY-----\\n'",
        cleanup=[{"name": f"tidy {OWN}", "run": f"{shout}; echo {OWN}"}],
        **common,
    )
    project.task(
        "kept",
        f'cd "$ARTIFACTS_DIR"; {sys.executable} "$ZENFLOW_ROOT/print.py" > all; echo fine > fine; '
        'echo x > "name-$DB_PASSWORD"; mkdir "$DB_PASSWORD"; echo "$LINES" > lines',
        artifacts=[f"*{OWN}*", "gone/**"],
        **common,
    )
    project.task(
        "named",
        "true",
        f"echo {OWN}; exit 3",
        needs=[],
        condition=f"${{NAMED}} != '{NAMED}x' && ${{DB_PASSWORD}} == '{OWN}'",
        **common,
    )
    text = (project.root / "tasks/named/task.yaml").read_text()
    (project.root / "tasks/named/task.yaml").write_text(text.replace("step 2", f"say {OWN}"))
    project.task("placed", "true", workdir=f"no/{OWN}", **common)
    project.task("left", f"(exec -a 'say {OWN}' sleep 60) & sleep 0.1", **common)
    project.task("died", f"echo {OWN}; kill -9 $PPID; sleep 60", **common)
    project.task("held", f"echo {OWN}", needs=["placed"], **common)
    project.task("out", f"echo {OWN}", condition=f"${{DB_PASSWORD}} == '{OWN}x'", **common)
    (project.root / OWN).symlink_to(project.root)
    return project


def test_nothing_planted_is_found_after_a_run(planted):
    words = ("-C", OWN, "--run-id", "r1", "--output", "group")
    done = planted.zf("run-phase", "A", *words)
    assert done.code == 1, done.err
    ends = {
        name: planted.status("r1", name)["status"]
        for name in ("printed", "kept", "named", "placed", "left", "died", "held", "out")
    }
    assert ends == {
        "printed": "success",
        "kept": "failure",
        "named": "failure",
        "placed": "failure",
        "left": "failure",
        "died": "lost",
        "held": "blocked",
        "out": "skipped",
    }
    assert planted.status("r1", "kept")["cause"] == "artifacts"
    assert [p.name for p in planted.proof("r1", "kept", "30-artifacts").iterdir()] == ["fine"]
    assert planted.status("r1", "left")["survivors"][0]["command"] == "say *** 60"
    assert left(planted.root / "proofs") == []
    (planted.root / "said").mkdir()
    (planted.root / "said" / "all").write_text(done.out + done.err)
    assert left(planted.root / "said") == []
    assert planted.zf("verify", "r1").code == 0


def test_nothing_planted_is_found_after_a_kill_and_a_resume(planted):
    for path in (planted.root / "tasks").glob("*/task.yaml"):
        if path.parent.name != "held":
            path.unlink()
    text = {"pass_env": ["NAMED"], "secrets": ["NAMED"], "env": {"DB_PASSWORD": OWN}}
    planted.task("placed", f"echo {OWN}; test -e go || exec sleep 60", title=f"Is {NAMED}", **text)
    zf = planted.popen("run-phase", "A", "--run-id", "r1", "--progress", "json")
    heard(zf, "attempt_started")
    os.kill(zf.pid, signal.SIGKILL)
    zf.communicate()
    (planted.root / "go").touch()
    done = planted.zf("resume", "r1")
    assert done.code == 0, done.err
    assert planted.status("r1", "placed")["attempt"] == 2
    assert left(planted.root / "proofs") == []


def test_the_search_itself_finds_what_is_there(tmp_path):
    """Whoever greps for nothing finds nothing."""
    for number, value in enumerate((NAMED, TOKEN, LINES, OWN, MASKED)):
        data = value.encode()
        for form in (data.hex(), base64.b64encode(b"1" + data).decode(), quote(value), value):
            (tmp_path / "file").write_text(f"before {form} after")
            assert left(tmp_path), (number, form)


def test_a_secret_that_is_a_part_of_an_id_changes_no_id(project):
    project.task("test-a", "echo test", title="a test")
    project.task("test-b", "true", needs=["test-a"])
    done = project.zf("run-phase", "A", "--run-id", "test1", env={"DB_PASSWORD": "test"})
    assert done.code == 0, done.err
    assert [task["id"] for task in project.json("test1", "plan.json")["tasks"]] == [
        "test-a",
        "test-b",
    ]
    assert project.zf("verify", "test1").code == 0


def git(project, *words):
    who = ("-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=project.root, check=True, capture_output=True)


def test_what_escapes_split_is_joined_nowhere(project):
    """Colours are dropped from what is shown: what they part must be hidden before."""
    split = f"{OWN[:7]}\\033[31m{OWN[7:15]}\\033[0m\\033[K{OWN[15:]}"
    project.task("split", f"printf '{split}\\n'; exit 3", env={"DB_PASSWORD": OWN})
    project.task("held", "true", needs=["split"])
    done = project.zf("run-phase", "A", "--run-id", "r1", "--output", "group")
    explained = project.zf("explain", "r1", "split")
    logs = project.zf("logs", "r1", "split")
    (project.root / "said").mkdir()
    for number, said in enumerate((done, explained, logs)):
        (project.root / "said" / str(number)).write_text(said.out + said.err)
    blocked = (project.root / "proofs/r1/blocked.json").read_text()
    assert "***" in blocked
    assert "***" in explained.out
    for path in [p for p in project.root.glob("proofs/**/*") if p.is_file()]:
        seen = re.sub(rb"\x1b\[[0-9;]*[mK]", b"", path.read_bytes())
        (project.root / "said" / path.name).write_bytes(seen)
    assert left(project.root / "said", [OWN]) == []


def test_a_survivors_command_is_cut_once_its_secrets_are_gone(project):
    """Cut first, half a secret at its end is none that can be found."""
    long = "x" * 285
    project.task("left", f"(exec -a '{long} {OWN}' sleep 60) & sleep 0.2", env={"DB_PASSWORD": OWN})
    project.zf("run-phase", "A", "--run-id", "r1")
    (survivor,) = project.status("r1", "left")["survivors"]
    assert survivor["command"] == f"{long} *** 60"
    project.task("left", f"(exec -a '{'x' * 295}{OWN}' sleep 60) & sleep 0.2", env={"K_KEY": OWN})
    project.zf("run-phase", "A", "--run-id", "r2")
    (survivor,) = project.status("r2", "left")["survivors"]
    assert survivor["command"] == "x" * 295 + "*** 6"


def test_where_the_code_came_from_is_told_without_secrets(project):
    git(project, "init", "-q")
    git(project, "checkout", "-q", "-b", f"fix-{OWN}")
    git(project, "remote", "add", "origin", f"https://example.org/{OWN}/repo?token={OWN}")
    project.task("t", "true", env={"DB_PASSWORD": OWN})
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": f"by-{OWN}", "GITHUB_REF_NAME": OWN}
    assert project.zf("run-phase", "A", "--run-id", "r1", env=ci).code == 0
    source = project.json("r1", "run.json")["source"]
    assert source["branch"] == "fix-***"
    assert source["repo"] == "https://example.org/***/repo?token=***"
    assert left(project.root / "proofs", [OWN]) == []
    assert project.zf("verify", "r1").code == 0


def test_a_digest_in_the_plan_tells_nothing_of_a_secret(project):
    """Of two values, neither can be told from the digest: the rest of the task is known."""
    digests = []
    for run, value in enumerate((OWN, "another-secret-value")):
        project.task("t", f"echo {value}", env={"DB_PASSWORD": value}, title="same")
        assert project.zf("run-phase", "A", "--run-id", f"r{run}").code == 0
        digests.append(project.json(f"r{run}", "plan.json")["tasks"][0]["sha256"])
    assert digests[0] == digests[1]
    project.task("t", "echo more", env={"DB_PASSWORD": OWN}, title="same")
    assert project.zf("run-phase", "A", "--run-id", "r3").code == 0
    assert project.json("r3", "plan.json")["tasks"][0]["sha256"] != digests[0]


def test_a_replay_that_is_kept_hides_what_the_run_hid(project):
    """Also what was never passed on: it is read from elsewhere, then and now."""
    (project.root / "zf.yaml").write_text("secrets: [NAMED]\n")
    file = project.root / "elsewhere"
    file.write_text(f"{NAMED}\n")
    where = str(file)
    project.task(
        "t",
        f"cat {where}; grep DB_PASS tasks/t/task.yaml; echo $DB_PASSWORD",
        env={"DB_PASSWORD": OWN},
    )
    git(project, "init", "-q")
    git(project, "add", "-A", "tasks", "zf.yaml")
    git(project, "commit", "-q", "-m", "a task")
    environ = {"NAMED": NAMED}
    done = project.zf("run-phase", "A", "--run-id", "r1", env=environ)
    assert done.code == 0, done.err
    assert left(project.root / "proofs", [NAMED, OWN]) == []
    again = project.zf("replay", "r1", "t", "--keep", "kept", env=environ)
    logs = list((project.root / "kept").glob("**/20-logs"))
    assert logs, again.err
    for folder in (project.root / "kept").glob("**/replay"):
        assert left(folder, [NAMED, OWN]) == []
