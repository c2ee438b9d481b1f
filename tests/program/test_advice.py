"""Every command that zf advises is typed as it stands, and does what it was advised for."""

import json
import os
import re
import shlex
import signal
import sys

import pytest

from tests.support import proof_keys
from tests.support.program import Project

ADVISED = re.compile(r"^ *(?:Next|next|hint): +(zf [^(;\n]*[^(;\n ])", re.MULTILINE)


def advised(text: str) -> list[str]:
    return ADVISED.findall(text)


def typed(project: Project, command: str, *more: str, code: int = 0):
    zf, *words = shlex.split(command)
    assert zf == "zf"
    done = project.zf(*words, *more)
    assert done.code == code, f"{command}\n{done.out}{done.err}"
    return done


def broken(project: Project) -> None:
    project.task("a", "test -e mended")
    project.task("b", "true", needs=["a"])
    project.task("c", "true", needs=["b"], phase="B")


def test_after_a_failure_the_advised_command_runs_what_did_not_succeed(project):
    broken(project)
    done = project.zf("run-phase", "A", "B", "--run-id", "r1")
    assert done.code == 1
    told = {*advised(done.out), *advised(project.zf("explain", "r1").out)}
    told |= {c for t in "abc" for c in advised(project.zf("explain", "r1", t).out)}
    told |= set(project.json("r1", "blocked.json")["next"])
    assert told == {"zf rerun r1 --failed"}
    (project.root / "mended").touch()
    typed(project, "zf rerun r1 --failed", "--run-id", "r2")
    assert [project.status("r2", task)["status"] for task in "abc"] == ["success"] * 3
    assert advised(project.zf("explain", "r2").out) == []


def test_a_rerun_without_more_words_is_of_what_did_not_succeed_in_the_newest_run(project):
    broken(project)
    project.zf("run", "--run-id", "r1")
    (project.root / "mended").touch()
    done = project.zf("rerun", "--run-id", "r2")
    assert (done.code, project.json("r2", "run.json")["rerun_of"]) == (0, "r1")
    assert "nothing to run again of r2: every task succeeded" in project.zf("rerun").err
    assert "one of --failed" in project.zf("rerun", "--failed", "--from", "a").err


def test_a_task_run_alone_is_advised_to_be_run_alone_again(project):
    broken(project)
    [command] = advised(project.zf("run-task", "a", "--run-id", "r1").out)
    (project.root / "mended").touch()
    typed(project, command)


def reads_a_need(project: Project) -> None:
    project.task("a", "echo 7 > $ARTIFACTS_DIR/words")
    project.task("b", "cat $NEEDS_DIR/a/words", needs=["a"])


def test_a_task_that_reads_its_needs_is_advised_to_be_run_with_them(project):
    reads_a_need(project)
    done = project.zf("run-task", "b", "--run-id", "r1")
    assert done.code == 1
    [command] = advised(done.out)
    typed(project, command)


def test_a_rerun_of_a_run_without_needs_says_which_run_that_is_and_what_works(project):
    reads_a_need(project)
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    assert project.zf("run-task", "b", "--run-id", "r2").code == 1
    for asked, said in (("latest", "latest is run r2"), ("r2", "(run r2, which ran without needs")):
        refused = project.zf("rerun", asked, "--failed")
        assert refused.code == 2
        assert said in refused.err
    [command] = advised(refused.err)
    typed(project, command)


def test_unmet_needs_are_met_by_the_advised_command(project):
    broken(project)
    project.task("d", "true", needs=["c", "b"], phase="C")
    (project.root / "mended").touch()
    [command] = advised(project.zf("run-phase", "C").err)
    typed(project, command, "--run-id", "r1")
    assert project.status("r1", "d")["status"] == "success"


def test_after_an_interrupt_and_after_a_kill_the_advised_command_goes_on(project):
    os.mkfifo(project.root / "gate")
    project.task("a", "true")
    project.task("b", "test -e mended || read line < gate", needs=["a"])
    project.task("c", "true", needs=["b"])
    for run, number, verb in (("r1", signal.SIGINT, "rerun"), ("r2", signal.SIGKILL, "resume")):
        process = project.popen("run-phase", "A", "-v", "--run-id", run, "--grace", "1")
        assert any("start     b" in line for line in process.stderr)
        # Nothing is to be typed while it runs.
        assert advised(project.zf("explain", run).out) == []
        assert advised(project.zf("explain", run, "c").out) == []
        process.send_signal(number)
        out, _ = process.communicate()
        told = {*advised(out), *advised(project.zf("explain", run).out)}
        assert [command.split()[1] for command in told] == [verb]
        (project.root / "mended").touch()
        typed(project, told.pop())
        (project.root / "mended").unlink()


