"""`zf run TASK --tty`: a real terminal, a debugger in a step, and every way for it to end."""

import json
import os
import signal

import pytest

from tests.support import proof_keys
from tests.support.killed_runs import children
from tests.support.program import survivors
from tests.support.terminals import Terminal
from tests.support.waiting import eventually

SHOWN = "has the terminal until it ends"
PDB = 'python3 -c "import pdb; x = 41; pdb.set_trace(); print(x + 1)"'


def run(project, *more, task="a", **env):
    return Terminal(project, "run", task, "--tty", "--run-id", "r1", *more, **env)


def at_a_prompt(project, *more, script="echo ready; read -r line; echo got $line"):
    """A run whose task waits for a line."""
    project.task("a", script)
    terminal = run(project, *more)
    terminal.expect("^ready")
    return terminal


def log(project, task="a", step=0):
    return (project.proof("r1") / task / f"20-logs/step-{step}.log").read_text()


def of_the_task(project, command):
    return [line for line in survivors(f"ZENFLOW_ROOT={project.root}\0") if command in line]


def test_a_debugger_in_a_step(project):
    """What is needed runs before, without a terminal; limits of time do not hold for a person."""
    project.task("n", "test ! -t 0 && test ! -t 1")
    project.task(
        "a",
        PDB,
        "stty size; echo $TOKEN",
        needs=["n"],
        secrets=["TOKEN"],
        pass_env=["TOKEN"],
        timeout_sec=60,
        silence_timeout_sec=30,
        max_retries=2,
    )
    with run(project, TOKEN="hunter2hunter") as terminal:
        terminal.expect("a " + SHOWN)
        terminal.expect(r"\(Pdb\) ")
        terminal.type("p x + 1000\r")
        terminal.expect("^1041")
        terminal.expect(r"\(Pdb\) ")
        assert terminal.modes() != terminal.modes_before
        terminal.type("c\r")
        assert terminal.ends() == 0
        assert terminal.modes() == terminal.modes_before
        assert ("24 80" in terminal.said, "hunter2hunter" in terminal.said) == (True, True)
    assert "p x + 1000" in log(project)
    assert "42" in log(project)
    assert "***" in log(project, step=1)
    assert "hunter2" not in log(project, step=1)
    check_told(project)
    assert project.status("r1", "n").get("interactive") is None


def check_told(project):
    """The proof says that a person could type, at once and in each of its parts."""
    assert project.status("r1", "a")["interactive"] is True
    assert project.json("r1", "run.json")["interactive"] == "a"
    told = project.zf("verify", "r1")
    assert (told.code, "a person could type in a" in told.out) == (0, True), told.out + told.err
    (project.root / "policy.yaml").write_text("interactive: refused\n")
    refused = project.zf("verify", "r1", "--policy", "policy.yaml")
    assert (refused.code, "a person could type" in refused.out) == (4, True), refused.out
    [row] = [t for t in project.json("r1", "plan.json")["tasks"] if t["id"] == "a"]
    assert row.get("max_retries", 0) == 0


def test_a_run_without_a_terminal_is_not_told_of(project):
    project.task("a", "true")
    assert project.zf("run", "--run-id", "r1").code == 0
    (project.root / "policy.yaml").write_text("interactive: refused\n")
    assert project.zf("verify", "r1", "--policy", "policy.yaml").code == 0
    assert "interactive" not in project.status("r1", "a")


def test_what_is_signed_says_so(project, tmp_path):
    key = proof_keys.make_keys(tmp_path) / "alice"
    with at_a_prompt(project, "--sign", "--key", str(key)) as terminal:
        terminal.type("x\r")
        assert terminal.ends() == 0, terminal.said
    said = json.loads((project.proof("r1") / "attest/statement.json").read_text())
    assert said["predicate"]["run"]["interactive"] == "a"


def test_ctrl_c_goes_to_the_task(project):
    # What comes between two reads of bash is heard after the second, so none of them is for ever.
    reading = "until read -r -t 1 line; do :; done"
    script = f"trap 'echo caught' INT; echo ready; {reading}; echo got $line"
    with at_a_prompt(project, script=script) as terminal:
        terminal.type("\x03")
        terminal.expect("caught\r")
        terminal.type("go\r")
        assert terminal.ends() == 0, terminal.said
    assert "got go" in log(project)


def test_ctrl_c_ends_a_task_that_does_not_catch_it(project):
    with at_a_prompt(project, script="echo ready; sleep 1000") as terminal:
        terminal.type("\x03")
        assert terminal.ends() == 1, terminal.said
        assert terminal.modes() == terminal.modes_before
    assert project.status("r1", "a")["signal"] == signal.SIGINT
    assert project.status("r1", "a")["status"] == "failure"


def test_the_end_of_input(project):
    with at_a_prompt(project, script="echo ready; cat; echo over") as terminal:
        terminal.type("line\r\x04")
        assert terminal.ends() == 0
    assert log(project).splitlines()[-1] == "over"


RESIZED = """python3 -c '
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
print("ready", flush=True)
signal.sigwait({signal.SIGWINCH})
print("now", *os.get_terminal_size(), flush=True)'"""


