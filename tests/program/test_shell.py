"""`zf shell`: what a step would find, and a person at a real terminal."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from tests.support.program import ZF, survivors
from tests.support.terminals import Terminal
from tests.support.waiting import eventually
from zf.work.walls.sandbox import why_not

PROMPT = r"\(zf b\) \S+ [#$] "


def ask(project, *words, code=0, **keys):
    done = project.zf("shell", *words, **keys)
    assert done.code == code, done.out + done.err
    return done


@pytest.fixture
def two(project):
    """`a` leaves a file and an output, which `b` takes."""
    project.task("a", 'echo word > $ARTIFACTS_DIR/file; echo v=1 > "$ZF_OUTPUT"', outputs=["v"])
    taken = {"V": {"from": "a.v"}, "PLAIN": "x ${HOME}"}
    project.task("b", "cat $NEEDS_DIR/a/file; false", needs=["a"], env=taken, pass_env=["EXTRA_*"])
    return project


def test_the_variables_are_those_of_a_step(two):
    """All but those that name the run and its folders."""
    two.task("c", "env > $ARTIFACTS_DIR/env", pass_env=["EXTRA_*"], env={"A": "b"}, tags=["x"])
    env = {"EXTRA_ONE": "1", "NOT_PASSED": "2", "HOME": "/home/x"}
    assert two.zf("run-task", "c", "--run-id", "r1", env=env).code == 0

    def of(text):
        found = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
        return {n: v for n, v in found.items() if n not in own}

    own = {"RUN_ID", "ARTIFACTS_DIR", "PROOF_DIR", "COMPOSE_PROJECT_NAME", "ZF_COOKIE", "_"}
    own |= {"ZF_METRICS", "ZF_OUTPUT", "TRACEPARENT", "PWD", "SHLVL", "OLDPWD"}
    there = (two.proof("r1") / "c" / "30-artifacts" / "env").read_text()
    assert of(ask(two, "c", "-c", "env", env=env).out) == of(there)
    assert "EXTRA_ONE=1" in there


def test_what_needs_left_is_that_of_the_newest_run_that_did_them(two):
    done = ask(two, "b", "-c", "ls $NEEDS_DIR")
    assert (done.out, "a: no success in a run that is sealed" in done.err) == ("", True)
    assert two.zf("run", "b", "--run-id", "r1").code == 1
    done = ask(two, "b", "-c", "cat $NEEDS_DIR/a/file; echo $V; echo $PLAIN", env={"HOME": "/h"})
    assert (done.out, done.err) == ("word\n1\nx /h\n", "")
    (two.proof("r1") / "a" / "30-artifacts" / "file").write_text("forged\n")
    done = ask(two, "b", "-c", "ls $NEEDS_DIR")
    assert (done.out, "no success" in done.err) == ("", True)


def test_nothing_is_recorded_and_nothing_is_left(two, tmp_path):
    env = {"TMPDIR": str(tmp_path)}
    place = ask(two, "a", "-c", "echo $ARTIFACTS_DIR; ls -A $ARTIFACTS_DIR", env=env).out.strip()
    assert place.startswith(str(tmp_path))
    assert not list(tmp_path.iterdir()) or not [*tmp_path.glob("zf-shell-*")]
    assert not (two.root / "proofs").exists()
    done = ask(two, "a", "-c", "echo kept > $ARTIFACTS_DIR/x; echo $ARTIFACTS_DIR", env=env)
    assert done.err == f"kept: {done.out}"
    assert [p.name for p in tmp_path.glob("zf-shell-*/**/*")] == ["artifacts", "x"]


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("false | true", 1), ("kill -9 $$", 137), ("true", 0)]
)
def test_the_exit_code_is_that_of_the_command(two, command, code):
    ask(two, "a", "-c", command, code=code)


def test_commands_on_standard_input(two):
    done = subprocess.run(
        [*ZF, "shell", "a"],
        input="echo in $TASK_ID\nexit 3\n",
        cwd=two.root,
        env=two.env,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "in a\n")


def test_an_instance_of_a_matrix_and_an_input(project):
    project.task("m", "true", matrix={"py": ["3.11", "3.12"]})
    (project.root / "zf.yaml").write_text("inputs: {target: {type: string, required: true}}\n")
    words = ("-c", "echo $MATRIX_PY $INPUT_TARGET", "-i", "target=prod")
    assert ask(project, "m@py=3.12", *words).out == "3.12 prod\n"
    done = ask(project, "m", *words, code=2)
    assert ("error[ZF154]" in done.err, "m@py=3.11" in done.err) == (True, True)
    assert "target" in ask(project, "m@py=3.12", "-c", "true", code=2).err


def test_a_recorded_run_gives_its_variables(two):
    assert two.zf("run", "b", "--run-id", "r1", env={"EXTRA_A": "then", "TZ": "UTC"}).code == 1
    now = {"EXTRA_A": "now", "TZ": "Asia/Tokyo"}
    done = ask(
        two, "b", "--run", "r1", "-c", "echo $TZ $V $EXTRA_A; cat $NEEDS_DIR/a/file", env=now
    )
    assert done.out == "UTC 1 now\nword\n"
    assert "EXTRA_A: its value was not recorded; as it is now" in done.err
    assert ask(two, "a", "--run", "nowhere", code=2)


def test_what_a_run_is_refused_for_is_refused(two):
    two.task("c", "true", required_env=["LACKING"])
    assert "LACKING" in ask(two, "c", "-c", "true", code=2).err
    two.task("d", "true", workdir="not/there")
    done = ask(two, "d", "-c", "true", code=2)
    assert ("error[ZF154]: workdir 'not/there'" in done.err, "hint: " in done.err) == (True, True)
    assert "unknown task 'e'" in ask(two, "e", "-c", "true", code=2).err


def test_a_task_with_a_sandbox_has_its_shell_in_it(two):
    if why := why_not(shutil.which("bwrap")):
        pytest.skip(why)
    assert two.zf("run-task", "a", "--run-id", "r1").code == 0
    two.task("c", "true", needs=["a"], sandbox={"write": ["out"]})
    script = """
