"""Every verb, and readers of its output that are slow, stopped, or gone; streams closed or full.

What a verb prints is complete, or it does not exit with 0; and a run's clocks go on whatever its
display does. The verbs come from the command line itself: one that is missing below fails a test.
"""

import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import termios
import tty
from contextlib import suppress

import pytest

from tests.support.killed_runs import kill
from tests.support.program import ZF, Project, heard
from tests.support.readers import Pipe, start, wait_until_it_waits
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify
from zf.cli.main import program

PAGE = 4096
# What to type of each verb; `{out}` is a path that is free.
WORDS = {
    "status": ["status"],
    "explain": ["explain", "r1"],
    "logs": ["logs", "r1", "a"],
    "verify": ["verify", "r1"],
    "diff": ["diff", "r1", "r2"],
    "export": ["export", "r1", "-o", "{out}"],
    "init": ["init"],
    "new": ["new", "added", "--run", "true", "--phase", "A"],
    "validate": ["validate", "--json"],
    "list": ["list"],
    "plan": ["plan", "A", "--format", "dot"],
    "schema": ["schema"],
    "replay": ["replay", "r1", "a"],
    "durations": ["durations"],
    "doctor": ["doctor", "--json"],
    "shell": ["shell", "a", "-c", "seq 3000"],
    "import": ["import", "make", "old", "-o", "{out}"],
    "report": ["report", "r1", "-o", "{out}"],
    "usage": ["usage", "claude", "answers.json"],
    # Nothing of a task that has ended is cancelled, so this can be asked again and again.
    "cancel": ["cancel", "live", "e"],
    "seal": ["seal", "killed"],
    "run": ["run", "B", "--run-id", "new"],
    "run-phase": ["run-phase", "B", "--run-id", "new"],
    "run-task": ["run-task", "b", "--run-id", "new"],
    "rerun": ["rerun", "r1", "--only", "a", "--run-id", "new"],
    "resume": ["resume", "killed"],
    "prune": ["prune", "--keep", "20", "--yes"],
    "hold": ["hold", "r1"],
    # One that is not held, so that it says the same each time.
    "release": ["release", "r2"],
    "help": ["help", "keys"],
    "notify": ["notify"],
    "token": ["token", "list"],
    "queue": ["queue"],
    "schedule": ["schedule"],
    "pause": ["pause", "all"],
    "unpause": ["unpause", "all"],
    "drain": ["drain"],
}
RUNS = ["rerun", "resume", "run", "run-phase", "run-task"]
# What is paused is told by the others, too.
CHANGE = {"new", "seal", *RUNS, "pause", "unpause", "drain"}
# It says what it has to say on stderr alone.
WITHOUT_RESULT = {"init", "cancel", "pause", "unpause", "drain"}
# What a shell prints is printed by what is typed there, and none of it by zf.
VERBS = sorted(WORDS.keys() - {"shell"})
# Streams are the business of what all verbs share: some of every kind of verb are tried with all that
# can happen to a stream, the others with a slow reader and a full disk. The campaign tries all.
OFTEN = {
    "status",
    "verify",
    "list",
    "report",
    "import",
    "cancel",
    "run",
    "rerun",
    "resume",
    "queue",
}


FULL = ">/dev/full"


def marks(verb, *, always=False):
    return () if always or verb in OFTEN else pytest.mark.campaign


SOME = [pytest.param(verb, marks=marks(verb)) for verb in VERBS]


# They have no result, and no end of their own.
ENDLESS = {"watch", "ui", "serve", "agent"}
# It says another id each time; and it has something to say of agents alone.
ELSEWHERE = {"enqueue", "workers"}
# They take a run that waits, and a key: test_approvals.py has both.
OF_GATES = {"approve", "reject"}


