"""Tasks that forge outcomes and exchange the run's files while it goes on: no run ends better for
it, and a run that was just sealed is INTACT, or zf said that it is not.

Without the shield, which would keep these tasks out.
"""

import json
import os
import signal
import sys
import textwrap
from hashlib import sha256

import pytest

from tests.support import proof_keys
from tests.support.program import Finished
from zf.audit.conclusion import INCOMPLETE, TAMPERED, VERIFIED
from zf.audit.verify import verify

# Claims that `t` succeeded, as its worker would, and kills that worker.
FORGE = """
import os, shutil, signal, sys
from zf.model import Step, Task
from zf.proof.layout import FOLDERS
from zf.proof.tree.store import TaskTree
from zf.work.outcome import Outcome

run_dir, kind, *victims = sys.argv[1:]
place = f"{run_dir}/t/99-summary/status.json"
match kind:
    case "success":
        tree = TaskTree(run_dir, "t", FOLDERS)
        Outcome(Task("t", "A", (Step("step 1", ""),)), int(os.environ["ATTEMPT"])).write_status(tree, "r1")
    case "garbage":
        open(place, "wb").write(b"\\xff" * 1000)
    case "deep":
        open(place, "wb").write(b"[" * 200_000)
    case "link":
        os.symlink("/etc/passwd", place)
    case "fifo":
        os.mkfifo(place)
    case "folder":
        os.makedirs(f"{place}/deep")
    case "no tree":
        shutil.rmtree(f"{run_dir}/t")
        open(f"{run_dir}/t", "wb").close()
    case "odd artifacts":
        os.symlink("/etc/passwd", f"{run_dir}/t/30-artifacts/link")
        os.mkfifo(f"{run_dir}/t/30-artifacts/fifo")
        os.makedirs(f"{run_dir}/t/20-logs/deep/" + "x/" * 70)
        open(f"{run_dir}/t/30-artifacts/a\\nb", "wb").close()
for pid in map(int, victims):
    os.kill(pid, signal.SIGKILL)
"""
KINDS = ("success", "garbage", "deep", "link", "fifo", "folder", "no tree", "odd artifacts")
RUN = ("run-phase", "A", "--run-id", "r1", "--grace", "1", "--shield", "never")


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").mkdir()
    return proof_keys.make_keys(tmp_path / "keys")


@pytest.fixture
def forge(project):
    """The command line of a step that forges; what follows it are the processes to kill."""
    (project.root / "forge.py").write_text(FORGE)
    return f"{sys.executable} {project.root}/forge.py {project.proof('r1')}"


def is_intact(project, run="r1"):
    return verify(str(project.proof(run))).verdicts[0].state == "passed"


def check_said(project, done):
    """Zf said that the run was tampered with, and everything else says so, too."""
    assert (done.code, "TAMPERED WHILE RUNNING: " in done.err) == (1, True), done
    if done.out.startswith("{"):
        assert (json.loads(done.out)["result"], json.loads(done.out)["exit_code"]) == (
            "tampered",
            1,
        )
    else:
        assert "TAMPERED WHILE RUNNING r1: " in done.out, done
        assert ("PASS" in done.out, "zf seal r1 --sign" in done.out) == (False, False), done
    assert verify(str(project.proof("r1"))).exit_code == TAMPERED
    assert not project.proof("r1", "attest", "statement.json.sig").exists()


# Item 1: outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_an_outcome_written_beside_a_running_task_is_not_believed(project, forge, kind):
    os.mkfifo(project.root / "gate")
    project.task("t", "echo $PPID > gate; exec sleep 300", parallel_safe=True)
    project.task("u", "touch ran", needs=["t"])
    project.task("evil", f"read pid < gate; {forge} '{kind}' $pid", parallel_safe=True)
    done = project.zf(*RUN)
    assert (done.code, "Traceback" in done.err) == (1, False), done
    status = project.status("r1", "t")
    assert (status["status"], status["cause"]) == ("lost", "worker")
    assert project.status("r1", "u")["status"] == "blocked"
    assert not (project.root / "ran").exists()
    assert is_intact(project)


