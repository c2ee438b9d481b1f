"""Hostile tasks: a step does what it can to its own and to other trees, kills workers and runner,
and no run ends better than it was; what zf signed verifies. With the shield and without it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import proof_keys
from tests.support.hostile import RUN, Hostile, check_no_better, misbehaviour

SHIELDS = ("never", "auto")
IN_CI = range(24)
CAMPAIGN = range(200)


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Path:
    return proof_keys.make_keys(tmp_path_factory.mktemp("hostile-keys"))


def check(root: Path, keys: Path, seed: int, shield: str) -> None:
    when, orders = misbehaviour(seed)
    project = Hostile(root, when, orders)
    sign = ("--sign", "--key", str(keys / "alice"))
    done = [project.zf("run-phase", "A", "--run-id", RUN, "-j", "4", "--shield", shield, *sign)]
    if done[0].code == -9:
        # It got the runner: somebody will go on with what lies there.
        done.append(project.zf("resume", RUN, *sign))
        done = done[1:]
    assert project.left() == [], (when, orders)
    check_no_better(project, keys / "allowed", *done)


@pytest.mark.parametrize("shield", SHIELDS)
@pytest.mark.parametrize("seed", IN_CI)
def test_no_run_ends_better_than_it_was(tmp_path, keys, seed, shield):
    check(tmp_path / "project", keys, seed, shield)


@pytest.mark.campaign
@pytest.mark.parametrize("shield", SHIELDS)
@pytest.mark.parametrize("seed", [n for n in CAMPAIGN if n not in IN_CI])
def test_two_hundred_misbehaviours(tmp_path, keys, seed, shield):
    check(tmp_path / "project", keys, seed, shield)


def test_the_misbehaviours_happen(tmp_path, keys):
    """The campaign would find something: with nothing between them, a task does change files."""
    project = Hostile(tmp_path / "project", "after", ("forge", "bad/99-summary/status.json"))
    done = project.zf("run-phase", "A", "--run-id", RUN, "-j", "4", "--shield", "never")
    assert project.status(RUN, "bad")["status"] == "success"
    assert os.path.exists(project.proof(RUN))
    check_no_better(project, keys / "allowed", done)
