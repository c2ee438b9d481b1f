"""Inputs and arguments of runs, from the command line to the proof and back."""

import json
import os
import shutil
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from tests.support import independent_verifier, proof_mutations
from tests.support.forged_seal import seal
from tests.support.program import heard
from zf.audit.verify import verify

SECRET = "correct-horse-battery"
INPUTS = {
    "env": {"type": "choice", "options": ["dev", "prod"], "default": "dev"},
    "text": {"type": "string"},
    "files": {"type": "list"},
    "dry-run": False,
    "ratio": 0.5,
    "token": {"secret": True},
}
HOSTILE = "'\"; $(touch hurt) `touch hurt` ${HOME}\n{{.X}}\\ \x1b[0m -- é"


@pytest.fixture
def given(project):
    """A project with inputs, and a task that says what it was given."""
    (project.root / "zf.yaml").write_text(yaml.safe_dump({"inputs": INPUTS}, sort_keys=False))
    project.task(
        "show",
        "env -0 | grep -z ^INPUT_ | sort -z > $ARTIFACTS_DIR/env",
        'printf "%s\\0" "$@" > $ARTIFACTS_DIR/arguments; echo "$*"',
        cleanup=[{"run": 'echo "cleanup $1"'}],
    )
    return project


def variables(project, run):
    data = project.proof(run, "show", "30-artifacts", "env").read_bytes()
    return dict(line.split("=", 1) for line in data.decode().split("\0") if line)


def arguments(project, run):
    data = project.proof(run, "show", "30-artifacts", "arguments").read_bytes()
    return data.decode("utf-8", "surrogateescape").split("\0")[:-1]


