"""What takes Linux is told in a sentence elsewhere, before anything begins."""

import sys

import pytest

from zf.work.limits.limits import Unheld, held_by
from zf.work.walls.engine import AUTO, why_none
from zf.work.walls.sandbox import found_on


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")


def test_a_sandbox():
    assert found_on("/usr/bin:/bin")[1] == "it takes Linux"


@pytest.mark.parametrize("setting", [AUTO, "docker"])
def test_a_container(setting):
    assert why_none(setting) == (
        "containers take Linux: elsewhere they are in a machine of their own"
    )


@pytest.mark.parametrize(("key", "value"), [("memory_mb", 64), ("cpus", 1), ("pids_max", 9)])
def test_a_limit(key, value):
    assert held_by(key, value, {}) == Unheld(key, "darwin does not hold it", "leave it out")