@pytest.mark.parametrize("kind", ["success", "garbage"])
def test_a_task_cannot_make_its_own_failure_a_success(project, forge, kind):
    project.task("t", f"{forge} {kind} $PPID; exit 3")
    done = project.zf(*RUN)
    assert done.code == 1
    assert project.status("r1", "t")["status"] == "lost"
    assert is_intact(project)


def test_an_outcome_that_lies_there_when_the_worker_comes_to_its_own_gives_way(project):
    """Written after the worker swept its folders, which a fast writer can do."""
    project.task(
        "t",
        "(while :; do echo '{}' > $PROOF_DIR/99-summary/status.json; done) 2> /dev/null & exit 3",
    )
    done = project.zf(*RUN)
    assert done.code == 1
    assert project.status("r1", "t")["status"] == "failure"
    assert is_intact(project)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_believes_no_outcome_that_its_journal_does_not_name(project, forge, kind):
    os.mkfifo(project.root / "gate")
    project.task(
        "t",
        f"[ $ATTEMPT = 2 ] && exit; {forge} '{kind}'; read runner < gate; kill -9 $runner $PPID",
    )
    project.task("u", "touch ran", needs=["t"])
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = project.zf("resume", "r1")
    assert (done.code, "Traceback" in done.err) == (0, False), done
    assert project.status("r1", "t")["attempt"] == 2
    lost = project.json("r1", "t", "attempts", "1", "99-summary", "status.json")
    assert (lost["status"], lost["cause"]) == ("lost", "runner")
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_sealed_without_the_outcomes_it_does_not_name(project, forge, kind):
    os.mkfifo(project.root / "gate")
    project.task("t", f"{forge} '{kind}'; read runner < gate; kill -9 $runner $PPID")
    project.task("u", "true", needs=["t"])
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    process.communicate()
    planted = project.proof("r1", "u", "99-summary")
    planted.mkdir(parents=True)
    (planted / "status.json").write_text('{"status": "success"}')
    done = project.zf("seal", "r1")
    assert done.code == 0, done
    assert verify(str(project.proof("r1"))).exit_code == INCOMPLETE
    assert not list(project.proof("r1").rglob("status.json"))


def test_a_step_holds_no_descriptor_of_its_worker_and_can_open_none_of_its_sockets(project):
    look = textwrap.dedent("""\
        import os, stat, sys
        for fd in range(3, 4096):  # bash's own: what it reads its script from
            path = f"/proc/{os.getppid()}/fd/{fd}"
            if os.path.exists(path):
                assert not os.readlink(path).startswith(("socket:", "pipe:")), fd
        with open("worker") as file:
            worker = int(file.read())
        sockets = 0
        for name in os.listdir(f"/proc/{worker}/fd"):
            try:
                if os.readlink(f"/proc/{worker}/fd/{name}").startswith("socket:"):
                    sockets += 1
                    os.open(f"/proc/{worker}/fd/{name}", os.O_RDWR)
                    sys.exit("opened")
            except OSError:
                pass
        assert sockets, "the worker has its order socket"
    """)
    (project.root / "look.py").write_text(look)
    project.task("t", f"echo $PPID > worker; {sys.executable} look.py; true", parallel_safe=False)
    done = project.zf(*RUN)
    assert done.code == 0, done
    assert project.log("r1", "t", 0) == b""


# Item 2: what is sealed

