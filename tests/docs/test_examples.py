"""Every example with an `expected.json` is run by the real zf, and ends as that file says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.program import Project
from zf.plan import schema
from zf.plan.files import forms

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/expected.json"))


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Project, dict]:
    """A copy of the example, and what is expected of it."""
    project = Project(tmp_path / "project")
    shutil.copytree(EXAMPLES / request.param, project.root, dirs_exist_ok=True)
    return project, json.loads((project.root / "expected.json").read_text())


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_an_example_ends_as_it_says(example):
    project, expected = example
    project.env["CI"] = "1"  # where a run waits for its messages
    keys = {by: new_key(project, by) for by in expected.get("approve", {}).values()}
    done = project.zf(
        "run-phase", expected.get("phase", "A"), "--run-id", "r", *expected.get("options", ())
    )
    for task, by in expected.get("approve", {}).items():
        assert project.zf("approve", "r", task, "--key", keys[by]).code == 0
        done = project.zf("resume", "r", *expected["options"])
    statuses = {name: project.status("r", name) for name in expected["tasks"]}
    for name, wanted in expected["tasks"].items():
        assert {key: statuses[name][key] for key in wanted} == wanted, done.err
    assert done.code == expected["exit_code"], done.err
    proof = project.proof("r")
    assert set(expected["tasks"]) == {path.parent.parent.name for path in status_files(proof)}
    for file, text in expected.get("files", {}).items():
        assert (proof / file).read_text() == text
    for file, kind in expected.get("told", {}).items():
        assert json.loads((project.root / file).read_text())["type"] == kind
    for file, text in expected.get("left", {}).items():
        assert (project.root / file).read_text() == text
    if "hidden" in expected:
        files = [path for path in proof.rglob("*") if path.is_file()]
        assert not [path for path in files if expected["hidden"].encode() in path.read_bytes()]
    assert project.zf("verify", "r").code == expected.get("verify", 0)


def new_key(project: Project, owner: str) -> str:
    """The path of a key that the project's list of allowed signers has from now on."""
    path = project.root.parent / owner
    words = ["-q", "-t", "ed25519", "-N", "", "-C", owner, "-f", str(path)]
    subprocess.run(["ssh-keygen", *words], check=True)
    with (project.root / "allowed_signers").open("a") as file:
        file.write(f"{owner} {path.with_suffix(path.suffix + '.pub').read_text()}")
    return str(path)


def status_files(proof: Path) -> list[Path]:
    """One for each task of the run."""
    return list(proof.glob("*/99-summary/status.json"))


def test_every_key_of_a_task_is_in_an_example():
    files = [*EXAMPLES.glob("*/tasks/*/task.yaml"), *EXAMPLES.glob("*/zf.yaml")]
    texts = "".join(path.read_text() for path in files)
    shown = {line.split(":")[0].strip() for line in texts.splitlines()}
    # Not every machine can hold the last two.
    assert schema.TASK.keys() - shown <= {"pass_env", "workdir", "pids_max", "container"}


def test_every_key_of_a_file_of_tasks_is_in_an_example():
    texts = "".join(path.read_text() for path in EXAMPLES.glob("*/zf.yaml"))
    shown = {line.split(":")[0] for line in texts.splitlines()}
    assert forms.file_keys().keys() <= shown


def test_no_example_is_passed_over():
    # `book` belongs to the tutorial and `harbour` to zf's own checks: both are run there.
    assert {path.name for path in EXAMPLES.iterdir()} == {"book", "harbour", *NAMES}
