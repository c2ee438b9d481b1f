"""The keys of `zf watch`, on a real terminal; and the shell that one of them opens."""

import os
import shlex
import signal
from pathlib import Path

import pytest

from tests.support.killed_runs import children
from tests.support.program import ZF, Project, survivors
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
    # COLUMNS is set for those who run tests, and would be believed.
    with Terminal(project, "watch", NO_COLOR="1", COLUMNS="") as terminal:
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
    watch.expect("a shell can be opened here once the task files are mended")
    watch.expect(r"watching 2 tasks \(1 not passed\) - Enter runs all, f failed, q quits")
    watch.type("q")
    assert watch.ends() == 0


def test_what_is_shown_fits_into_a_terminal_that_has_become_narrow_and_keeps_the_keys(watch):
    watch.expect(FAILED)
    watch.resize(24, 50)
    watch.type("f")
    watch.expect("FAIL ")
    found = watch.expect("\r\n(.*q quits)$")[1]
    assert found == "Enter runs all, f failed, s shell, q quits"
    assert max(map(len, watch.said[watch.said.rindex("FAIL ") :].splitlines())) <= 50
    watch.type("q")
    assert watch.ends() == 0


def test_a_failure_is_shown_once_where_stdout_is_elsewhere(project):
    project.task("check", "false")
    argv = ("sh", "-c", f"exec {shlex.join([*ZF, 'watch'])} > /dev/null")
    with Terminal(project, argv=argv, NO_COLOR="1") as terminal:
        terminal.expect("q quits")
        assert terminal.said.count("check failed after") == 1
        terminal.type("q")
        assert terminal.ends() == 0


def test_a_shell_that_is_killed_leaves_the_keys_to_the_watch(watch):
    shell_of(watch)
    watch.type("kill -KILL $$\r")
    watch.expect(FAILED)
    watch.type("f")
    watch.expect("FAIL .*-w2")
    watch.expect(FAILED)
    watch.type("\x03")
    assert watch.ends() == 130
    assert watch.modes() == watch.modes_before


def test_term_again_ends_a_shell_that_takes_no_notice_of_hup(project, watch):
    shell_of(watch)
    watch.type("trap '' HUP\r")
    watch.expect(PROMPT)

    def ended() -> bool:
        os.kill(watch.process.pid, signal.SIGTERM)
        return watch.process.poll() is not None

    eventually(ended)
    assert watch.ends() == 143
    assert watch.modes() == watch.modes_before
    assert not survivors(f"ZENFLOW_ROOT={project.root}\0")


def test_once_it_is_to_end_no_shell_is_opened(watch):
    watch.expect(FAILED)
    watch.type("qs")
    assert watch.ends() == 0
    assert "zf shell" not in watch.said


def test_what_is_typed_after_s_is_not_for_the_watch(project, watch):
    watch.expect(FAILED)
    watch.type("s\r")
    watch.expect(PROMPT)
    watch.type("\x04")
    watch.expect(FAILED)
    watch.type("q")
    assert watch.ends() == 0
    assert len([name for name in os.listdir(project.root / "proofs") if "-w" in name]) == 1


def test_without_a_terminal_to_show_it_there_is_no_shell(project):
    project.task("check", "false")
    line = shlex.join([*ZF, "watch"])
    argv = ("sh", "-c", f"exec {line} 2> {shlex.quote(str(project.root.parent))}/said")
    with Terminal(project, argv=argv) as terminal:
        said = project.root.parent / "said"
        eventually(lambda: said.exists() and "q quits" in said.read_text())
        terminal.type("sq")
        assert terminal.ends() == 0
        assert "shell" not in said.read_text()


def test_an_instance_that_another_task_lists_has_a_shell(project):
    project.task("plan", 'echo \'list=["a","b"]\' > $ZF_OUTPUT', outputs=["list"])
    project.task("test", "false", needs=["plan"], matrix={"from": "plan.list"})
    with Terminal(project, "watch", NO_COLOR="1") as terminal:
        terminal.expect("s shell")
        terminal.type("s")
        terminal.expect(r"zf shell: as the steps of (test@\S+) would find it")
        terminal.expect(r"\(zf test@\S+\) \S+ [#$] ")
        terminal.type("\x04")
        terminal.expect("q quits")
        terminal.type("q")
        assert terminal.ends() == 0


def test_the_shell_has_the_inputs_of_the_watch_and_tells_commands_as_it_does(project):
    (project.root / "zf.yaml").write_text("inputs: {word: {type: string, default: none}}\n")
    project.task("check", "false")
    elsewhere = Project(project.root.parent / "elsewhere")
    words = ("-C", f"../{project.root.name}", "watch", "-i", "word=good")
    with Terminal(elsewhere, *words, NO_COLOR="1") as terminal:
        terminal.expect("s shell")
        terminal.type("s")
        terminal.expect(PROMPT)
        terminal.type("echo $INPUT_WORD\r")
        terminal.expect("\rgood\r")
        terminal.expect(PROMPT)
        # So what it advises works where the user is.
        called = [
            Path(f"/proc/{pid}/cmdline").read_text() for pid in children(terminal.process.pid)
        ]
        assert any(f"\0-C\0../{project.root.name}\0shell\0" in line for line in called)
        terminal.type("\x04")
        terminal.expect("q quits")
        terminal.type("q")
        assert terminal.ends() == 0