def test_a_killed_run_is_said_to_have_no_runner_wherever_it_is_looked_at(project):
    os.mkfifo(project.root / "gate")
    project.task("a", "test -e mended || read line < gate")
    project.task("b", "true", needs=["a"])
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    assert any("start     a" in line for line in process.stderr)
    dead = "r1 never ended: its zf was killed, and nothing runs it any more"
    looks = [["status"], ["status", "r1"], ["explain", "r1"], ["explain", "r1", "a"]]
    assert not any(dead in project.zf(*words).out for words in looks)
    process.kill()
    process.communicate()
    for words in looks:
        told = project.zf(*words).out
        assert told.count(dead) == 1, (words, told)
        assert advised(told) == ["zf resume r1"], (words, told)
    # The way there from the other verbs.
    assert advised(project.zf("cancel", "r1").err) == ["zf status r1 says what became of it"]
    assert advised(project.zf("logs", "r1", "b").err) == ["zf explain r1 b says why"]
    (project.root / "mended").touch()
    typed(project, "zf resume r1")
    assert not any(dead in project.zf(*words).out for words in looks)


def test_a_killed_and_sealed_run_is_advised_to_be_rerun_and_told_once(project):
    os.mkfifo(project.root / "gate")
    project.task("a", "test -e mended || read line < gate")
    project.task("b", "true", needs=["a"])
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    assert any("start     a" in line for line in process.stderr)
    process.kill()
    process.communicate()
    (project.root / "mended").touch()
    assert project.zf("seal", "r1").code == 0
    told = project.zf("explain", "r1").out
    assert told.count("Still running when the record ends") == 1
    assert set(advised(told)) == {"zf rerun r1 --failed"}
    assert advised(project.zf("explain", "r1", "a").out) == ["zf rerun r1 --failed"]
    assert json.loads(project.zf("explain", "r1", "--json").out)["next"] == ["zf rerun r1 --failed"]
    typed(project, "zf rerun r1 --failed", "--run-id", "r2")
    assert [project.status("r2", task)["status"] for task in "ab"] == ["success"] * 2


def test_a_failure_among_five_tasks_fits_on_a_screen_and_is_told_once(project):
    report = "printf '%s\\n' '>  assert a == b' 'E  assert 403 == 200' 'x.py:1: AssertionError'"
    project.task("a", f"{report}; exit 1", parallel_safe=True)
    for name in "bcd":
        project.task(name, "true", parallel_safe=True)
    project.task("e", "true", needs=["a"])
    done = project.zf("run-phase", "A", "--run-id", "r1")
    lines = (done.err + done.out).splitlines()
    assert len(lines) <= 21, "\n".join(lines)
    assert done.out.count("assert 403 == 200") == 1
    assert (done.err + done.out).count("Deadlock detected") == 1
    quiet = project.zf("run-phase", "A", "--run-id", "r2", "-q")
    assert quiet.err == ""
    assert "assert 403 == 200" in quiet.out


def test_what_only_the_record_says_is_said_in_the_summary_and_in_explain(project):
    project.task("a", "sleep 300 & true", artifacts=["dist/*.whl"])
    done = project.zf("run-phase", "A", "--run-id", "r1")
    for text in (done.out, project.zf("explain", "r1").out, project.zf("explain", "r1", "a").out):
        assert "dist/*.whl" in text
        assert re.search(r"process \d+ outlived its step: sleep 300", text)
        assert "`leave_running: true`" in text


def test_a_refused_secret_is_told_with_its_name_and_the_remedy(project):
    env = {"A_TOKEN": "correct-horse-battery", "B_TOKEN": "ab", "C_TOKEN": "abcde"}
    leak = 'mkdir -p out/deep; echo "$A_TOKEN" >out/deep/x.txt'
    project.task("a", leak, artifacts=["out/**", {"path": "dist/*", "required": True}], env=env)
    project.task("b", "true", artifacts=[{"path": "dist/*", "required": True}])
    done = project.zf("run-phase", "A", "--run-id", "r1")
    for text in (done.out, project.zf("explain", "r1").out, project.zf("explain", "r1", "a").out):
        assert "out/deep/x.txt contains a secret (secret:A_TOKEN in line 1)" in text
        assert "`allow_secrets_in: [path]`" in text
        assert "secret B_TOKEN is shorter than 4 characters" in text
        assert "secret C_TOKEN is shorter than 8 characters" in text
    # What its task failed for is not told as a note once more.
    assert project.zf("explain", "r1", "b").out.count("dist/*") == 1
    # An honest run is no tampered one, though a folder was made for what was then refused.
    assert "TAMPERED" not in done.err
    assert project.zf("verify", "r1").code == 0


