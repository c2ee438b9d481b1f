"""A death or an error at every call by which zf changes anything: nothing leaks, nothing is lost,
nothing is told twice, and nothing is called a success that is none.

faults.c strikes the Nth such call of the runner, or of its workers, for every N in turn.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.faults import KILL, SHORT, TEAR, Fault, always, struck
from tests.support.killed_runs import check_told_once
from tests.support.program import ZF, Finished, Project, survivors
from zf.audit.conclusion import INCOMPLETE, VERIFIED
from zf.audit.verify import verify
from zf.work.walls.namespace import has_capability

RUN = ("run-phase", "A", "--run-id", "r1", "-j", "2", "--grace", "1", "--progress", "json")
RESUME = ("resume", "r1", "--progress", "json")
# What each task comes to when nobody interferes.
ENDS = {
    "10-ok": "success",
    "20-bad": "failure",
    "30-slow": "timeout",
    "40-flaky": "success",
    "50-after": "success",
    "60-blocked": "blocked",
}
# More calls than there are in a run of these tasks.
MANY = 400


class Small(Project):
    """A success, a failure, a timeout, a retry, a task after each kind of end."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        # In the environment of zf, of its workers and of everything they start.
        self.env["ZF_TEST_MARK"] = self.mark
        # The faults are meant for zf's files, not for those of whoever measures its coverage.
        self.env.pop("COVERAGE_PROCESS_CONFIG", None)
        (root / "zf.yaml").write_text("pass_env: [ZF_TEST_MARK]\n")
        apart = {"parallel_safe": True}
        self.task("10-ok", "echo one", "echo two > $ARTIFACTS_DIR/two; echo done", **apart)
        self.task("20-bad", "echo no; exit 3", **apart)
        self.task("30-slow", "echo up; sleep 300 & sleep 300", timeout_sec=0.3, **apart)
        again = {"max_retries": 2, "retry_delay_sec": 0}
        self.task("40-flaky", "echo done; [ $ATTEMPT -ge 2 ]", **again, **apart)
        self.task("50-after", "echo done", needs=["10-ok"])
        self.task("60-blocked", "echo never", needs=["20-bad"])

    def left(self) -> list[str]:
        """What is still alive of all that was ever started here."""
        return survivors(f"ZF_TEST_MARK={self.mark}")

    def struck_by(self, fault: Fault, *words: str) -> tuple[Finished, str]:
        """Run zf with the fault; how it ended, and which call was struck ("" for none)."""
        log = self.root / "calls"
        log.unlink(missing_ok=True)
        return self.zf(*words, env=fault.env(log)), struck(log)

    def statuses(self) -> dict[str, str]:
        return {name: self.status("r1", name)["status"] for name in ENDS}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path / "project")


def told(*finished: Finished) -> list[str]:
    return [line for one in finished for line in one.err.splitlines(keepends=True)]


def check_whole(project: Small, lines: list[str]) -> None:
    """What must hold of the finished run, whatever struck it; `lines` is what zf has said."""
    assert project.left() == []
    found = verify(str(project.proof("r1")))
    assert found.exit_code == VERIFIED, found.findings
    check_told_once(project.events("r1"), lines)
    for name, status in project.statuses().items():
        if status == "success":
            assert ENDS[name] == "success"
            assert project.log("r1", name, 1 if name == "10-ok" else 0) == b"done\n"


def kill_and_resume(project: Small, fault: Fault) -> str:
    """Run, be killed there, resume; the call that was struck, "" when there were fewer calls."""
    shutil.rmtree(project.root / "proofs", ignore_errors=True)
    first, where = project.struck_by(fault, *RUN)
    if not where:
        assert first.code == 1, first
        return ""
    assert first.code == -9, (where, first)
    if not project.proof("r1").exists():
        # Killed before the run had a name: there is nothing to resume, and the id is free.
        done = project.zf(*RUN)
    elif project.proof("r1", "MANIFEST.sha256").exists():
        done = project.zf(*RESUME)
        assert done.code == 5, (where, done)
        done = first
    else:
        assert verify(str(project.proof("r1"))).exit_code == INCOMPLETE
        done = project.zf(*RESUME)
    if done is not first:
        assert done.code == 1, (where, done)
    assert project.statuses() == ENDS, where
    check_whole(project, told(first, done))
    return where


