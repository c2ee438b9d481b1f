"""A project in which one task does all it can to make the others' failures a success, and what must
hold of its run however that went.

`bad` fails, `slow` times out, `after` needs `bad`: none of them can honestly be a success. `evil`
acts before `bad` starts, while it runs, after it has ended, or from a process it leaves running,
through `forge.py` below, which knows how zf's files fit together and makes them fit again.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from tests.support.program import Finished, Project, survivors
from zf.audit.conclusion import TAMPERED, VERIFIED
from zf.audit.verify import verify

RUN = "r1"
TAMPERED_WHILE_RUNNING = "TAMPERED WHILE RUNNING"
NEVER_A_SUCCESS = ("after", "bad", "slow")

# What a hostile task brings along. It takes orders from its command line, in turn:
#   HOW FILE     do that to a file of the run: `forge`, `append`, `truncate`, `swap`, `link`,
#                `hardlink`, `fifo`, `folder`, `delete`, `unreadable`
#   kill WHO, stop WHO   WHO is bad, evil, bad-worker, evil-worker or runner
# Whatever it may not do it passes over.
FORGE = r'''
import hashlib, json, os, shutil, signal, sys

run_dir = os.path.dirname(os.environ["PROOF_DIR"])
root = os.environ["ZENFLOW_ROOT"]


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def encode(value):
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def pretty(value):
    inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
    return f"{{\n{inner}\n}}\n".encode()


def improve(value):
    """Whatever a status or an event says: a success."""
    if value.get("status") in {"failure", "timeout", "blocked", "lost", "cancelled"}:
        value.update(status="success", conclusion="success", cause="", detail="", exit_code=0)
        value.pop("signal", None) is None or value.update(signal=None)
    if value.get("type") == "run_ended":
        value.update(exit_code=0, counts={"success": sum(value["counts"].values())})
    if value.get("result"):
        value["result"] = "passed"
    return value


def listed(folder, skip=()):
    """A checksum list over all that is in a folder."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            short = os.path.relpath(path, folder)
            if short not in skip and os.path.isfile(path) and not os.path.islink(path):
                found[short] = hashlib.sha256(read(path)).hexdigest()
    return "".join(f"{found[k]}  {k}\n" for k in sorted(found)).encode()


def status_of(task):
    """The best status that can be told of a task: its own if there is one, else another's."""
    for candidate in (task, os.environ["TASK_ID"], *sorted(os.listdir(run_dir))):
        path = f"{run_dir}/{candidate}/99-summary/status.json"
        if os.path.isfile(path):
            value = json.loads(read(path))
            break
    else:
        value = {"schema": "zf/status/v2", "run_id": os.environ["RUN_ID"], "phase": "A"}
        value |= {"title": task, "flaky": False, "signal": None, "needs": {}, "timeout_sec": 3600}
        value |= {"started_at": "2026-11-21T06:30:44.123456Z", "duration_s": 0.1, "step": None}
        value |= {"completed_at": "2026-11-21T06:30:45.123456Z", "containment": "subreaper"}
        value |= {"survivors": [], "artifacts": 0, "refused": [], "notes": [], "redactions": {}}
    value |= {"task_id": task, "attempt": value.get("attempt") or 1, "cause": "", "detail": ""}
    return value | {"status": "success", "conclusion": "success", "exit_code": 0}


def forged(path):
    """The bytes that would do zf's reader most harm."""
    short = os.path.relpath(path, run_dir)
    task, _, rest = short.partition("/")
    if rest == "99-summary/status.json":
        return pretty(status_of(task))
    if rest == "40-checksums/task.sha256":
        return listed(f"{run_dir}/{task}", {"40-checksums/task.sha256"})
    if rest == "40-checksums/artifacts.sha256":
        return listed(f"{run_dir}/{task}/30-artifacts")
    if short == "MANIFEST.sha256":
        return listed(run_dir, {"MANIFEST.sha256"})
    if short == "events.jsonl":
        prev, lines = "0" * 64, []
        for line in read(path).splitlines():
            value = improve(json.loads(line))
            value["prev"] = prev
            if value.get("task_sha256") and os.path.isdir(f"{run_dir}/{value['task']}"):
                own = f"{run_dir}/{value['task']}/40-checksums/task.sha256"
                if os.path.isfile(own):
                    value["task_sha256"] = hashlib.sha256(read(own)).hexdigest()
            text = encode(value)
            prev = hashlib.sha256(text[:-1]).hexdigest()
            lines.append(text)
        return b"".join(lines)
    if os.path.isfile(path):
        data = read(path)
        try:
            return encode(improve(json.loads(data)))
        except (ValueError, AttributeError):
            return data.replace(b"3", b"0") + b"better\n"
    return b"{}\n"