def test_no_verb_is_forgotten():
    assert {
        command.name or command.callback.__name__ for command in program().registered_commands
    } == {
        *WORDS,
        *ENDLESS,
        *ELSEWHERE,
        *OF_GATES,
    }


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A project with finished runs, a killed one and one that is alive; lists fill a pipe."""
    project = Project(tmp_path_factory.mktemp("readers") / "project")
    title = "x" * PAGE
    project.task("a", "seq 3000; [ ! -e bad ]", title=title)
    project.task("b", "seq 3000; true", title=title, phase="B")
    project.task("d", "[ -e go ] || { echo up > up; sleep 1000; }", phase="D", parallel_safe=True)
    project.task("e", "echo done > up", phase="D", parallel_safe=True)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (project.root / ".gitignore").write_text("proofs\nup\n")
    usage = {"input_tokens": 1, "output_tokens": 2}
    answers = [{"type": "message", "model": f"m{n}", "usage": usage} for n in range(100)]
    (project.root / "answers.json").write_text(json.dumps(answers))
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=project.root, env=project.env, check=True)
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    assert project.zf("run-phase", "A", "--run-id", "r2").code == 0
    os.mkfifo(project.root / "up")
    (project.root / "old").mkdir()
    (project.root / "old/Makefile").write_text("a:\n\ttrue\n")

    def begin(run):
        up = os.open(project.root / "up", os.O_RDWR)
        words = ("--run-id", run, "--progress", "json")
        process = project.popen("run-phase", "D", *words, start_new_session=True)
        said = b""
        while said.count(b"\n") < 2:
            said += os.read(up, 100)
        heard(process, "attempt_ended")
        os.close(up)
        return process

    kill(begin("killed"), workers=True, rng=random.Random(0))
    live = begin("live")
    yield project
    os.killpg(live.pid, signal.SIGKILL)
    live.communicate()


@pytest.fixture
def case(ready, tmp_path):
    """The project for one verb: a copy where it changes something."""

    def made(verb):
        project = ready
        if verb in CHANGE:
            project = Project(tmp_path / "project")
            project.env = ready.env
            shutil.copytree(
                ready.root,
                project.root,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("up", ".locks", "live"),
            )
            (project.root / "go").touch()
        return project, [word.format(out=tmp_path / "out.tar.gz") for word in WORDS[verb]]

    return made


def plain(text):
    """Without what differs from one time to the next."""
    text = re.sub(rb"/\S*/(project|out)|[\d.]+ [GM]iB free", b"*", text)
    return re.sub(rb"[0-9a-f]{12,}|\d+(\.\d+)?(ms|s|m\d+s)\b|\d{4}-\d\d-\d\d.*", b"*", text)


@pytest.fixture(scope="module")
def reference(ready, tmp_path_factory):
    """What a verb prints to a file, and its exit code."""
    known = {}

    def of(verb, case):
        if verb not in known:
            project, words = case(verb)
            path = tmp_path_factory.mktemp(verb) / "out"
            with path.open("wb") as out:
                process = start(project, words, out, subprocess.DEVNULL)
                process.wait()
            assert process.returncode == 0, verb
            known[verb] = path.read_bytes()
            for made in (words[-1], project.root / "proofs" / "new"):
                if verb == "export" and os.path.exists(made):
                    os.unlink(made)
            if verb == "import":
                shutil.rmtree(words[-1])
            if verb in CHANGE:
                shutil.rmtree(project.root)
        return known[verb]

    return of


@pytest.fixture
def pipes():
    made = []

    def make(**keys):
        made.append(Pipe(**keys))
        return made[-1]

    yield make
    for pipe in made:
        pipe.close()


@pytest.fixture
def started():
    """Processes that are gone when the test is."""
    made = []
    yield made
    for process in made:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("non_blocking", [False, True])
@pytest.mark.parametrize("verb", VERBS)
def test_a_slow_reader_gets_it_all(case, reference, pipes, started, verb, non_blocking):
    expected = reference(verb, case)
    project, words = case(verb)
    pipe = pipes(full=True, non_blocking=non_blocking)
    process = start(project, words, pipe.write_fd, subprocess.DEVNULL)
    started.append(process)
    said = pipe.read_slowly(process)
    assert process.returncode == 0
    assert plain(said) == plain(expected)


@pytest.mark.parametrize("verb", SOME)
def test_a_slow_reader_of_both_streams_holds_up_nothing(case, pipes, started, verb):
    project, words = case(verb)
    pipe = pipes(full=True)
    process = start(project, words, pipe.write_fd, pipe.write_fd)
    started.append(process)
    pipe.read_slowly(process)
    assert process.returncode == 0


@pytest.mark.parametrize("verb", SOME)
def test_a_reader_that_stops_and_is_killed(case, pipes, started, verb):
    project, words = case(verb)
    pipe = pipes(full=True)
    process = start(project, words, pipe.write_fd, pipe.write_fd)
    started.append(process)
    wait_until_it_waits(process)
    assert process.poll() is None
    pipe.leave()
    assert process.wait() == 141


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", SOME)
def test_ctrl_c_and_term_while_the_reader_has_stopped(case, pipes, started, verb, number):
    project, words = case(verb)
    pipe = pipes(full=True)
    process = start(project, words, pipe.write_fd, pipe.write_fd)
    started.append(process)
    wait_until_it_waits(process)
    assert process.poll() is None
    process.send_signal(number)
    assert process.wait() in {130, 143, -number}


@pytest.mark.parametrize("verb", SOME)
def test_a_terminal_stopped_with_ctrl_s_gets_it_all_later(case, reference, started, verb):
    expected = reference(verb, case)
    project, words = case(verb)
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    termios.tcflow(theirs, termios.TCOOFF)
    process = start(project, words, theirs, subprocess.DEVNULL)
    started.append(process)
    wait_until_it_waits(process)
    termios.tcflow(theirs, termios.TCOON)
    os.close(theirs)
    said = b""
    # The last to close it takes the terminal away.
    with suppress(OSError):
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    process.wait()
    assert process.returncode == 0
    coloured = re.sub(rb"\x1b\[[0-9;]*m", b"", said)
    assert plain(coloured) == plain(expected)


@pytest.mark.parametrize(
    ("verb", "streams", "code"),
    [
        pytest.param(verb, streams, code, marks=marks(verb, always=streams == FULL))
        for verb in sorted(set(VERBS) - WITHOUT_RESULT)
        for streams, code in ((">&-", 2), (FULL, 2), (">&3", 141), (">&3 2>&3", 141))
    ],
)
def test_a_result_that_nobody_can_have_read_is_not_0(case, verb, streams, code):
    project, words = case(verb)
    if verb in RUNS and code == 2:
        code = 1
    # The reader has left before zf begins.
    script = f'exec 3> >(exit 0); wait $!; "$@" {streams}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *ZF, *words],
        cwd=project.root,
        env=project.env,
        capture_output=True,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)
    if code != 141:
        assert b"stdout" in done.stderr
    if verb in RUNS:
        run = "killed" if verb == "resume" else "new"
        assert project.events(run)[-1]["exit_code"] == 0
        assert verify(str(project.proof(run))).exit_code == VERIFIED


@pytest.mark.parametrize("verb", SOME)
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-"])
def test_messages_that_nobody_can_have_read(case, verb, streams):
    """A closed stderr asks for silence. A full one loses what `cancel` has to say; a run's progress
    is no result.
    """
    project, words = case(verb)
    done = subprocess.run(
        ["bash", "-c", f'"$@" {streams}', "bash", *ZF, *words],
        cwd=project.root,
        env=project.env,
        capture_output=True,
    )
    lost = verb in WITHOUT_RESULT and "full" in streams
    assert (done.returncode, bool(done.stdout)) == (
        2 if lost else 0,
        verb not in WITHOUT_RESULT,
    )