def lose_a_worker(project: Small, fault: Fault) -> str:
    """A worker is killed there; the run goes on and is sealed."""
    shutil.rmtree(project.root / "proofs", ignore_errors=True)
    # One at a time, so that every run makes the same calls in the same order.
    done, where = project.struck_by(fault, *RUN, "-j", "1")
    assert done.code == 1, (where, done)
    assert "Traceback" not in done.err, (where, done)
    for name, status in project.statuses().items():
        assert status in {ENDS[name], "lost", "blocked"}, (where, name, status)
    check_whole(project, told(done))
    return where


CRASHES = {"runner": kill_and_resume, "workers": lose_a_worker}


def some(count: int, share: int) -> list[int]:
    """So many numbers up to `count`, evenly spread."""
    return [1 + count * (2 * n + 1) // (2 * share) for n in range(share)]


@pytest.mark.parametrize("what", [KILL, TEAR])
@pytest.mark.parametrize("who", CRASHES)
def test_a_crash_at_some_calls(small, who, what):
    for number in some(60 if what == KILL else 20, 3):
        assert CRASHES[who](small, Fault(who, what, number))


def test_a_run_that_was_told_of_is_there(small):
    """Whoever reads the first line of progress can ask for the run, whatever becomes of zf."""
    done, call = small.struck_by(Fault("runner", KILL, 1, names=("rename",)), *RUN)
    assert call.endswith("/r1 STRUCK")
    assert not small.proof("r1").exists()
    assert done.err == ""


@pytest.mark.campaign
@pytest.mark.parametrize("what", [KILL, TEAR])
@pytest.mark.parametrize("who", CRASHES)
def test_campaign_of_crashes_at_every_call(small, who, what):
    for number in range(1, MANY):
        if not CRASHES[who](small, Fault(who, what, number)):
            break
    assert 20 < number < MANY
    print(f"{number - 1} crashes ({what}) of the {who}")


# By which a process changes anything outside itself, and what faults.c calls the same.
SYSCALLS = {
    **{name: name for name in ("write", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat")},
    **{name: name for name in ("rename", "renameat", "link", "linkat", "symlink", "symlinkat")},
    **{name: name for name in ("ftruncate", "fsync", "fdatasync", "fchmod")},
    **{name: name for name in ("chmod", "fchmodat", "mount", "umount2", "move_mount")},
    "utimensat": "utimensat",
    "pwrite64": "pwrite",
    "sendto": "send",
    "openat": "open",
    "mknodat": "mkfifo",
    **dict.fromkeys(("writev", "pwritev", "pwritev2", "sendmsg", "sendmmsg", "truncate"), ""),
    **dict.fromkeys(("renameat2", "fallocate", "copy_file_range", "sendfile", "splice"), ""),
    **dict.fromkeys(("open", "openat2", "creat", "fchmodat2", "mknod"), ""),
}


@pytest.mark.parametrize("who", CRASHES)
def test_no_call_escapes(small, who):
    """What the kernel is asked, as strace sees it, is what faults.c counts."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    log, trace = small.root / "calls", small.root / "trace"
    # strace is given the variables for its child alone: it would be counted itself.
    env = [f"{name}={value}" for name, value in Fault(who, KILL, MANY).env(log).items()]
    # A call that this strace or machine has no name for is none that could be seen.
    strace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        trace,
        "-e",
        f"trace={','.join(f'?{name}' for name in SYSCALLS)}",
    ]
    done = subprocess.run(
        [*strace, "env", *env, *ZF, *RUN, "-j", "1"],
        cwd=small.root,
        env=small.env,
        capture_output=True,
    )
    assert done.returncode == 1
    counted = Counter(line.split(" ")[1] for line in log.read_text().splitlines())
    calls: dict[str, list[tuple[str, str]]] = {}
    for pid, name, words in re.findall(r"^(\d+) +(\w+)\((.*)", trace.read_text(), re.MULTILINE):
        calls.setdefault(pid, []).append((name, words))
    runner = next(pid for pid, made in calls.items() if "events.jsonl" in str(made))
    # The first process that is forked loads the task files, and counts as one of them. To strace a
    # thread is a process too: each worker has one for a moment, which goes into a cgroup.
    marks = ("20-logs", "task.yaml", "cgroup.procs")
    workers = [
        pid
        for pid, made in calls.items()
        if pid != runner and any(mark in str(made) for mark in marks)
    ]
    seen = Counter(
        SYSCALLS[name] or name
        for pid in ([runner] if who == "runner" else workers)
        for name, words in calls[pid]
        # An open that makes nothing changes nothing; and faults.c has its own log.
        if (name != "openat" or "O_CREAT" in words) and f'"{log}"' not in words
        if not re.match(r"9\d\d, ", words)
    )
    del counted["fork" if who == "runner" else "posix_spawn"]
    assert seen == counted


# Recovery, struck itself.


def killed_halfway(project: Small) -> Path:
    """A copy of the proofs of a run that was killed while tasks were under way."""
    done, where = project.struck_by(Fault("runner", KILL, 34), *RUN)
    assert (done.code, bool(where)) == (-9, True)
    # Its workers hold the lock until they have ended what ran.
    with (project.root / "proofs/.locks/r1.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    kept = project.root / "kept"
    subprocess.run(["cp", "-a", project.root / "proofs", kept], check=True)
    return kept


def strike_the_recovery(project: Small, kept: Path, fault: Fault, words: tuple[str, ...]) -> str:
    """From the same killed run: the verb, killed there, then again."""
    shutil.rmtree(project.root / "proofs")
    subprocess.run(["cp", "-a", kept, project.root / "proofs"], check=True)
    first, where = project.struck_by(fault, *words)
    is_sealed = project.proof("r1", "MANIFEST.sha256").exists()
    if where:
        assert first.code == -9, (where, first)
        done = project.zf(*words)
    else:
        done = first
    if words == RESUME:
        assert done.code == (5 if where and is_sealed else 1), (where, done)
        assert project.statuses() == ENDS, where
        check_whole(project, told(first, done))
    else:
        assert done.code == (5 if where and is_sealed else 0), (where, done)
        assert verify(str(project.proof("r1"))).exit_code == INCOMPLETE, where
        assert project.left() == []
    return where


VERBS = [RESUME, ("seal", "r1")]


@pytest.mark.parametrize("words", VERBS, ids=["resume", "seal"])
def test_recovery_that_crashes_at_some_calls(small, words):
    kept = killed_halfway(small)
    for number in some(60 if words == RESUME else 5, 2):
        assert strike_the_recovery(small, kept, Fault("runner", KILL, number), words)


@pytest.mark.campaign
@pytest.mark.parametrize("words", VERBS, ids=["resume", "seal"])
def test_campaign_of_recoveries_that_crash_at_every_call(small, words):
    kept = killed_halfway(small)
    for number in range(1, MANY):
        if not strike_the_recovery(small, kept, Fault("runner", KILL, number), words):
            break
    assert 4 < number < MANY
    print(f"{number - 1} crashes of {words[0]}")


# Errors.


def check_told(project: Small, done: Finished, reason: str) -> None:
    """However far it came: no survivor, no traceback, no success that is none, and a message."""
    assert project.left() == []
    assert "Traceback" not in done.err, done
    assert "internal error" not in done.err, done
    if done.code == 2:
        # The others are for what is needed before it comes to writing.
        assert re.search(
            r"error\[ZF123\]: cannot write proofs to |"
            rf"error\[(ZF190|ZF126)\]: (no worker process can be started: )?{reason}",
            done.err,
        )
        assert reason in done.err
        return
    assert done.code == 1, done
    if "error[ZF145]: run 'r1' was stopped, as it could not be recorded: " in done.err:
        assert reason in done.err
        assert verify(str(project.proof("r1"))).exit_code in {INCOMPLETE, VERIFIED}
        return
    for name, status in project.statuses().items():
        if status != ENDS[name] and status != "blocked":
            assert status in {"failure", "lost"}
            assert reason in project.status("r1", name)["detail"]
    check_whole(project, told(done))


def fail_there(project: Small, fault: Fault) -> str:
    """Run with the error, see what is said, then go on without it."""
    shutil.rmtree(project.root / "proofs", ignore_errors=True)
    done, where = project.struck_by(fault, *RUN, "-j", "1")
    check_told(project, done, os.strerror(int(fault.what)))
    if "ZF145" in done.err:
        is_sealed = project.proof("r1", "MANIFEST.sha256").exists()
        again = project.zf(*RESUME)
        assert again.code == (5 if is_sealed else 1), (where, again)
        assert project.statuses() == ENDS, where
        check_whole(project, told(done, again))
    return where


NO_SPACE, NO_DISK = errno.ENOSPC, errno.EIO


@pytest.mark.parametrize("who", CRASHES)
@pytest.mark.parametrize("stays", [False, True], ids=["once", "from-there-on"])
def test_a_full_disk_at_some_calls(small, who, stays):
    # The second of a worker is its way into a cgroup, the way back from which fails too.
    for number in (2, *some(60, 3)):
        fault = always(who, NO_SPACE, first=number) if stays else Fault(who, NO_SPACE, number)
        assert fail_there(small, fault)


@pytest.mark.skipif(not has_capability(), reason="the shield needs root")
@pytest.mark.parametrize("call", ["mount", "move_mount", "symlinkat", "renameat", "mkdirat"])
def test_an_error_behind_the_shield_is_the_end_of_one_attempt_only(small, call):
    """What is covered by half, or holds another task's artifacts, is nothing for the next task."""
    for number in (2, 4, 7):
        assert fail_there(small, Fault("workers", NO_SPACE, number, names=(call,)))
        ends = small.statuses().items()
        harmed = [name for name, status in ends if status not in {ENDS[name], "blocked"}]
        assert len(harmed) <= 1
        for name in ENDS:
            kept = small.proof("r1", name, "30-artifacts")
            found = {path.name for path in kept.iterdir()} if kept.exists() else set()
            assert found <= ({"two"} if name == "10-ok" else set())


@pytest.mark.parametrize("who", CRASHES)
def test_a_broken_disk_at_some_calls(small, who):
    for number in some(60, 2):
        assert fail_there(small, Fault(who, NO_DISK, number))


@pytest.mark.campaign
@pytest.mark.parametrize("who", CRASHES)
@pytest.mark.parametrize("what", [NO_SPACE, NO_DISK])
@pytest.mark.parametrize("stays", [False, True], ids=["once", "from-there-on"])
def test_campaign_of_errors_at_every_call(small, who, what, stays):
    for number in range(1, MANY):
        fault = always(who, what, first=number) if stays else Fault(who, what, number)
        if not fail_there(small, fault):
            break
    assert 20 < number < MANY
    print(f"{number - 1} times {os.strerror(what)} of the {who}, stays: {stays}")


@contextmanager
def disk_of(folder: Path, kilobytes: int, *options: str) -> Iterator[None]:
    """A small disk of its own at the folder; skips where we may not mount one."""
    folder.mkdir()
    words = ",".join((f"size={kilobytes}k", *options))
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", words, "zf-test", folder], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(project: Small, kilobytes: int) -> int:
    """The run on a disk of this size; its exit code."""
    with disk_of(project.root / "proofs", kilobytes):
        done = project.zf(*RUN)
        check_told(project, done, os.strerror(NO_SPACE))
        if "ZF145" in done.err and kilobytes > 4:
            size = f"remount,size={kilobytes + 1000}k"
            subprocess.run(["mount", "-o", size, project.root / "proofs"], check=True)
            assert project.zf(*RESUME).code in {1, 5}
            # What had failed for want of room, and could be told, stays so.
            assert set(project.statuses().items()) - set(ENDS.items()) <= {
                (name, status) for name in ENDS for status in ("failure", "blocked")
            }
            check_whole(project, told(done))
        elif done.code == 1 and project.statuses() == ENDS:
            return 0
        return done.code


def test_disks_that_are_too_small(small):
    assert [fill(small, kilobytes) for kilobytes in (4, 100, 1000)] == [2, 1, 0]


@pytest.mark.campaign
def test_campaign_of_disks_of_every_size(small):
    codes = [fill(small, kilobytes) for kilobytes in range(4, 400, 4)]
    assert set(codes) == {0, 1, 2}
    print(f"{len(codes)} sizes, by exit code: {Counter(codes)}")


def test_proofs_on_a_disk_that_cannot_be_written(small):
    with disk_of(small.root / "proofs", 100, "ro"):
        done = small.zf(*RUN)
        assert done.code == 2
        assert done.err.startswith(
            f"error[ZF123]: cannot write proofs to {small.root}/proofs: Read-only file system\n"
        )


def with_descriptors(project: Small, limit: int) -> Finished:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    return project.zf(*RUN, preexec_fn=lower)


@pytest.mark.parametrize("limit", [8, 14, 21])
def test_too_few_descriptors_are_refused_before_anything_is_written(small, limit):
    done = with_descriptors(small, limit)
    assert done.code == 2
    told = f"error[ZF126]: 2 tasks at once need 22 open files, and the limit is {limit}\n"
    assert done.err.startswith(told)
    assert not (small.root / "proofs").exists()


@pytest.mark.parametrize("limit", [22, 23, 24, 26, 28])
def test_hardly_enough_descriptors(small, limit):
    """At 22 a worker could not look at what it had to kill; behind the shield it needs more."""
    check_told(small, with_descriptors(small, limit), os.strerror(errno.EMFILE))


def test_no_process_to_be_had_from_the_start(small):
    """No worker at all: said before anything is written."""
    done, where = small.struck_by(always("runner", errno.EAGAIN, "fork"), *RUN)
    assert where
    assert done.code == 2
    assert "error[ZF126]: no worker process can be started: " in done.err
    check_told(small, done, os.strerror(errno.EAGAIN))
    assert not small.proof("r1").exists()


def test_no_process_to_be_had_for_another_worker(small):
    """The first worker is lost while the run goes on, and no other can be started after that."""
    # The fork before these two is of the process that loads task files.
    small.task("00-end", "kill -9 $PPID", parallel_safe=False)
    fault = always("runner", errno.EAGAIN, "fork", first=3)
    done, where = small.struck_by(fault, *RUN, "-j", "1")
    assert where
    assert done.code == 1
    assert "Traceback" not in done.err
    assert small.left() == []
    assert verify(str(small.proof("r1"))).exit_code == VERIFIED
    ends = [e for e in small.events("r1") if e["type"] == "attempt_ended"]
    first = next(n for n, end in enumerate(ends) if end["task"] == "00-end")
    assert len(ends) > first + 1
    for end in ends[first + 1 :]:
        assert (end["status"], end["cause"]) == ("lost", "worker"), end
        assert os.strerror(errno.EAGAIN) in end["detail"]


def test_no_process_to_be_had_for_a_step(small):
    done, where = small.struck_by(always("workers", errno.EAGAIN, "posix_spawn"), *RUN)
    assert where
    assert done.code == 1
    check_told(small, done, os.strerror(errno.EAGAIN))
    status = small.status("r1", "10-ok")
    assert (status["status"], status["cause"]) == ("failure", "spawn")


@pytest.mark.parametrize("who", CRASHES)
def test_writes_that_take_one_byte_at_a_time(small, who):
    done, where = small.struck_by(always(who, SHORT, "write", "pwrite"), *RUN)
    assert where
    assert done.code == 1
    assert small.statuses() == ENDS
    check_whole(small, told(done))


@pytest.mark.parametrize("first", [2, 3, 5])
def test_a_journal_that_cannot_be_synced_is_not_synced_again(small, first):
    """The kernel may report a lost page once only: a second fsync would say that all is well."""
    done, where = small.struck_by(always("runner", NO_DISK, "fdatasync", first=first), *RUN)
    assert where
    assert done.code == 1
    check_told(small, done, os.strerror(NO_DISK))
    syncs = (small.root / "calls").read_text().splitlines()
    assert len(syncs) == first
    again = small.zf(*RESUME)
    assert small.statuses() == ENDS
    check_whole(small, told(done, again))