def test_of_a_run_of_many_tasks_explain_reads_the_one_it_is_asked_about(project):
    for number in range(501):
        keys = {"condition": "'a' == 'b'"} if number else {"artifacts": ["dist/*"]}
        project.task(f"t{number}", "true", **keys)
    done = project.zf("run-phase", "A", "--run-id", "r1")
    assert "note:" not in done.out
    assert "'dist/*' matched nothing" in project.zf("explain", "r1", "t0").out


def test_the_tail_is_as_long_as_the_task_or_the_reader_wants(project):
    project.task("a", "seq 1 50; exit 1", log_tail=3)
    assert project.zf("run-phase", "A").out.count("    | ") == 3
    assert project.zf("run-phase", "A", "--tail", "20").out.count("    | ") == 20
    assert project.zf("explain", "latest", "a", "--tail", "5").out.count("    | ") == 5
    assert project.zf("run-phase", "A", "--tail", "0").code == 2


SPOKEN = re.compile(
    r"\bzf (?:-C \S+ )?(?:run|run-phase|run-task|resume|rerun|cancel|validate|list|status"
    r"|approve|reject|explain|logs|verify|seal|export|diff|replay|prune|hold|release)\b.*?(?= (?:says|shows|lists|closes|finishes|starts"
    r"|seals|compares|runs|keeps|removes|lets)\b| \(|[,;`)]|$)",
    re.MULTILINE,
)


def spoken(text: str) -> list[str]:
    """Every command in a text for people that names what it is about."""
    return [command for command in SPOKEN.findall(text) if " PHASE" not in command]


def killed(project: Project, run: str, *words: str) -> None:
    process = project.popen("run-phase", "W", "-v", "--run-id", run, "--grace", "1", *words)
    assert any("start     w" in line for line in process.stderr)
    process.kill()
    process.communicate()


def many_situations(project: Project, keys):
    """What was typed, and what it was answered with; each run named is there."""
    os.mkfifo(project.root / "gate")
    project.task("w", "test -e mended || read line < gate", phase="W")
    broken(project)
    yield project.zf("explain")  # ZF610: no runs
    assert project.zf("run-phase", "A", "B", "--run-id", "r1").code == 1
    yield project.zf("run-phase", "A", "--run-id", "r1")  # ZF122: taken
    yield project.zf("run-phase", "B", "--run-id", "r2")  # needs in another phase
    yield project.zf("run-phase", "A", "--run-id", "latest")  # ZF121
    yield project.zf("run-phase", "X")  # ZF120: no such phase
    yield project.zf("explain", "r1", "nothing")  # ZF130
    yield project.zf("logs", "r1", "c")  # ZF131
    yield project.zf("status", "r")  # ZF612 or found
    yield project.zf("status", "zz")  # ZF610
    yield project.zf("resume", "r1")  # sealed
    yield project.zf("seal", "r1")  # sealed
    yield project.zf("cancel", "r1")  # ZF144: over
    yield project.zf("explain", "r1")
    yield project.zf("explain", "r1", "b")
    yield project.zf("status", "r1")
    killed(project, "k1")
    yield project.zf("explain", "k1")
    yield project.zf("export", "k1", "-o", "k1.tar")
    yield project.zf("replay", "k1", "w")
    yield project.zf("rerun", "k1", "--only", "nothing")
    yield project.zf("run-phase", "B", "--upstream", "k1", "--run-id", "r3")
    assert project.zf("run-task", "a", "--run-id", "t1").code == 1
    yield project.zf("explain", "t1")
    plan = project.proof("t1", "plan.json")
    whole = plan.read_bytes()
    plan.write_bytes(b"[")
    yield project.zf("explain", "t1")  # ZF611
    yield project.zf("diff", "r1", "t1")
    yield project.zf("export", "t1", "-o", "t1.tar")
    yield project.zf("seal", "t1", "--sign", "--key", str(keys / "alice"))
    plan.write_bytes(whole)
    yield project.zf("run-phase", "A", "--run-id", "r4", "--sign", "--key", str(keys / "alice"))


def test_every_command_in_any_message_can_be_typed(project, tmp_path):
    (tmp_path / "keys").mkdir()
    told = set()
    for done in many_situations(project, proof_keys.make_keys(tmp_path / "keys")):
        for command in spoken(done.out + done.err):
            told.add(command)
            assert not re.fullmatch(r"zf (verify|seal|resume|cancel|rerun)", command), done
    assert len(told) > 12, told
    (project.root / "mended").touch()
    for number, command in enumerate(sorted(told)):
        assert "'" not in command, command
        words = shlex.split(command)[1:]
        runs = words[0] in {"rerun", "run", "run-phase", "run-task"}
        more = ("--run-id", f"typed{number}") if runs else ()
        if "--sign" in words:
            more = ("--key", str(tmp_path / "keys" / "alice"))
        done = project.zf(*words, *more)
        assert "Usage:" not in done.err, f"{command}\n{done.err}"
        assert done.code != 2, f"{command}\n{done.err}"


