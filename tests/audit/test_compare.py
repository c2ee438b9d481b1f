"""Two runs side by side."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support import proof_bundles, proof_schemas
from tests.support.proof_bundles import FAILED, OK, Ending, Run
from zf.audit.compare import compare, read_env
from zf.errors import ZfError
from zf.events import AttemptEnded, Cause, Status
from zf.proof import layout
from zf.proof.tree import records


def made(folder: Path, run: str, ending: Ending = OK, env: bytes = b"", script: str = "") -> Path:
    it = Run(folder, run).plan(one=(), two=())
    it.attempt("one")
    tree = it.began("two")
    for path, data in ending.artifacts:
        (it.path / "two" / layout.ARTIFACTS / path).parent.mkdir(parents=True, exist_ok=True)
        tree.write(f"{layout.ARTIFACTS}/{path}", data)
    if script:
        tree.write("10-commands/step-1.sh", script.encode())
    tree.write("20-logs/step-0.log", run.encode())
    (it.path / "two/00-meta/env.sh").unlink()
    tree.write(layout.ENV, b"export RUN_ID='%b'\n" % run.encode() + env)
    began, ended = proof_bundles.moment(1), proof_bundles.moment(2)
    event = AttemptEnded(
        *("two", 1, ending.status, None, None, ending.cause, "", None, began, ended, 0.0, "")
    )
    tree.write_status(records.status_fields(run, it.tasks["two"], event))
    tree.close()
    it.journal.close()
    return it.path


def test_runs_that_came_out_equal_do_not_differ(tmp_path):
    found = compare(str(made(tmp_path, "r1")), str(made(tmp_path, "r2")))
    assert found.same
    assert found.render() == "r1 and r2 differ in nothing that counts\n"


def test_everything_that_differs_is_told(tmp_path):
    one = made(tmp_path, "r1", env=b"export A='x'\nexport GONE='1'\n")
    ending = Ending(Status.FAILURE, Cause.EXIT, 7, artifacts=(("empty", b"no more"), ("new", b"")))
    two = made(tmp_path, "r2", ending, env=b"export A='it'\\''s\ny'\n", script="echo\n")
    run_json = json.loads((two / "run.json").read_text())
    run_json["source"]["commit"] = "f" * 40
    run_json["zf_version"] = "0.2.0"
    (two / "run.json").write_text(json.dumps(run_json))
    found = compare(str(one), str(two))
    assert not found.same
    assert found.render() == (
        f"commit: {proof_bundles.COMMIT} -> {'f' * 40}\n"
        "zf: 0.1.0 -> 0.2.0\n"
        "two: success -> failure\n"
        "  script step-1.sh: only in the second\n"
        "  env A: x -> it's\\ny\n"
        "  env GONE: 1 -> -\n"
        "  artifact empty: differs\n"
        "  artifact new: only in the second\n"
        "  artifact report/a b.txt: only in the first\n"
    )
    told = json.loads(json.dumps(found.as_json()))
    assert told["same"] is False
    assert told["tasks"]["two"]["env"]["A"] == ["x", "it's\ny"]
    assert told["tasks"]["two"]["status"] == ["success", "failure"]
    assert told["facts"]["zf"] == ["0.1.0", "0.2.0"]


def test_what_task_files_say_otherwise_is_told_where_both_runs_recorded_it(tmp_path):
    one = Run(tmp_path, "r1").plan(one=(), two=())
    two = Run(tmp_path, "r2").plan(one=(), two=())
    for it in (one, two):
        it.attempt("one")
    two.tasks["two"] = replace(two.tasks["two"], allow_failure=(3,), timeout_s=7, condition="true")
    for it in (one, two):
        it.attempt("two")
        it.end()
    path = one.path / "two/00-meta/task.json"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"condition"' not in line))
    found = compare(str(one.path), str(two.path))
    assert found.render() == "two:\n  timeout_sec: 300 -> 7\n  allow_failure: false -> [3]\n"
    told = json.loads(json.dumps(found.as_json()))
    proof_schemas.check(told, "diff")
    assert told["tasks"]["two"]["definition"]["allow_failure"] == [False, [3]]


def test_a_task_only_one_run_has(tmp_path):
    one = Run(tmp_path, "r1").plan(one=())
    one.attempt("one", FAILED)
    two = Run(tmp_path, "r2").plan(one=(), two=())
    two.attempt("one", FAILED)
    two.attempt("two")
    found = compare(str(one.end().path), str(two.end().path))
    assert list(found.tasks) == ["two"]
    assert found.tasks["two"].status == (None, "success")
    assert "two: - -> success" in found.render()


def test_the_environment_of_a_task_that_ran_in_one_run_alone_is_no_change(tmp_path):
    one = Run(tmp_path, "r1").plan(one=())
    one.attempt("one")
    two = made(tmp_path, "r2", env=b"export A='2'\n")
    found = compare(str(one.end().path), str(two))
    assert found.tasks["two"].status == (None, "success")
    assert found.tasks["two"].env == {}


def test_the_scripts_alone_may_differ(tmp_path):
    found = compare(str(made(tmp_path, "r1", script="a")), str(made(tmp_path, "r2", script="b")))
    assert found.render() == (
        "two:\n  script step-1.sh: differs\n    @@ -1 +1 @@\n    -a\n    +b\n"
    )
    assert found.as_json()["tasks"]["two"]["status"] is None


def test_the_lines_of_a_script_that_differ_are_shown_and_so_many_of_them(tmp_path):
    lines = [f"echo {number}" for number in range(100)]
    other = [*lines[:50], "echo \x1b[31mred", *lines[51:]]
    one = made(tmp_path, "r1", script="\n".join(lines))
    two = made(tmp_path, "r2", script="\n".join(other))
    assert compare(str(one), str(two)).render() == (
        "two:\n"
        "  script step-1.sh: differs\n"
        "    @@ -50,3 +50,3 @@\n"
        "     echo 49\n"
        "    -echo 50\n"
        "    +echo \\x1b[31mred\n"
        "     echo 51\n"
    )
    three = made(tmp_path, "r3", script="\n".join(f"run {number}" for number in range(100)))
    told = compare(str(one), str(three)).render().splitlines()
    assert (len(told), told[-1]) == (43, "    and 161 more lines")


@pytest.mark.parametrize("name", ["99-summary/status.json", "40-checksums/task.sha256"])
@pytest.mark.parametrize("data", [b"\xff", b"[]", None])
def test_what_cannot_be_read_counts_as_not_there(tmp_path, name, data):
    one, two = made(tmp_path, "r1"), made(tmp_path, "r2")
    path = two / "two" / name
    path.write_bytes(data) if data else path.unlink()
    found = compare(str(one), str(two))
    assert list(found.tasks) == ["two"]


def test_an_environment_that_is_gone_counts_as_empty(tmp_path):
    one = made(tmp_path, "r1", env=b"export A='1'\n")
    two = made(tmp_path, "r2", env=b"export A='2'\n")
    (two / "two/00-meta/env.sh").unlink()
    assert compare(str(one), str(two)).tasks["two"].env == {"A": ("1", None)}


def test_what_is_no_run_is_refused(tmp_path):
    one, two = made(tmp_path, "r1"), made(tmp_path, "r2")
    (two / "plan.json").write_text('{"tasks":[1]}')
    with pytest.raises(ZfError, match=r"plan\.json: it lacks"):
        compare(str(one), str(two))
    (two / "run.json").write_text('{"source":[]}')
    (two / "plan.json").write_text(
        '{"schema":"zf/plan/v2","phases":[],"needs":"checked","upstream":{},"tasks":[]}'
    )
    assert compare(str(one), str(two)).facts["commit"] == (proof_bundles.COMMIT, None)


def test_env_sh_is_read_as_a_shell_would():
    data = (
        b"# head\nexport A='1\n2'\nexport B=''\\'''\n# passed, value not recorded: C\nexport D=''\n"
    )
    assert read_env(data) == {"A": "1\n2", "B": "'", "D": ""}
