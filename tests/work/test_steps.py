"""Steps by real workers: what runs their scripts, whether they run, and what each comes to."""

import json
import os
import shutil

import pytest

from tests.support.attempts import Attempts, all_listed, checksums_hold, task
from zf.model import Project, Step
from zf.proof.layout import TIMEOUT_MARK
from zf.work.interpreters import FILE, OPEN, TEXT, bash_argv, command_line, shown_argv, way


@pytest.fixture
def attempts(tmp_path):
    return Attempts(tmp_path)


def ran(attempts, *steps, **fields):
    """One attempt of a task with these steps, each a script or the fields of a step."""
    made = [Step(f"step-{n}", line=n + 1, **said(one)) for n, one in enumerate(steps)]
    cleanup = [Step(f"cleanup-{n}", **said(one)) for n, one in enumerate(fields.pop("cleanup", ()))]
    one = task(name="t", steps=tuple(made), cleanup=tuple(cleanup), **fields)
    facts = {"task.id": "t", "run.branch": "main", "input.env": "prod"}
    pool = attempts.pool(one)
    pool.facts = {"t": facts}
    try:
        pool.start("t", 1, 0)
        ended = []
        while not ended:
            ended = pool.wait(30, None)
    finally:
        pool.close()
    return attempts.result(ended[0])


def said(one):
    return {"run": one} if isinstance(one, str) else one


def statuses(result, kind="step"):
    records = sorted((result.tree / "10-commands").glob(f"{kind}-*.json"))
    return [json.loads(path.read_bytes())["status"] for path in records]


