"""Containers as several modules try them: one engine, as it takes long to make."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.attacks import Place
from tests.support.engines import Engine
from tests.support.program import survivors


@pytest.fixture(scope="session")
def engine():
    folder = Path(tempfile.mkdtemp(prefix="zf-engine-", dir="/var/tmp"))
    found = Engine(folder)
    yield found
    found.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def boxes(engine, tmp_path):
    """A project whose tasks can have containers, and of which none is left."""
    if engine.why_not:
        pytest.skip(f"no container here: {engine.why_not}")
    place = Place(tmp_path / "project")
    place.env |= engine.env
    yield place
    place.end_all()
    assert engine.containers() == []
    assert survivors(place.mark) == []
