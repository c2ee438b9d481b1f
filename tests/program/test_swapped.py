"""After each call by which a run writes, any one of its files or folders is swapped for what it
would be if everything had gone well: no run ends better than it was, and what zf signed verifies.

What is swapped in comes from a run with the same id in which the same tasks succeed, so it has the
form, the names and (within itself) the digests that zf gives them. faults.c does it between two
calls of zf, which no process could time better.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.support import proof_keys
from tests.support.faults import SWAP, Fault, struck
from tests.support.hostile import NEVER_A_SUCCESS, RUN, check_no_better
from tests.support.program import Project

IN_CI = range(24)
CAMPAIGN = range(600)
# About as many calls as each makes in this run; a fault beyond the last does nothing, and is told.
CALLS = {"runner": 110, "workers": 220}
# Nothing but this test swaps files here.
WORDS = ("run-phase", "A", "--run-id", RUN, "-j", "2")


class Twofold(Project):
    """The same tasks in two worlds: `better` is whether the world is kind to them."""

    def __init__(self, root: Path, *, better: bool) -> None:
        super().__init__(root)
        self.env.pop("COVERAGE_PROCESS_CONFIG", None)
        if better:
            (root / "better").touch()
        apart = {"parallel_safe": True}
        self.task("bad", "echo x > $ARTIFACTS_DIR/x; [ -e better ] || exit 3", **apart)
        self.task("slow", "[ -e better ] || sleep 300", timeout_sec=0.4, **apart)
        retried = {"max_retries": 1, "retry_delay_sec": 0}
        self.task("flaky", "[ $ATTEMPT -ge 2 ]", **retried, **apart)
        self.task("after", "true", needs=["bad"])


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Path:
    return proof_keys.make_keys(tmp_path_factory.mktemp("swap-keys"))


@pytest.fixture(scope="session")
def better(tmp_path_factory, keys) -> Path:
    """The proof of the run in which everything went well."""
    project = Twofold(tmp_path_factory.mktemp("better") / "project", better=True)
    done = project.zf(*WORDS, "--sign", "--key", str(keys / "alice"))
    assert done.code == 0, done
    return project.proof(RUN)


def places(proof: Path) -> list[str]:
    """Every file and folder of a proof, relative to it, in order."""
    return sorted(str(path.relative_to(proof)) for path in proof.rglob("*"))


def check(root: Path, keys: Path, better: Path, seed: int) -> None:
    rng = random.Random(seed)
    who = rng.choice(sorted(CALLS))
    short = rng.choice(places(better))
    first = rng.randint(1, CALLS[who])
    project = Twofold(root, better=False)
    copy = root / "copy"
    shutil.copytree(better, copy, symlinks=True)
    fault = Fault(who, SWAP, first, swapped=(copy / short, project.proof(RUN, short)))
    log = root / "calls"
    sign = ("--sign", "--key", str(keys / "alice"))
    done = project.zf(*WORDS, *sign, env=fault.env(log))
    print(who, first, short, struck(log))
    check_no_better(project, keys / "allowed", done, compared=_was_sealed(log))


def _was_sealed(log: Path) -> bool:
    """Whether zf had begun to write the run's last line, or was done with it, when the fault
    struck. What is swapped from there on zf has compared before; that is a change of a finished
    proof, which verify finds.
    """
    lines = log.read_text(errors="replace").splitlines()
    struck_at = next((n for n, line in enumerate(lines) if line.endswith(" STRUCK")), 0)
    written = [n for n, line in enumerate(lines) if "write" in line and "events.jsonl" in line]
    return bool(written) and struck_at >= written[-1]


@pytest.mark.parametrize("seed", IN_CI)
def test_no_swap_makes_a_run_better(tmp_path, keys, better, seed):
    check(tmp_path / "project", keys, better, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [n for n in CAMPAIGN if n not in IN_CI])
def test_six_hundred_swaps(tmp_path, keys, better, seed):
    check(tmp_path / "project", keys, better, seed)


def test_a_swap_takes_place(tmp_path, better):
    """The harness would find something: what it swaps in is there afterwards, and zf says so."""
    project = Twofold(tmp_path / "project", better=False)
    forged = tmp_path / "forged.json"
    shutil.copy(better / "run.json", forged)
    fault = Fault("runner", SWAP, 60, swapped=(forged, project.proof(RUN, "run.json")))
    done = project.zf(*WORDS, env=fault.env(tmp_path / "calls"))
    assert done.code == 1
    assert not os.path.exists(forged)
    assert project.proof(RUN, "run.json").read_bytes() == (better / "run.json").read_bytes()
    assert set(NEVER_A_SUCCESS) <= {"after", "bad", "slow"}
