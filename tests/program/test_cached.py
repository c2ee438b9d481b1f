"""A task whose result an earlier run has is not run again, and the proof says whose result it is."""

import json
import shutil
import signal
import subprocess

import pytest

from tests.support import independent_verifier, proof_keys
from tests.support.program import heard

BUILD = "cat src/* > dist/out.txt && echo built >> ../count"


@pytest.fixture
def built(project):
    """A build that says beside the project how often it was run, and a reader of its artifact."""
    root = project.root
    (root / "src").mkdir()
    (root / "src/a.txt").write_text("one\n")
    (root / "dist").mkdir()
    (root / ".gitignore").write_text("proofs/\ndist/\nsrc/*.tmp\n")
    write(project)
    return project


def write(project, build=BUILD, **keys):
    said = {"sources": ["src/**"], "generates": ["dist/**"], "cache": True} | keys
    project.task("build", build, artifacts=["dist/**"], **said)
    project.task(
        "read",
        "cat $NEEDS_DIR/build/dist/out.txt && echo read >> ../count",
        needs=["build"],
        sources=["src/**"],
        cache=True,
        phase="A",
    )


def run(project, name, *words, code=0):
    done = project.zf("run-phase", "A", "--run-id", name, "--cached", "--why", *words)
    assert done.code == code, done.err + done.out
    return done


def ran(project):
    """What was run since this was last asked."""
    path = project.root.parent / "count"
    told = path.read_text().split() if path.exists() else []
    path.write_text("")
    return told


def test_what_has_not_changed_is_not_run_again(built):
    run(built, "r1")
    assert ran(built) == ["built", "read"]
    done = run(built, "r2")
    assert ran(built) == []
    assert "2 success (2 cached)" in done.out
    assert done.err.count("cached from run r1") == 2
    assert built.status("r2", "build")["cached_from"]["run"] == "r1"
    kinds = [event["type"] for event in built.events("r2")]
    assert kinds.count("cached") == 2
    assert built.zf("verify", "r2").code == 0
    assert independent_verifier.verify(str(built.proof("r2"))) == (True, True)


def test_the_proof_has_what_a_reader_of_a_run_expects(built):
    run(built, "r1")
    run(built, "r2")
    assert built.proof("r2", "build/30-artifacts/dist/out.txt").read_text() == "one\n"
    assert b"nothing was run" in built.log("r2", "build")
    assert b"in run r1" in built.log("r2", "build")
    assert built.json("r2", "build", "10-commands/step-0.json")["status"] == "not_run"
    told = built.zf("explain", "r2", "build").out
    assert "cached from run r1" in told
    assert "cached from run r1" not in built.zf("explain", "r1", "build").out
    junit = built.root / "junit.xml"
    assert built.zf("report", "r2", "--junit", str(junit)).code == 0
    assert 'name="zf.cached_from" value="r1"' in junit.read_text()
    shown = json.loads(built.zf("run-phase", "A", "--cached", "--json", "--run-id", "r3").out)
    # Always of the run in which it was run, so that results do not come down from run to run.
    assert shown["tasks"]["build"]["cached_from"] == "r1"


def test_a_result_is_not_used_unless_that_is_asked_for(built):
    run(built, "r1")
    ran(built)
    assert built.zf("run-phase", "A").code == 0
    assert ran(built) == ["built", "read"]
    (built.root / "zf.yaml").write_text("cached: true\n")
    assert built.zf("run-phase", "A").code == 0
    assert ran(built) == []
    assert built.zf("run-phase", "A", "--no-cached").code == 0
    assert ran(built) == ["built", "read"]


