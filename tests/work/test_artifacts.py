"""Secrets in artifacts: which are found, and which are only noted."""

import pytest

from zf.model import Project, Step, Task
from zf.redact.redactor import Redactor
from zf.work.artifacts import ArtifactSecrets

OWN, PASSED = "correct-horse-battery", "hunter2hunter2"


@pytest.fixture
def redactor():
    task = Task("one", "A", (Step("s", "true"),), env={"API_KEY": OWN, "PIN_KEY": "1234"})
    return Redactor((task,), {"NAMED": PASSED}, Project(secrets=("NAM*",)))


@pytest.mark.parametrize(
    ("path", "data", "rules"),
    [
        ("kept/file", OWN, []),
        ("file", OWN, ["secret:API_KEY in line 1"]),
        ("file", PASSED, ["secret:NAMED in line 1"]),
        ("file", "pin 1234", []),
        ("file", "nothing", []),
    ],
)
def test_artifacts_are_judged_by_all_but_short_ones(redactor, path, data, rules):
    task = Task("t", "A", (Step("s", "true"),), allow_secrets_in=("kept/*",))
    secrets = ArtifactSecrets(redactor.full, redactor.secrets, task.allow_secrets_in)
    assert secrets.search(path, [data.encode()]) == rules
    said = "artifact kept/file contains a secret (secret:API_KEY in line 1)"
    assert secrets.notes() == [f"{said}: allow_secrets_in permits it"] * path.startswith("kept")
