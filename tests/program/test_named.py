"""`zf run`: everything, or what is named with all that it needs; phases that go on after others."""

from tests.support.program import Project


def built(project: Project, zf_yaml: str = "") -> None:
    project.task("compile", "true", phase="B")
    project.task("docs", "test ! -e broken", phase="B")
    project.task("unit", "echo tested", phase="T", needs=["compile"])
    project.task("deploy", "true", phase="D", needs=["unit"])
    (project.root / "zf.yaml").write_text(zf_yaml)


def planned(project: Project, run: str) -> dict:
    plan = project.json(run, "plan.json")
    return {row["name"]: row["whole"] for row in plan["phases"]}


def test_without_a_name_everything_is_run_and_what_was_run_is_intact(project):
    built(project)
    assert project.zf("run", "--run-id", "r1").code == 0
    assert planned(project, "r1") == {"B": True, "T": True, "D": True}
    assert project.zf("verify", "r1").code == 0


def test_a_named_phase_brings_what_it_needs_and_a_part_does_not_pass_for_the_whole(project):
    built(project)
    assert project.zf("run", "D", "--run-id", "r1").code == 0
    assert planned(project, "r1") == {"B": False, "T": True, "D": True}
    said = project.zf("verify", "r1", "--phase", "B")
    assert said.code != 0
    assert project.zf("verify", "r1", "--phase", "T").code == 0


def test_one_named_task_shows_what_it_prints(project):
    built(project)
    assert "unit | tested" in project.zf("run", "unit").err
    assert "unit | tested" not in project.zf("run", "unit", "deploy").err
    assert "unit | tested" not in project.zf("run", "unit", "--output", "quiet").err


def test_a_task_is_named_by_its_file_too(project):
    built(project)
    assert project.zf("run", "tasks/unit/task.yaml", "--run-id", "r1").code == 0
    assert planned(project, "r1") == {"B": False, "T": True}


def test_a_wrong_word_is_refused_before_anything_runs(project):
    built(project)
    done = project.zf("run", "unti", "D")
    assert done.code == 2
    assert "did you mean 'unit' (phase T)?" in done.err
    assert not (project.root / "proofs").exists()


def test_warnings_are_about_what_is_run(project):
    built(project, "phases: {D: {timeout_sec: 5}, T: {timeout_sec: 5}}")
    project.task("late", "true", phase="D", timeout_sec=50)
    assert "ZF217" in project.zf("run", "D").err
    assert "ZF217" in project.zf("run", "late").err
    assert "ZF217" not in project.zf("run", "T").err


def test_it_keeps_going_with_phases_that_do_not_need_the_failed_one(project):
    built(project, "phases: {D: {needs: [T]}}")
    (project.root / "broken").touch()
    assert project.zf("run", "--run-id", "r1").code == 1
    assert project.status("r1", "unit")["status"] == "cancelled"
    assert project.zf("run", "--keep-going", "--run-id", "r2").code == 1
    ends = {t: project.status("r2", t)["status"] for t in ("compile", "docs", "unit", "deploy")}
    assert ends == {"compile": "success", "docs": "failure", "unit": "success", "deploy": "success"}
    assert project.json("r2", "run.json")["limits"]["keep_going"] is True
    assert "keep_going" not in project.json("r1", "run.json")["limits"]
    assert project.zf("verify", "r2").code == 0


def test_to_stop_at_once_and_to_keep_going_exclude_each_other(project):
    built(project)
    done = project.zf("run", "--keep-going", "--fail-fast")
    assert done.code == 2
    assert "--fail-fast and --keep-going exclude each other" in done.err
    assert project.zf("run", "--keep-going", "--fail-fast=off").code == 0