def do(how, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    other = f"{root}/forged-{os.getpid()}"
    if how == "forge":
        data = forged(path)
        with open(path, "wb") as stream:
            stream.write(data)
    elif how == "append":
        with open(path, "ab") as stream:
            stream.write(b"better\n")
    elif how == "truncate":
        os.truncate(path, os.path.getsize(path) // 2)
    elif how == "delete":
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    elif how == "unreadable":
        os.chmod(path, 0)
    elif how in {"swap", "link", "hardlink"}:
        with open(other, "wb") as stream:
            stream.write(forged(path))
        if how == "link":
            os.symlink(other, other + ".link")
            other += ".link"
        elif how == "hardlink":
            os.link(other, other + ".link")
            other += ".link"
        os.replace(other, path)
    elif how in {"fifo", "folder"}:
        os.mkfifo(other) if how == "fifo" else os.mkdir(other)
        if os.path.lexists(path):
            os.rename(path, other + ".aside")
        os.rename(other, path)


def parent(pid):
    return int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])


def pid_of(who):
    if who == "evil-worker":
        return int(read(f"{root}/pid.evil"))
    if who == "runner":
        return parent(int(read(f"{root}/pid.evil")))
    if who == "bad-worker":
        return int(read(f"{root}/pid.bad"))
    return int(read(f"{root}/shell.{who}"))


