"""A server that tests share, over a project with a few runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import Project
from tests.support.served import Server

PROJECT = """\
inputs:
  word: {type: string, default: hello}
  level: {type: int, default: 1, min: 0, max: 9}
tasks:
  good: {phase: E, run: "echo $INPUT_WORD $INPUT_LEVEL"}
  after: {phase: E, needs: [good], run: "echo done > $ARTIFACTS_DIR/done.txt"}
  broken: {phase: F, run: "for n in 1 2 3; do echo line $n; done; echo the reason >&2; exit 3"}
  held: {phase: F, needs: [broken], run: "true"}
  waits: {phase: W, run: "until [ -e go ]; do sleep 0.05; done; echo went"}
"""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A project with runs `well` and `badly`, and its server."""
    root: Path = tmp_path_factory.mktemp("served") / "project"
    project = Project(root)
    (root / "zf.yaml").write_text(PROJECT)
    assert project.zf("run-phase", "E", "--run-id", "well").code == 0
    assert project.zf("run-phase", "F", "--run-id", "badly").code == 1
    with Server(project) as server:
        yield server
    project.end_all()
