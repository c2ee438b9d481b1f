"""Outputs from `$ZF_OUTPUT` to the tasks that take them, through whole runs."""

import json
import os
import subprocess

import pytest

MODES = ("never", "auto")
VERSION = 'echo version=1.2.3 >> "$ZF_OUTPUT"'
TAKES = {"V": {"from": "build.version"}}


@pytest.fixture(params=MODES)
def shielded(request, project):
    """A project whose runs are, or are not, shielded where that can be."""
    project.env["ZF_SHIELD"] = request.param
    return project


def outputs(project, run="r", task="build"):
    return json.loads((project.root / f"proofs/{run}/{task}/30-outputs.json").read_text())


def run(project, *words, code=0, run="r"):
    done = project.zf("run-phase", *(words or ("A",)), "--run-id", run)
    assert done.code == code, done.out + done.err
    assert project.zf("verify", run).code == 0
    return done


def test_an_output_reaches_the_dependent_and_the_proof(shielded):
    shielded.task(
        "build",
        VERSION,
        'printf "notes<<EOF\\none\\ntwo\\nEOF\\n" >> "$ZF_OUTPUT"',
        outputs=["version", "notes"],
    )
    shielded.task(
        "deploy",
        'test "$V" = 1.2.3; echo "$NOTES"',
        needs=["build"],
        env={**TAKES, "NOTES": {"from": "build.notes"}},
        condition="needs.build.version == '1.2.3'",
    )
    run(shielded)
    assert outputs(shielded) == {"notes": "one\ntwo", "version": "1.2.3"}
    assert shielded.log("r", "deploy", 0) == b"one\ntwo\n"
    status = shielded.status("r", "build")
    (ended,) = [
        one
        for one in shielded.events("r")
        if one["type"] == "attempt_ended" and one["task"] == "build"
    ]
    assert status["outputs_sha256"] == ended["outputs_sha256"] != ""
    listed = (shielded.root / "proofs/r/build/40-checksums/task.sha256").read_text()
    assert f"{ended['outputs_sha256']}  30-outputs.json\n" in listed
    assert "export V='1.2.3'\n" in (shielded.root / "proofs/r/deploy/00-meta/env.sh").read_text()
    rows = {row["id"]: row for row in shielded.json("r", "plan.json")["tasks"]}
    assert rows["build"]["outputs"] == ["version", "notes"]
    assert "outputs" not in rows["deploy"]


def test_a_task_that_hands_nothing_on_says_nothing_of_it(shielded):
    shielded.task("build", "true")
    run(shielded)
    assert not (shielded.root / "proofs/r/build/30-outputs.json").exists()
    assert "outputs_sha256" not in shielded.status("r", "build")
    assert "outputs" not in shielded.json("r", "build", "00-meta", "task.json")


def test_a_missing_output_fails_a_task_that_would_have_succeeded(shielded):
    shielded.task("build", VERSION, outputs=["version", "digest"])
    shielded.task("deploy", "true", needs=["build"])
    done = run(shielded, code=1)
    status = shielded.status("r", "build")
    assert (status["status"], status["cause"]) == ("failure", "outputs")
    assert status["detail"] == "output 'digest' was not written to $ZF_OUTPUT"
    assert "[ZF528]" in done.out + done.err
    assert shielded.status("r", "deploy")["status"] == "blocked"
    assert outputs(shielded) == {"version": "1.2.3"}


def test_an_earlier_failure_stays_and_what_was_written_is_kept(shielded):
    shielded.task("build", VERSION, "exit 3", outputs=["version", "digest"])
    shielded.task(
        "tell",
        'echo "${V-unset} ${D-unset}"',
        needs=[{"task": "build", "require": "done"}],
        env={**TAKES, "D": {"from": "build.digest"}},
    )
    run(shielded, code=1)
    assert shielded.status("r", "build")["cause"] == "exit"
    assert shielded.log("r", "tell", 0) == b"1.2.3 unset\n"
    assert shielded.status("r", "tell")["notes"] == [
        "D is not set: 'build' handed on no output 'digest'"
    ]


