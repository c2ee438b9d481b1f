"""`--only`, `--skip` and `zf list -s`: what is run, what is refused, and what git has to say."""

import subprocess

import pytest

from tests.support.program import Project


@pytest.fixture
def built(project: Project) -> Project:
    project.task("build", "true", phase="B")
    project.task("unit", "true", phase="T", needs=["build"], tags=["fast"])
    project.task("e2e", "test ! -e broken", phase="T", needs=["build"], tags=["slow"])
    project.task("deploy", "true", phase="D", needs=["unit", {"task": "e2e", "optional": True}])
    return project


def git(project: Project, *words: str) -> None:
    name = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *name, *words], cwd=project.root, env=project.env, check=True)


def ran(project: Project, run: str) -> dict[str, str]:
    rows = project.json(run, "plan.json")["tasks"]
    return {row["id"]: project.status(run, row["id"])["status"] for row in rows}


def listed(project: Project, text: str) -> list[str]:
    done = project.zf("list", "-s", text)
    assert done.code == 0, done.err
    return [line.split()[0] for line in done.out.splitlines() if line.startswith("  ")]


def test_what_is_selected_runs_with_what_it_needs(built):
    assert built.zf("run", "--only", "tag(fast)", "--run-id", "r1").code == 0
    assert ran(built, "r1") == {"build": "success", "unit": "success"}
    plan = built.json("r1", "plan.json")
    assert {row["name"]: row["whole"] for row in plan["phases"]} == {"B": True, "T": False}
    assert plan["needs"] == "checked"
    assert built.zf("verify", "r1", "--phase", "T").code != 0
    # Of what is named, not of everything.
    assert built.zf("run", "D", "--only", "phase(T)", "--run-id", "r2").code == 0
    assert set(ran(built, "r2")) == {"build", "unit", "e2e"}


def test_what_is_skipped_takes_along_what_only_it_needs(built):
    built.task("load", "true", phase="B")
    built.task("soak", "true", phase="T", needs=["load"])
    assert built.zf("run", "T", "--skip", "soak", "--run-id", "r1").code == 0
    assert set(ran(built, "r1")) == {"build", "unit", "e2e"}


def test_nothing_runs_without_a_need_that_is_skipped(built):
    done = built.zf("run", "--skip", "unit")
    assert done.code == 2
    assert done.err == (
        "tasks/deploy/task.yaml:6: error[ZF115]: 'deploy' needs 'unit', which --skip leaves out\n"
        "  hint: leave out what needs it, too: --skip unit+\n"
    )
    assert not (built.root / "proofs").exists()
    assert built.zf("run", "--skip", "unit+", "--run-id", "r1").code == 0
    assert set(ran(built, "r1")) == {"build", "e2e"}
    # An optional need is dropped.
    assert built.zf("run", "--skip", "e2e", "--run-id", "r2").code == 0
    assert set(ran(built, "r2")) == {"build", "unit", "deploy"}


def test_run_phase_adds_nothing_and_takes_needs_from_earlier_runs(built):
    done = built.zf("run-phase", "T", "--only", "unit")
    assert done.code == 2
    assert "hint: zf run T --only unit" in done.err
    assert built.zf("run-phase", "B", "--run-id", "r1").code == 0
    assert (
        built.zf("run-phase", "T", "--only", "unit", "--upstream", "r1", "--run-id", "r2").code == 0
    )
    assert set(ran(built, "r2")) == {"unit"}
    assert built.zf("run-phase", "B", "T", "--skip", "tag(slow)", "--run-id", "r3").code == 0
    assert set(ran(built, "r3")) == {"build", "unit"}
    done = built.zf("run-phase", "B", "T", "--skip", "build")
    assert "which --skip leaves out" in done.err
    assert built.zf("run-phase", "T", "--skip", "build", "--upstream", "r1").code == 0


def test_a_rerun_selects_among_the_tasks_of_its_run(built):
    (built.root / "broken").touch()
    assert built.zf("run", "--run-id", "r1").code == 1
    (built.root / "broken").unlink()
    assert listed(built, "failed(r1)") == ["deploy", "e2e"]
    assert built.zf("rerun", "r1", "--only", "phase(T) & failed(r1)", "--run-id", "r2").code == 0
    assert set(ran(built, "r2")) == {"e2e"}
    assert built.zf("rerun", "r1", "--failed", "--skip", "deploy", "--run-id", "r3").code == 0
    assert set(ran(built, "r3")) == {"e2e"}
    done = built.zf("rerun", "r1", "--only", "phase(B) & !build")
    assert (done.code, done.err) == (0, "nothing to run again of r1: no task is selected\n")


def test_a_plan_shows_what_would_be_run(built):
    done = built.zf("plan", "B", "T", "--skip", "tag(slow)", "--json")
    assert '"id": "unit"' in done.out
    assert '"id": "e2e"' not in done.out
    assert "hint: zf run T --only unit" in built.zf("plan", "T", "--only", "unit").err
    dry = built.zf("run", "--only", "unit", "--dry-run", "--json")
    assert '"id": "build"' in dry.out
    assert '"id": "deploy"' not in dry.out
    assert not (built.root / "proofs").exists()


