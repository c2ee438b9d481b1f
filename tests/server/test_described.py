"""The API does what its description says, whoever asks, and the description is a sound one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.program import Project
from tests.support.served import Server
from tests.support.tools import from_npm, program

pytestmark = pytest.mark.xdist_group("described")

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("viewer", "operator", "approver", "admin")
PROJECT = """\
inputs: {word: {default: hello}}
tasks:
  good: {phase: E, run: "echo $INPUT_WORD > $ARTIFACTS_DIR/word.txt"}
  bad: {phase: F, run: "exit 3"}
"""
# Which phases, tasks and items there are is the project's, and no part of the description: what
# names others is refused, however well it is formed.
CONFIG = """\
hooks = "tests.support.schemathesis_hooks"
request-timeout = 30

[auth.openapi.token]
bearer = "${TOKEN}"

[checks]
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 412, 416, 422]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("described") / "project")
    (project.root / "zf.yaml").write_text(PROJECT)
    assert project.zf("run-phase", "E", "--run-id", "well").code == 0
    assert project.zf("run-phase", "F", "--run-id", "badly").code == 1
    with Server(project, "serve", "--behind-proxy") as made:
        yield made
    project.end_all()


@pytest.fixture(scope="module")
def description(server, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    path.write_bytes(server.get("/openapi.json", role="viewer").body)
    return path


def test_redocly_finds_nothing_in_the_description(description):
    command = [program("node"), str(from_npm("@redocly/cli/bin/cli.js")), "lint", str(description)]
    env = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        [*command, "--format=json", "--max-problems=1000"],
        cwd=description.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout[done.stdout.index("{") :])
    told = [(one["ruleId"], one["location"][0]["pointer"]) for one in found["problems"]]
    assert (done.returncode, told) == (0, []), done.stdout + done.stderr


@pytest.mark.parametrize("number", ["+1", "1.0", " 1", "1_0", "0x1", "1e2"])
@pytest.mark.parametrize("path", ["/runs?limit=", "/runs/well/events?after=", "/queue?limit="])
def test_a_number_is_one_of_digits(server, path, number):
    assert server.get(f"{path}{quote(number)}").status == 422
    assert server.get(f"{path}1").status == 200


@pytest.mark.parametrize("role", [ROLES[0], ROLES[-1]])
def test_answers_are_as_described_for(role, server, description, tmp_path):
    asks(server, description, tmp_path, role, "--phases=fuzzing", "--max-examples=2", "--seed=1")


@pytest.mark.campaign
@pytest.mark.parametrize("role", ROLES)
def test_many_answers_are_as_described_for(role, server, description, tmp_path):
    asks(server, description, tmp_path, role, "--max-examples=50")


def asks(server: Server, description: Path, tmp_path: Path, role: str, *words: str) -> None:
    """All checks of schemathesis, as a caller with a token of this role."""
    pytest.importorskip("schemathesis")
    told = json.loads(description.read_text())
    # One way in at a time: with a cookie beside its token a caller is refused, as a browser is.
    del told["components"]["securitySchemes"]["session"]
    for methods in told["paths"].values():
        for operation in methods.values():
            operation["security"] = [way for way in operation["security"] if "session" not in way]
    (tmp_path / "openapi.json").write_text(json.dumps(told))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--checks=all"),
            *(f"--url=http://127.0.0.1:{server.port}", "--no-color", *words),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TOKEN": server.token(role)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 41" in done.stdout, done.stdout