def test_an_undeclared_output_is_noted_also_where_none_is_declared(shielded):
    shielded.task("build", VERSION)
    done = run(shielded)
    told = "output 'version' is not kept: the task does not declare it in `outputs`"
    assert shielded.status("r", "build")["notes"] == [told]
    assert f"note: build: {told}" in done.err + done.out


def test_only_the_attempt_that_counts_hands_on(shielded):
    shielded.task(
        "build",
        'echo "version=$ATTEMPT" >> "$ZF_OUTPUT"; test "$ATTEMPT" = 2',
        outputs=["version"],
        max_retries=1,
    )
    shielded.task(
        "deploy", 'test "$V" = 2', needs=["build"], env=TAKES, condition="needs.build.version == 2"
    )
    run(shielded)
    assert outputs(shielded) == {"version": "2"}
    earlier = shielded.root / "proofs/r/build/attempts/1/30-outputs.json"
    assert json.loads(earlier.read_text()) == {"version": "1"}


@pytest.mark.parametrize(
    "planted",
    [
        'ln -s /etc/passwd "$ZF_OUTPUT"',
        'mkfifo "$ZF_OUTPUT"',
        'mkdir -p "$ZF_OUTPUT/x"',
        'truncate -s 1G "$ZF_OUTPUT"',
        'head -c 100000 /dev/urandom > "$ZF_OUTPUT"',
        'echo version=1 > "$ZF_OUTPUT"; chmod 0 "$(dirname "$ZF_OUTPUT")"',
        'rm -rf "$(dirname "$ZF_OUTPUT")"; ln -s /tmp "$(dirname "$ZF_OUTPUT")"',
    ],
)
def test_whatever_is_put_in_its_place_hurts_only_its_task(shielded, planted):
    shielded.task("10-bad", planted, outputs=["version"], allow_failure=True)
    shielded.task("20-build", VERSION, outputs=["version"], needs=["10-bad"])
    done = shielded.zf("run-phase", "A", "--run-id", "r", "-j", "1")
    assert done.code == 0, done.out + done.err
    assert outputs(shielded, task="20-build") == {"version": "1.2.3"}
    assert "root:" not in json.dumps(shielded.events("r"))
    assert shielded.zf("verify", "r").code == 0


def test_one_task_cannot_hand_on_for_another(shielded):
    """They share a worker, and so the folder that both write to."""
    plant = 'cd "$(dirname "$ZF_OUTPUT")"; echo version=evil'
    shielded.task("10-bad", f"{plant} | tee 20-build.1.output 20-build.1.metrics >/dev/null")
    shielded.task("20-build", "true", outputs=["version"], needs=["10-bad"])
    done = shielded.zf("run-phase", "A", "--run-id", "r", "-j", "1")
    assert done.code == 1
    assert shielded.status("r", "20-build")["cause"] == "outputs"
    assert shielded.status("r", "20-build")["notes"] == []


def test_a_secret_in_an_output_goes_no_further(shielded):
    shielded.env["DEPLOY_TOKEN"] = "0123456789abcdef-secret"
    shielded.task(
        "build",
        'echo "version=v-$DEPLOY_TOKEN" >> "$ZF_OUTPUT"; echo "api_key=abcdef" >> "$ZF_OUTPUT"',
        pass_env=["DEPLOY_TOKEN"],
        outputs=["version", "api_key"],
    )
    shielded.task("deploy", 'echo "$V"', needs=["build"], env=TAKES)
    run(shielded)
    assert outputs(shielded) == {"api_key": "***", "version": "v-***"}
    assert shielded.log("r", "deploy", 0) == b"v-***\n"
    for path in (shielded.root / "proofs/r").rglob("*"):
        if path.is_file():
            assert b"0123456789abcdef-secret" not in path.read_bytes(), path


HOSTILE = "$(touch owned) `touch owned` ${HOME} 'x' \"y\" \\ *; touch owned"