def test_what_is_advised_works_where_the_user_stands(project, tmp_path):
    broken(project)
    away = tmp_path / "some where"
    away.mkdir()
    at = os.path.relpath(project.root, away)
    done = project.zf("-C", at, "run-phase", "A", "B", "--run-id", "r1", cwd=away)
    told = set(spoken(done.out))
    told |= set(spoken(project.zf("explain", "r1", "-C", at, cwd=away).out))
    told |= set(spoken(project.zf("logs", "-C", at, "r1", "c", cwd=away).err))
    assert len(told) == 3, told
    (project.root / "mended").touch()
    zf = shlex.join(["zf", "-C", at])
    assert all(command.startswith(zf) for command in told), told
    for command in told:
        more = ["--no-such"] if "--sign" in command else []
        done = project.zf(*shlex.split(command)[1:], *more, cwd=away)
        assert more or done.code == 0, f"{command}\n{done.err}"


OF_ITS_OWN_RUN = {
    "rerun": "rerun $RUN_ID --failed",
    "resume": "resume $RUN_ID",
    "seal": "seal $RUN_ID",
    "export": "export $RUN_ID -o run.tar",
    "upstream": "run-phase B --upstream $RUN_ID",
    "inner": "run-task again --run-id inner",
}


def test_what_has_blanks_in_its_name_is_in_quotes_where_it_is_to_be_typed(project):
    project.task("a", "true")
    project.zf("run", "--run-id", "r1")
    project.zf("export", "r1", "-o", "my run.tar")
    (project.root / "my proof").mkdir()
    foreign = project.zf("cancel", "my run.tar")
    assert "zf rerun 'my run.tar' --failed" in foreign.err
    assert "write './my proof'" in project.zf("verify", "my proof").err


@pytest.mark.parametrize(
    ("verb", "name", "says"),
    [
        ("logs", "a@x=1", "logs"),
        ("logs", "a", "logs"),
        ("explain", "a", "explain"),
        ("status", "b", "explain"),
    ],
)
def test_a_task_in_the_place_of_a_run_is_told_which_words_are_meant(project, verb, name, says):
    project.task("a", 'echo "$TASK_ID"', matrix={"x": ["1"]})
    project.task("b", "true")
    project.zf("run", "--run-id", "r1")
    [command] = re.findall("zf .*", project.zf(verb, name).err)
    assert command == f"zf {says} latest {name}"
    assert name in typed(project, command).out
    project.zf("run", "b" if name != "b" else "a")
    [earlier] = re.findall("zf .*", project.zf(verb, name).err)
    assert earlier == f"zf {says} r1 {name}"
    assert name in typed(project, earlier).out


def test_a_step_is_not_told_to_wait_for_its_own_run(project):
    zf = f"{shlex.quote(sys.executable)} -m zf"
    for name, words in OF_ITS_OWN_RUN.items():
        project.task(name, f"OUTER=$RUN_ID {zf} {words} || true")
    project.task("again", f"{zf} run-phase A --run-id $OUTER || true", phase="C")
    project.task("b", "true", needs=["rerun"], phase="B")
    (project.root / "zf.yaml").write_text("pass_env: [OUTER]\n")
    assert project.zf("run-phase", "A", "--run-id", "r1").code == 0
    logs = [project.log("r1", name) for name in OF_ITS_OWN_RUN if name != "inner"]
    for said in map(bytes.decode, [*logs, project.log("inner", "again")]):
        assert "error[ZF120]: run id 'r1' is in use by" in said
        assert "this command is part of one of its steps" in said
        assert "wait for it to end" not in said
    assert "choose another --run-id" in said


def test_an_export_of_a_run_that_goes_on_is_told_to_wait_and_not_to_seal(project):
    os.mkfifo(project.root / "gate")
    project.task("a", "read line < gate")
    process = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    assert any("start     a" in line for line in process.stderr)
    done = project.zf("export", "r1", "-o", "run.tar")
    (project.root / "gate").write_text("go\n")
    process.communicate()
    assert done.code == 5
    assert "hint: wait for it to end, or end it with: zf cancel r1" in done.err
    assert project.zf("export", "r1", "-o", "run.tar").code == 0
