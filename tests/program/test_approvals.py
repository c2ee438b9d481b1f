"""`approval`, `zf approve` and `zf reject`: live runs, suspended ones, and ones that were killed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.anew import with_journal
from tests.support.faults import Fault
from tests.support.independent_verifier import verify as independently
from tests.support.program import Project, heard
from tests.support.waiting import eventually
from zf.audit.gates.check import Answer
from zf.audit.gates.statement import NAMESPACE, Statement
from zf.audit.signing.ssh import SshSigner
from zf.audit.verify import verify
from zf.proof.canonical import canonical
from zf.run.gates import box

DOCS = Path(__file__).parents[2] / "docs"
FILE = """
tasks:
  build: {run: "echo page > $ARTIFACTS_DIR/page; echo v=1 >> $ZF_OUTPUT", outputs: [v]}
  deploy:
    needs: [build]
    approval: {by: [ann, bob], prompt: Now?%s}
    run: echo deployed >> ran
  after: {needs: [deploy], run: "true"}
"""


class Gated(Project):
    """A project with a task that ann or bob may approve; eve has a key, too."""

    def __init__(self, root, keys, terms="") -> None:
        super().__init__(root)
        self.keys = keys
        shutil.copy(keys / "allowed_signers", root)
        self.terms(terms)

    def terms(self, more):
        (self.root / "zf.yaml").write_text(FILE % more)

    def begin(self, *words, **keys):
        """A run that waits for approval."""
        process = self.popen("run", "--run-id", "r", "--progress", "json", *words, **keys)
        heard(process, "approval_asked")
        return process

    def suspended(self, *words):
        done = self.zf("run", "--run-id", "r", "--on-approval", "exit", *words)
        assert done.code == 6, done.err
        return done

    def answer(self, word, by="ann", *words, **keys):
        return self.zf(word, "r", "deploy", "--key", str(self.keys / by), *words, **keys)

    def told(self, kind):
        return [event for event in self.events("r") if event["type"] == kind]

    def ran(self):
        path = self.root / "ran"
        return path.read_text().count("deployed") if path.exists() else 0

    def is_whole(self, code=0):
        found = verify(str(self.proof("r")))
        assert found.exit_code == code, found.render()
        assert independently(self.proof("r")) == (True, code == 0)
        return found


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    lines = []
    for name in ("ann", "bob", "eve"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name],
            check=True,
        )
        if name != "eve":
            lines.append(f"{name} {(folder / f'{name}.pub').read_text()}")
    (folder / "allowed_signers").write_text("".join(lines))
    return folder


@pytest.fixture
def gated(tmp_path, keys):
    project = Gated(tmp_path / "project", keys)
    yield project
    project.end_all()


def test_a_live_run_goes_on_once_it_is_approved_and_a_second_answer_changes_nothing(gated):
    process = gated.begin()
    shown = gated.zf("status", "r").out
    assert "waits for approval by ann or bob: zf approve r deploy" in shown
    assert gated.ran() == 0
    done = gated.answer("approve", "ann", "--comment", "CHANGE-42")
    assert (done.code, done.out, done.err) == (0, "deploy is approved by ann\n", "")
    process.communicate()
    assert process.returncode == 0
    for word, by in (("approve", "ann"), ("approve", "bob"), ("reject", "bob")):
        again = gated.answer(word, by)
        assert (again.code, again.out) == (0, "deploy is approved by ann\n")
    assert gated.ran() == len(gated.told("approval_given")) == 1
    found = gated.is_whole()
    assert "(approved: deploy by ann)" in found.render()
    [told] = found.result["approvals"]
    assert (told["state"], told["by"][0]["approver"]) == ("approved", "ann")
    explained = gated.zf("explain", "r", "deploy").out
    assert "approval: approved by ann at" in explained


def typed(page, gated):
    """The line by which a page of the docs checks an approval, as one types it for run r, and the
    folder to type it in.
    """
    text = (DOCS / page).read_text().replace(" \\\n", " ")
    [line] = [one for one in text.splitlines() if "ssh-keygen -Y verify" in one]
    line = line.strip().removeprefix("$ ").replace("ann@example.org", "ann").replace("/RUN/", "/r/")
    return line, gated.root if "proofs/r/" in line else gated.proof("r", "deploy", "99-summary")


@pytest.mark.parametrize("page", ["reference/approvals.md", "how-to/ask-before-a-deploy.md"])
def test_the_line_in_the_docs_accepts_it_and_nothing_that_was_changed(gated, page):
    gated.suspended()
    gated.answer("approve")
    assert gated.zf("resume", "r").code == 0
    line, folder = typed(page, gated)

    def checked():
        return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, check=False)

    said = checked()
    assert said.stdout.startswith(b'Good "zf-approval-v1" signature for ann '), said.stderr
    assert said.returncode == 0
    statement = gated.proof("r", "deploy", "99-summary", "approval.json")
    genuine = statement.read_bytes()
    statement.chmod(0o600)
    statement.write_bytes(genuine.replace(b"deploy", b"deplox"))
    assert checked().returncode != 0
    [asked] = gated.told("approval_asked")
    assert json.loads(genuine)["subject_sha256"] == asked["sha256"]
    text = json.dumps(asked["subject"], sort_keys=True, separators=(",", ":")) + "\n"
    assert sha256(text.encode()).hexdigest() == asked["sha256"]


def test_one_that_is_rejected_is_blocked_and_its_tree_says_by_whom(gated):
    process = gated.begin()
    done = gated.answer("reject", "bob", "--comment", "not today")
    assert (done.code, done.out) == (0, "deploy was rejected by bob: not today\n")
    process.communicate()
    assert process.returncode == 1
    status = gated.status("r", "deploy")
    assert (status["status"], status["cause"]) == ("blocked", "approval_rejected")
    assert gated.status("r", "after")["cause"] == "need"
    said = gated.json("r", "deploy", "99-summary", "approval.json")
    assert (said["decision"], said["comment"]) == ("reject", "not today")
    assert gated.ran() == 0
    gated.is_whole()
    assert "rejected by bob: not today" in gated.zf("explain", "r").out


def test_no_answer_in_time_is_no(gated):
    gated.terms(", timeout_sec: 0.3")
    assert gated.zf("run", "--run-id", "r").code == 1
    status = gated.status("r", "deploy")
    assert (status["status"], status["cause"]) == ("blocked", "approval_timeout")
    gated.is_whole()
    late = gated.answer("approve")
    assert late.code == 0
    assert "deploy does not wait any more" in late.out
    assert gated.ran() == 0


def test_a_stranger_is_refused_and_that_is_recorded(gated):
    process = gated.begin()
    stranger = gated.answer("approve", "eve")
    assert stranger.code == 1
    assert "is none of ann, bob" in stranger.err
    liar = gated.answer("approve", "eve", "--as", "ann")
    assert liar.code == 1
    assert [event["why"] for event in gated.told("approval_refused")] == [
        "unknown_approver",
        "bad_signature",
    ]
    assert gated.answer("approve").code == 0
    process.communicate()
    assert process.returncode == 0
    gated.is_whole()


def test_what_is_dropped_into_its_box_is_judged_and_a_replay_of_an_earlier_run_counts_nothing(
    gated,
):
    gated.suspended()
    gated.answer("approve")
    gated.zf("resume", "r")
    old = gated.told("approval_given")[0]
    replayed = Answer(old["statement"], old["signature"])
    shutil.rmtree(gated.proof("r"))
    process = gated.begin()
    proofs = str(gated.root / "proofs")
    assert box.hand_in(proofs, str(gated.proof("r")), replayed)
    assert box.hand_in(proofs, str(gated.proof("r")), Answer("{}", "x" * 100))
    for _ in range(2):
        heard(process, "approval_refused")
    whys = {event["why"] for event in gated.told("approval_refused")}
    assert whys == {"other_subject", "malformed"}
    assert gated.answer("approve").code == 0
    process.communicate()
    assert process.returncode == 0
    assert gated.ran() == 2
    gated.is_whole()


def test_two_have_to_approve_where_the_file_says_so(gated):
    gated.terms(", min: 2")
    process = gated.begin()
    assert gated.answer("approve").out == "deploy is approved by ann, and needs 1 more\n"
    assert gated.answer("approve").out == "deploy is approved by ann, and needs 1 more\n"
    assert gated.answer("approve", "bob").out == "deploy is approved by ann and bob\n"
    process.communicate()
    assert process.returncode == 0
    folder = gated.proof("r", "deploy", "99-summary")
    assert {path.name for path in folder.glob("approval*")} == {
        *("approval.json", "approval.json.sig", "approval-2.json", "approval-2.json.sig")
    }
    gated.is_whole()


@pytest.mark.parametrize("how", ["name", "key"])
def test_the_one_that_started_the_run_is_refused_with_four_eyes(gated, keys, how):
    gated.terms(", four_eyes: true")
    env = {"GIT_AUTHOR_EMAIL": "ann"} if how == "name" else {"ZF_SIGNING_KEY": str(keys / "ann")}
    process = gated.begin(env=env)
    refused = gated.answer("approve")
    assert refused.code == 1
    assert "ann started the run, which another has to approve" in refused.err
    assert gated.answer("approve", "bob").code == 0
    process.communicate()
    assert process.returncode == 0
    gated.is_whole()


def test_a_suspended_run_is_incomplete_and_for_whom_it_waits_is_said(gated):
    done = gated.suspended()
    assert "Next: zf approve r deploy" in done.out
    assert gated.zf("status").out.splitlines()[1].split()[1] == "waiting"
    found = gated.is_whole(3)
    assert "COMPLETE [waiting] deploy: waits for approval by ann or bob" in found.render()
    assert gated.zf("resume", "r").code == 6
    assert gated.answer("approve").out == "deploy is approved, once the run goes on: zf resume r\n"
    assert gated.answer("approve").out == "deploy is approved, once the run goes on: zf resume r\n"
    assert gated.zf("resume", "r").code == 0
    assert [event["type"] for event in gated.events("r")].count("approval_asked") == 1
    assert gated.ran() == 1
    gated.is_whole()


def test_it_goes_on_elsewhere_from_an_archive(gated, tmp_path, keys):
    gated.suspended()
    gated.answer("approve")
    done = gated.zf("export", "r", "-o", "r.tar")
    assert done.code == 0
    assert "run r is suspended, not sealed: it waits for approval of deploy" in done.err
    assert "zf resume r.tar" in done.err
    other = Gated(tmp_path / "other", keys)
    gone_on = other.zf("resume", str(gated.root / "r.tar"))
    assert gone_on.code == 0, gone_on.err
    assert (other.ran(), gated.ran()) == (1, 0)
    other.is_whole()


def test_a_list_that_is_changed_while_the_run_goes_on_changes_nothing_for_it(gated, keys):
    process = gated.begin()
    with (gated.root / "allowed_signers").open("a") as file:
        file.write(f"ann {(keys / 'eve.pub').read_text()}")
    assert gated.answer("approve", "eve", "--as", "ann").code == 1
    assert gated.answer("approve").code == 0
    process.communicate()
    gated.is_whole()


def test_a_need_that_is_changed_after_the_question_is_no_need_that_was_approved(gated):
    gated.suspended("--shield", "never")
    gated.answer("approve")
    (gated.proof("r", "build", "30-artifacts") / "page").write_text("another\n")
    gone_on = gated.zf("resume", "r")
    assert gone_on.code == 1
    assert gated.ran() == 0


def test_the_owner_of_a_token_approves_with_it(gated):
    made = gated.zf("token", "create", "bot", "--role", "approver")
    secret = made.out.split()[-1]
    weak = gated.zf("token", "create", "weak", "--role", "operator").out.split()[-1]
    text = (FILE % "").replace("[ann, bob]", "[bot]")
    (gated.root / "zf.yaml").write_text(text)
    process = gated.begin()
    assert gated.zf("approve", "r", "deploy", env={"ZF_TOKEN": weak}).code == 2
    done = gated.zf("approve", "r", "deploy", env={"ZF_TOKEN": secret})
    assert (done.code, done.out) == (0, "deploy is approved by bot\n")
    process.communicate()
    assert process.returncode == 0
    assert (
        not gated.proof("r", "deploy", "99-summary", "approval.json.sig")
        .read_text()
        .startswith("-")
    )
    gated.is_whole()
    (gated.root / "zf.yaml").write_text(text.replace("[bot]", "[weak]"))
    assert "ZF730" in gated.zf("validate").err


def test_a_policy_demands_by_whom_a_task_was_approved(gated, keys):
    gated.suspended()
    gated.answer("approve")
    gated.zf("resume", "r")
    policy = gated.root / "policy.yaml"

    def kept(text):
        policy.write_text(text)
        return gated.zf("verify", "r", "--policy", str(policy)).code == 0

    assert kept("tasks: {deploy: {approved_by: [ann, bob]}}")
    assert kept("tasks: {deploy: {approved_by: [ann], four_eyes: true}}")
    assert not kept("tasks: {deploy: {approved_by: [bob]}}")
    assert not kept("tasks: {deploy: {min: 2}}")
    assert not kept("tasks: {build: {approved_by: [ann]}}")
    unknown = gated.zf("verify", "r", "--policy", str(policy))
    assert "0 of 1 approvals by ann" in unknown.out
    own = gated.root / "own"
    own.write_text(f"ann {(keys / 'bob.pub').read_text()}")
    words = "{allowed_signers: own, tasks: {deploy: {approved_by: [ann]}}}"
    assert not kept(words)
    assert "0 of 1 approvals by ann" in gated.zf("verify", "r", "--policy", str(policy)).out


def test_what_is_signed_of_a_run_says_who_approved_what(gated, keys):
    gated.terms(", min: 2")
    gated.suspended()
    for by in ("ann", "bob"):
        gated.answer("approve", by)
    assert gated.zf("resume", "r").code == 0
    assert gated.zf("seal", "r", "--sign", "--key", str(keys / "bob")).code == 0
    path = gated.proof("r", "attest", "statement.json")
    stated = json.loads(path.read_text())
    told = stated["predicate"]["approvals"]
    assert [(one["task"], one["attempt"], one["decision"]) for one in told] == [
        ("deploy", 1, "approve")
    ] * 2
    assert [(one["approver"], one["how"]) for one in told] == [("ann", "ssh"), ("bob", "ssh")]
    assert all(one["key"].startswith("SHA256:") for one in told)
    assert verify(str(gated.proof("r"))).exit_code == 0
    stated["predicate"]["approvals"].pop()
    path.chmod(0o600)
    path.write_bytes(canonical(stated))
    found = verify(str(gated.proof("r")))
    assert "predicate.approvals is not what the run says" in found.render()


def test_an_answer_that_cannot_be_judged_now_ends_nothing_and_is_judged_later(gated, tmp_path):
    """Whatever is handed in: with no ssh-keygen there, it would have ended the run."""
    found = tmp_path / "bin"
    found.mkdir()
    (found / "bash").symlink_to(shutil.which("bash"))
    process = gated.begin(env={"PATH": str(found)})
    assert process.stderr is not None
    [asked] = gated.told("approval_asked")
    made = {"task": "deploy", "attempt": 1, "subject_sha256": asked["sha256"]}
    made |= {"decision": "approve", "approver": "ann", "how": "ssh", "source": "here"}
    line = Statement(run="r", at="2026-01-01T00:00:00.000000Z", **made).encoded()
    signed = SshSigner(str(gated.keys / "ann"), NAMESPACE).sign("a", line)["a.sig"].decode()
    box.hand_in(str(gated.root / "proofs"), str(gated.proof("r")), Answer(line.decode(), signed))
    said = process.stderr.readline()
    assert "an answer cannot be judged: ssh-keygen is not installed" in said
    assert gated.told("approval_refused") == gated.told("approval_given") == []
    (found / "ssh-keygen").symlink_to(shutil.which("ssh-keygen"))
    process.communicate()
    assert process.returncode == 0
    assert len(gated.told("approval_given")) == 1
    gated.is_whole()


def test_an_answer_that_was_handed_in_is_kept_where_no_temporary_file_can_be_made(gated, tmp_path):
    gated.suspended()
    log = tmp_path / "calls"
    full = Fault("runner", errno.ENOSPC, 2, 10**9, ("write",)).env(log)  # the first is the answer
    done = gated.answer("approve", env=full)
    assert "STRUCK" in log.read_text()
    assert (done.code, done.out) == (0, "deploy is approved, once the run goes on: zf resume r\n")
    assert gated.zf("resume", "r").code == 0


def test_on_a_full_disk_an_answer_says_so_and_leaves_nothing(gated, tmp_path):
    gated.suspended()
    before = os.listdir(gated.proof("r"))
    full = Fault("runner", errno.ENOSPC, 1, 10**9, ("write",)).env(tmp_path / "calls")
    done = gated.answer("approve", env=full)
    assert done.code == 1
    assert "No space left on device\n  hint: see that there is room for it" in done.err
    assert os.listdir(gated.proof("r")) == before


def test_of_two_answers_at_once_the_second_gets_the_answer_that_there_is(gated):
    process = gated.begin()
    process.send_signal(signal.SIGSTOP)
    folder = gated.proof(".locks", "r.answers")

    def handed_in(word, by, count):
        one = gated.popen(word, "r", "deploy", "--key", str(gated.keys / by))
        eventually(lambda: folder.exists() and len(os.listdir(folder)) == count)
        return one

    answers = [handed_in("reject", "bob", 1), handed_in("approve", "ann", 2)]
    process.send_signal(signal.SIGCONT)
    said = [(one.communicate(), one.returncode) for one in answers]
    assert said == [(("deploy was rejected by bob\n", ""), 0)] * 2
    process.communicate()
    assert process.returncode == 1


@pytest.mark.parametrize("last", ["approval_asked", "approval_given", "attempt_started"])
def test_a_runner_that_is_killed_asks_once_and_believes_what_was_said(gated, last):
    process = gated.begin()
    if last != "approval_asked":
        gated.answer("approve")
        if last == "attempt_started":
            heard(process, "attempt_started", task="deploy")
    process.kill()
    process.communicate()
    # As if the runner had been killed just after that line; it may have been quick enough to seal.
    gated.proof("r", "MANIFEST.sha256").unlink(missing_ok=True)
    path = gated.proof("r", "events.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    told = [json.loads(line) for line in lines]
    at = max(n for n, one in enumerate(told) if one["type"] == last and one.get("task") == "deploy")
    path.write_bytes(b"".join(lines[: at + 1]))
    begun = gated.ran()
    if last == "approval_asked":
        gated.answer("approve")
    done = gated.zf("resume", "r", "--on-approval", "exit")
    if last == "attempt_started":
        # The attempt was lost, and another one has to be approved for itself.
        assert done.code == 6
        assert "Next: zf approve r deploy" in done.out
        assert "2 waiting" in done.out
        found = gated.is_whole(3)
        assert "COMPLETE [waiting] deploy: waits for approval by ann or bob" in found.render()
        gated.answer("approve")
        done = gated.zf("resume", "r")
    assert done.code == 0, done.err
    asked = [event["attempt"] for event in gated.told("approval_asked")]
    assert asked == ([1, 2] if last == "attempt_started" else [1])
    assert gated.ran() - begun <= 1
    gated.is_whole()


def test_a_run_that_was_killed_while_it_waited_is_sealed_as_it_is(gated):
    process = gated.begin()
    process.kill()
    process.communicate()
    gated.answer("approve")
    assert gated.zf("seal", "r").code == 0
    found = verify(str(gated.proof("r")))
    assert found.exit_code == 3, found.render()
    assert not [name for name in os.listdir(gated.proof("r")) if name.startswith(".approval")]


def test_what_zf_advises_of_a_run_that_waits_works_as_it_stands(gated, keys):
    done = gated.suspended()
    advised = [line.removeprefix("Next: zf ") for line in done.out.splitlines() if "Next:" in line]
    assert advised == ["approve r deploy", "resume r"]
    assert [line for line in gated.zf("status", "r").out.splitlines() if "Next:" in line] == [
        f"Next: zf {words}" for words in advised
    ]
    for words in advised:
        assert gated.zf(*words.split(), env={"ZF_SIGNING_KEY": str(keys / "ann")}).code == 0
    gated.is_whole()


def test_that_one_was_rejected_is_told_by_the_run_that_goes_on(gated):
    gated.suspended()
    gated.answer("reject", "ann", "--comment", "not today")
    told = gated.zf("resume", "r").err
    assert "deploy  rejected by ann: not today" in told
    assert "after" not in told  # of what it blocks the summary tells


def test_of_two_that_are_needed_each_is_told_that_it_is_one(gated):
    gated.terms(", min: 2")
    gated.suspended()
    told = "deploy is approved by one of the 2 it takes, once the run goes on: zf resume r\n"
    assert [gated.answer("approve", by).out for by in ("ann", "ann", "bob")] == [told] * 3
    assert gated.zf("resume", "r").code == 0


@pytest.mark.parametrize("seed", range(3))
def test_of_answers_that_wait_for_the_runner_the_first_decides(gated, seed):
    gated.suspended()
    gated.answer("approve", "ann", "--comment", str(seed))
    gated.answer("reject", "bob")
    assert gated.zf("resume", "r").code == 0
    assert [event["why"] for event in gated.told("approval_refused")] == ["decided"]


@pytest.mark.campaign
def test_a_runner_that_is_killed_anywhere_asks_each_attempt_once(gated):
    """Rounds of a kill at a random line, each gone on with until the run is over."""
    for seed in range(100):
        rng = random.Random(seed)
        shutil.rmtree(gated.root / "proofs", ignore_errors=True)
        (gated.root / "ran").unlink(missing_ok=True)
        process = gated.popen("run", "--run-id", "r", "--progress", "json")
        is_approved = rng.random() < 0.5
        if is_approved:
            heard(process, "approval_asked")
            gated.answer("approve")
        for _ in range(rng.randrange(1, 8)):
            line = process.stderr.readline()
            if line and json.loads(line)["type"] == "approval_asked" and not is_approved:
                break  # nothing more is told: it waits
        process.kill()
        process.communicate()
        for _ in range(5):
            code = gated.zf("resume", "r", "--on-approval", "exit").code
            if code == 6:
                gated.answer("approve")
            elif code in {0, 5}:
                break
        asked = [(event["task"], event["attempt"]) for event in gated.told("approval_asked")]
        assert len(asked) == len(set(asked)), seed
        attempts = [e for e in gated.told("attempt_started") if e["task"] == "deploy"]
        assert gated.ran() <= len(attempts), seed
        gated.is_whole()


def without(kind):
    return lambda events: [event for event in events if event["type"] != kind]


def changed(kind, **fields):
    return lambda events: [e | fields if e["type"] == kind else e for e in events]


@pytest.mark.parametrize(
    "change",
    [
        without("approval_given"),
        without("approval_asked"),
        lambda events: [e for e in events if not e["type"].startswith("approval_")],
        changed("approval_given", approver="bob"),
        changed("approval_given", signature=""),
        changed("approval_asked", min=2),
        changed("approval_asked", by=["ann"]),
        changed("approval_asked", sha256="0" * 64),
    ],
)
def test_a_journal_that_was_made_anew_without_the_approval_is_found(gated, change):
    gated.suspended()
    gated.answer("approve")
    gated.zf("resume", "r")
    top = gated.proof("r")
    with_journal(top, change(gated.events("r")))
    found = verify(str(top))
    assert found.exit_code == 1
    # Beside that, `run_suspended` may tell of other open ones than there are then.
    assert {one.kind for one in found.findings} - {"journal"} == {"approval"}, found.render()
    assert independently(top) == (False, False)
