"""What is left running prints on: that is told, disturbs no worker and changes no proof."""

import re

import pytest

# Prints when it is ended; its step waits until it is ready for that.
SERVER = """\
(trap 'seq 1000; echo bye; echo "token $API_TOKEN"; exit 0' TERM
echo up; touch ready; while :; do sleep 0.02; done) &
until [ -e ready ]; do sleep 0.01; done"""


@pytest.mark.parametrize("shield", ["always", "never"])
def test_what_it_prints_at_the_end_is_told_and_changes_no_proof(project, shield):
    project.task("server", SERVER, leave_running=True, pass_env=["API_TOKEN"])
    env = {"API_TOKEN": "hunter2hunter2"}
    done = project.zf("run-phase", "A", "--run-id", "r", "--shield", shield, env=env)
    assert done.code == 0, done
    assert "had to give up" not in done.err
    # bash says that its sleep was terminated, or not.
    told = r"zf: what server left running printed after its steps is in no log \(39\d\d bytes\):\n"
    assert re.search(rf"{told}  \| 993\n", done.err)
    assert "  | 1000\n  | bye\n  | token ***\n" in done.err
    assert project.log("r", "server") == b"up\n"
    assert project.zf("verify", "r").code == 0


def test_of_much_that_it_prints_the_end_is_told(project):
    # Not before its own step has ended: what is printed by then is in the log.
    begun = "until [ -e begun ]; do sleep 0.01; done"
    flood = f"trap '' TERM; {begun}; seq 300000; echo last; touch ready; sleep 300"
    later = "touch begun; until [ -e ready ]; do sleep 0.01; done"
    project.task("server", f"({flood}) & true", leave_running=True)
    project.task("later", later, needs=["server"])
    done = project.zf("run-phase", "A", "--run-id", "r", "--grace", "0.2")
    assert done.code == 0, done
    assert "  | 299999\n  | 300000\n  | last\n" in done.err
    assert len(done.err) < 3000
    assert project.zf("verify", "r").code == 0


def test_what_a_later_step_of_its_task_ends_is_told_as_well(project):
    server = SERVER.replace("touch ready", "echo $BASHPID > pid; touch ready")
    project.task("server", server, "kill $(cat pid)", leave_running=True)
    done = project.zf("run-phase", "A", "--run-id", "r")
    assert done.code == 0, done
    assert "zf: what server left running printed after its steps is in no log" in done.err
    assert "  | bye\n" in done.err