class TestWhatRunsTheScript:
    @pytest.mark.parametrize(
        ("shell", "script", "printed"),
        [
            (("sh", "-e"), "false || echo $0; false; echo never", "/dev/fd/3\n"),
            (("bash", "-c"), "echo text $0", "text bash\n"),
            (("python3", "-u"), "import sys; print(len(sys.argv)); sys.exit(1)", "1\n"),
            (("python3", "-c"), "import sys; print(sys.argv); sys.exit(1)", "['-c']\n"),
            (("awk", "-f", "{0}"), "BEGIN { print 1 + 1; exit 1 }", "2\n"),
            (("env", "X=1", "sh", "-c"), "echo $X; exit 1", "1\n"),
        ],
        ids=lambda value: str(value[:2]),
    )
    def test_it_gets_the_script_its_way(self, attempts, shell, script, printed):
        code = "; exit 1" if shell == ("bash", "-c") else ""
        result = ran(attempts, {"run": script + code, "shell": shell})
        assert result.outcome() == ("failure", 1, "exit"), result.ended.detail
        assert result.log().decode() == printed
        assert result.json("10-commands/step-0.json")["argv"] == list(shown_argv(shell))
        all_listed(result.tree)
        checksums_hold(result.tree)

    @pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
    def test_a_program_that_looks_where_its_script_lies(self, attempts):
        result = ran(attempts, {"run": "console.log(1 + 1)", "shell": ("node",)})
        assert result.outcome() == ("success", 0, ""), result.log()
        assert result.log() == b"2\n"

    def test_a_script_in_a_file_can_only_be_read_and_is_gone_after_the_step(self, attempts):
        script = "import os, sys; print(oct(os.stat(sys.argv[0]).st_mode)); print(sys.argv[0])"
        result = ran(attempts, {"run": script, "shell": ("python3",)})
        mode, path = result.log().decode().split()
        assert mode == "0o100400"
        assert not os.path.exists(path)
        assert os.listdir(os.path.dirname(path)) == []

    def test_a_program_that_is_not_there(self, attempts):
        result = ran(attempts, {"run": "x", "shell": ("no-such-program",)})
        assert result.outcome() == ("failure", 127, "spawn")
        assert result.ended.detail == "no-such-program is not on the PATH of the step"

    def test_a_path_that_is_no_program(self, attempts):
        result = ran(attempts, {"run": "x", "shell": ("/etc/passwd",)})
        assert result.outcome() == ("failure", 127, "spawn")
        assert result.ended.detail == "/etc/passwd is no program that can be run"

    def test_a_program_is_looked_for_where_the_step_has_its_path(self, attempts):
        tool = attempts.root / "bin" / "tool"
        tool.parent.mkdir()
        tool.write_text('#!/bin/sh\necho "tool: $(cat "$1")"\n')
        tool.chmod(0o755)
        path = {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
        result = ran(
            attempts,
            {"run": "a", "shell": ("tool",), "env": path},
            {"run": "b", "shell": ("./tool",), "workdir": "bin"},
            {"run": "c", "shell": ("tool",)},
        )
        assert result.log(0) + result.log(1) == b"tool: a\ntool: b\n"
        assert result.outcome() == ("failure", 127, "spawn")

    def test_a_text_that_no_argument_can_hold(self, attempts):
        result = ran(attempts, {"run": "#" * 200_000, "shell": ("sh", "-c")})
        assert result.outcome() == ("failure", 126, "spawn")
        assert "Argument list too long: without the -c" in result.ended.detail
        assert (
            ran(attempts_again(attempts), {"run": "#" * 200_000, "shell": ("sh",)}).status["status"]
            == "success"
        )

    @pytest.mark.parametrize(
        ("shell", "how", "started"),
        [
            ((), OPEN, (*bash_argv()[:-1], "S", "a", "b")),
            (("/bin/dash",), OPEN, ("/bin/dash", "S", "a", "b")),
            (("sh", "-euc"), TEXT, ("sh", "-euc", "S", "sh", "a", "b")),
            (("python3", "-c"), TEXT, ("python3", "-c", "S", "a", "b")),
            (("node",), FILE, ("node", "S", "a", "b")),
            (("x", "--in={0}", "-c"), FILE, ("x", "--in=S", "-c", "a", "b")),
            (("bash", "{0}", "-x"), OPEN, ("bash", "S", "-x", "a", "b")),
        ],
    )
    def test_arguments_come_after_the_script(self, shell, how, started):
        assert way(shell) == how
        assert command_line(shell or bash_argv()[:-1], "S", ("a", "b")) == started


def attempts_again(attempts):
    shutil.rmtree(attempts.run_dir / "t")
    return attempts


class TestWhetherItRuns:
    def test_after_a_failure_only_those_that_ask_for_it(self, attempts):
        result = ran(
            attempts,
            {"run": "echo never", "condition": "failure()"},
            "exit 3",
            "echo never",
            {"run": "echo helped", "condition": "failure() && ${HOME_OF:-x} == 'x'"},
            {"run": "exit 4", "condition": "always()"},
            {"run": "echo never", "condition": "success()"},
            {"run": "echo never", "condition": "true"},
        )
        assert result.outcome() == ("failure", 3, "exit")
        assert result.ended.step == 1
        assert statuses(result) == [
            *("skipped", "failure", "not_run", "success", "failure", "skipped", "not_run")
        ]
        assert result.status["notes"] == ["step-4 exited with code 4"]

    def test_what_a_condition_looked_at_stands_in_the_record(self, attempts):
        result = ran(
            attempts,
            {
                "run": "echo never",
                "condition": "${STAGE} == 'prod' && run.branch == 'main'",
                "env": {"STAGE": "dev"},
            },
            {"run": "echo yes", "condition": "input.env == 'prod' && run.branch == 'main'"},
        )
        assert result.outcome() == ("success", 0, "")
        record = result.json("10-commands/step-0.json")
        assert record["if"] == "${STAGE} == 'prod' && run.branch == 'main'"
        assert record["asked"] == {"value": False, "operands": {"${STAGE}": "dev"}, "error": ""}
        assert record["log"] is None
        assert result.json("10-commands/step-1.json")["asked"]["operands"] == {
            "input.env": "prod",
            "run.branch": "main",
        }
        assert result.ended.detail == (
            "step-0 was skipped: condition is false:"
            " ${STAGE} == 'prod' && run.branch == 'main' (${STAGE} = 'dev')"
        )
        assert result.status["detail"] == result.ended.detail

    def test_one_that_cannot_be_answered_fails_the_step(self, attempts):
        result = ran(attempts, {"run": "echo never", "condition": "${NOPE} == 'x'"}, "echo never")
        assert result.outcome() == ("failure", None, "condition")
        assert statuses(result) == ["failure", "not_run"]
        assert "${NOPE} is not set" in result.ended.detail

    def test_secrets_are_used_and_not_told(self, tmp_path):
        environ = {"PATH": os.environ["PATH"], "DEPLOY_TOKEN": "s3cret-value"}
        attempts = Attempts(tmp_path, environ=environ)
        result = ran(attempts, {"run": "echo never", "condition": "${DEPLOY_TOKEN} == 'x'"})
        everything = b"".join(p.read_bytes() for p in result.tree.rglob("*") if p.is_file())
        assert statuses(result) == ["skipped"]
        assert b"s3cret-value" not in everything

    def test_a_cleanup_command_looks_at_what_the_steps_came_to(self, attempts):
        cleanup = [
            {"run": "echo failed", "condition": "failure()"},
            {"run": "echo well", "condition": "success()"},
            {"run": "echo both", "condition": "always() && !cancelled()"},
        ]
        result = ran(attempts, "exit 1", cleanup=cleanup)
        assert statuses(result, "cleanup") == ["success", "skipped", "success"]

    def test_nothing_starts_once_the_time_of_the_task_is_up(self, attempts):
        steps = ("sleep 60", {"run": "echo never", "condition": "always()"})
        result = ran(attempts, *steps, timeout_s=0.3, cleanup=["echo cleaned"])
        assert result.outcome() == ("timeout", 124, "timeout")
        assert statuses(result) == ["timeout", "not_run"]
        assert result.log(0, "cleanup") == b"cleaned\n"


class TestHowItEnds:
    def test_a_failure_that_is_tolerated(self, attempts):
        result = ran(
            attempts,
            {"run": "exit 3", "continue_on_error": True},
            {"run": "kill -9 $$", "continue_on_error": True},
            {"run": "x", "shell": ("no-such-program",), "continue_on_error": True},
            {"run": "sleep 60", "timeout_s": 0.2, "continue_on_error": True},
            {"run": "echo never", "condition": "failure()"},
            "echo on",
        )
        assert result.outcome() == ("success", 0, "")
        assert statuses(result) == [
            *("failure", "failure", "failure", "timeout", "skipped", "success")
        ]
        tolerated = [result.json(f"10-commands/step-{n}.json").get("tolerated") for n in range(6)]
        assert tolerated == [True, True, True, True, None, None]
        assert result.ended.detail == (
            "step-0 exited with code 3, which is tolerated;"
            " step-1 was ended by SIGKILL, which is tolerated;"
            " no-such-program is not on the PATH of the step, which is tolerated;"
            " timeout_sec (0.2 s) of step-3 ran out, which is tolerated"
        )

    def test_its_own_time_is_the_end_of_the_task(self, attempts):
        result = ran(
            attempts,
            {"run": "sleep 60", "timeout_s": 0.2},
            {"run": "echo then", "condition": "failure()"},
        )
        assert result.outcome() == ("timeout", 124, "step_timeout")
        assert result.ended.step == 0
        assert result.ended.detail == "timeout_sec (0.2 s) of step-0 ran out"
        assert statuses(result) == ["timeout", "success"]
        assert (result.tree / TIMEOUT_MARK).read_text() == f"{result.ended.detail}\n"

    def test_the_time_of_the_task_comes_before_a_longer_one_of_a_step(self, attempts):
        result = ran(attempts, {"run": "sleep 60", "timeout_s": 50}, timeout_s=0.2)
        assert result.outcome() == ("timeout", 124, "timeout")

    def test_in_a_cleanup_it_fails_the_command(self, attempts):
        cleanup = [{"run": "sleep 60", "timeout_s": 0.2}, "echo next"]
        result = ran(attempts, ":", cleanup=cleanup)
        assert result.outcome()[::2] == ("failure", "cleanup")
        assert result.ended.detail == "timeout_sec (0.2 s) of cleanup-0 ran out"
        assert result.log(1, "cleanup") == b"next\n"

    def test_a_step_can_skip_its_task(self, attempts):
        result = ran(
            attempts,
            "echo looked; touch $ARTIFACTS_DIR/kept; exit 77",
            {"run": "echo never", "condition": "always()"},
            skip_exit_codes=(77, 78),
            required_artifacts=("gone/*",),
            artifacts=("gone/*",),
            cleanup=["echo cleaned"],
        )
        assert result.outcome() == ("skipped", 77, "skip_exit_code")
        assert result.ended.detail == "step-0 exited with code 77, which skips the task"
        assert (result.ended.step, result.ended.warned) == (0, False)
        assert statuses(result) == ["skipped", "not_run"]
        assert result.log() == b"looked\n"
        assert result.artifacts == ["kept"]
        assert result.log(0, "cleanup") == b"cleaned\n"
        assert result.status["conclusion"] == "skipped"

    @pytest.mark.parametrize(
        ("steps", "outcome"),
        [
            (["exit 1", {"run": "exit 77", "condition": "failure()"}], ("failure", 1, "exit")),
            ([{"run": "exit 77", "continue_on_error": True}], ("skipped", 77, "skip_exit_code")),
            (["exit 76"], ("failure", 76, "exit")),
        ],
    )
    def test_what_says_so_and_what_does_not(self, attempts, steps, outcome):
        assert ran(attempts, *steps, skip_exit_codes=(77,)).outcome() == outcome

    def test_a_cleanup_that_fails_makes_a_failure_of_a_skipped_task(self, attempts):
        result = ran(attempts, "exit 77", skip_exit_codes=(77,), cleanup=["exit 5"])
        assert result.outcome() == ("failure", 5, "cleanup")
        result = ran(
            attempts_again(attempts),
            "exit 77",
            skip_exit_codes=(77,),
            cleanup=[{"run": "exit 5", "continue_on_error": True}],
        )
        assert result.outcome() == ("skipped", 77, "skip_exit_code")


ENVIRON = {"PATH": os.environ["PATH"], "PASSED": "from outside ${HOME}", "HOME": "/home/a"}


class TestWithWhat:
    def test_values_name_others_and_what_is_passed(self, tmp_path):
        attempts = Attempts(tmp_path, environ=ENVIRON)
        result = ran(
            attempts,
            {
                "run": 'echo "$A|$B|$C|$LIT|$X|$Y"',
                "env": {"X": "${A}!", "A": "own ${A}", "Y": "${PASSED}"},
            },
            'echo "$A|${X:-}"',
            env={"A": "${B}1", "B": "b", "C": "<${PASSED}>", "LIT": "$${B} $B ${N:-none}"},
            pass_env=("PASSED", "N"),
        )
        out = "own b1|b|<from outside ${HOME}>|${B} $B none|own b1!|from outside ${HOME}\n"
        assert result.log(0).decode() == out
        assert result.log(1) == b"b1|\n"
        record = result.json("10-commands/step-0.json")
        assert record["env"] == {"X": "own b1!", "A": "own b1", "Y": None}
        exported = (result.tree / "00-meta/env.sh").read_text()
        assert "export A='b1'\n" in exported
        assert "# passed, value not recorded: C\n" in exported
        everything = b"".join(p.read_bytes() for p in (result.tree / "00-meta").iterdir())
        assert b"from outside" not in everything

    def test_a_secret_of_a_step_is_hidden_everywhere(self, attempts):
        env = {"API_TOKEN": "hush-hush-1"}
        result = ran(attempts, {"run": "echo $API_TOKEN", "env": env}, "echo hush-hush-1")
        everything = b"".join(p.read_bytes() for p in result.tree.rglob("*") if p.is_file())
        assert b"hush-hush-1" not in everything
        assert result.log(0) == result.log(1) == b"***\n"

    def test_where_it_runs(self, attempts):
        (attempts.root / "sub").mkdir()
        result = ran(
            attempts, {"run": "pwd", "workdir": "sub"}, "pwd", {"run": ":", "workdir": "x"}
        )
        assert result.log(0).decode().strip() == f"{os.path.realpath(attempts.root)}/sub"
        assert result.log(1).decode().strip() == os.path.realpath(attempts.root)
        assert result.outcome() == ("failure", None, "workdir")

    @pytest.mark.parametrize(
        ("script", "told"),
        [
            ('test -n "$SLACK_HOOK"', True),
            ('test -n "${SLACK_HOOK:-}"', True),
            ("SLACK_HOOK=x; false $SLACK_HOOK", False),
            ("for SLACK_HOOK in 1; do false $SLACK_HOOK; done", False),
            ("false SLACK_HOOK", False),
            ("false $NOT_SET_ANYWHERE $PWD $PATH", False),
        ],
    )
    def test_a_failure_tells_of_a_variable_that_was_not_passed(self, tmp_path, script, told):
        environ = ENVIRON | {"SLACK_HOOK": "https://hook"}
        result = ran(Attempts(tmp_path, environ=environ), script)
        line = (
            "SLACK_HOOK is set where zf was started, but not passed to steps:"
            " `pass_env: [SLACK_HOOK]` in the task file does that"
        )
        assert result.status["notes"] == [line] * told

    def test_a_variable_that_is_required_is_passed(self, tmp_path):
        attempts = Attempts(tmp_path, environ=ENVIRON, project=Project(required_env=("N",)))
        result = ran(attempts, 'test -n "$PASSED"', required_env=("PASSED",))
        assert result.outcome() == ("success", 0, "")
