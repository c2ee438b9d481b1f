"""A stranger that has the number of a process zf knew is never signalled: forced, not hoped for."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pid_reuse import CASES

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
PROBE = "echo 99 > /proc/sys/kernel/ns_last_pid && sh -c 'echo $$'"


def way_in():
    """How to make a pid namespace here, if there is one; else why not."""
    why = ""
    for words in (NAMESPACE, (*NAMESPACE, "--user", "--map-root-user")):
        try:
            done = subprocess.run(
                [*words, "sh", "-c", PROBE], capture_output=True, text=True, check=False
            )
        except OSError as error:
            return None, f"unshare: {error.strerror}"
        if done.stdout == "100\n":
            return words, ""
        why = done.stderr.strip() or f"the next number was {done.stdout.strip()}"
    return None, why


@pytest.fixture(scope="module")
def namespace():
    words, why = way_in()
    if words is None:
        pytest.skip(f"no pid namespace in which numbers can be chosen: {why}")
    return words


@pytest.mark.parametrize("case", CASES)
def test_a_stranger_is_never_signalled(namespace, tmp_path, case):
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.support.pid_reuse", case, tmp_path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1:] == ["kept"], done.stderr
