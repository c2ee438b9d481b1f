"""What tests of streams follow."""

import shutil

import pytest


@pytest.fixture
def journal(shared, tmp_path):
    """That of a run that can be written to."""
    shutil.copytree(shared.project.root / "proofs/well", tmp_path / "well")
    path = tmp_path / "well/events.jsonl"
    path.chmod(0o644)
    return path