def test_a_value_is_data_wherever_it_goes(shielded):
    (shielded.root / "value").write_text(HOSTILE)
    shielded.task("build", '{ printf "version="; cat value; } >> "$ZF_OUTPUT"', outputs=["version"])
    shielded.task("deploy", 'printf %s "$V"', needs=["build"], env=TAKES)
    run(shielded)
    assert shielded.log("r", "deploy", 0).decode() == HOSTILE
    assert not (shielded.root / "owned").exists()


# Where needs are met.


@pytest.fixture
def two_phases(shielded):
    """A task of phase B takes an output of one of phase A, in its environment and condition."""
    shielded.task("build", VERSION, outputs=["version"])
    shielded.task(
        "deploy",
        '[ -e ok ] && echo "$V"',
        phase="B",
        needs=["build"],
        env=TAKES,
        condition="needs.build.version == '1.2.3'",
    )
    (shielded.root / "ok").touch()
    return shielded


def took(project, run):
    assert project.log(run, "deploy", 0) == b"1.2.3\n"
    assert project.zf("verify", run).code == 0


def test_under_upstream_and_from_an_archive(two_phases, tmp_path):
    run(two_phases, "A")
    done = two_phases.zf("run-phase", "B", "--run-id", "r2", "--upstream", "r")
    assert done.code == 0, done.err
    took(two_phases, "r2")
    archive = tmp_path / "r.tar"
    assert two_phases.zf("export", "r", "-o", str(archive)).code == 0
    os.rename(two_phases.root / "proofs/r", tmp_path / "away")
    done = two_phases.zf("run-phase", "B", "--run-id", "r3", "--upstream", str(archive))
    assert done.code == 0, done.err
    took(two_phases, "r3")


def test_under_rerun(two_phases):
    (two_phases.root / "ok").unlink()
    run(two_phases, "A", "B", code=1)
    (two_phases.root / "ok").touch()
    assert two_phases.zf("rerun", "r", "--failed", "--run-id", "r2").code == 0
    took(two_phases, "r2")
    assert two_phases.zf("rerun", "r2", "--only", "deploy", "--run-id", "r3").code == 0
    took(two_phases, "r3")


def test_a_resumed_run_knows_what_was_handed_on(two_phases):
    two_phases.task(
        "die",
        "[ -e alive ] || kill -9 $(ps -o ppid= -p $PPID)",
        needs=["build"],
    )
    two_phases.zf("run-phase", "A", "B", "--run-id", "r")
    (two_phases.root / "alive").touch()
    done = two_phases.zf("resume", "r")
    assert done.code == 0, done.err
    took(two_phases, "r")


def test_a_task_that_runs_without_its_needs_is_told(shielded):
    shielded.task("build", VERSION, outputs=["version"])
    shielded.task("deploy", 'echo "${V-unset}"', needs=["build"], env=TAKES)
    assert shielded.zf("run-task", "deploy", "--run-id", "r").code == 0
    assert shielded.log("r", "deploy", 0) == b"unset\n"
    assert shielded.status("r", "deploy")["notes"] == [
        "V is not set: 'build' handed on no output 'version'"
    ]