def test_a_changed_source_is_told_with_what_it_was_and_is(built):
    run(built, "r1")
    ran(built)
    (built.root / "src/a.txt").write_text("two\n")
    done = run(built, "r2")
    assert ran(built) == ["built", "read"]
    assert "sources changed since run r1" in done.err
    (change,) = next(e["changed"] for e in built.events("r2") if e["type"] == "cache_missed")
    assert (change["part"], change["name"]) == ("sources", "src/a.txt")
    assert change["old"] != change["new"]
    assert "src/a.txt: 100644" in built.zf("explain", "r2", "build").out


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "src/b.txt").write_text("new\n"),
        lambda root: (root / "src/a.txt").chmod(0o755),
        lambda root: (root / "src/a.txt").rename(root / "src/c.txt"),
        lambda root: (root / "src/a.txt").unlink() or (root / "src/b.txt").write_text("one\n"),
    ],
    ids=["new file", "mode", "renamed", "another name"],
)
def test_every_change_of_the_sources_counts(built, change):
    run(built, "r1")
    ran(built)
    change(built.root)
    run(built, "r2")
    assert "built" in ran(built)


def test_what_the_task_cannot_see_does_not_count(built):
    run(built, "r1")
    ran(built)
    path = built.root / "tasks/build/task.yaml"
    path.write_text(f"# a comment\ntitle: Another\npriority: 3\n{path.read_text()}")
    (built.root / "README").write_text("not a source\n")
    (built.root / "src/a.txt").touch()
    run(built, "r2")
    assert ran(built) == []


def test_a_changed_command_counts(built):
    """go-task#548."""
    run(built, "r1")
    ran(built)
    write(built, BUILD + " && true")
    done = run(built, "r2")
    assert ran(built) == ["built"]  # what it left is the same
    assert "script changed since run r1" in done.err


def test_a_variable_of_the_task_counts(built):
    write(built, BUILD, env={"MODE": "fast"})
    run(built, "r1")
    ran(built)
    write(built, BUILD, env={"MODE": "slow"})
    done = run(built, "r2")
    assert ran(built) == ["built"]
    assert "env MODE: fast -> slow" in done.err


def test_generated_files_come_back_from_the_artifacts(built):
    """go-task#2181: that something is there is not enough."""
    run(built, "r1")
    ran(built)
    (built.root / "dist/out.txt").write_text("edited\n")
    run(built, "r2")
    assert ran(built) == []
    assert (built.root / "dist/out.txt").read_text() == "one\n"
    (built.root / "dist/out.txt").unlink()
    run(built, "r3")
    assert ran(built) == []
    assert (built.root / "dist/out.txt").read_text() == "one\n"


def test_what_the_task_did_not_leave_is_not_taken_for_its_own(built):
    run(built, "r1")
    ran(built)
    (built.root / "dist/more.txt").write_text("stale\n")
    done = run(built, "r2")
    assert "built" in ran(built)
    assert "'dist/more.txt' is there, which the task did not leave" in done.err


def test_a_folder_is_told_by_its_list_or_by_what_is_in_it(built):
    venv = (
        "mkdir -p venv && echo tool > venv/tool && ln -sf tool venv/link && echo built >> ../count"
    )
    write(built, venv, generates=["venv"])
    (built.root / "tasks/read/task.yaml").unlink()
    run(built, "r1")
    run(built, "r2")
    assert ran(built) == ["built"]
    cache = built.root / "venv/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_text("")
    run(built, "r3")
    assert ran(built) == []
    (built.root / "venv/tool").touch()
    done = run(built, "r4")
    assert ran(built) == ["built"]
    assert "'venv/tool' is not as the task left it" in done.err
    write(built, f"{venv}; true", generates=["venv"])
    (built.root / "tasks/read/task.yaml").unlink()
    run(built, "r4b")
    ran(built)
    (built.root / "venv/tool").touch()
    # What an older result differs in is not why this one does not count.
    assert "-> " not in run(built, "r4c", "--why").err
    ran(built)
    write(built, venv, generates=["venv"], cache={"check": "content"})
    (built.root / "tasks/read/task.yaml").unlink()
    run(built, "r5")
    ran(built)
    (built.root / "venv/tool").touch()
    run(built, "r6")
    assert ran(built) == []
    (built.root / "venv/tool").write_text("other\n")
    run(built, "r7")
    assert ran(built) == ["built"]


def test_a_result_of_a_proof_that_does_not_verify_now_does_not_count(built):
    run(built, "r1")
    ran(built)
    log = built.proof("r1", "read/20-logs/step-0.log")
    log.write_bytes(b"two\n")
    done = run(built, "r2")
    assert ran(built) == ["built", "read"]
    assert "does not verify now" in done.err
    shutil.rmtree(built.proof("r1"))
    shutil.rmtree(built.proof("r2"))
    run(built, "r3")
    assert ran(built) == ["built", "read"]