SWAPS = {
    "another journal": "head -n 3 $R/events.jsonl > $R.j; mv $R.j $R/events.jsonl",
    "a longer journal": "cp $R/events.jsonl $R.j; tail -n 1 $R.j >> $R.j; mv $R.j $R/events.jsonl",
    "a line in the journal": "tail -n 1 $R/events.jsonl >> $R/events.jsonl",
    "no journal": "rm $R/events.jsonl",
    "a link to the journal": "mv $R/events.jsonl $R.j; ln -s $R.j $R/events.jsonl",
    "run.json": "sed -i s/run_id/run-id/ $R/run.json",
    "plan.json": "sed -i s/10-done/11-done/ $R/plan.json",
    "no plan.json": "rm $R/plan.json",
    "a file": "touch $R/notes.txt",
    "blocked.json": "echo '{}' > $R/blocked.json",
    "a folder": "mkdir -p $R/other/99-summary; touch $R/other/99-summary/status.json",
    "an empty folder": "mkdir $R/other",
    "a link": "ln -s /etc/passwd $R/other",
    "an attestation": "mkdir $R/attest; echo '{}' > $R/attest/statement.json",
    "no tree": "rm -r $R/10-done",
    "trees": "mv $R/10-done $R.t; mv $R/20-retried $R/10-done; mv $R.t $R/20-retried",
    "a tree for a link": "mv $R/10-done $R.t; ln -s $R.t $R/10-done",
    "a status": "sed -i s/success/failure/ $R/10-done/99-summary/status.json",
    "a log": "echo more >> $R/10-done/20-logs/step-0.log",
    "an artifact": "echo more >> $R/10-done/30-artifacts/a",
    "a file in a tree": "touch $R/10-done/20-logs/step-7.log",
    "a folder in a tree": "mkdir $R/10-done/20-logs/x",
    "a link in a tree": "ln -s /etc/passwd $R/10-done/30-artifacts/x",
    "an unreadable log": "rm $R/10-done/20-logs/step-0.log; mkfifo $R/10-done/20-logs/step-0.log",
    "a list": "echo >> $R/10-done/40-checksums/task.sha256",
    "no list": "rm $R/10-done/40-checksums/task.sha256",
    "a list and a log": "cd $R/10-done; echo more >> 20-logs/step-0.log;"
    " s=$(sha256sum 20-logs/step-0.log);"
    ' sed -i "s|.*20-logs/step-0.log|$s|" 40-checksums/task.sha256',
    "a long list": "tail -n 1 $R/15-many/40-checksums/task.sha256"
    " >> $R/15-many/40-checksums/task.sha256",
    "one of many artifacts": "echo more >> $R/15-many/30-artifacts/7",
    "a first attempt": "echo more >> $R/20-retried/attempts/1/20-logs/step-0.log",
    "a first attempt's list": "sed -i 1d $R/20-retried/attempts/1/40-checksums/task.sha256",
    "the list of attempts": "sed -i 1d $R/20-retried/40-checksums/attempts.sha256",
    "another attempt": "cp -r $R/20-retried/attempts/1 $R/20-retried/attempts/2",
    "a task that was not run": "sed -i s/skipped/success/ $R/30-skipped/99-summary/status.json",
    "a skipped task's list": "echo >> $R/30-skipped/40-checksums/task.sha256",
    "a skipped task's tree": "rm -r $R/30-skipped",
}


def swapping(project, swap):
    """A run whose last task does this to the folder of the run."""
    project.task("10-done", "echo a > $ARTIFACTS_DIR/a; echo a")
    project.task("15-many", "cd $ARTIFACTS_DIR; for n in $(seq 99); do echo $n > $n; done")
    project.task("20-retried", "echo $ATTEMPT; [ $ATTEMPT = 2 ]", max_retries=1)
    project.task("30-skipped", "true", condition="1 == 2")
    needs = ["10-done", "15-many", "20-retried"]
    project.task("90-evil", f"R={project.proof('r1')}; {swap}", needs=needs, parallel_safe=False)


@pytest.mark.parametrize("swap", SWAPS)
def test_a_run_that_zf_has_just_sealed_is_intact_or_zf_said_so(project, swap):
    swapping(project, SWAPS[swap])
    done = project.zf(*RUN)
    assert project.status("r1", "90-evil")["status"] == "success"
    check_said(project, done)


@pytest.mark.parametrize("swap", ["another journal", "a log", "a list", "an attestation", "a file"])
def test_what_was_tampered_with_is_not_signed(project, keys, swap):
    swapping(project, SWAPS[swap])
    done = project.zf(*RUN, "--sign", "--key", str(keys / "alice"), "--json")
    check_said(project, done)
    assert '"signed_by": null' in done.out


def test_a_program_reads_no_success_of_a_run_that_was_tampered_with(project):
    project.task("t", "echo '{}' > $PROOF_DIR/../run.json")
    done = project.zf(*RUN, "--json")
    said = json.loads(done.out)
    assert (done.code, said["exit_code"], said["result"]) == (1, 1, "tampered")
    assert said["tampered"] == ["run.json: is not what zf wrote"]


