"""Task files that use nothing new have the digests that they had before there was anything new."""

import json
from pathlib import Path

import pytest

from zf.model import definition_sha256
from zf.plan.load import load

ROOT = Path(__file__).resolve().parents[2]
# Written by zf as it was before files of several tasks. An example that is changed on purpose has
# new digests: copy them from the failure.
GOLDEN = json.loads((ROOT / "tests/golden/digests.json").read_text())


@pytest.mark.parametrize("project", GOLDEN)
def test_the_digests_are_as_ever(project):
    root = str(ROOT / project)
    flow = load(root, root, default_phase_timeout_s=3600).flow
    now = {name: definition_sha256(flow.tasks[name]) for name in GOLDEN[project]}
    assert now == GOLDEN[project]