def test_what_failed_is_never_used(built):
    write(built, "echo built >> ../count; [ ! -e ../fail ]; cat src/* > dist/out.txt")
    (built.root.parent / "fail").touch()
    run(built, "r1", code=1)
    (built.root.parent / "fail").unlink()
    run(built, "r2")
    assert ran(built) == ["built", "built", "read"]


def test_what_is_tolerated_is_never_used(built):
    write(built, "echo built >> ../count; touch dist/x; exit 3", allow_failure=True)
    (built.root / "tasks/read/task.yaml").unlink()
    run(built, "r1")
    run(built, "r2")
    assert ran(built) == ["built", "built"]


def test_a_success_after_a_retry_counts(built):
    """nextflow#6884: which attempt it was is no part of the key."""
    write(
        built,
        "echo built >> ../count; [ $ATTEMPT = 2 ]; cat src/* > dist/out.txt",
        max_retries=1,
        retry_delay_sec=0,
    )
    run(built, "r1")
    assert ran(built) == ["built", "built", "read"]
    run(built, "r2")
    assert ran(built) == []
    assert built.zf("verify", "r2").code == 0


def test_sources_that_change_while_it_runs_are_told_and_nothing_is_stored(built):
    write(built, BUILD + " && echo more >> src/a.txt")
    (built.root / "tasks/read/task.yaml").unlink()
    done = run(built, "r1")
    assert "not cached: 'src/a.txt' of its sources changed while it ran" in done.out
    assert built.json("r1", "build", "30-cache.json")["stored"] is False
    (built.root / "src/a.txt").write_text("one\n")
    ran(built)
    run(built, "r2")
    assert ran(built) == ["built"]


def test_a_pattern_of_which_nothing_is_left_is_told(built):
    write(built, "true", generates=["dist/**", "nothing-*"])
    done = run(built, "r1", code=1)
    assert "nothing is there of" in done.out


def test_the_output_of_tools_counts(built):
    tool = built.root.parent / "tool"
    tool.write_text("1.0")
    write(built, BUILD, cache={"tools": [f"cat {tool}"]})
    run(built, "r1")
    run(built, "r2")
    assert ran(built) == ["built", "read"]
    tool.write_text("2.0")
    done = run(built, "r3")
    assert ran(built) == ["built"]
    assert "1.0 -> 2.0" in done.err
    tool.unlink()
    done = run(built, "r4")
    assert "not cached: the tool" in done.out


def test_a_variable_that_is_passed_must_be_in_the_key(built):
    write(built, BUILD, pass_env=["FLAVOUR"])
    built.env["FLAVOUR"] = "sweet"
    done = run(built, "r1")
    assert "is never cached: its steps see 'FLAVOUR'" in done.err
    run(built, "r2")
    assert ran(built).count("built") == 2
    assert not built.proof("r2", "build/30-cache.json").exists()
    write(built, BUILD, pass_env=["FLAVOUR"], cache={"env": ["FLAVOUR"]})
    run(built, "r3")
    run(built, "r4")
    assert ran(built).count("built") == 1
    assert "sweet" not in built.proof("r3", "build/30-cache.json").read_text()
    built.env["FLAVOUR"] = "sour"
    done = run(built, "r5")
    assert "built" in ran(built)
    assert "env FLAVOUR: a value that is not shown -> another" in done.err


def test_a_secret_value_counts_and_is_not_shown(built):
    write(built, BUILD, env={"API_TOKEN": "swordfish-1"})
    run(built, "r1")
    run(built, "r2")
    assert ran(built) == ["built", "read"]
    write(built, BUILD, env={"API_TOKEN": "swordfish-2"})
    run(built, "r3")
    assert "built" in ran(built)
    assert "swordfish" not in "".join(
        path.read_text(errors="replace") for path in built.proof("r3").rglob("*") if path.is_file()
    )


