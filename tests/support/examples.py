"""The examples in `examples/`, run by the real zf, and what their `expected.json` says of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.support.program import Project

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def copied(name: str, project: Project) -> dict[str, Any]:
    """Have the project be this example; what is expected of it."""
    shutil.copytree(EXAMPLES / name, project.root, dirs_exist_ok=True)
    expected: dict[str, Any] = json.loads((project.root / "expected.json").read_text())
    return expected


def ends_as_expected(project: Project, expected: dict[str, Any]) -> None:
    """Run it, answer what it asks, and compare."""
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
