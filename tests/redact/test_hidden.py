"""What hides: processes whose main thread has ended, links in the place of what zf is to make."""

import sys

import pytest

from tests.support.attempts import Attempts
from tests.support.program import Project

# A daemon that lives on in a second thread: its leader shows as a zombie.
HEADLESS = (
    "import ctypes, threading, time\n"
    "threading.Thread(target=time.sleep, args=(300,)).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)\n"
)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of threads")
def test_a_process_whose_main_thread_has_ended_is_a_survivor(tmp_path):
    attempts = Attempts(tmp_path)
    (tmp_path / "headless.py").write_text(HEADLESS)
    result = attempts.run(
        f"setsid {sys.executable} {tmp_path}/headless.py > /dev/null 2>&1 &\n"
        "until [ $(awk '{print $3}' /proc/$!/stat) = Z ]; do sleep 0.02; done"
    )
    assert result.outcome() == ("failure", 0, "survivors")
    (survivor,) = result.status["survivors"]
    assert survivor["command"].endswith("headless.py")


@pytest.mark.parametrize("planted", ["ln -s {out} {place}", "echo > {place}", "ln -s gone {place}"])
def test_nothing_is_made_where_a_link_in_a_tasks_place_leads(tmp_path, planted):
    project = Project(tmp_path / "project")
    out = tmp_path / "out"
    (out / "00-meta").mkdir(parents=True)
    line = planted.format(out=out, place='"$PROOF_DIR/../later"')
    project.task("a", line)
    project.task("later", "echo later", needs=["a"])
    assert project.zf("run-phase", "A", "--run-id", "r", "--shield", "never").code == 0
    assert [path.name for path in out.rglob("*")] == ["00-meta"]
    assert project.log("r", "later", 0) == b"later\n"
    assert project.zf("verify", "r").code == 0