def test_what_git_ignores_is_no_source_unless_it_is_named(built):
    """As git says, with rules that only git knows."""
    root = built.root
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("src/local*\n")
    (root / "src/junk.tmp").write_text("1")
    (root / "src/local.txt").write_text("1")
    write(built, BUILD.replace("src/*", "src/a.txt"))
    run(built, "r1")
    ran(built)
    (root / "src/junk.tmp").write_text("2")
    (root / "src/local.txt").write_text("2")
    run(built, "r2")
    assert ran(built) == []
    write(built, BUILD.replace("src/*", "src/a.txt"), sources=["src/**", "src/junk.tmp"])
    run(built, "r3")
    ran(built)
    (root / "src/junk.tmp").write_text("3")
    run(built, "r4")
    assert "built" in ran(built)


def test_a_killed_run_is_not_used_and_a_resumed_one_looks_again(built):
    write(built)
    built.task("slow", "while [ ! -e ../go ]; do sleep 0.02; done", phase="A", needs=["build"])
    began = built.popen("run-phase", "A", "--run-id", "r1", "--cached", "--progress", "json")
    heard(began, "attempt_ended", task="build")
    heard(began, "attempt_started")
    began.send_signal(signal.SIGKILL)
    began.communicate()
    ran(built)
    (built.root.parent / "go").touch()
    run(built, "r2")
    assert "built" in ran(built)
    (built.root.parent / "count").write_text("")
    assert built.zf("resume", "r1").code == 0
    assert "built" not in ran(built)
    assert built.zf("verify", "r1").code == 0


def test_what_is_asked_to_run_again_runs_again(built):
    (built.root / "zf.yaml").write_text("cached: true\n")
    run(built, "r1")
    ran(built)
    assert built.zf("rerun", "r1", "--only", "build").code == 0
    assert ran(built) == ["built"]


def test_two_runs_at_once_leave_proofs_that_verify(built):
    ones = [built.popen("run-phase", "A", "--cached", "--run-id", f"r{n}") for n in range(2)]
    for one in ones:
        out, err = one.communicate(timeout=120)
        assert one.returncode == 0, out + err
    for n in range(2):
        assert built.zf("verify", f"r{n}").code == 0
    ran(built)
    run(built, "r9")
    assert ran(built) == []


def test_verify_refuses_earlier_results_on_request(built):
    run(built, "r1")
    run(built, "r2")
    done = built.zf("verify", "r2", "--no-cached")
    assert done.code != 0
    assert "build: has the result of run 'r1'" in done.out
    assert built.zf("verify", "r1", "--no-cached").code == 0
    (built.root / "policy.yaml").write_text("cached: refused\n")
    assert built.zf("verify", "r2", "--policy", "policy.yaml").code != 0
    assert built.zf("verify", "r1", "--policy", "policy.yaml").code == 0


def test_verify_says_what_it_cannot_check(built):
    run(built, "r1")
    run(built, "r2")
    assert "not checked" not in built.zf("verify", "r2").out
    shutil.move(built.proof("r1"), built.root / "away")
    done = built.zf("verify", "r2")
    assert done.code == 0
    assert "2 results are from earlier runs, not checked: r1 (it is not here)" in done.out


def test_why_goes_with_cached(built):
    done = built.zf("run-phase", "A", "--why")
    assert done.code == 2
    assert "--why goes with --cached" in done.err


def test_cache_without_sources_is_an_error(built):
    write(built, sources=[])
    done = built.zf("validate")
    assert done.code == 2
    assert "`cache` needs `sources`" in done.err + done.out
    assert "task.yaml:" in done.err + done.out


def test_an_earlier_result_says_nothing_of_how_long_the_task_takes(built):
    run(built, "r1")
    before = built.zf("durations").out
    run(built, "r2")
    assert built.zf("durations").out == before


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").mkdir()
    return proof_keys.make_keys(tmp_path / "keys")


