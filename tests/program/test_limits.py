"""Limits of tasks: held by a cgroup where one can be made, else for each process; reached, and named
as the cause.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support import attacks
from tests.support.attacks import Place
from tests.support.independent_verifier import verify as independent
from zf.work.limits.cgroups import CONTROLLERS, places

LACKING = sorted({*CONTROLLERS} - places().keys())
cgroup = pytest.mark.skipif(bool(LACKING), reason=f"no cgroup can be made here with {LACKING}")
# Not that of an environment below /tmp, of which a sandbox shows nothing.
PYTHON = Path(sys.executable).resolve()
ALLOCATE = f"{PYTHON} -c 'x = bytearray(300 * 1024 * 1024); print(len(x))'"
# Programs of the system: this Python may be installed where only root can read it.
HOLD = "head -c 300M /dev/zero | tail -n 1 | wc -c"
OPEN = "for _ in {1..100}; do exec {one}< /dev/null; done"


@pytest.fixture
def project(tmp_path):
    return Place(tmp_path / "project")


@pytest.fixture
def of_nobody():
    """A project of a user who can make no cgroup."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv, to be another user")
    with attacks.of_nobody() as place:
        yield place


def run(place, script, **limits):
    place.task("t", script, **limits)
    place.hand_over()
    done = place.zf("run-phase", "A", "--run-id", "r")
    assert place.zf("verify", "r").code == 0
    assert independent(place.proof("r")) == (True, True)
    return done, place.status("r", "t")


@cgroup
def test_the_kernel_kills_what_is_over_its_memory_and_that_is_the_cause(project):
    done, status = run(project, f"{ALLOCATE}; echo go on", memory_mb=64)
    assert done.code == 1
    assert status["cause"] == "oom"
    assert status["detail"].startswith(
        "memory_mb (64 MB) was reached: the kernel killed a process;"
    )
    assert status["limits"] == {"memory_mb": {"value": 64, "by": "cgroup"}}
    assert status["detail"] in done.out
    assert "[ZF721]" in done.out


@cgroup
def test_one_that_is_killed_in_a_task_that_goes_well_is_told(project):
    done, status = run(project, f"{ALLOCATE} || true", memory_mb=64)
    assert (done.code, status["status"]) == (0, "success")
    assert status["notes"] == ["memory_mb (64 MB) was reached: the kernel killed a process"]


@cgroup
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap")
def test_a_sandbox_stands_in_the_limits(project):
    _, status = run(project, ALLOCATE, memory_mb=64, sandbox=True)
    assert (status["cause"], status["isolation"]) == ("oom", "sandbox"), status


@cgroup
def test_no_process_more_than_its_number(project):
    _, status = run(project, f"{PYTHON} -c '{_FORKS}'", pids_max=20)
    assert status["cause"] == "limit"
    assert status["detail"].startswith("pids_max (20) was reached: ")
    assert status["limits"] == {"pids_max": {"value": 20, "by": "cgroup"}}


_FORKS = """
import os, time
for _ in range(100):
    if not os.fork():
        time.sleep(5)
        break
"""


@cgroup
def test_half_a_processor_takes_twice_as_long_as_it_computes(project):
    """Of which the kernel keeps count, so that a busy machine makes no difference."""
    burn = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    script = f"{PYTHON} -c '{burn}'; cat /proc/self/cgroup"
    _, status = run(project, script, cpus=0.5)
    assert status["status"] == "success"
    assert status["limits"] == {"cpus": {"value": 0.5, "by": "cgroup"}}
    assert "-limits-1" in project.log("r", "t").decode()
    assert status["duration_s"] > 0.6


def test_memory_of_each_process_where_there_is_no_cgroup(of_nobody):
    done, status = run(of_nobody, HOLD, memory_mb=200)
    assert done.code == 1
    assert status["cause"] == "limit"
    assert (
        "memory_mb (200 MB for each process) was reached by what its log says" in status["detail"]
    )
    assert status["limits"] == {"memory_mb": {"value": 200, "by": "rlimit"}}


