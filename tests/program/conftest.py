"""Containers as several modules try them: one engine, as it takes long to make."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.attacks import Place
from tests.support.engines import Engine, Rootless
from tests.support.program import survivors


@contextmanager
def _made(kind):
    folder = Path(tempfile.mkdtemp(prefix="zf-engine-", dir="/var/tmp"))
    found = kind(folder)
    yield found
    found.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rootful():
    with _made(Engine) as found:
        yield found


@pytest.fixture(scope="session")
def engine(rootful):
    """The one of a test, if it does not say another."""
    return rootful


@pytest.fixture(scope="session")
def rootless():
    """That of a user who is not root."""
    with _made(Rootless) as found:
        yield found


class Box(Place):
    """A project of the user whose containers its tasks have."""

    def __init__(self, root, engine):
        super().__init__(root)
        self.engine = engine
        self.prefix = engine.prefix
        self.env |= engine.env

    def popen(self, *words, **keys):
        self.engine.hand_over(self.root.parent)
        return super().popen(*words, **keys)


@pytest.fixture
def boxes(engine):
    """A project whose tasks can have containers, and of which none is left."""
    yield from _project(engine)


@pytest.fixture
def without_root(rootless):
    """The same, of a user who is not root."""
    yield from _project(rootless)


def _project(engine):
    if engine.why_not:
        pytest.skip(f"no container here: {engine.why_not}")
    # Where its user can get at it.
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        place = Box(Path(top) / "project", engine)
        yield place
        place.end_all()
        assert engine.containers() == []
        assert survivors(place.mark) == []