@pytest.mark.parametrize(("own", "other"), [("alice", "mallory"), ("key.pem", "other.pem")])
def test_a_signed_run_uses_only_what_the_same_key_has_signed(built, keys, own, other):
    sign = ("--sign", "--key", str(keys / own))
    run(built, "r1")  # not signed at all
    done = run(built, "r2", *sign)
    assert ran(built) == ["built", "read", "built", "read"]
    assert "does not verify now" in done.err
    run(built, "r3", *sign)
    assert ran(built) == []
    done = run(built, "r4", "--sign", "--key", str(keys / other))
    assert ran(built) == ["built", "read"]
    run(built, "r5")  # itself unsigned: it uses what is there
    assert ran(built) == []


def test_outputs_of_an_earlier_result_are_handed_on(project):
    (project.root / "a").write_text("one")
    project.task(
        "make",
        "echo version=1.2.3 >> $ZF_OUTPUT; echo make >> ../count",
        sources=["a"],
        cache=True,
        outputs=["version"],
    )
    project.task(
        "take",
        '[ "$V" = 1.2.3 ] && echo take >> ../count',
        needs=["make"],
        env={"V": {"from": "make.version"}},
        sources=["a"],
        cache=True,
    )
    run(project, "r1")
    run(project, "r2")
    assert ran(project) == ["make", "take"]
    assert project.json("r2", "make", "30-outputs.json") == {"version": "1.2.3"}
    assert project.zf("verify", "r2").code == 0
    assert independent_verifier.verify(str(project.proof("r2"))) == (True, True)
    path = project.root / "tasks/make/task.yaml"
    path.write_text(path.read_text().replace("1.2.3", "1.2.4").replace("make >>", "again >>"))
    done = run(project, "r3", code=1)
    assert ran(project) == ["again"]
    assert "V: 1.2.3 -> 1.2.4" in done.err


def test_a_dry_run_tells_what_would_be_used(built):
    tool = built.root.parent / "tool"
    tool.write_text("1.0")
    write(built, BUILD, cache={"tools": [f"cat {tool}; echo asked >> ../count"]})
    forecast = ("run-phase", "A", "--dry-run", "--cached", "--why")
    done = built.zf(*forecast)
    assert done.out.count("not used: no sealed run has a result of it") == 1
    assert "read  depends on what build leaves" in done.out
    run(built, "r1")
    ran(built)
    done = built.zf(*forecast)
    assert "build  the result of run r1 would count" in done.out
    assert "read  the result of run r1 would count" in done.out
    assert "if its tools print what they printed" in done.out
    (built.root / "src/a.txt").write_text("two\n")
    done = built.zf(*forecast)
    assert "build  not used: sources changed since run r1" in done.out
    assert "sources src/a.txt: 100644" in done.out
    (built.root / "src/a.txt").write_text("one\n")
    (built.root / "dist/out.txt").unlink()
    done = built.zf(*forecast)
    assert "build  the result of run r1 would count" in done.out
    assert not (built.root / "dist/out.txt").exists()
    assert ran(built) == []


def test_each_instance_of_a_matrix_has_a_folder_of_its_own(project):
    """A set-up for every version, as it is kept for all but the one that is new."""
    text = """\
id: env
phase: A
matrix: {py: [%s]}
parallel_safe: true
sources: ["lock-${MATRIX_PY}*"]
generates: [".venv-${MATRIX_PY}"]
cache: true
commands:
  - mkdir -p .venv-$MATRIX_PY && cp lock-$MATRIX_PY .venv-$MATRIX_PY && echo $MATRIX_PY >> ../count
"""
    for py in ("1", "2", "3"):
        (project.root / f"lock-{py}").write_text("a\n")
    project.file("env", text % "1, 2")
    run(project, "r1")
    assert sorted(ran(project)) == ["1", "2"]
    project.file("env", text % "1, 2, 3")
    run(project, "r2")
    assert ran(project) == ["3"]
    (project.root / "lock-2").write_text("b\n")
    shutil.rmtree(project.root / ".venv-3")
    run(project, "r3")
    assert sorted(ran(project)) == ["2", "3"]
    assert project.zf("verify", "r3").code == 0
    assert independent_verifier.verify(str(project.proof("r3"))) == (True, True)
    record = project.json("r3", "env@py=1", "00-meta/task.json")
    assert (record["sources"], record["generates"]) == (["lock-1*"], [".venv-1"])
    assert ".venv-2" in project.zf("plan", "--explain", "env@py=2").out