def nowhere(project, text):
    return not [
        path
        for path in project.root.joinpath("proofs").rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def test_values_reach_steps_as_variables_and_the_proof(given):
    flags = ("-i", "env=prod", "-i", f"text={HOSTILE}", "--input", "files=a,b")
    done = given.zf("run-phase", "A", *flags, "--run-id", "r", env={"ZF_INPUT_RATIO": "0.250"})
    assert done.code == 0, done.err
    assert variables(given, "r") == {
        "INPUT_ENV": "prod",
        "INPUT_TEXT": HOSTILE,
        "INPUT_FILES": "a\nb",
        "INPUT_DRY_RUN": "false",
        "INPUT_RATIO": "0.25",
        "INPUT_TOKEN": "",
    }
    assert not list(given.root.rglob("hurt"))
    assert given.json("r", "run.json")["inputs"] == {
        "env": {"value": "prod", "source": "flag"},
        "text": {"value": HOSTILE, "source": "flag"},
        "files": {"value": ["a", "b"], "source": "flag"},
        "dry-run": {"value": False, "source": "default"},
        "ratio": {"value": 0.25, "source": "variable"},
        "token": {"value": "", "source": "default"},
    }
    assert "arguments" not in given.json("r", "run.json")
    assert "inputs: env=prod" in done.out
    assert "dry-run=false" in given.zf("status", "r").out
    assert json.loads(given.zf("status", "r", "--json").out)["inputs"]["env"]["value"] == "prod"
    page = given.root / "page.html"
    assert given.zf("report", "r", "-o", str(page)).code == 0
    assert "input env" in page.read_text()
    assert verify(str(given.proof("r"))).exit_code == 0
    assert independent_verifier.verify(str(given.proof("r"))) == (True, True)


def test_the_list_of_tasks_says_what_can_be_given(project):
    (project.root / "zf.yaml").write_text("""
inputs:
  env: {type: choice, options: [dev, prod], default: dev, description: Where to deploy}
  jobs: {type: int, min: 1, max: 8, default: 2}
  ratio: {type: number, max: 0.5}
  files: [a, b]
  token: {secret: true}
phases:
  A: {inputs: {version: {required: true, description: What is released}}}
""")
    project.task("a", "true")
    done = project.zf("list")
    assert (
        done.out
        == """\
A
  a
inputs
  env      dev|prod, default dev: Where to deploy
  jobs     int 1..8, default 2
  ratio    number ..0.5
  files    list, default a,b
  token    string, secret
  version  string, phase A, required: What is released
"""
    )


def test_a_project_without_inputs_has_none_in_its_proof(project):
    project.task("a", "env | grep INPUT_ || true")
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    assert not {"inputs", "arguments"} & set(project.json("r", "run.json"))
    assert project.log("r", "a") == b""


def test_nothing_runs_while_one_value_is_no_good(given):
    done = given.zf(
        *("run-phase", "A", "-i", "env=prd", "-i", "nvm=1", "-i", "files=a,,b"),
        env={"ZF_INPUT_DRY_RUN": "yes"},
    )
    assert done.code == 2
    assert done.err == (
        "error[ZF270]: -i nvm: there is no such input\n"
        "  hint: declared: dry-run, env, files, ratio, text, token\n"
        "error[ZF271]: -i env: 'prd' is none of dev, prod\n"
        "  hint: did you mean 'prod'?\n"
        "error[ZF271]: -i files: has an empty entry\n"
        "  hint: an entry that is empty could not be seen by steps\n"
        "error[ZF271]: ZF_INPUT_DRY_RUN: 'yes' is neither true nor false\n"
        "  hint: write true\n"
    )
    assert not given.proof("").exists()
    assert given.zf("run-phase", "A", "-i", "env").code == 2


def test_conditions_look_at_inputs(given):
    given.task("show", "true")
    given.task("always", "true", condition="input.ratio > 0.25 && !input.dry-run")
    given.task("prod", "true", condition="input.env == 'prod' && 'b' in input.files")
    given.task("secret", "true", condition=f"input.token == '{SECRET}x'")
    done = given.zf("run-phase", "A", "--run-id", "r", "-i", f"token={SECRET}")
    assert done.code == 0, done.err
    ends = {name: given.status("r", name)["status"] for name in ("always", "prod", "secret")}
    assert ends == {"always": "success", "prod": "skipped", "secret": "skipped"}
    decided = {
        e["task"]: e["operands"] for e in given.events("r") if e["type"] == "condition_evaluated"
    }
    assert decided["secret"] == {"input.token": "(hidden)"}
    assert decided["prod"] == {"input.env": "dev"}


def test_conditions_of_steps_look_at_inputs(given):
    given.file(
        "show",
        """id: show
phase: A
env: {WITH: "a ${INPUT_ENV}", SECRETLY: "b ${INPUT_TOKEN}"}
commands:
  - {run: 'echo "$WITH"', if: input.env == 'prod'}
  - {run: echo no, if: input.dry-run}
  - {run: echo never, if: "input.token == '34' || ${INPUT_TOKEN} == '34'"}
""",
    )
    words = ("run-phase", "A", "-i", "env=prod", "-i", "token=12", "--run-id", "r")
    assert given.zf(*words).code == 0
    records = [given.json("r", "show", "10-commands", f"step-{n}.json") for n in range(3)]
    assert [one["status"] for one in records] == ["success", "skipped", "skipped"]
    hidden = {"input.token": "(hidden)", "${INPUT_TOKEN}": "(hidden)"}
    assert records[2]["asked"]["operands"] == hidden
    assert given.log("r", "show") == b"a prod\n"
    env = given.proof("r", "show", "00-meta", "env.sh").read_text()
    assert "export WITH='a prod'" in env
    assert "# passed, value not recorded: SECRETLY" in env


def test_a_secret_one_is_nowhere_to_be_read(given):
    given.task("loud", 'echo "it is $INPUT_TOKEN"; echo "$INPUT_TOKEN" | base64')
    words = ("run-phase", "A", "--run-id", "r", "-i", f"token={SECRET}", "-i", f"text=a{SECRET}b")
    done = given.zf(*words, "--output", "prefix")
    assert done.code == 1  # the artifact that would show it is not kept
    assert SECRET not in done.out + done.err
    assert nowhere(given, SECRET)
    run = given.json("r", "run.json")
    hidden = run["inputs"]["token"]
    assert hidden["salted_sha256"] == sha256((hidden["salt"] + SECRET).encode()).hexdigest()
    # Another value that holds it is hidden like it.
    assert set(run["inputs"]["text"]) == {"salted_sha256", "salt", "source"}
    assert f"token={SECRET}" not in run["command"]
    assert "token=***" in run["command"]
    env = given.proof("r", "show", "00-meta", "env.sh").read_text()
    assert "# passed, value not recorded: INPUT_TOKEN\n" in env
    assert given.zf("verify", "r", "--input", f"token={SECRET}").code == 0
    assert given.zf("verify", "r", "--input", "token=other").code == 4


def test_a_text_that_is_called_like_a_secret_is_one_unless_it_is_said_not_to_be(project):
    (project.root / "zf.yaml").write_text(
        "secrets: [INPUT_PIN_*]\ninputs:\n  api_token: {type: string}\n  max_tokens: 4000\n"
        "  tokeniser: {secret: false, default: wordpiece}\n  pin_code: {default: built-in}\n"
    )
    project.task("a", 'env | grep ^INPUT_ | sort; echo "$INPUT_API_TOKEN"')
    words = ("run-phase", "A", "--run-id", "r", "-i", f"api_token={SECRET}")
    assert project.zf(*words).code == 0
    inputs = project.json("r", "run.json")["inputs"]
    assert {name for name, one in inputs.items() if "value" not in one} == {"api_token", "pin_code"}
    assert project.log("r", "a").decode().splitlines() == [
        "INPUT_API_TOKEN=***",
        "INPUT_MAX_TOKENS=4000",
        "INPUT_PIN_CODE=***",
        "INPUT_TOKENISER=wordpiece",
        "***",
    ]
    assert nowhere(project, SECRET)
    # A default that is hidden is known from the file.
    assert "pin_code" not in project.zf("rerun", "r", "--only", "a").err
    env = {"ZF_INPUT_API_TOKEN": SECRET}
    assert project.zf("rerun", "r", "--only", "a", env=env).code == 0


def test_a_short_secret_is_not_in_the_recorded_command_line(given):
    done = given.zf("run-phase", "A", "--run-id", "r", "-i", "token=12", "--input=env=dev")
    assert done.code == 0, done.err
    assert "token=***" in given.json("r", "run.json")["command"]


def test_an_input_of_a_phase_is_known_to_its_tasks_alone(project):
    text = "inputs: {all: x}\nphases: {B: {inputs: {only: {required: true}}}}\n"
    (project.root / "zf.yaml").write_text(text)
    for name in ("A", "B"):
        project.task(name.lower(), "env | grep ^INPUT_ | sort", phase=name)
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    done = project.zf("run-phase", "A", "B", "--run-id", "r2", "-i", "only=y")
    assert done.code == 0, done.err
    assert project.log("r2", "a") == b"INPUT_ALL=x\n"
    assert project.log("r2", "b") == b"INPUT_ALL=x\nINPUT_ONLY=y\n"
    assert "ZF272" in project.zf("run-phase", "B").err
    assert "ZF272" in project.zf("run-phase", "B", "--dry-run").err
    assert project.zf("run-task", "a", "-i", "only=y").code == 2


# Arguments.


@pytest.mark.parametrize(
    "words", [["-k", "log in", "-x"], ["--help", "", "--", "*", HOSTILE, "-i", "a=b"]]
)
def test_arguments_reach_the_task_word_for_word(given, words):
    done = given.zf("run-task", "show", "--run-id", "r", "--", *words)
    assert done.code == 0, done.err
    assert arguments(given, "r") == words
    assert given.json("r", "run.json")["arguments"] == words
    assert given.json("r", "show", "00-meta", "task.json")["arguments"] == words
    assert given.json("r", "plan.json")["tasks"][0]["arguments"] is True
    record = given.json("r", "show", "10-commands", "step-0.json")
    assert record["argv"][-len(words) :] == words
    log = given.proof("r", "show", "20-logs", "cleanup-0.log").read_text()
    assert log == f"cleanup {words[0]}\n"
    assert given.zf("verify", "r").code == 0
    assert independent_verifier.verify(str(given.proof("r"))) == (True, True)


def test_every_instance_of_a_matrix_has_them(project):
    project.task("t", 'echo "$MATRIX_PY $1"', matrix={"py": ["3.11", "3.12"]})
    assert project.zf("run-task", "t", "--run-id", "r", "--", "x").code == 0
    logs = [path.read_text() for path in project.proof("r").glob("*/20-logs/step-0.log")]
    assert sorted(logs) == ["3.11 x\n", "3.12 x\n"]
    assert project.zf("verify", "r").code == 0


def test_bytes_that_are_no_text_are_arguments_too(given):
    done = given.zf("run-task", "show", "--run-id", "r", "--", b"\xff\xfe")
    assert done.code == 0, done.err
    assert arguments(given, "r") == [os.fsdecode(b"\xff\xfe")]
    assert given.zf("verify", "r").code == 0


def test_only_tasks_that_are_named_have_them(project):
    for name, phase in (("a", "A"), ("b", "B"), ("c", "B")):
        needs = ["a"] if name == "b" else []
        project.task(name, 'echo "$# $*"', phase=phase, needs=needs)
    assert project.zf("run-task", "b", "--with-needs", "--run-id", "r1", "--", "x").code == 0
    assert (project.log("r1", "a"), project.log("r1", "b")) == (b"0 \n", b"1 x\n")
    assert project.zf("run-phase", "A", "B", "--run-id", "r2", "--", "x", "y").code == 0
    assert {project.log("r2", name) for name in "abc"} == {b"2 x y\n"}
    assert project.zf("run", "b", "--run-id", "r4", "--", "z").code == 0
    assert (project.log("r4", "a"), project.log("r4", "b")) == (b"0 \n", b"1 z\n")
    assert project.zf("run", "B", "task:a", "--run-id", "r5", "--", "z").code == 0
    assert {project.log("r5", name) for name in "abc"} == {b"1 z\n"}
    assert project.zf("run", "--run-id", "r6", "--", "z").code == 0
    assert {project.log("r6", name) for name in "abc"} == {b"1 z\n"}
    digests = {
        row["id"]: (row["sha256"], row.get("arguments", False))
        for run in ("r1", "r2")
        for row in project.json(run, "plan.json")["tasks"]
    }
    assert project.zf("run-phase", "A", "B", "--run-id", "r3").code == 0
    for row in project.json("r3", "plan.json")["tasks"]:
        assert "arguments" not in row
        assert row["sha256"] != digests[row["id"]][0]


def test_a_secret_in_an_argument_is_hidden_and_such_a_run_is_not_run_again(given):
    env = {"MINE": SECRET}
    given.task("other", "true", secrets=["MINE"])
    given.task("quiet", '[ "$1" = "-p' + SECRET + '" ]')
    words = ("run", "other", "quiet", "--run-id", "r", "--", f"-p{SECRET}")
    done = given.zf(*words, env=env)
    assert done.code == 0, done.err
    assert given.json("r", "run.json")["arguments"] == ["-p***"]
    assert nowhere(given, f"p{SECRET}")
    again = given.zf("rerun", "r", "--only", "quiet", env=env)
    assert (again.code, "ZF276" in again.err) == (2, True)


def test_a_cached_result_is_that_of_the_same_inputs_and_arguments(given):
    given.task("show", 'echo "$INPUT_ENV $1"', cache=True, sources=["tasks"])
    words = ("run", "show", "--cached")
    for run, more, cached in (
        ("r1", ("-i", "env=prod", "-i", "token=12", "--", "x"), False),
        ("r2", ("-i", "env=prod", "-i", "token=12", "--", "x"), True),
        ("r3", ("-i", "env=dev", "-i", "token=12", "--", "x"), False),
        ("r4", ("-i", "env=prod", "-i", "token=12", "--", "y"), False),
        ("r5", ("-i", "env=prod", "-i", "token=34", "--", "x"), False),
    ):
        done = given.zf(*words, "--run-id", run, *more)
        assert done.code == 0, done.err
        assert bool(given.status(run, "show").get("cached_from")) == cached, run
    record = next(given.proof("r1", "show").rglob("*cache*.json")).read_text()
    assert '"12"' not in record
    assert "prod" in record


# Later runs.


def test_a_rerun_keeps_what_the_run_was_given(given):
    words = ("-i", "env=prod", "-i", f"token={SECRET}", "--run-id", "r1", "--", "-k", "x")
    assert given.zf("run-phase", "A", *words).code == 1
    assert given.zf("rerun", "r1", "--failed").code == 2
    token = {"ZF_INPUT_TOKEN": SECRET, "ZF_INPUT_ENV": "dev"}
    other = given.zf("rerun", "r1", "--failed", "-i", "env=dev", env=token)
    assert "-i env: run r1 has 'prod', which it keeps" in other.err
    given.zf("rerun", "r1", "--failed", "--run-id", "r2", env=token)
    first, second = (given.json(run, "run.json") for run in ("r1", "r2"))
    assert first["inputs"] == second["inputs"]
    assert second["arguments"] == ["-k", "x"]
    assert arguments(given, "r2") == ["-k", "x"]
    assert "input" not in given.zf("diff", "r1", "r2").out


def test_diff_tells_what_was_given_otherwise(given):
    given.zf("run-phase", "A", "--run-id", "r1", "-i", "env=prod")
    given.zf("run-phase", "A", "--run-id", "r2", "-i", f"token={SECRET}", "--", "x")
    lines = given.zf("diff", "r1", "r2").out.splitlines()
    assert {"input env: prod -> dev", "input token:  -> (hidden)", 'arguments: - -> ["x"]'} <= set(
        lines
    )


def test_a_resumed_run_keeps_what_it_was_given(given):
    given.task(
        "slow",
        'echo "$INPUT_ENV $INPUT_TOKEN $1"; [ -e go ] || sleep 60',
        needs=["show"],
        secrets=["INPUT_TOKEN"],
    )
    words = ("-i", "env=prod", "-i", f"token={SECRET}", "--run-id", "r", "--progress", "json")
    given.task("show", "true")
    process = given.popen("run-phase", "A", *words, "--", "word", start_new_session=True)
    heard(process, "attempt_started", task="slow")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (given.root / "go").touch()
    before = given.proof("r", "run.json").read_bytes()
    assert "ZF275" in given.zf("resume", "r").err
    assert "ZF275" in given.zf("resume", "r", "-i", "token=other").err
    text = (given.root / "zf.yaml").read_text()
    (given.root / "zf.yaml").write_text(text + "  later: {default: x}\n")
    assert "was not declared when run r began" in given.zf("resume", "r").err
    (given.root / "zf.yaml").write_text(text)
    done = given.zf("resume", "r", "-i", f"token={SECRET}")
    log = given.proof("r", "slow", "20-logs", "step-0.log")
    assert log.read_text() == "prod *** word\n", (done.out, done.err)
    assert given.proof("r", "run.json").read_bytes() == before
    assert "inputs: env=prod, token=(hidden)" in done.out
    assert given.zf("verify", "r", "--input", f"token={SECRET}").code == 0


def test_a_replayed_task_has_the_same(given):
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    (given.root / ".gitignore").write_text("proofs\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*git, *words], cwd=given.root, env=given.env, check=True)
    assert given.zf("run-task", "show", "-i", "env=prod", "--run-id", "r", "--", "x").code == 0
    done = given.zf("replay", "r", "show")
    assert done.code == 0, done.out + done.err
    assert "30-artifacts/arguments: equal" in done.out
    assert "30-artifacts/env: equal" in done.out


# What proofs are demanded, and forgeries.


@pytest.fixture
def run(given):
    """The folder of a run with inputs and arguments."""
    flags = ("-i", "env=prod", "-i", "files=a,b", "-i", f"token={SECRET}", "--run-id", "r")
    given.task("show", "true")
    assert given.zf("run-phase", "A", *flags, "--", "-k", "x").code == 0
    return given.proof("r")


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"env": "prod", "files": ["a", "b"], "dry-run": False, "ratio": 0.5}, 0),
        ({"files": "a,b", "token": SECRET}, 0),
        ({"env": "dev"}, 4),
        ({"files": ["b", "a"]}, 4),
        ({"other": "x"}, 4),
        ({"token": "x"}, 4),
        ({}, 2),
        ("env", 2),
        ({"env": {"a": 1}}, 2),
    ],
)
def test_a_policy_demands_inputs(given, run, tmp_path, rule, code):
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"inputs": rule}))
    assert given.zf("verify", str(run), "--policy", str(policy)).code == code


