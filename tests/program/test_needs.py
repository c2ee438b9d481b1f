"""What a need kept is found wherever the need was met: the recipe of docs/how-to/keep-a-file.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/keep-a-file.md"
(RECIPE,) = re.findall(r"(?ms)^```yaml\n(needs: .*?)^```", PAGE.read_text())


@pytest.fixture
def kept(project):
    recipe = yaml.safe_load(RECIPE)
    project.task("10-count", "echo 7 > $ARTIFACTS_DIR/words.txt")
    script = recipe["commands"][0]["run"]
    project.task(
        "20-read", f"[ -e ok ] && {script}", needs=recipe["needs"], phase="B", parallel_safe=True
    )
    (project.root / "ok").touch()
    return project


def reads(project, run):
    assert project.status(run, "20-read")["status"] == "success"
    assert project.log(run, "20-read", 0).endswith(b"7\n")
    assert project.zf("verify", run).code == 0
    beside = [p.name for p in (project.root / "proofs").rglob(".*") if p.is_dir()]
    assert beside == [".locks"]
    assert not [p for p in (project.root / "proofs/.locks").iterdir() if p.is_dir()]


def test_in_the_same_run(kept):
    assert kept.zf("run-phase", "A", "B", "--run-id", "r").code == 0
    reads(kept, "r")


def test_under_upstream(kept):
    kept.zf("run-phase", "A", "--run-id", "r")
    assert kept.zf("run-phase", "B", "--run-id", "r2", "--upstream", "r").code == 0
    reads(kept, "r2")


def test_under_rerun(kept):
    (kept.root / "ok").unlink()
    assert kept.zf("run-phase", "A", "B", "--run-id", "r").code == 1
    (kept.root / "ok").touch()
    assert kept.zf("rerun", "r", "--failed", "--run-id", "r2").code == 0
    reads(kept, "r2")
    assert kept.zf("rerun", "r2", "--only", "20-read", "--run-id", "r3").code == 0
    reads(kept, "r3")


def test_a_rerun_does_not_build_on_a_proof_that_was_changed(kept):
    (kept.root / "ok").unlink()
    assert kept.zf("run-phase", "A", "B", "--run-id", "r").code == 1
    (kept.root / "ok").touch()
    kept.proof("r", "10-count/20-logs/step-0.log").write_text("8\n")
    done = kept.zf("rerun", "r", "--failed", "--run-id", "r2")
    assert (done.code, "cannot be built on: it is not intact" in done.err) == (1, True), done
    assert not kept.proof("r2").exists()


def test_a_rerun_leaves_it_to_another_process_to_verify():
    """It takes 20 ms to import what does."""
    program = "import sys, zf.run.rerun; assert 'zf.audit.verify' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_rerun_keeps_the_upstream_of_its_run(kept):
    kept.zf("run-phase", "A", "--run-id", "r")
    (kept.root / "ok").unlink()
    assert kept.zf("run-phase", "B", "--run-id", "r2", "--upstream", "r").code == 1
    (kept.root / "ok").touch()
    done = kept.zf("rerun", "r2", "--failed", "--run-id", "r3")
    assert done.code == 0, done.err
    reads(kept, "r3")
    assert kept.json("r3", "plan.json")["upstream"]["10-count"]["run"] == "r"


@pytest.mark.parametrize("shield", ["auto", "never"])
@pytest.mark.parametrize("upstream", [False, True], ids=["the same run", "under upstream"])
def test_a_task_finds_what_its_own_needs_kept_and_nothing_else(project, shield, upstream):
    """Whichever tasks had the same slot before, and whatever these needed."""
    project.task("10-one", "echo 1 > $ARTIFACTS_DIR/x")
    project.task("10-two", "echo 2 > $ARTIFACTS_DIR/x")
    project.task("20-one", "cat $NEEDS_DIR/*/x", needs=["10-one"], phase="B", priority=2)
    project.task("20-two", "cat $NEEDS_DIR/*/x", needs=["10-two"], phase="B")
    words = ["--shield", shield, "-j", "1"]
    runs = [["A", "--run-id", "r"], ["B", "--upstream", "r", "--run-id", "r2"]]
    for run in runs if upstream else [["A", "B", "--run-id", "r2"]]:
        done = project.zf("run-phase", *run, *words)
        assert done.code == 0, done.err
    assert project.log("r2", "20-one", 0) == b"1\n"
    assert project.log("r2", "20-two", 0) == b"2\n"


KEPT = "30-artifacts/words.txt"
SWAPPED = f"""cd $TREE; echo 8 > {KEPT}
(cd 30-artifacts && sha256sum words.txt) > 40-checksums/artifacts.sha256
"""
SPOILT = {
    "a file": (f"echo 8 > $TREE/{KEPT}", "words.txt is not what it was when its task ended"),
    "a file and its list": (SWAPPED, "words.txt is not what it was when its task ended"),
    "a file and both lists": (
        SWAPPED + f'sed -i "s/.*words/$(sha256sum < {KEPT} | cut -c1-64)  30-artifacts.words/;'
        's,30-artifacts.words,30-artifacts/words," 40-checksums/task.sha256',
        "their list is not what it was when their task ended",
    ),
    "one file more": (
        "mkdir $TREE/30-artifacts/a; echo 8 > $TREE/30-artifacts/a/b",
        "a/b was not there when its task ended",
    ),
    "a link": (f"ln -sf /etc/hostname $TREE/{KEPT}", "words.txt is not what it was when its task"),
    "none": (f"rm $TREE/{KEPT}", "words.txt is not there any more"),
}


def is_refused(project, run, why):
    status = project.status(run, "20-read")
    assert status["cause"] == "artifacts"
    assert status["detail"].startswith("the artifacts of need 10-count cannot be used: ")
    assert why in status["detail"]
    assert project.json(run, "20-read", "10-commands", "step-0.json")["status"] == "not_run"


@pytest.mark.parametrize("how", SPOILT)
def test_files_that_are_not_what_the_need_kept_are_not_used(kept, how):
    """Whatever the lists on the disk say: the runner knows what its task kept."""
    script, why = SPOILT[how]
    kept.task("15-spoil", f"TREE=$PROOF_DIR/../10-count\n{script}", needs=["10-count"], phase="A")
    assert kept.zf("run-phase", "A", "B", "--run-id", "r", "--shield", "never").code == 1
    assert kept.status("r", "15-spoil")["status"] == "success"
    is_refused(kept, "r", why)


@pytest.mark.parametrize("how", SPOILT)
def test_files_of_an_earlier_run_that_are_not_what_the_need_kept_are_not_used(kept, how):
    """The run was verified, but a task that runs before the one with the need can write there."""
    script, why = SPOILT[how]
    kept.task("15-spoil", f"TREE=$PROOF_DIR/../../r/10-count\n{script}", phase="B", priority=1)
    assert kept.zf("run-phase", "A", "--run-id", "r").code == 0
    words = ["--upstream", "r", "--shield", "never", "-j", "1"]
    assert kept.zf("run-phase", "B", "--run-id", "r2", *words).code == 1
    assert kept.status("r2", "15-spoil")["status"] == "success"
    is_refused(kept, "r2", why)


def test_what_lies_in_the_tree_of_a_need_that_kept_nothing_is_not_used(kept):
    kept.task("10-count", ":")
    plant = "cd $PROOF_DIR/../10-count; echo 8 > 30-artifacts/words.txt"
    listed = "cd 30-artifacts && sha256sum words.txt > ../40-checksums/artifacts.sha256"
    kept.task("15-spoil", f"{plant}; {listed}", needs=["10-count"], phase="A")
    kept.zf("run-phase", "A", "B", "--run-id", "r", "--shield", "never")
    assert kept.status("r", "15-spoil")["status"] == "success"
    assert kept.status("r", "20-read")["cause"] == "exit"
    assert b"10-count/words.txt" in kept.log("r", "20-read", 0)


def test_a_resumed_run_knows_what_a_need_kept(kept):
    kept.task(
        "15-die", "[ -e alive ] || kill -9 $(ps -o ppid= -p $PPID)", phase="A", needs=["10-count"]
    )
    kept.zf("run-phase", "A", "B", "--run-id", "r")
    (kept.root / "alive").touch()
    done = kept.zf("resume", "r")
    assert done.code == 0, done.err
    reads(kept, "r")


def test_a_seal_of_a_killed_run_leaves_no_way_to_its_needs(kept):
    kept.task("20-read", "kill -9 $(ps -o ppid= -p $PPID); sleep 60", needs=["10-count"])
    kept.zf("run-phase", "A", "--run-id", "r")
    assert list(kept.root.rglob("needs/20-read/10-count"))
    assert kept.zf("seal", "r").code == 0
    assert not list(kept.root.rglob("needs/20-read/10-count"))
    assert not [p for p in (kept.root / "proofs/.locks").iterdir() if p.is_dir()]


PLANTED = {
    "a folder": "rm -r $DIR/10-count; mkdir -p $DIR/10-count/x",
    "a link": "rm -r $DIR/10-count; ln -sfn /tmp $DIR/10-count",
    "a file for the folder": "rm -r $DIR; touch $DIR",
    "a link for the folder": "mv $DIR $DIR.moved; ln -s /tmp $DIR",
}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("mode", ["auto", "never"])
def test_what_a_task_puts_in_the_place_of_the_way_to_a_need(kept, what, mode):
    """Under the shield it cannot; else it gives way to the copy of the task that comes next."""
    words = ["--shield", mode, "-j", "1"]
    kept.task(
        "15-plant",
        f"cat $NEEDS_DIR/10-count/words.txt; DIR=$NEEDS_DIR; {PLANTED[what]}",
        needs=["10-count"],
        phase="B",
        priority=1,
        allow_failure=True,
    )
    done = kept.zf("run-phase", "A", "B", "--run-id", "r2", *words)
    shielded = kept.status("r2", "15-plant")["shield"] == "mount"
    assert kept.status("r2", "15-plant")["status"] == ("failure" if shielded else "success")
    assert done.code == 0, done.err
    reads(kept, "r2")


WRITES = {
    "over a file": "echo 8 > $DIR/words.txt",
    "behind a file": "echo 8 >> $DIR/words.txt",
    "beside a file": "echo 8 > $DIR/more.txt",
    "nothing in its place": "rm $DIR/words.txt",
    "through its folder": "rm -r $DIR; mkdir $DIR; echo 8 > $DIR/words.txt",
}


@pytest.mark.parametrize("where", ["this run", "an earlier run"])
@pytest.mark.parametrize("mode", ["auto", "never"])
@pytest.mark.parametrize("how", WRITES)
def test_what_a_task_writes_to_what_a_need_kept_changes_no_proof(kept, how, mode, where):
    """And no other task with the same need finds it, in whatever worker."""
    kept.task(
        "15-write",
        f"DIR=$NEEDS_DIR/10-count; cat $DIR/words.txt; {WRITES[how]}",
        needs=["10-count"],
        phase="B",
        priority=1,
        allow_failure=True,
    )
    phases, words = ["A", "B"], ["--shield", mode, "-j", "1"]
    if where == "an earlier run":
        assert kept.zf("run-phase", "A", "--run-id", "r").code == 0
        phases, words = ["B"], [*words, "--upstream", "r"]
    done = kept.zf("run-phase", *phases, "--run-id", "r2", *words)
    assert done.code == 0, done.err
    status = kept.status("r2", "15-write")
    shielded = status["shield"] == "mount"
    assert status["status"] == ("failure" if shielded else "success")
    assert kept.log("r2", "15-write").startswith(b"7\n")
    reads(kept, "r2")
    made_in = "r2" if where == "this run" else "r"
    assert kept.zf("verify", made_in).code == 0
    assert (kept.proof(made_in, "10-count", "30-artifacts", "words.txt")).read_text() == "7\n"


@pytest.mark.parametrize("mode", ["auto", "never"])
def test_folders_modes_times_and_empty_files_are_there(kept, mode):
    script = "mkdir -p $ARTIFACTS_DIR/a/b; cd $ARTIFACTS_DIR; echo 7 > words.txt; : > a/b/empty"
    kept.task("10-count", f"{script}; printf '#!/bin/sh\\necho ran' > a/tool; chmod 755 a/tool")
    look = "cd $NEEDS_DIR/10-count; find . -type f | sort; a/tool; test ! -s a/b/empty"
    kept.task("20-read", look, needs=["10-count"], phase="B")
    for phases, run, more in ((["A", "B"], "r", []), (["B"], "r2", ["--upstream", "r"])):
        done = kept.zf("run-phase", *phases, "--run-id", run, "--shield", mode, *more)
        assert done.code == 0, done.err
        assert kept.log(run, "20-read") == b"./a/b/empty\n./a/tool\n./words.txt\nran\n"
        assert kept.zf("verify", run).code == 0


def test_two_tasks_at_once_share_what_an_earlier_run_kept(kept):
    assert kept.zf("run-phase", "A", "--run-id", "r").code == 0
    names = [f"2{n}-read" for n in range(8)]
    for name in names:
        kept.task(
            name,
            "cat $NEEDS_DIR/10-count/words.txt",
            needs=["10-count"],
            phase="C",
            parallel_safe=True,
        )
    done = kept.zf("run-phase", "C", "--run-id", "r2", "--upstream", "r", "-j", "8")
    assert done.code == 0, done.err
    assert all(kept.log("r2", name) == b"7\n" for name in names)


def test_from_an_archive(kept, tmp_path):
    kept.zf("run-phase", "A", "--run-id", "r")
    archive = tmp_path / "r.tar"
    assert kept.zf("export", "r", "-o", str(archive)).code == 0
    kept.proof("r").rename(tmp_path / "away")
    done = kept.zf("run-phase", "B", "--run-id", "r2", "--upstream", str(archive))
    assert done.code == 0, done.err
    reads(kept, "r2")
