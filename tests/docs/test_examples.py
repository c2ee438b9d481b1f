"""Every example with an `expected.json` is run by the real zf, and ends as that file says; one in a
container where there is an engine, with the other tests of containers.
"""

from __future__ import annotations

import json

import pytest

from tests.support.examples import EXAMPLES, copied, ends_as_expected
from tests.support.program import Project
from zf.plan import schema
from zf.plan.files import forms

EXPECTED = {path.parent.name: json.loads(path.read_text()) for path in EXAMPLES.glob("*/exp*.json")}
NAMES = sorted(name for name, expected in EXPECTED.items() if "image" not in expected)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_ends_as_it_says(tmp_path, name):
    project = Project(tmp_path / "project")
    expected = copied(name, project)
    project.env["CI"] = "1"  # where a run waits for its messages
    ends_as_expected(project, expected)


def test_every_key_of_a_task_is_in_an_example():
    files = [*EXAMPLES.glob("*/tasks/*/task.yaml"), *EXAMPLES.glob("*/zf.yaml")]
    texts = "".join(path.read_text() for path in files)
    shown = {line.split(":")[0].strip() for line in texts.splitlines()}
    # Not every machine can hold the last.
    assert schema.TASK.keys() - shown <= {"pass_env", "workdir", "pids_max"}


def test_every_key_of_a_file_of_tasks_is_in_an_example():
    texts = "".join(path.read_text() for path in EXAMPLES.glob("*/zf.yaml"))
    shown = {line.split(":")[0] for line in texts.splitlines()}
    assert forms.file_keys().keys() <= shown


def test_no_example_is_passed_over():
    # `book` belongs to the tutorial and `harbour` to zf's own checks: both are run there.
    assert {path.name for path in EXAMPLES.iterdir()} == {"book", "harbour", *EXPECTED}
    assert set(EXPECTED) - set(NAMES) == {"container"}