def test_where_nothing_is_left_there_is_no_run_and_no_failure(built):
    for words in (("run", "--only", "none()"), ("run-phase", "T", "--skip", "all()")):
        done = built.zf(*words)
        assert done.code == 0
        assert done.err == f"nothing to run: {' '.join(words[-2:])} leaves no task\n"
    assert not (built.root / "proofs").exists()


def test_a_bad_expression_is_refused_before_any_file_is_read(built):
    (built.root / "zf.yaml").write_text("nonsense: [")
    done = built.zf("run", "--only", "unit &")
    assert done.code == 2
    assert "--only:1:7: error[ZF113]" in done.err
    assert "zf.yaml" not in done.err


def test_a_shell_completes_no_more_than_names(built):
    done = built.zf("list", "-s", "$(touch pwned)")
    assert done.code == 2
    assert not (built.root / "pwned").exists()


class TestChanged:
    @pytest.fixture
    def repo(self, built):
        (built.root / ".gitignore").write_text("proofs\nignored\n")
        (built.root / "src.txt").write_text("one\n")
        git(built, "init", "-q", "-b", "main")
        git(built, "add", "-A")
        git(built, "commit", "-qm", "one")
        git(built, "checkout", "-qb", "topic")
        return built

    def test_nothing_has(self, repo):
        (repo.root / "ignored").write_text("x")
        assert repo.zf("run", "--only", "unit").code == 0  # a proof is no change
        assert listed(repo, "changed(main)") == []

    def test_a_task_without_sources_has_when_anything_has(self, repo):
        every = ["build", "deploy", "e2e", "unit"]
        for change in ("edit", "new", "delete"):
            if change == "edit":
                (repo.root / "src.txt").write_text("two\n")
            elif change == "new":
                (repo.root / "new.txt").write_text("x\n")
            else:
                (repo.root / "src.txt").unlink()
            assert sorted(listed(repo, "changed(main)")) == every, change
            git(repo, "stash", "-q", "--include-untracked")
            assert listed(repo, "changed(main)") == []

    def test_a_task_with_sources_has_when_one_of_them_has(self, repo):
        repo.task(
            "unit", "true", phase="T", needs=["build"], sources=["src.txt", "lib/**", "!*.md"]
        )
        repo.task("build", "true", phase="B", sources=["lib/"])
        repo.task("e2e", "true", phase="T", needs=["build"], sources=["e2e"])
        repo.task("deploy", "true", phase="D", needs=["unit"], sources=["none"])
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "sources")
        (repo.root / "lib" / "deep").mkdir(parents=True)
        changes = {
            "other.txt": [],
            "src.txt": ["deploy", "unit"],
            "lib/deep/x": ["build", "deploy", "e2e", "unit"],
            "tasks/e2e/task.yaml": ["e2e"],
        }
        for path, names in changes.items():
            with (repo.root / path).open("a") as stream:
                stream.write("# more\n")
            assert sorted(listed(repo, "changed(HEAD)")) == names, path
            git(repo, "add", "-A")
            git(repo, "commit", "-qm", path)

    def test_what_the_branch_did_counts_and_what_main_did_since_does_not(self, repo):
        git(repo, "checkout", "-q", "main")
        (repo.root / "main.txt").write_text("x\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "two")
        git(repo, "checkout", "-q", "topic")
        assert listed(repo, "changed(main)") == []
        (repo.root / "src.txt").write_text("two\n")
        git(repo, "commit", "-qam", "three")
        assert len(listed(repo, "changed(main)")) == 4
        assert listed(repo, "changed(HEAD)") == []

    def test_files_outside_of_the_project_do_not_count(self, repo, tmp_path):
        inner = Project(repo.root / "inner")
        inner.env = repo.env
        inner.task("x", "true")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "inner")
        (repo.root / "src.txt").write_text("two\n")
        assert listed(inner, "changed(HEAD)") == []
        (inner.root / "y").write_text("y")
        assert listed(inner, "changed(HEAD)") == ["x"]

    def test_what_every_task_may_use_concerns_all(self, repo):
        (repo.root / "zf.yaml").write_text("include: [shared.yaml]\n")
        (repo.root / "shared.yaml").write_text("templates: {t: {env: {A: b}}}\n")
        git(repo, "add", "-A")
        git(repo, "commit", "-qm", "shared")
        assert listed(repo, "changed(HEAD)") == []
        for name, text in (
            ("zf.yaml", "include: [shared.yaml] # x\n"),
            ("shared.yaml", "templates: {}\n"),
        ):
            (repo.root / name).write_text(text)
            assert len(listed(repo, "changed(HEAD)")) == 4
            git(repo, "checkout", "-q", ".")

    @pytest.mark.parametrize("ref", ["nope", "--output=pwned", "main..topic", "-h", "main:src.txt"])
    def test_what_git_does_not_know_is_refused(self, repo, ref):
        done = repo.zf("list", "-s", f"changed({ref})")
        assert done.code == 2
        assert "error[ZF116]: git does not say what changed since" in done.err
        assert not (repo.root / "pwned").exists()

    def test_without_git_nothing_can_be_said(self, built):
        done = built.zf("list", "-s", "changed(main)")
        assert done.code == 2
        assert "ZF116" in done.err