def test_who_tampers_and_puts_it_back_makes_no_success_of_it(project, keys):
    """What zf said at the run's end is on record, and whatever lies there later says it, too."""
    project.task("a", "echo honest")
    project.task(
        "t",
        "cp $PROOF_DIR/../a/20-logs/step-0.log aside; echo >> $PROOF_DIR/../a/20-logs/step-0.log",
        needs=["a"],
    )
    done = project.zf(*RUN)
    check_said(project, done)
    log = project.proof("r1", "a", "20-logs", "step-0.log")
    log.write_bytes((project.root / "aside").read_bytes())
    found = verify(str(project.proof("r1")))
    assert found.verdicts[0].state == "passed", found.findings
    last = project.events("r1")[-1]
    assert (last["exit_code"], last["tampered"]) == (
        1,
        ["a/20-logs/step-0.log: is not what zf wrote"],
    )
    checked = project.zf("verify", "r1", "--passed")
    assert (checked.code, "TAMPERED WHILE RUNNING" in checked.out) == (1, True), checked
    project.zf("seal", "r1", "--sign", "--key", str(keys / "alice"))
    assert (
        project.zf("verify", "r1", "--passed", "--allowed-signers", str(keys / "allowed")).code == 1
    )
    assert json.loads(project.zf("status", "--json").out)[0]["result"] == "tampered"
    assert "TAMPERED WHILE RUNNING" in project.zf("explain", "r1").out


@pytest.mark.parametrize("path", ["../run.json", "20-logs/step-0.log"])
def test_a_file_blown_up_holds_up_no_end(project, path):
    """Its holes cost a task nothing, and reading them would take hours."""
    project.task("t", f"truncate -s 8T $PROOF_DIR/{path}")
    done = project.zf(*RUN, timeout_s=60)
    assert done.code == (1 if "run.json" in path else 0)
    assert ("run.json: is not what zf wrote" in done.err) == ("run.json" in path)
    assert ("0 of 1" in done.out) == ("log" in path), done


@pytest.mark.parametrize("how", ["mkfifo {}", "ln -s /etc/passwd {}", "mkdir {}"])
def test_what_lies_in_the_place_of_the_lock_is_told(project, keys, how):
    lock = "$PROOF_DIR/../../.locks/r1.lock"
    project.task("t", f"rm {lock}; {how.format(lock)}")
    done = project.zf(*RUN, "--sign", "--key", str(keys / "alice"))
    assert done.code == 1, done
    assert "internal error" not in done.err, done
    assert "r1.lock" in done.err, done
    assert project.zf("seal", "r1", "--sign", "--key", str(keys / "alice")).code == 1


def test_a_clean_run_of_this_kind_is_intact(project, keys):
    swapping(project, "true")
    done = project.zf(*RUN, "--sign", "--key", str(keys / "alice"))
    assert (done.code, "TAMPERED" in done.err) == (0, False), done
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_a_failure_that_is_on_record_stays_one_in_the_sealed_journal(project):
    """The journal at its path is one that the attacker made; zf seals the one it wrote."""
    project.task("t", "exit 3")
    swap = 'grep -v \'"task":"t"\' $R/events.jsonl > $R.j; mv $R.j $R/events.jsonl'
    project.task("u", f"R={project.proof('r1')}; {swap}", needs=[{"task": "t", "require": "done"}])
    done = project.zf(*RUN, "--json")
    check_said(project, done)
    head = verify(str(project.proof("r1"))).result["head"]
    assert head not in done.out
    sealed = project.proof("r1", "MANIFEST.sha256").read_text()
    there = sha256(project.proof("r1", "events.jsonl").read_bytes()).hexdigest()
    assert there not in sealed


@pytest.mark.parametrize("instead", ["", "cp -r $R.gone $R", "mkdir $R", "ln -s $R.gone $R"])
def test_a_run_whose_folder_is_exchanged_is_not_sealed(project, instead):
    project.task("a", f"R={project.proof('r1')}; mv $R $R.gone; {instead}")
    done = project.zf(*RUN)
    assert (done.code, "Traceback" in done.err) == (1, False), done
    assert "TAMPERED WHILE RUNNING: " in done.err or "error[ZF145]" in done.err
    for name in ("r1", "r1.gone"):
        assert not project.proof(name, "MANIFEST.sha256").exists()


