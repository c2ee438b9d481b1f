"""Tab completion in real shells: it offers names, and no text of a stranger's file is run."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.program import Project

BIN = Path(sys.executable).parent
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
LIMIT_S = 60

# Each runs `touch` in some shell when it is taken as code: in the words of `eval`, in zsh's
# `_arguments` specifications and descriptions, in an unquoted substitution, on the line itself.
HOSTILE = (
    "$(touch pwned)",
    "\\$(touch pwned)",
    "`touch pwned`",
    "'$(touch pwned)'",
    "'; touch pwned; '",
    "')'; touch pwned; : '(",
    '"; touch pwned; "',
    '\\"$(touch pwned)',
    "))'\ntouch pwned\n: '((",
    "${(e)$(touch pwned)}",
    "x]:$(touch pwned):",
    "{touch pwned}",
    "* ~ ? [a-z]",
    "[red]bold[/red]",
)
# Neither a beginning nor an end in common: a shell would type that instead of listing them.
TASKS = tuple(f"{number:02}{chr(97 + number)}" for number in range(len(HOSTILE)))


def _asked(project, env):
    """What zf answers a shell that asks for completions."""
    return subprocess.run(
        [BIN / "zf"],
        cwd=project.root,
        env={**project.env, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def _script(shell: str) -> str:
    done = subprocess.run(
        [BIN / "zf", "--show-completion", shell],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell: str, folder: Path, env: dict[str, str]) -> None:
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.chdir(folder)
            os.execvpe(shell, SHELLS[shell], env)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait_for(self, *texts: str) -> None:
        """Read until all of these are on the screen, from where the last wait ended."""
        until = time.monotonic() + LIMIT_S
        new = ""
        while not all(text in new for text in texts):
            ready, _, _ = select.select([self._fd], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"no {texts} in {new!r}"
            new += os.read(self._fd, 65536).decode(errors="replace")
        self.seen += new

    def close(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.close(self._fd)
        os.waitpid(self._pid, 0)


@pytest.fixture(params=[s for s in SHELLS if s != "fish"])
def terminal(request, project: Project, tmp_path):
    """A shell with zf's completion, in the project."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here (apt-get install {shell})")
    script = tmp_path / f"completion.{shell}"
    script.write_text(_script(shell))
    env = {
        **project.env,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }
    opened = Terminal(shell, project.root, env)
    start = {
        # Long lists without a question, and the bell silent.
        "bash": f"PS1='[$?] '; bind 'set completion-query-items 0'; bind 'set page-completions off'; . {script}; echo rea''dy\n",
        "zsh": f"autoload -Uz compinit; compinit -u -D; LISTMAX=0; PROMPT='> '; . {script}; echo rea''dy\n",
    }[shell]
    opened.type(start)
    opened.wait_for("ready\r\n")
    yield opened
    opened.close()


def hostile_project(project: Project) -> None:
    """Task titles and names in `proofs/` that a shell could take for code."""
    for task, text in zip(TASKS, HOSTILE, strict=True):
        project.task(task, "true", title=text.replace("\n", "\r"))
    assert project.zf("run-task", TASKS[0], "--run-id", "good-run").code == 0
    for text in HOSTILE:
        if "/" not in text:
            shutil.copytree(project.proof("good-run"), project.proof(text))


def offered(terminal: Terminal, line: str, *names: str) -> None:
    """Type the line and Tab twice: the names are shown; then leave it."""
    terminal.type(f"{line}\t\t")
    terminal.wait_for(*names)
    # What has been offered is done with when the shell answers again.
    terminal.type("\x15echo do''ne\n")
    terminal.wait_for("done\r\n")


def test_completing_runs_nothing_that_stands_in_a_file(project, terminal):
    hostile_project(project)
    for task in TASKS:  # one title at a time: of many, one can keep a shell from reading the others
        offered(terminal, f"zf run-task {task[:2]}", task)
        assert not (project.root / "pwned").exists(), task
    offered(terminal, "zf explain good-run ", TASKS[0], TASKS[-1])
    offered(terminal, "zf explain g", "ood-run")
    offered(terminal, "zf explain ", "good-run")
    offered(terminal, "zf run-phase ")
    assert not (project.root / "pwned").exists()
    # Nor is any of it on the line, to be run by the next Enter.
    assert "touch" not in terminal.seen
    assert "bold" not in terminal.seen


def test_fish_offers_ids_alone(project, tmp_path):
    if shutil.which("fish") is None:
        pytest.skip("no fish here (apt-get install fish)")
    hostile_project(project)
    script = tmp_path / "zf.fish"
    script.write_text(_script("fish"))
    env = {**project.env, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    for line, wanted in (
        ("zf run-task ", list(TASKS)),
        ("zf explain ", ["good-run"]),
        ("zf run-phase ", ["A"]),
        ("zf rerun good-run --only 0", list(TASKS[:10])),
    ):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
            cwd=project.root,
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT_S,
        )
        assert done.stdout.splitlines() == wanted, done.stderr
    assert not (project.root / "pwned").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_offered_is_an_id_whatever_the_shell(project, shell):
    """What zf itself answers, so that machines without the shell look too."""
    hostile_project(project)
    for words in ("run-task ", "explain ", "run-phase ", "explain good-run ", "verify "):
        line = f"zf {words}"
        env = {
            "_ZF_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split())),
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        done = _asked(project, env)
        assert done.stderr == ""
        assert "touch" not in done.stdout
        assert any(name in done.stdout for name in ("good-run", TASKS[0], "A"))


def test_a_project_that_cannot_be_read_offers_nothing_and_says_nothing(project):
    (project.root / "tasks" / "a").mkdir()
    (project.root / "tasks" / "a" / "task.yaml").write_text("$(touch pwned): [")
    env = {"_ZF_COMPLETE": "complete_bash", "COMP_WORDS": "zf run-task ", "COMP_CWORD": "2"}
    done = _asked(project, env)
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("te", ["test", "test@py=3.11", "test@py=3.12"]),
        ("test @", ["py=3.11", "py=3.12"]),
        ("test @ p", ["py=3.11", "py=3.12"]),
        ("test @ py =", ["3.11", "3.12"]),
        ("test @ py = 3.11", ["3.11"]),
        ("test @ os = x", []),
    ],
)
def test_instances_of_a_matrix_are_offered_though_bash_splits_their_names(project, typed, offered):
    project.file("test", "id: test\nphase: A\nmatrix: {py: [3.11, 3.12]}\ncommands: [{run: x}]\n")
    line = f"zf run-task {typed}"
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = _asked(project, {"_ZF_COMPLETE": "complete_bash", **words})
    assert (done.stdout.split(), done.stderr) == (offered, "")


