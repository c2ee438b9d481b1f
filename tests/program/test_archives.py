"""A run that comes as an archive from another machine: looked at, built on, and run again here."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.support.program import Project


@pytest.fixture
def ci(tmp_path) -> Project:
    """A project as a CI job has it; its runs are exported beside it."""
    return project_at(tmp_path / "ci")


@pytest.fixture
def home(tmp_path) -> Project:
    """The same project at home."""
    return project_at(tmp_path / "home")


def project_at(root: Path) -> Project:
    project = Project(root)
    project.task("10-build", "echo built > thing.txt", phase="A", artifacts=["thing.txt"])
    project.task("20-test", "test -e fixed", phase="B", needs=["10-build"])
    project.task("30-fast", "true", phase="B")
    project.task("40-pack", "true", phase="C", needs=["20-test"])
    return project


def exported(project: Project, run: str) -> str:
    path = project.root.parent / f"{run}.tar"
    assert project.zf("export", run, "-o", str(path)).code == 0
    return str(path)


def ran(project: Project, *words: str) -> str:
    """The archive of a run there."""
    run = words[-1]
    project.zf(*words)
    return exported(project, run)


def test_the_next_phase_runs_elsewhere_on_an_archive(ci, home):
    archive = ran(ci, "run-phase", "A", "--run-id", "first")
    done = home.zf("run-phase", "B", "--upstream", archive, "--run-id", "second", "--json")
    assert f"{archive} is intact: run first is in proofs/first now" in done.err
    assert json.loads(done.out)["tasks"]["20-test"]["status"] == "failure"
    met = json.loads((home.root / "proofs/second/plan.json").read_text())["upstream"]["10-build"]
    assert met["run"] == "first"
    assert home.zf("verify", "second").code == 0
    assert home.zf("verify", "first").code == 0


def test_an_archive_that_was_changed_is_not_built_on(ci, home):
    archive = Path(ran(ci, "run-phase", "A", "--run-id", "first"))
    with tarfile.open(archive) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar if m.isfile()]
    with tarfile.open(archive, "w") as tar:
        for member, data in members:
            changed = data.replace(b"built", b"bUilt")
            tar.addfile(member, io.BytesIO(changed if "thing.txt" in member.name else data))
    for words in (("run-phase", "B", "--upstream"), ("rerun", "--failed")):
        done = home.zf(*words, str(archive))
        assert done.code == 1
        assert "error[ZF140]: the proof of run" in done.err
        assert f"zf verify {archive} says what is wrong with it" in done.err
    assert not (home.root / "proofs").exists() or not list(home.root.glob("proofs/[!.]*"))
    assert home.zf("verify", str(archive)).code == 1


def test_what_failed_there_runs_again_here(ci, home):
    archive = ran(ci, "run-phase", "A", "B", "C", "--run-id", "theirs")
    (home.root / "fixed").touch()
    done = home.zf("rerun", archive, "--failed", "--run-id", "mine", "--json")
    assert done.code == 0, done.err
    tasks = json.loads(done.out)["tasks"]
    assert {name: one["status"] for name, one in tasks.items()} == {
        "20-test": "success",
        "40-pack": "success",
    }
    run = json.loads((home.root / "proofs/mine/run.json").read_text())
    assert run["rerun_of"] == "theirs"
    told = home.zf("diff", archive, "mine")
    assert told.code == 1
    assert "20-test: failure -> success" in told.out
    # And what that one left can be run again, though the archive is gone.
    Path(archive).unlink()
    (home.root / "fixed").unlink()
    home.zf("rerun", "theirs", "--failed", "--run-id", "again")
    assert home.zf("rerun", "again", "--failed", "--run-id", "last").code == 1


def test_a_run_that_built_on_another_needs_its_archive_too(ci, home):
    first = ran(ci, "run-phase", "A", "--run-id", "first")
    second = ran(ci, "run-phase", "B", "--upstream", "first", "--run-id", "second")
    (home.root / "fixed").touch()
    done = home.zf("rerun", second, "--failed")
    assert done.code == 2
    assert "run 'second' took '10-build' from run 'first', which is not here" in done.err
    assert "--upstream first.tar" in done.err
    done = home.zf("rerun", second, "--failed", "--upstream", first, "--run-id", "mine")
    assert done.code == 0, done.err


def test_an_archive_is_unpacked_once(ci, home):
    archive = ran(ci, "run-phase", "A", "--run-id", "first")
    home.zf("run-phase", "B", "--upstream", archive, "--run-id", "second")
    again = home.zf("run-phase", "B", "--upstream", archive, "--run-id", "third")
    assert "is intact" not in again.err
    # It began before the runs that build on it, however late it came here.
    assert home.zf("status", "--json").out.index("third") < home.zf("status", "--json").out.index(
        "first"
    )


def test_another_run_of_that_id_is_never_replaced(ci, home):
    archive = ran(ci, "run-phase", "A", "--run-id", "same")
    home.zf("run-phase", "A", "--run-id", "same")
    before = (home.root / "proofs/same/events.jsonl").read_bytes()
    done = home.zf("run-phase", "B", "--upstream", archive)
    assert done.code == 5
    assert "error[ZF122]" in done.err
    assert (home.root / "proofs/same/events.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "ARCHIVE"),
        ("status", "ARCHIVE"),
        ("explain", "ARCHIVE"),
        ("explain", "ARCHIVE", "20-test"),
        ("logs", "ARCHIVE", "10-build"),
        ("diff", "ARCHIVE", "ARCHIVE"),
        ("export", "ARCHIVE", "-o", "again.tar"),
    ],
)
def test_verbs_that_look_at_a_run_take_its_archive(ci, home, words, tmp_path):
    archive = ran(ci, "run-phase", "A", "B", "--run-id", "theirs")
    (tmp_path / "tmp").mkdir()
    given = [archive if word == "ARCHIVE" else word for word in words]
    done = home.zf(*given, env={"TMPDIR": str(tmp_path / "tmp")})
    assert done.code == 0, done.err
    # Nothing is left of it, and nothing is said of where it was unpacked.
    assert list((tmp_path / "tmp").iterdir()) == []
    assert str(tmp_path / "tmp") not in done.out
    assert not (home.root / "proofs").exists()
    if words[0] == "export":
        assert (home.root / "again.tar").read_bytes() == Path(archive).read_bytes()


def test_a_verb_that_changes_a_run_takes_none(ci, home):
    archive = ran(ci, "run-phase", "A", "--run-id", "first")
    for words in (("resume", archive), ("seal", archive), ("cancel", archive)):
        done = home.zf(*words)
        assert done.code == 2
        assert "is an archive, and no run of this project" in done.err