def change(path, *keys, value=None):
    """Write another value at this place, or none at all."""

    def do(run):
        file = run / path
        top = whole = json.loads(file.read_bytes())
        for key in keys[:-1]:
            top = top[key]
        if value is None:
            del top[keys[-1]]
        else:
            top[keys[-1]] = value
        file.write_text(json.dumps(whole))

    return do


FORGERIES = {
    "value": change("run.json", "inputs", "env", "value", value="dev"),
    "source": change("run.json", "inputs", "env", "source", value="default"),
    "no source": change("run.json", "inputs", "env", "source"),
    "unknown source": change("run.json", "inputs", "env", "source", value="x"),
    "digest": change("run.json", "inputs", "token", "salted_sha256", value="0" * 64),
    "no digest": change("run.json", "inputs", "token", "salted_sha256", value="x"),
    "salt": change("run.json", "inputs", "token", "salt", value="0" * 32),
    "bad salt": change("run.json", "inputs", "token", "salt", value=""),
    "entry": change("run.json", "inputs", "files", "value", value=["a"]),
    "entries of no text": change("run.json", "inputs", "files", "value", value=[1]),
    "value of no kind": change("run.json", "inputs", "env", "value", value={}),
    "one fewer": change("run.json", "inputs", "env"),
    "one more": change("run.json", "inputs", "x", value={"value": "y", "source": "flag"}),
    "no inputs": change("run.json", "inputs"),
    "argument": change("run.json", "arguments", 1, value="y"),
    "no arguments": change("run.json", "arguments"),
    "an argument that is no text": change("run.json", "arguments", 0, value=1),
    "argument of the task": change("show/00-meta/task.json", "arguments", 1, value="y"),
    "no argument of the task": change("show/00-meta/task.json", "arguments"),
    "argument of the step": change("show/10-commands/step-0.json", "argv", -1, value="y"),
    "plan": change("plan.json", "tasks", 0, "arguments"),
    "plan that says no": change("plan.json", "tasks", 0, "arguments", value=False),
    "variable": lambda run: (run / "show/00-meta/env.sh").write_text("export INPUT_ENV='dev'\n"),
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.parametrize("sealed_anew", [False, True])
def test_what_a_run_was_given_cannot_be_forged(run, tmp_path, name, sealed_anew):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    FORGERIES[name](copy)
    if sealed_anew:
        seal(str(copy))
    found = verify(str(copy))
    assert found.exit_code == 1, found.render()
    assert independent_verifier.verify(str(copy))[0] is False


@pytest.mark.parametrize("in_the_steps", [False, True])
def test_a_journal_written_anew_has_another_head(run, tmp_path, in_the_steps):
    """A forger that makes all lists fit: the variables of the steps tell; and where those are made
    to fit, too, the end of the journal, which was printed.
    """
    head = verify(str(run)).result["head"]
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    FORGERIES["value"](copy)
    if in_the_steps:
        path = copy / "show/00-meta/env.sh"
        path.write_text(path.read_text().replace("INPUT_ENV='prod'", "INPUT_ENV='dev'"))
        proof_mutations.repair_lists(copy)
    proof_mutations.repair_journal(copy)
    seal(str(copy))
    found = verify(str(copy))
    assert found.exit_code == (0 if in_the_steps else 1), found.render()
    assert found.result["head"] != head
