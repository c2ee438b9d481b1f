"""Pruning: whole runs go, each leaves a tombstone, and nothing goes that is needed, held or alive;
whatever strikes the process that prunes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.attacks import of_nobody
from tests.support.faults import KILL, TEAR, Fault, struck
from tests.support.program import ZF, Finished, Project, heard
from zf.audit.verify import verify
from zf.proof.read import list_runs
from zf.run.host import lock
from zf.run.retention.ledger import PRUNED, Ledger, opened
from zf.run.retention.prune import _finish

OLD = ("old0", "old1", "old2", "old3", "old4")
# What must stay of a `Kept`, whatever prune is asked for, and the word by which that is said.
STAYS = {
    "base": "took needs from it",
    "origin": "took results from it",
    "first": "is a rerun of it",
    "held": "held by",
    "killed": "is not sealed",
}
NEW = ("upstream", "cached", "again", "newest")


class Kept(Project):
    """Runs of every kind: some that may go, some that are built on, held, or were killed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.env.pop("COVERAGE_PROCESS_CONFIG", None)  # the faults are not for its files
        self.task("a", "test ! -e broken; echo hi > $ARTIFACTS_DIR/hi")
        self.task("b", "true", phase="B", needs=["a"])
        self.task("c", "true", phase="C", cache=True, sources=["one.txt"])
        self.task("w", "test ! -e gate || read line < gate", phase="W")
        (root / "one.txt").write_text("one")
        self.made = False

    def make(self) -> None:
        (self.root / "broken").touch()
        self.run("first", 1, "run-phase", "A")
        (self.root / "broken").unlink()
        self.run("base", 0, "run-phase", "A")
        self.run("origin", 0, "run-phase", "C")
        self.run("held", 0, "run-phase", "A")
        assert self.zf("hold", "held", "--reason", "release 1.2").code == 0
        os.mkfifo(self.root / "gate")
        process = self.popen("run-phase", "W", "-v", "--run-id", "killed")
        assert any("start     w" in line for line in process.stderr)
        process.kill()
        process.communicate()
        (self.root / "gate").unlink()
        for name in OLD:
            self.run(name, 0, "run-phase", "A")
        self.run("upstream", 0, "run-phase", "B", "--upstream", "base")
        self.run("cached", 0, "run-phase", "C", "--cached")
        assert "cached" in [event["type"] for event in self.events("cached")]
        self.again("again", "first")
        self.run("newest", 0, "run-phase", "A")
        # Its workers hold the lock until they have ended what ran.
        with (self.root / "proofs/.locks/killed.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def again(self, run: str, of: str) -> None:
        self.run(run, 0, "rerun", of, "--failed")

    def run(self, run: str, code: int, *words: str) -> None:
        done = self.zf(*words, "--run-id", run, "-q")
        assert done.code == code, done

    def prune(self, *words: str, code: int = 0) -> Finished:
        done = self.zf("prune", *words, "--yes")
        assert done.code == code, done
        return done

    def runs(self) -> list[str]:
        return sorted(list_runs(str(self.root / "proofs")))

    def ledger(self) -> Ledger:
        return Ledger.read(str(self.root / "proofs"))

    def aside(self) -> list[str]:
        return [name for name in os.listdir(self.root / "proofs") if name.endswith(".pruned")]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project with all its runs, made once; each test has a copy of it."""
    kept = Kept(tmp_path_factory.mktemp("kept") / "project")
    kept.make()
    return kept.root


@pytest.fixture
def kept(made, tmp_path) -> Kept:
    return copy_of(made, tmp_path / "project")


def copy_of(made: Path, root: Path) -> Kept:
    shutil.rmtree(root, ignore_errors=True)
    kept = Kept(root)
    shutil.rmtree(root)
    subprocess.run(["cp", "-a", made, root], check=True)
    return kept


def heads(made: Path) -> dict[str, str]:
    proofs = made / "proofs"
    return {run: verify(str(proofs / run)).result["head"] for run in list_runs(str(proofs))}


def test_what_is_needed_held_or_not_sealed_stays_and_is_said_to(kept):
    ended = heads(kept.root)
    done = kept.prune("--keep", "4")
    assert kept.runs() == sorted([*STAYS, *NEW])
    for run, why in STAYS.items():
        [line] = [line for line in done.out.splitlines() if line.startswith(f"  {run} ")]
        assert why in line
    assert "4 among the newest 4" in done.out
    pruned = kept.ledger().pruned
    assert {run: entry.said["head"] for run, entry in pruned.items()} == {
        run: ended[run] for run in OLD
    }
    said = pruned["old0"].said
    assert (said["result"], said["verdicts"]["INTACT"]) == ("success", "passed")
    assert (said["why"], bool(said["user"]), bool(said["host"])) == (
        "not among the newest 4",
        True,
        True,
    )
    for run in kept.runs():
        assert verify(str(kept.proof(run))).verdicts[0].state == "passed"
    # What built on a run goes, and then that may go, too.
    kept.prune("--keep", "0")
    assert kept.runs() == ["held", "killed"]
    assert kept.zf("release", "held").code == 0
    kept.prune("--keep", "0")
    assert kept.runs() == ["killed"]
    assert kept.aside() == []


def test_a_run_that_goes_on_stays_with_what_it_builds_on(kept):
    os.mkfifo(kept.root / "gate")
    kept.task("v", "test ! -e gate || read line < gate", phase="V", needs=["a"])
    words = ("run-phase", "V", "--upstream", "old3", "--run-id", "live", "--progress", "json")
    process = kept.popen(*words)
    heard(process, "attempt_started", task="v")
    done = kept.prune("--keep", "0")
    assert {"live", "old3"} <= set(kept.runs())
    assert "it is running" in done.out
    assert "run live took needs from it" in done.out
    (kept.root / "gate").write_text("go\n")
    process.communicate()
    assert process.returncode == 0
    assert kept.zf("verify", "live").code == 0


def test_a_run_that_is_read_stays(kept):
    with (kept.proof("old1", "events.jsonl")).open() as journal:
        fcntl.flock(journal, fcntl.LOCK_SH)
        done = kept.prune("--keep", "4")
        assert re.search("old1 +another zf reads it, or builds on it", done.out)
        assert "old1" in kept.runs()
    kept.prune("--keep", "4")
    assert "old1" not in kept.runs()


READERS = (["verify", "old2"], ["rerun", "old2", "--only", "a"], ["export", "old2", "-o", "x.tar"])


@pytest.mark.parametrize("words", READERS, ids=lambda words: words[0])
def test_what_reads_a_run_holds_it(kept, words):
    """Stopped at its first look into the run, by a manifest that is a fifo, it is not robbed."""
    manifest = kept.proof("old2", "MANIFEST.sha256")
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace")
    done = subprocess.run(
        [strace, "-f", "-y", "-e", "trace=flock", *ZF, *words],
        cwd=kept.root,
        env=kept.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done
    assert "old2/events.jsonl>, LOCK_SH) = 0" in done.stderr
    assert manifest.exists()


def test_a_damaged_proof_is_evidence_that_stays_unless_it_is_named(kept):
    kept.proof("old1", "a", "30-artifacts", "hi").write_text("changed")
    done = kept.prune("--keep", "4")
    assert "its proof is not intact" in done.out
    assert "old1" in kept.runs()
    kept.prune("old1", "--reason", "looked into, a bad disk")
    assert "old1" not in kept.runs()
    said = kept.ledger().pruned["old1"].said
    assert said["verdicts"]["INTACT"] == "failed"
    assert said["reason"] == "looked into, a bad disk"


def test_a_run_whose_papers_cannot_be_read_may_build_on_any(kept):
    kept.proof("again", "run.json").write_text("{")
    refused = kept.prune("--keep", "4", code=1)
    assert "error[ZF615]" in refused.err
    assert set(OLD) < set(kept.runs())


def test_what_came_too_late_for_a_run_goes_with_it(kept):
    for name in ("old0", "old1"):
        (kept.root / "proofs/.quarantine" / name).mkdir(parents=True)
        (kept.root / "proofs/.quarantine" / name / "token.tar").write_bytes(b"late")
    kept.prune("old0")
    assert [one.name for one in (kept.root / "proofs/.quarantine").iterdir()] == ["old1"]


def test_named_runs_go_and_one_that_is_needed_is_told(kept):
    done = kept.prune("old0", "base", code=1)
    assert "base  run upstream took needs from it" in done.out
    assert "old0" not in kept.runs()
    assert "base" in kept.runs()
    assert kept.prune("old0", code=2).err.startswith("error[ZF613]")


def test_age_phase_branch_and_failures(kept):
    assert "0" not in kept.prune("--older", "1h").out.splitlines()[0]
    assert len(kept.runs()) == len(OLD) + len(STAYS) + len(NEW)
    kept.prune("--keep", "0", "--phase", "B")
    assert "upstream" not in kept.runs()
    kept.prune("--keep", "2", "--older", "0s", "--phase", "C")
    assert {"cached", "origin"} <= set(kept.runs())
    kept.prune("again")
    kept.prune("--keep", "0", "--keep-failed")
    assert kept.runs() == ["first", "held", "killed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--keep 20 --older 30d --dry-run"),
        (["--older", "soon"], "not an age such as 12h or 7d"),
        (["old1", "--keep", "3"], "names of runs, or options"),
        (["--keep", "4"], "add --yes"),
        (["nothing"], "unknown run"),
    ],
)
def test_what_cannot_be_meant_removes_nothing(kept, words, said):
    refused = kept.zf("prune", *words)
    assert refused.code == 2
    assert said in refused.err
    assert set(OLD) < set(kept.runs())


@pytest.mark.parametrize("has_proofs", [True, False], ids=["no runs", "no proofs"])
def test_before_the_first_run_there_is_nothing_to_prune_or_hold(project, has_proofs):
    project.task("a", "true")
    proofs = project.root / "proofs"
    if has_proofs:
        proofs.mkdir()
    done = project.zf("prune", "--keep", "20", "--yes")
    assert (done.code, done.out) == (0, "nothing was removed\nthere are no runs\n")
    for words in (["hold", "latest"], ["release", "latest"]):
        refused = project.zf(*words)
        assert refused.code == 2
        assert "no runs in" in refused.err
    assert not proofs.exists() or not os.listdir(proofs)


def test_a_dry_run_says_the_same_and_changes_nothing(kept):
    before = sorted(map(str, (kept.root / "proofs").rglob("*")))
    told = json.loads(kept.zf("prune", "--keep", "4", "--dry-run", "--json").out)
    assert "old0" in kept.zf("prune", "--keep", "4", "--dry-run").out
    assert sorted(map(str, (kept.root / "proofs").rglob("*"))) == before
    done = json.loads(kept.prune("--keep", "4", "--json").out)
    assert told["kept"] == done["kept"]
    assert sorted(one["run"] for one in done["removed"]) == sorted(OLD)
    assert {one["run"] for one in told["removed"]} == set(OLD)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_asks(kept, answer):
    pid, fd = pty.fork()
    if not pid:
        os.chdir(kept.root)
        os.execvpe(ZF[0], [*ZF, "prune", "--keep", "4"], kept.env)
    seen = ""
    until = time.monotonic() + 60
    while "[y/N]" not in seen:
        assert select.select([fd], [], [], max(0, until - time.monotonic()))[0], seen
        seen += os.read(fd, 65536).decode()
    assert "To be removed: 5 runs" in seen
    assert set(OLD) < set(kept.runs())
    os.write(fd, f"{answer}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    assert code == (0 if answer == "y" else 1)
    assert ("old1" in kept.runs()) == (answer == "n")


def test_what_was_pruned_can_be_asked_for(kept):
    kept.prune("--keep", "4")
    head = kept.ledger().pruned["old2"].said["head"]
    done = kept.zf("verify", "old2")
    assert done.code == 2
    assert done.out.startswith("PRUNED")
    assert head in done.out
    assert kept.zf("verify", "old2", "--head", head).code == 2
    assert kept.zf("verify", "old2", "--head", "0" * 64).code == 4
    assert json.loads(kept.zf("verify", "old2", "--json").out)["pruned"]["run"] == "old2"
    for verb in ("explain", "status", "logs", "rerun"):
        refused = kept.zf(verb, "old2", *(["--failed"] if verb == "rerun" else []))
        assert refused.code == 2
        assert "error[ZF613]: run 'old2' was pruned" in refused.err
    taken = kept.zf("run-phase", "A", "--run-id", "old2")
    assert (taken.code, "that run was pruned" in taken.err) == (5, True)
    assert kept.zf("status").code == 0
    assert "old2" not in kept.zf("status").out


def test_the_chain_is_checked_and_a_noted_head_must_be_in_it(kept):
    kept.prune("old0")
    noted = kept.ledger().head
    kept.prune("old1")
    assert kept.zf("prune", "--log", "--head", noted).code == 0
    path = kept.root / "proofs/retention.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    assert kept.zf("prune", "--log", "--head", noted).code == 0
    path.write_bytes(lines[0])
    assert kept.zf("prune", "--log", "--head", noted).code == 4
    path.write_bytes(b"".join([lines[0], lines[2]]))
    damaged = kept.zf("prune", "--log")
    assert (damaged.code, "error[ZF614]" in damaged.err) == (1, True)
    # Nothing is removed by what may have lost a hold.
    assert "error[ZF614]" in kept.prune("--keep", "0", code=1).err
    assert "old2" in kept.runs()


def test_a_run_that_came_back_out_of_an_archive_is_there_and_can_go_again(kept):
    assert kept.zf("export", "base", "-o", "base.tar").code == 0
    kept.prune("upstream", "base")
    done = kept.zf("run-phase", "B", "--upstream", "base.tar", "--run-id", "back")
    assert done.code == 0, done
    assert kept.zf("verify", "base").code == 0
    assert "base" in kept.prune("base", code=1).out
    kept.prune("base", "back")
    assert kept.aside() == []
    kinds = [entry.run for entry in kept.ledger().entries if entry.kind == "run_pruned"]
    assert kinds.count("base") == 2


# Whatever strikes.


def check(kept: Kept, whole: dict[str, str], *, done: bool = False) -> None:
    """Whole runs, or tombstones; and what must stay is there."""
    ledger = kept.ledger()
    assert ledger.damage is None
    there = set(kept.runs())
    assert {*STAYS, *NEW} <= there
    for run, head in whole.items():
        if run in there:
            found = verify(str(kept.proof(run)))
            assert found.verdicts[0].state == "passed", (run, found.findings)
        else:
            assert ledger.pruned[run].said["head"] == head
    for name in kept.aside():
        assert name[1 : -len(".pruned")] in ledger.pruned
    if done:
        assert there == {*STAYS, *NEW}
        assert kept.aside() == []
        assert not ledger.is_torn
        assert set(ledger.pruned) == set(OLD)


def killed_at(made: Path, root: Path, rng: random.Random, whole: dict[str, str]) -> int:
    """Prune, be killed at a random moment, prune again; how many runs were gone by then."""
    kept = copy_of(made, root)
    process = kept.popen("prune", "--keep", "4", "--yes")
    file = root / "proofs/retention.jsonl"
    before = file.stat().st_size
    if rng.random() < 0.8:  # else anywhere, which is mostly before anything goes
        while process.poll() is None and file.stat().st_size == before:
            select.select([], [], [], 0.0005)
    select.select([], [], [], rng.random() ** 2 * 0.08)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    check(kept, whole)
    gone = len(OLD) - len(set(OLD) & set(kept.runs()))
    kept.prune("--keep", "4")
    check(kept, whole, done=True)
    return gone


def test_killed_at_a_few_moments(made, tmp_path):
    whole = heads(made)
    for seed in range(4):
        killed_at(made, tmp_path / "project", random.Random(seed), whole)


@pytest.mark.campaign
def test_campaign_of_500_kills(made, tmp_path):
    whole = heads(made)
    gone = [killed_at(made, tmp_path / "p", random.Random(seed), whole) for seed in range(500)]
    told = {number: gone.count(number) for number in range(len(OLD) + 1)}
    print(f"500 kills: so many runs were gone by then: {told}")
    assert all(told.values())


def struck_there(made: Path, root: Path, fault: Fault, whole: dict[str, str]) -> str:
    """Prune with the fault, then again; the call that was struck."""
    kept = copy_of(made, root)
    log = root / "calls"
    done = kept.zf("prune", "--keep", "4", "--yes", env=fault.env(log))
    where = struck(log)
    if not where:
        assert done.code == 0, done
    elif fault.what in {KILL, TEAR}:
        assert done.code == -9, (where, done)
    else:
        assert "Traceback" not in done.err, (where, done)
        assert "internal error" not in done.err, (where, done)
        if done.code == 0:
            # Its own words could not be written, or a name in a lock: nothing that counts.
            assert "write 2" in where or "ftruncate" in where or kept.aside() == [], (where, done)
    check(kept, whole)
    kept.prune("--keep", "4")
    check(kept, whole, done=True)
    return where


FAULTS = [KILL, TEAR, errno.ENOSPC, errno.EIO]


@pytest.mark.parametrize("what", FAULTS, ids=str)
def test_struck_at_some_calls(made, tmp_path, what):
    whole = heads(made)
    for number in (2, 6, 9) if what == TEAR else (5, 11, 40):
        assert struck_there(made, tmp_path / "project", Fault("runner", what, number), whole)


@pytest.mark.campaign
@pytest.mark.parametrize("what", FAULTS, ids=str)
def test_campaign_struck_at_every_call(made, tmp_path, what):
    whole = heads(made)
    for number in range(1, 2000):
        if not struck_there(made, tmp_path / "project", Fault("runner", what, number), whole):
            break
    assert 30 < number < 2000
    print(f"{number - 1} faults ({what})")


def test_what_another_began_to_remove_meanwhile_is_not_left_over(kept):
    proofs = kept.root / "proofs"
    with opened(str(proofs)) as ledger, opened(str(proofs)) as other:
        lock_fd = lock.acquire_if_free(str(proofs), "old1")
        with other.locked():
            other.append(PRUNED, "old1", {})
            (proofs / "old1").rename(proofs / ".old1.pruned")
        assert list(_finish(str(proofs), ledger)) == []
        assert kept.aside() == [".old1.pruned"]  # it has a zf which is at it
        lock.release(lock_fd)
        assert list(_finish(str(proofs), ledger)) == []
    assert kept.aside() == []


def test_a_run_that_cannot_be_moved_leaves_no_tombstone():
    with of_nobody() as place:
        place.task("a", "true")
        place.hand_over()
        place.zf("run", "--run-id", "old")
        place.zf("run", "--run-id", "new")
        place.zf("hold", "new")
        proofs = place.root / "proofs"
        before = (proofs / "retention.jsonl").read_bytes()
        proofs.chmod(0o555)
        done = place.zf("prune", "--keep", "1", "--yes")
        proofs.chmod(0o755)
        assert (done.code, "Permission denied" in done.err) == (2, True), done.err
        assert (proofs / "retention.jsonl").read_bytes() == before
        assert place.zf("prune", "--keep", "1", "--yes").code == 0
        assert list_runs(str(proofs)) == ["new"]


def test_two_that_prune_at_once_and_a_run_that_begins(kept):
    first = kept.popen("prune", "--keep", "4", "--yes")
    second = kept.popen("prune", "--keep", "4", "--yes")
    rerun = kept.popen("rerun", "old4", "--only", "a", "--run-id", "fresh")
    said = [process.communicate() for process in (first, second, rerun)]
    assert (first.returncode, second.returncode) == (0, 0), said
    whole = kept.ledger().pruned
    # Each line of the two is in the one chain, and none tells of a run twice.
    runs = [entry.run for entry in kept.ledger().entries if entry.kind == "run_pruned"]
    assert len(runs) == len(set(runs)) == len(whole)
    if rerun.returncode == 0:
        assert "old4" in kept.runs()
        assert kept.json("fresh", "run.json")["rerun_of"] == "old4"
    else:
        assert "old4" in whole
        assert rerun.returncode == 2, said
    assert kept.aside() == []