def test_the_size_of_the_window(project):
    with at_a_prompt(project, script=RESIZED) as terminal:
        terminal.resize(50, 132)
        terminal.expect("^now 132 50")
        assert terminal.ends() == 0


def test_a_worker_that_is_killed(project):
    with at_a_prompt(project) as terminal:
        [worker] = children(terminal.process.pid)
        os.kill(worker, signal.SIGKILL)
        assert terminal.ends() == 1
        assert terminal.modes() == terminal.modes_before
    assert project.status("r1", "a")["status"] == "lost"
    assert project.status("r1", "a")["interactive"] is True
    assert not of_the_task(project, "bash")


def test_a_runner_that_is_killed(project):
    with at_a_prompt(project) as terminal:
        os.kill(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()
        eventually(lambda: not of_the_task(project, "bash"))
        eventually(lambda: terminal.modes() == terminal.modes_before)
    done = project.zf("resume", "r1")
    assert (done.code, "error[ZF156]" in done.err, "zf seal r1" in done.err) == (2, True, True)
    assert project.zf("seal", "r1").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_end(project, number, code):
    with at_a_prompt(project) as terminal:
        os.kill(terminal.process.pid, number)
        assert terminal.ends() == code
        assert terminal.modes() == terminal.modes_before
    assert project.status("r1", "a")["status"] == "cancelled"


def test_a_terminal_that_is_closed(project):
    with at_a_prompt(project) as terminal:
        terminal.hang_up()
        assert terminal.process.wait(60) in {141, 143}
    assert project.status("r1", "a")["status"] == "cancelled"
    assert not of_the_task(project, "bash")


def test_the_background_and_back(project):
    """As any program that wants the terminal, it is stopped until it is in the foreground."""
    project.task("a", "echo ready; read -r line; echo got $line")
    argv = ("bash", "--noprofile", "--norc", "-i")
    with Terminal(project, argv=argv, PS1="$ ") as terminal:
        terminal.expect(r"\$ ")
        terminal.type("$ZF run a --tty --run-id r1 &\r")
        eventually(lambda: any(terminal.is_stopped(pid) for pid in terminal.jobs()))
        terminal.type("fg\r")
        terminal.expect("^ready")
        for pid in terminal.jobs():
            os.kill(pid, signal.SIGSTOP)
        terminal.expect(r"Stopped")
        terminal.type("fg\r")
        eventually(lambda: terminal.is_of(terminal.jobs()) and terminal.is_raw())
        terminal.type("x\r")
        terminal.expect("^got x")
        terminal.expect(r"proof: ")
        terminal.expect(r"\$ ")
        terminal.type("exit\r")
        assert terminal.ends() == 0


REFUSED = [
    (("run", "a", "--tty"), {}, "needs a terminal"),
    (("run-task", "a", "--tty"), {}, "needs a terminal"),
    (("run", "a", "--tty"), {"CI": "true"}, "CI system"),
    (("run", "a", "--tty", "--ci", "github"), {}, "CI system"),
    (("run", "--tty"), {}, "do not name one task"),
    (("run", "a", "b", "--tty"), {}, "do not name one task"),
    (("run", "A", "--tty"), {}, "do not name one task"),
    (("run", "m", "--tty"), {}, "do not name one task"),
]


@pytest.mark.parametrize(("words", "env", "why"), REFUSED)
def test_what_is_refused(project, words, env, why):
    project.task("a", "true")
    project.task("b", "true")
    project.task("m", "true", matrix={"x": [1, 2]})
    done = project.zf(*words, env=env)
    assert (done.code, "error[ZF155]" in done.err, why in done.err) == (2, True, True), done.err
    assert not project.root.joinpath("proofs").exists()


def test_a_task_that_leaves_something_running_is_refused(project):
    project.task("a", "true", leave_running=True)
    with run(project) as terminal:
        assert terminal.ends() == 2
        assert "leaves processes running" in terminal.said


def test_its_result_never_counts_for_another_run_nor_another_for_it(project):
    (project.root / "source").write_text("x")
    project.task("a", "echo ready; [ ! -t 0 ] || read -r line", cache=True, sources=["source"])
    with run(project, "--cached") as terminal:
        terminal.expect("^ready")
        terminal.type("x\r")
        assert terminal.ends() == 0
    assert project.zf("run", "a", "--cached", "--run-id", "r2").code == 0
    assert not project.status("r2", "a").get("cached_from")
    assert project.zf("run", "a", "--cached", "--run-id", "r3").code == 0
    assert project.status("r3", "a")["cached_from"]["run"] == "r2"
    with Terminal(project, "run", "a", "--tty", "--cached", "--run-id", "r4") as terminal:
        terminal.expect("^ready")
        terminal.type("x\r")
        assert terminal.ends() == 0
    assert not project.status("r4", "a").get("cached_from")


@pytest.mark.parametrize("bite_bytes", [65536, 200])
def test_much_output_is_whole_on_the_screen_and_in_the_log(project, bite_bytes):
    """Also where the terminal takes it slowly, and the step ends long before."""
    with at_a_prompt(project, script="echo ready; seq 20000") as terminal:
        terminal.bite_bytes = bite_bytes
        assert terminal.ends() == 0
        assert "\r\n20000\r\n" in terminal.said
    assert log(project).split() == ["ready", *map(str, range(1, 20001))]
