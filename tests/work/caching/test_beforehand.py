"""An earlier run that is verified by a second process: what it says, and what it never says."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from zf.lean.records import json_encode
from zf.work.caching import lookup
from zf.work.caching.beforehand import Sound, Verifying
from zf.work.caching.lookup import Caching, Lookup

SOUND = Sound(("INTACT",), "1" * 64, {"build": "success"}, {"build": "2" * 64}, "3" * 64)


@pytest.fixture
def earlier(project):
    """A project with run r1, in which a task that says `cache` was run."""
    (project.root / "a.txt").write_text("one\n")
    project.task("build", "true", sources=["a.txt"], cache=True)
    assert project.zf("run", "--run-id", "r1").code == 0
    return project


def _gone(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_it_says_what_verifying_says_and_is_gone_afterwards(earlier):
    begun = Verifying.begin(str(earlier.proof("r1")))
    sound = begun.sound()
    assert {"INTACT", "COMPLETE"} <= {*sound.passed}
    assert "AUTHENTIC" not in sound.passed
    assert sound.own == {"build": "success"}
    assert sound.tasks == {"build": earlier.events("r1")[-3]["task_sha256"]}
    verified = earlier.zf("verify", "r1", "--json").out
    assert sound.head in verified
    assert begun.sound() is sound  # it is asked once
    assert sound.plan_sha256 == earlier.events("r1")[0]["plan_sha256"]
    begun.close()
    assert _gone(begun._pid)


def test_it_is_waited_for_no_longer_than_was_said():
    answer, theirs = os.pipe()
    begun = Verifying("r1", os.getpid(), answer)
    assert begun.sound_within(0.001) is None
    os.write(theirs, json_encode(SOUND))
    os.close(theirs)
    sound = begun.sound_within(60)
    assert sound == SOUND
    assert sound is begun.sound_within(0) is begun.sound()


def test_it_can_be_closed_before_it_was_asked(earlier):
    begun = Verifying.begin(str(earlier.proof("r1")))
    begun.close()
    assert _gone(begun._pid)


def test_it_is_ended_without_being_waited_for(earlier):
    begun = Verifying.begin(str(earlier.proof("r1")))
    os.kill(begun._pid, signal.SIGSTOP)
    begun.end()
    assert begun.sound() is None
    ended = os.waitid(os.P_PID, begun._pid, os.WEXITED | os.WNOWAIT)
    assert ended.si_status == signal.SIGKILL
    begun.close()
    assert _gone(begun._pid)


def test_it_ends_when_the_caller_is_killed_before_it_reads(earlier):
    program = (
        "import os; from zf.work.caching import beforehand\n"
        "beforehand.json_encode = lambda told: b'x' * 1_000_000\n"
        f"beforehand.Verifying.begin({str(earlier.proof('r1'))!r})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    # It has this pipe, too, and so that is at its end only when both are gone.
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == -9


def test_where_no_pipe_can_be_had_it_is_not_begun(earlier, monkeypatch):
    def pipe():
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(os, "pipe", pipe)
    assert Verifying.begin(str(earlier.proof("r1"))) is None


def test_of_a_proof_that_was_changed_nothing_is_said(earlier):
    earlier.proof("r1", "build/20-logs/step-0.log").write_text("another\n")
    begun = Verifying.begin(str(earlier.proof("r1")))
    assert begun.sound() is None
    begun.close()


def test_of_what_cannot_be_verified_nothing_is_said(earlier, tmp_path):
    begun = Verifying.begin(str(tmp_path / "nothing"))
    assert begun.sound() is None
    begun.close()


def test_a_run_that_it_vouches_for_is_not_verified_again(earlier):
    proofs = str(earlier.root / "proofs")
    caching = Caching(look_up=True)
    caching.begin(proofs, "build")
    asked = []
    found = caching.lookup(proofs)._verify("r1", lambda: asked.append("meanwhile"))
    caching.close()
    alone = Lookup(proofs)._verify("r1", lambda: asked.append("alone"))
    assert asked == ["meanwhile"]
    assert (found.why, found.head, found.own, found.lists) == (
        *("", alone.head),
        *(alone.own, alone.lists),
    )


@pytest.mark.parametrize("how", ["changed", "another"])
def test_what_it_does_not_vouch_for_is_verified_by_who_asks(earlier, how):
    proofs = str(earlier.root / "proofs")
    if how == "another":
        assert earlier.zf("run", "--run-id", "r2").code == 0
        verifying = Verifying.begin(str(earlier.proof("r2")))
    earlier.proof("r1", "build/20-logs/step-0.log").write_text("another\n")
    if how == "changed":
        verifying = Verifying.begin(str(earlier.proof("r1")))
    found = Lookup(proofs, None, verifying)._verify("r1", lambda: None)
    verifying.close()
    assert "does not verify now" in found.why


def test_the_run_of_the_newest_result_is_guessed(earlier, monkeypatch):
    proofs = str(earlier.root / "proofs")
    assert lookup._likely(proofs, "build") == "r1"
    assert lookup._likely(proofs, "other") == ""
    assert earlier.zf("run", "--cached", "--run-id", "r2").code == 0
    assert lookup._likely(proofs, "build") == "r1"  # r2 has it from there
    monkeypatch.setattr(lookup, "_SMALL_BYTES", 10)
    assert lookup._likely(proofs, "build") == ""


def test_a_worker_that_looks_a_result_up_has_no_use_for_what_verifies_it():
    program = (
        "import sys, zf.work.caching.attempt, zf.work.caching.beforehand\n"
        "assert not {'jsonschema_rs', 'zf.audit.verify'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