def test_a_large_run_is_looked_through_before_it_is_signed(project, keys):
    """More trees than are looked through after a short run."""
    for number in range(40):
        project.task(f"t{number}", "echo a")
    change = f"echo more >> {project.proof('r1')}/t$1/20-logs/step-0.log"
    needs = [f"t{number}" for number in range(40)]
    project.task("u", f"set -- $((RANDOM % 40)); {change}", needs=needs)
    done = project.zf(*RUN, "--sign", "--key", str(keys / "alice"))
    check_said(project, done)


# Verbs on runs that are there


def going_on(project):
    """A run that goes on until something is written to `gate`."""
    os.mkfifo(project.root / "gate")
    project.task("a", "echo a")
    project.task("t", "read line < gate", needs=["a"])
    project.task("next", "true", phase="B", needs=["a", "t"])
    process = project.popen(*RUN, "-v")
    assert any("start     t" in line for line in process.stderr)
    return process


def ended(project, process):
    (project.root / "gate").write_text("go\n")
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(
    "words",
    [
        ("rerun", "r1", "--failed"),
        ("rerun", "r1", "--from", "a", "--downstream"),
        ("rerun", "r1", "--only", "t"),
        ("run-phase", "B", "--upstream", "r1"),
        ("resume", "r1"),
        ("seal", "r1"),
    ],
    ids=" ".join,
)
def test_a_run_that_goes_on_is_not_run_again_or_built_on_beside_itself(project, words):
    process = going_on(project)
    done = project.zf(*words)
    runs = sorted(path.name for path in project.proof("").iterdir() if path.name[0] != ".")
    assert ended(project, process) == 0
    assert done.code == 5, done
    assert f"error[ZF120]: run id 'r1' is in use by pid {process.pid} on " in done.err
    assert runs == ["r1"]
    assert is_intact(project)


def test_a_run_whose_runner_is_gone_is_rerun_without_its_open_outcomes(project, forge):
    os.mkfifo(project.root / "gate")
    project.task("a", "echo a")
    project.task("t", f"{forge} success; read r < gate; kill -9 $r $PPID", needs=["a"])
    project.task("next", "true", phase="B", needs=["a", "t"])
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    process.communicate()
    done = project.zf("run-phase", "B", "--upstream", "r1")
    assert (done.code, "error[ZF148]: run 'r1' cannot be built on" in done.err) == (1, True), done
    done = project.zf("replay", "r1", "t")
    assert (done.code, "error[ZF151]: task 't' has not ended" in done.err) == (2, True), done
    project.task("t", "echo t", needs=["a"])
    done = project.zf("rerun", "r1", "--failed", "--run-id", "r2")
    assert (done.code, os.listdir(project.proof("r2", "t"))) != (0, []), done
    assert project.status("r2", "t")["status"] == "success"


@pytest.mark.parametrize("verb", ["seal", "resume"])
def test_a_killed_run_that_was_tampered_with_is_neither_sealed_nor_finished(project, verb):
    project.task("a", "echo a")
    os.mkfifo(project.root / "gate")
    project.task("t", "read r < gate; kill -9 $r $PPID", needs=["a"])
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    process.communicate()
    log = project.proof("r1", "a", "20-logs", "step-0.log")
    log.write_text("b\n")
    before = project.proof("r1", "events.jsonl").read_bytes()
    done = project.zf(verb, "r1")
    assert done.code == 1, done
    assert project.proof("r1", "events.jsonl").read_bytes() == before
    assert not project.proof("r1", "MANIFEST.sha256").exists()


def test_a_stale_blocked_json_does_not_outlive_a_resume(project):
    os.mkfifo(project.root / "gate")
    project.task("t", "[ $ATTEMPT = 2 ] || { read r < gate; kill -9 $r $PPID; }")
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    process.communicate()
    project.proof("r1", "blocked.json").write_text("{}")
    assert project.zf("resume", "r1").code == 0
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED


