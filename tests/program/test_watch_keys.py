"""The keys of `zf watch`, on a real terminal; and the shell that one of them opens."""

import os
import re
import shlex
import signal

import pytest

from tests.support.program import ZF, survivors
from tests.support.terminals import Terminal
from tests.support.waiting import eventually

PROMPT = r"\(zf check\) \S+ [#$] "
# What it says while it waits.
PASSED = r"watching 2 tasks, \d+ files - Enter runs all, q quits"
FAILED = r"watching 2 tasks \(1 not passed\) - Enter runs all, f failed, s shell, q quits"


@pytest.fixture
def watch(project):
    """One of two tasks, of which `check` fails as long as `src` is bad."""
    (project.root / "src").write_text("bad\n")
    project.task("other", "true", sources=["none"])
    project.task("check", 'grep "$WORD" src', sources=["src"], env={"WORD": "good"})
    with Terminal(project, "watch", NO_COLOR="1") as terminal:
        yield terminal


def shell_of(watch):
    watch.expect(FAILED)
    watch.type("s")
    watch.expect("zf shell: as the steps of check would find it")
    watch.expect(PROMPT)
    return watch.foreground()


def test_from_a_failure_to_a_shell_and_back_and_what_was_mended_there_passes(project, watch):
    shell_of(watch)
    watch.type('echo "is $WORD" > src; grep "$WORD" src\r')
    watch.expect("\ris good\r")
    watch.expect(PROMPT)
    # Time enough for a cycle to begin, if one did.
    watch.type(f"{shlex.join(ZF)} run check --run-id mine\r")
    watch.expect("PASS mine")
    watch.expect(PROMPT)
    assert "changed src" not in watch.said
    watch.type("exit 3\r")
    watch.expect("changed src")
    watch.expect("PASS .*-w2: 1 task: 1 success")
    watch.expect(PASSED)
    watch.type("s")
    watch.expect("nothing failed; zf shell TASK opens a shell for any task")
    watch.expect(PASSED)
    watch.type("q")
    assert watch.ends() == 0
    assert watch.modes() == watch.modes_before


def test_ctrl_c_in_the_shell_is_for_what_runs_there(project, watch):
    shell = shell_of(watch)
    watch.type("sleep 1000\r")
    eventually(lambda: watch.foreground() != shell)
    watch.type("\x03")
    watch.expect(PROMPT)
    watch.type("exit\r")
    watch.expect(FAILED)
    watch.type("f")
    watch.expect("FAIL ")
    watch.expect(FAILED)
    watch.type("\r")
    watch.expect("2 tasks: 1 success, 1 failure")
    watch.expect(FAILED)
    watch.type("\x03")
    assert watch.ends() == 130


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_the_shell_ends_with_the_watch(project, watch, number, code):
    shell_of(watch)
    os.kill(watch.process.pid, number)
    assert watch.ends() == code
    assert watch.modes() == watch.modes_before
    assert not survivors(f"ZENFLOW_ROOT={project.root}\0")


def test_a_shell_that_cannot_be_opened_says_why(project, watch):
    watch.expect(FAILED)
    (project.root / "tasks/other/task.yaml").write_text("id: [\n")
    watch.expect("nothing is begun until the task files are mended")
    watch.expect("watching")
    watch.type("s")
    said = watch.expect(r"error\[ZF\d+\].*|nothing failed.*")[0]
    watch.expect(r"watching 2 tasks")
    assert re.search("tasks/other/task.yaml", watch.said[watch.said.index(said) :])
    watch.type("q")
    assert watch.ends() == 0