def test_processors_by_affinity_where_there_is_no_cgroup(of_nobody):
    _, status = run(of_nobody, "nproc", cpus=1)
    assert of_nobody.log("r", "t") == b"1\n"
    assert status["limits"] == {"cpus": {"value": 1, "by": "affinity"}}


@pytest.mark.parametrize("who", ["project", "of_nobody"])
def test_open_files_of_each_process(request, who):
    done, status = run(request.getfixturevalue(who), OPEN, open_files=24)
    assert done.code == 1
    assert status["cause"] == "limit"
    told = (
        "open_files (24 for each process) was reached by what its log says ('Too many open files')"
    )
    assert status["detail"].startswith(told)
    assert status["limits"] == {"open_files": {"value": 24, "by": "rlimit"}}


def test_niceness_counts_from_that_of_zf(project):
    _, status = run(project, "nice", nice=7)
    assert project.log("r", "t").strip() == b"%d" % min(os.nice(0) + 7, 19)
    assert status["limits"] == {"nice": {"value": 7, "by": "nice"}}


UNHELD = {
    "pids_max": (50, "no cgroup with the controller 'pids' can be made here"),
    "cpus": (0.5, "no cgroup with the controller 'cpu' can be made here"),
    "nice": (-5, "only root may have less niceness"),
}


@pytest.mark.parametrize("key", UNHELD)
def test_what_cannot_be_held_is_an_error_before_anything_runs(of_nobody, key):
    value, why = UNHELD[key]
    of_nobody.task("t", "true", **{key: value})
    of_nobody.hand_over()
    done = of_nobody.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 2
    assert f"{key} of task 't' cannot be held here: {why}" in done.err
    assert "[ZF715]" in done.err
    assert not of_nobody.proof("r").exists()


@cgroup
def test_a_service_is_under_the_limits_of_its_task(project):
    spec = {"name": "s", "run": ALLOCATE + "; sleep 60", "ready": "false"}
    _, status = run(project, "true", memory_mb=64, services=[spec])
    assert status["cause"] == "oom"
    assert "service 's' died" in status["detail"]


@cgroup
def test_no_cgroup_is_left(project):
    run(project, "true", memory_mb=64, pids_max=50, cpus=1)
    left = [
        name
        for place in places().values()
        for name in os.listdir(place.folder)
        if "-limits-" in name
    ]
    mine = [name for name in left if not _is_used(name)]
    assert mine == []


def _is_used(name):
    """By another run on this machine: its worker lives."""
    return Path(f"/proc/{name.split('-')[2]}").exists()


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(50))
def test_each_process_reaches_them_fifty_times(of_nobody, number):
    """Where there is no cgroup; what is held by affinity is reached by nothing, and stands."""
    causes = {
        "memory_mb": (200, HOLD, "limit", "rlimit"),
        "open_files": (24, OPEN, "limit", "rlimit"),
        "cpus": (1, 'test "$(nproc)" = 1', "", "affinity"),
    }
    for key, (value, script, _, _) in causes.items():
        of_nobody.task(key, script, **{key: value})
    of_nobody.hand_over()
    of_nobody.zf("run-phase", "A", "--run-id", "r")
    told = {key: of_nobody.status("r", key) for key in causes}
    found = {key: (one["cause"], one["limits"][key]["by"]) for key, one in told.items()}
    assert found == {key: (cause, by) for key, (_, _, cause, by) in causes.items()}


@cgroup
@pytest.mark.campaign
@pytest.mark.parametrize("number", range(50))
def test_reached_fifty_times(tmp_path, number):
    project = Place(tmp_path / "project")
    causes = {
        "memory_mb": (64, ALLOCATE, "oom"),
        "pids_max": (20, f"{PYTHON} -c '{_FORKS}'", "limit"),
        "open_files": (24, OPEN, "limit"),
        "cpus": (0.5, "cat /proc/self/cgroup | grep -q limits-1", ""),
    }
    for key, (value, script, _) in causes.items():
        project.task(key, script, **{key: value})
    project.zf("run-phase", "A", "--run-id", "r")
    found = {key: project.status("r", key)["cause"] for key in causes}
    assert found == {key: cause for key, (_, _, cause) in causes.items()}