orders = sys.argv[1:]
while orders:
    how, where, *orders = orders
    try:
        if how in {"kill", "stop"}:
            os.kill(pid_of(where), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        else:
            do(how, os.path.normpath(f"{run_dir}/{where}"))
    except Exception as error:
        print(how, where, repr(error))
'''

_ATTEMPT_FILES = (
    "99-summary/status.json",
    "99-summary/.timeout_killed",
    "40-checksums/task.sha256",
    "40-checksums/artifacts.sha256",
    "40-checksums/attempts.sha256",
    "00-meta/task.json",
    "00-meta/env.sh",
    "10-commands/commands.json",
    "10-commands/step-0.sh",
    "10-commands/step-0.json",
    "20-logs/step-0.log",
    "30-artifacts/report.xml",
    "attempts/1/99-summary/status.json",
    "planted",
)
_RUN_FILES = (
    "events.jsonl",
    "run.json",
    "plan.json",
    "blocked.json",
    "MANIFEST.sha256",
    "attest/statement.json",
    "planted",
    "../.locks/r1.lock",
    "../.locks/planted",
    "../latest",
)
_FOLDERS = ("bad", "bad/99-summary", "bad/30-artifacts", "evil/30-artifacts", "evil", "after", "")
_HOWS = (
    "forge", "forge", "swap", "swap", "append", "truncate", "link", "hardlink", "fifo", "folder",
    "delete", "unreadable",
)  # fmt: skip
_KILLS = (
    ("kill", "bad-worker"), ("kill", "runner"), ("kill", "evil-worker"), ("stop", "bad-worker"),
    ("kill", "bad"), ("stop", "bad"),
)  # fmt: skip
# A whole claim, in the order in which a worker makes it.
_CLAIM = ("99-summary/status.json", "40-checksums/artifacts.sha256", "40-checksums/task.sha256")


def misbehaviour(seed: int) -> tuple[str, tuple[str, ...]]:
    """When `evil` acts and the orders it gives `forge.py`; the same for the same seed."""
    rng = random.Random(seed)
    when = rng.choice(("before", "during", "during", "during", "after", "last"))
    orders: list[str] = []
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(10)
        if kind < 3:
            victim = rng.choice(("bad", "bad", "slow", "after"))
            for name in _CLAIM:
                orders += ["forge", f"{victim}/{name}"]
        elif kind < 6:
            victim = rng.choice(("bad", "evil", "slow", "after", "good"))
            orders += [rng.choice(_HOWS), f"{victim}/{rng.choice(_ATTEMPT_FILES)}"]
        elif kind < 9:
            orders += [rng.choice(_HOWS), rng.choice(_RUN_FILES)]
        else:
            orders += [rng.choice(("folder", "delete", "unreadable")), rng.choice(_FOLDERS)]
    if rng.random() < 0.5:
        orders += rng.choice(_KILLS)
    return when, tuple(orders)


class Hostile(Project):
    """The project, with the misbehaviour in place."""

    def __init__(self, root: Path, when: str, orders: tuple[str, ...]) -> None:
        super().__init__(root)
        self.env["ZF_TEST_MARK"] = self.mark
        (root / "zf.yaml").write_text("pass_env: [ZF_TEST_MARK]\ngrace_sec: 0.5\n")
        (root / "forge.py").write_text(FORGE)
        for name in ("up", "go"):
            os.mkfifo(root / name)
        # Once: a resumed run that starts it again would lose its runner for ever.
        words = " ".join(map(repr, orders))
        act = f"echo $PPID > pid.evil; mkdir acted && {sys.executable} forge.py {words} || true"
        ids = "echo $PPID > pid.bad; echo $$ > shell.bad; "
        apart: dict[str, Any] = {"parallel_safe": True}
        bad: dict[str, Any] = {**apart, "timeout_sec": 3}
        evil: dict[str, Any] = {**apart, "timeout_sec": 10}
        if when == "during":
            # `<>` never waits, so that each goes on when the other was killed.
            meet = f"{ids} exec 4<>go; exec 5<>up; echo >&5; read -r _ <&4; exit 3"
            act = f"exec 4<>go; exec 5<>up; read -r -t 3 _ <&5; {act}; echo >&4; exit 0"
        else:
            meet = f"{ids} echo no; exit 3"
        after = {"task": "bad", "require": "done"}
        if when == "before":
            bad["needs"] = [{"task": "evil", "require": "done"}]
        elif when == "after":
            evil["needs"] = [after]
        elif when == "last":
            evil |= {"needs": [after, {"task": "slow", "require": "done"}], "leave_running": True}
            # It waits for the run's last moments: for the runner to tell of the end.
            act = (
                f"(echo $PPID > pid.evil; tail -f --pid=$PPID -n +1 $PROOF_DIR/../events.jsonl"
                f" | grep -m 1 -q phase_ended; {act}) & disown"
            )
        self.task("bad", meet, **bad)
        self.task("evil", act, **evil)
        self.task("slow", "sleep 300", timeout_sec=0.3, **apart)
        self.task("after", "true", needs=["bad"], **apart)
        self.task("good", "echo good > $ARTIFACTS_DIR/report.xml", **apart)

    def left(self) -> list[str]:
        """What is still alive of all that was ever started here."""
        return survivors(f"ZF_TEST_MARK={self.mark}")


def check_no_better(
    project: Project, signers: Path, *done: Finished, compared: bool = False
) -> None:
    """No task of the run has become a success, and what zf has sealed and signed is as it said.
    `compared`: it had looked at everything before something was changed.
    """
    said = "".join(one.out + one.err for one in done)
    last = done[-1]
    assert "Traceback" not in said, said
    assert all(one.code != 0 for one in done), said
    assert last.code != 70, said
    proof = project.proof(RUN)
    told = TAMPERED_WHILE_RUNNING in said
    if not (proof / "MANIFEST.sha256").is_file():
        # zf did not seal it, and says so: no success, no proof.
        assert last.code in {1, 2, 5, -9}, said
        return
    found = verify(str(proof))
    if found.exit_code == TAMPERED:
        assert told or compared, (said, found.findings)
        return
    assert found.exit_code == VERIFIED, (said, found.findings)
    ends = [e for e in project.events(RUN) if e["type"] in {"attempt_ended", "task_not_run"}]
    better = [e for e in ends if e["task"] in NEVER_A_SUCCESS and e["status"] == "success"]
    assert better == [], said
    for name in NEVER_A_SUCCESS:
        status = json.loads(proof.joinpath(name, "99-summary", "status.json").read_bytes())
        assert status["status"] != "success", (name, said)
    if (proof / "attest" / "statement.json.sig").exists():
        checked = project.zf("verify", f"./proofs/{RUN}", "--allowed-signers", str(signers))
        assert checked.code == VERIFIED, (said, checked)