def test_an_instance_is_completed_in_a_shell(project, terminal):
    project.file("test", "id: test\nphase: A\nmatrix: {py: [3.11, 3.12]}\ncommands: [{run: x}]\n")
    terminal.type("zf explain latest test@py=3.12 --ta\t")
    terminal.wait_for("--tail")
    terminal.type("\x15zf run-task test@py=3.1\t\t")
    terminal.wait_for("3.11", "3.12")


def answers(project, line, **env):
    """What bash is offered for this line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = _asked(project, {"_ZF_COMPLETE": "complete_bash", **words, **env})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def named_project(project):
    project.task("10-lint", "true", tags=["quick", "pre"])
    project.task("20-test", "true", phase="B", matrix={"py": ["3.11", "3.12"]})
    (project.root / "zf.yaml").write_text(
        "inputs:\n  env: {type: choice, options: [dev, prod]}\n  dry: {type: bool}\n"
    )


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("zf run --only 'tag(", ["tag(pre)", "tag(quick)"]),
        ("zf run --only '!phase(", ["!phase(A)", "!phase(B)"]),
        ("zf run --only +1", ["+10-lint"]),
        (
            "zf run --skip '10-lint|2",
            ["10-lint|20-test", "10-lint|20-test@py=3.11", "10-lint|20-test@py=3.12"],
        ),
        ("zf run -i ", ["env=", "dry="]),
        ("zf run -i env =", ["dev", "prod"]),
        ("zf run -i env = p", ["prod"]),
        ("zf run -i dry =", ["true", "false"]),
        ("zf run --matrix py =", ["3.11", "3.12"]),
        ("zf run --output ", ["group", "prefix", "quiet"]),
        ("zf run --shield a", ["auto", "always"]),
        ("zf export x --format b", ["bagit"]),
        ("zf schema t", ["task", "tasks"]),
        ("zf run-phase A ", ["A", "B"]),
        ("zf run-task 10-lint ", []),
        ("zf run 10-lint -- 1", []),
        ("zf explain latest 10", ["10-lint"]),
        ("zf rer", ["rerun"]),
        ("zf nonsense ", []),
        ("zf prune --kee", ["--keep", "--keep-failed"]),
    ],
)
def test_what_is_offered(project, line, offered):
    named_project(project)
    assert answers(project, line) == offered


def test_names_are_those_of_the_project_that_c_names(project, tmp_path):
    named_project(project)
    other = Project(tmp_path / "other")
    other.task("here", "true")
    assert answers(other, "zf run-task ") == ["here"]
    assert answers(other, f"zf -C {project.root} run-task 1") == ["10-lint"]
    assert answers(other, f"zf run-task -C {project.root} 1") == ["10-lint"]


def test_the_second_time_no_file_is_parsed_and_every_change_is_seen(project):
    named_project(project)
    os.utime(project.root / "zf.yaml", (1, 1))
    for path in (project.root / "tasks").rglob("task.yaml"):
        os.utime(path, (1, 1))
    imports = {"PYTHONPROFILEIMPORTTIME": "1"}
    line = {"_ZF_COMPLETE": "complete_bash", "COMP_WORDS": "zf run-task ", "COMP_CWORD": "2"}

    def parsed():
        done = _asked(project, {**line, **imports})
        assert "typer" not in done.stderr
        return "zf.plan.load" in done.stderr

    assert [parsed(), parsed()] == [True, False]
    project.task("30-new", "true")
    assert "30-new" in answers(project, "zf run-task ")
    shutil.rmtree(project.root / "tasks/10-lint")
    assert "10-lint" not in answers(project, "zf run-task ")
    (project.root / "tasks/40-empty").mkdir()
    assert "40-empty" not in answers(project, "zf run-task ")
    project.task("40-empty", "true")
    assert "40-empty" in answers(project, "zf run-task ")
    # What cannot be read at the moment has the names that it had.
    project.file("30-new", "id: [")
    assert "30-new" in answers(project, "zf run-task ")


def test_a_cache_that_is_none_or_cannot_be_written_does_no_harm(project):
    named_project(project)
    folder = project.root.parent / "cache"
    answers(project, "zf run-task 1")
    for path in folder.rglob("*.json"):
        path.write_text("[")
    assert answers(project, "zf run-task 1") == ["10-lint"]
    assert answers(project, "zf run-task 1", XDG_CACHE_HOME="/dev/null") == ["10-lint"]


def test_expressions_inputs_and_values_are_completed_in_a_shell(project, terminal):
    named_project(project)
    offered(terminal, "zf run --only 'tag(", "pre", "quick")
    offered(terminal, "zf run --only 10-l", "int")
    offered(terminal, "zf run -i env=", "dev", "prod")
    offered(terminal, "zf run --output ", "group", "prefix")