def test_what_was_not_compared_before_the_seal_is_told(project, keys):
    project.task("a", "true")
    project.task("b", 'truncate -s 256M "$ARTIFACTS_DIR/large"')
    line = "1 of 2 task trees compared before the seal; zf verify r1 compares all"
    assert line in project.zf("run-phase", "A", "--run-id", "r1").out.splitlines()
    told = json.loads(project.zf("run-phase", "A", "--run-id", "r2", "--json").out)
    assert (told["trees_compared"], told["trees"]) == (1, 2)
    signed = project.zf(
        *RUN[:2], "--run-id", "r3", "--json", "--sign", "--key", str(keys / "alice")
    )
    told = json.loads(signed.out)
    assert (told["trees_compared"], told["trees"]) == (2, 2)
    project.task("b", "true")
    assert "compared" not in project.zf("run-phase", "A", "--run-id", "r4").out


# What is told of the differences


@pytest.mark.parametrize("sign", [False, True])
def test_a_secret_in_the_name_of_what_was_put_there_is_told_nowhere(project, keys, sign):
    """Neither on stderr, nor in the journal, nor in what a program reads."""
    secret = "correct-horse-battery-staple"
    (project.root / "zf.yaml").write_text("pass_env: [MY_TOKEN]\nsecrets: [MY_TOKEN]\n")
    project.task(
        "t",
        'mkdir -p "$PROOF_DIR/../$MY_TOKEN"; echo x > "$PROOF_DIR/../$MY_TOKEN.txt"',
    )
    signs = ("--sign", "--key", str(keys / "alice")) if sign else ()
    done = project.zf(*RUN, "--json", *signs, env={"MY_TOKEN": secret})
    check_said(project, done)
    assert secret not in done.out + done.err
    assert secret not in project.proof("r1", "events.jsonl").read_text()
    told = json.loads(done.out)["tampered"]
    assert len(told) == 2
    assert all("was put there" in line for line in told)
    assert project.events("r1")[-1]["tampered"] == told


@pytest.mark.parametrize(
    ("put", "path"),
    [
        ('mkdir -p "$run/MANIFEST.sha256/deep"', "MANIFEST.sha256"),
        ('echo x > "$run/MANIFEST.sha256"', "MANIFEST.sha256"),
        ('mkdir -p "$run/blocked.json/deep"', "blocked.json"),
        ('echo x > "$run/blocked.json"', "blocked.json"),
        ('echo x > "$run/.MANIFEST.sha256.7"', ".MANIFEST.sha256.7"),
        (
            'for name in MANIFEST.sha256 blocked.json; do echo x > "$run/.$name.$ZF.tmp"; done',
            ".MANIFEST.sha256.",
        ),
    ],
    ids=["folder", "file", "blocked folder", "blocked file", "odd", "temporary"],
)
def test_what_lies_where_the_end_of_a_run_is_written_gives_way_and_is_told(project, put, path):
    os.mkfifo(project.root / "gate")
    script = f'read ZF < gate; run=$(dirname "$PROOF_DIR"); {put}; exit 1'
    project.task("t", script)
    project.task("u", "true", needs=["t"])
    process = project.popen(*RUN)
    (project.root / "gate").write_text(f"{process.pid}\n")
    out, err = process.communicate(timeout=60)
    check_said(project, Finished(process.returncode, out, err))
    assert "ZF145" not in err
    assert f"TAMPERED WHILE RUNNING: {path}" in err
    assert project.proof("r1", "MANIFEST.sha256").is_file()
    assert project.proof("r1", "blocked.json").is_file()


@pytest.mark.parametrize("folder", ["", "/20-logs", "/30-artifacts", "/00-meta", "/99-summary"])
@pytest.mark.parametrize("mode", ["000", "500"])
def test_a_folder_of_the_proof_without_its_owners_rights_gets_them_back(project, folder, mode):
    """Its owner could not read it then, unless that is root, and no one could verify it."""
    project.task("t", f'echo x > "$ARTIFACTS_DIR/x"; chmod {mode} "$PROOF_DIR{folder}"')
    done = project.zf(*RUN)
    assert done.code == 0, done
    place = project.proof("r1", "t", *filter(None, [folder.strip("/")]))
    assert place.stat().st_mode & 0o700 == 0o700
    assert project.proof("r1", "t", "30-artifacts", "x").read_text() == "x\n"
    assert is_intact(project)