ls proofs; cat $NEEDS_DIR/a/file; touch $ARTIFACTS_DIR/x out/made
! touch made 2> /dev/null; test $$ -lt 10
"""
    done = ask(two, "c", "-c", script)
    assert done.out == "word\n"
    assert (two.root / "out/made").exists()
    with Terminal(two, "shell", "c", NO_COLOR="1") as terminal:
        terminal.expect(r"\(zf c\) \S+ [#$] ")
        terminal.type("sleep 1000\r")
        eventually(lambda: begun(two, "sleep 1000"))
        terminal.type("\x03")
        terminal.expect(r"\(zf c\) \S+ [#$] ")
        terminal.type("touch proofs/x\r")
        terminal.expect("Read-only file system")
        terminal.type("exit 3\r")
        assert terminal.ends() == 3


def test_where_there_can_be_no_sandbox_the_shell_says_so(two, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("bash", "git"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    env = {"PATH": str(tmp_path / "bin")}
    two.task("c", "true", sandbox={"if_available": True})
    assert "this shell has no sandbox: it takes" in ask(two, "c", "-c", "true", env=env).err
    two.task("d", "true", sandbox=True)
    assert "error[ZF127]: d must run in" in ask(two, "d", "-c", "true", code=2, env=env).err


def test_another_program(two):
    assert ask(two, "a", "--shell", "sh", "-c", "echo $0 $TASK_ID").out == "sh a\n"
    done = ask(two, "a", "--shell", "nothing", code=2)
    assert ("is not on the PATH" in done.err, "--shell" in done.err) == (True, True)


def test_a_person_at_a_terminal(two):
    assert two.zf("run", "b", "--run-id", "r1").code == 1
    with Terminal(two, "shell", "b", NO_COLOR="1") as terminal:
        terminal.expect("zf shell: as the steps of b would find it; nothing is recorded")
        terminal.expect(r"\$NEEDS_DIR has a of run r1")
        terminal.expect(r"# step 0 step 1\r\ncat \$NEEDS_DIR/a/file; false")
        terminal.expect(PROMPT)
        terminal.type("cat $NEEDS_DIR/a/file; false\r")
        terminal.expect("\rword\r")
        terminal.expect(PROMPT)
        terminal.type("sleep 1000\r")
        eventually(lambda: begun(two, "sleep 1000"))
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("sleep 1000\r")
        eventually(lambda: begun(two, "sleep 1000"))
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect(PROMPT)
        shell = terminal.foreground()
        terminal.type("fg\r")
        terminal.expect("\rsleep 1000\r")
        eventually(lambda: terminal.foreground() != shell)  # it says so before it is
        terminal.type("\x03")
        terminal.expect(PROMPT)
        terminal.type("exit 5\r")
        assert terminal.ends() == 5
        assert terminal.modes() == terminal.modes_before


def begun(project, command):
    """What runs of this in the environment of a step."""
    return [line for line in survivors(f"ZENFLOW_ROOT={project.root}\0") if command in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_shell_ends_with_zf(two, number):
    with Terminal(two, "shell", "a", NO_COLOR="1") as terminal:
        terminal.expect(re.escape("(zf a)"))
        os.kill(terminal.process.pid, number)
        assert terminal.ends() == 129
    assert not begun(two, "bash")