EVIL = 'echo \'{"version":"evil"}\' > $FILE'
RELISTED = (
    'sed -i "s/.*30-outputs/$(sha256sum < 30-outputs.json | cut -c1-64)  30-outputs/"'
    " 40-checksums/task.sha256"
)
SPOILT = {
    "the file": (EVIL, "30-outputs.json is not what it was"),
    "the file and its list": (
        f"{EVIL}; cd $TREE; {RELISTED}",
        "their list is not what it was when their task ended",
    ),
    "a link": ("ln -sf /etc/hostname $FILE", "Too many levels of symbolic links"),
    "a fifo": ("rm $FILE; mkfifo $FILE", "30-outputs.json is not what it was"),
    "none": ("rm $FILE", "No such file or directory"),
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("where", ["this run", "an earlier run"])
def test_outputs_that_are_not_what_the_need_handed_on_are_not_taken(project, how, where):
    script, why = SPOILT[how]
    here = where == "this run"
    project.task("build", VERSION, outputs=["version"])
    tree = "$PROOF_DIR/../build" if here else "$PROOF_DIR/../../r0/build"
    spoil = f"TREE={tree}; FILE=$TREE/30-outputs.json; {script}"
    if here:
        project.task("spoil", spoil, needs=["build"])
    else:
        project.task("spoil", spoil, phase="B", priority=1)
    project.task("deploy", "true", phase="B", needs=["build"], env=TAKES)
    words = ["--shield", "never", "-j", "1"]
    if here:
        project.zf("run-phase", "A", "B", "--run-id", "r", *words)
    else:
        assert project.zf("run-phase", "A", "--run-id", "r0").code == 0
        project.zf("run-phase", "B", "--run-id", "r", "--upstream", "r0", *words)
    status = project.status("r", "deploy")
    assert status["cause"] == "outputs"
    assert status["detail"].startswith("the outputs of need build cannot be used: ")
    assert why in status["detail"]
    assert project.json("r", "deploy", "10-commands", "step-0.json")["status"] == "not_run"


def test_a_condition_on_an_output_that_was_not_handed_on_has_no_answer(project):
    project.task("build", "exit 3", outputs=["version"])
    project.task(
        "deploy",
        "true",
        needs=[{"task": "build", "require": "done"}],
        condition="needs.build.version == '1'",
    )
    project.task(
        "guarded",
        "true",
        needs=[{"task": "build", "require": "done"}],
        condition="status('build') == 'success' && needs.build.version == '1'",
    )
    run(project, code=1)
    assert project.status("r", "deploy")["detail"] == (
        "condition cannot be evaluated: needs.build.version is not set:"
        " 'build' handed on no output 'version'"
    )
    assert project.status("r", "guarded")["status"] == "skipped"


def test_the_whole_of_64_kib_and_more_variables_than_one(project):
    project.task(
        "build",
        *(
            f"{{ printf {n}=; head -c 65536 /dev/zero | tr '\\0' x; echo; }} >> $ZF_OUTPUT"
            for n in "abcd"
        ),
        outputs=["a", "b", "c", "d"],
    )
    env = {name.upper(): {"from": f"build.{name}"} for name in "abcd"}
    project.task("deploy", 'echo "${#A} ${#B} ${#C} ${#D}"', needs=["build"], env=env)
    run(project)
    assert project.log("r", "deploy", 0) == b"65536 65536 65536 65536\n"


def test_what_a_killed_worker_had_written_is_handed_on_by_nothing(project):
    project.task("build", VERSION, "kill -9 $PPID; sleep 60", outputs=["version"])
    project.zf("run-phase", "A", "--run-id", "r")
    assert project.status("r", "build")["status"] == "lost"
    assert not (project.root / "proofs/r/build/30-outputs.json").exists()
    assert project.zf("verify", "r").code == 0


def test_outputs_of_a_matrix_reach_its_dependents_by_instance(project):
    project.task(
        "test",
        'echo "result=$MATRIX_PY" >> "$ZF_OUTPUT"',
        matrix={"py": ["3.11", "3.12"]},
        outputs=["result"],
        parallel_safe=True,
    )
    project.task(
        "all",
        'echo "$R"; echo "$ONE"',
        needs=["test"],
        env={"R": {"from": "test.result"}, "ONE": {"from": "test@py=3.12.result"}},
        condition="'3.11' in needs.test.result && needs['test@py=3.12'].result == '3.12'",
    )
    project.task(
        "same",
        'echo "$R"',
        matrix={"py": ["3.11", "3.12"]},
        needs=[{"task": "test", "matrix": "same"}],
        env={"R": {"from": "test.result"}},
        condition="needs.test.result == matrix.py",
    )
    run(project)
    assert project.log("r", "all", 0) == (b'{"test@py=3.11":"3.11","test@py=3.12":"3.12"}\n3.12\n')
    for version in ("3.11", "3.12"):
        assert project.log("r", f"same@py={version}", 0) == f"{version}\n".encode()


def test_outputs_are_shown_wherever_a_run_is_told_of(project):
    project.task(
        "build",
        VERSION,
        "echo \"long=<b>$(seq 300 | tr -d '\\n')</b>\" >> $ZF_OUTPUT",
        outputs=["version", "long"],
    )
    project.task("plain", "true")
    words = ["--junit", "j.xml", "--report", "p.html"]
    done = project.zf("run-phase", "A", "--run-id", "r", *words)
    assert "outputs: build.long = <b>123" in done.out
    assert "... (799 characters), build.version = 1.2.3\n" in done.out
    told = project.zf("explain", "r", "build").out
    assert "  output:   version = 1.2.3\n" in told
    assert "output:" not in project.zf("explain", "r", "plain").out
    status = json.loads(project.zf("status", "r", "--json").out)
    assert status["outputs"]["build"]["version"] == "1.2.3"
    assert list(status["outputs"]) == ["build"]
    ran = json.loads(project.zf("run-phase", "A", "--run-id", "r2", "--json").out)
    assert ran["tasks"]["build"]["outputs"]["version"] == "1.2.3"
    assert "outputs" not in ran["tasks"]["plain"]
    junit = (project.root / "j.xml").read_text()
    assert '<property name="zf.output.version" value="1.2.3" />' in junit
    page = (project.root / "p.html").read_text()
    assert "<bdi>version</bdi>" in page
    assert "&lt;b&gt;123" in page
    assert "and 299 characters more" in page
    assert "2 outputs" in page


def test_a_run_without_outputs_says_nothing_of_them(project):
    project.task("plain", "true")
    done = project.zf("run-phase", "A", "--run-id", "r", "--report", "p.html")
    assert "outputs" not in done.out
    assert "outputs" not in json.loads(project.zf("status", "r", "--json").out)
    assert 'id="outputs"' not in (project.root / "p.html").read_text()


def test_what_was_handed_on_otherwise_is_a_difference(project):
    project.task("build", 'echo "version=$V" >> $ZF_OUTPUT', outputs=["version"], pass_env=["V"])
    project.env["V"] = "1"
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    project.env["V"] = "2"
    assert project.zf("run-phase", "A", "--run-id", "r2").code == 0
    assert "  output version: 1 -> 2\n" in project.zf("diff", "r", "r2").out
    found = json.loads(project.zf("diff", "r", "r2", "--json").out)
    assert found["tasks"]["build"]["outputs"] == {"version": ["1", "2"]}
    assert project.zf("report", "r2", "--compare", "r", "-o", "p.html").code == 0
    assert "Outputs" in (project.root / "p.html").read_text()


def test_a_replayed_task_has_what_it_took_and_hands_on_the_same(project):
    for words in (["add", "."], ["commit", "-qm", "x"]):
        if words[0] == "add":
            project.task("build", VERSION, outputs=["version"])
            project.task("deploy", 'echo "$V"', needs=["build"], env=TAKES)
            (project.root / ".gitignore").write_text("proofs/\n")
            git(project, "init", "-q")
        git(project, *words)
    assert project.zf("run-phase", "A", "--run-id", "r").code == 0
    for task, told in (
        ("build", "30-outputs.json: equal"),
        ("deploy", "20-logs/step-0.log: equal"),
    ):
        done = project.zf("replay", "r", task)
        assert (done.code, told in done.out) == (0, True), done.out + done.err
        assert "is not set" not in done.out + done.err


def git(project, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *words], cwd=project.root, check=True)


def test_what_a_cached_task_had_handed_on_is_handed_on_again(project):
    project.task(
        "build",
        'echo "version=$(cat src.txt)" >> $ZF_OUTPUT',
        outputs=["version"],
        cache=True,
        sources=["src.txt"],
    )
    project.task("deploy", 'echo "$V"', needs=["build"], env=TAKES)
    (project.root / "src.txt").write_text("1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        git(project, *words)
    for run_id, value in (("r", "1"), ("r2", "1"), ("r3", "2")):
        (project.root / "src.txt").write_text(f"{value}\n")
        done = project.zf("run-phase", "A", "--run-id", run_id, "--cached")
        assert done.code == 0, done.out + done.err
        assert project.log(run_id, "deploy", 0) == f"{value}\n".encode()
        assert ("cached from run r" in done.err) == (run_id == "r2")
        assert project.zf("verify", run_id).code == 0
