"""Two zf on one machine, and tasks of both in one `concurrency` group."""

import os
import signal
import time
from itertools import pairwise

import pytest

from tests.support.killed_runs import children
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

HOLDER = """
echo "$RUN_ID $(date +%s%N) start" >> times
trap 'sleep 0.3; echo "$RUN_ID $(date +%s%N) end" >> times; exit 1' TERM
read line < gate-$RUN_ID & wait
echo "$RUN_ID $(date +%s%N) end" >> times
"""


def spans(project):
    """From when to when each task had the group, by its own clock, in order of its start."""
    found = {}
    for line in (project.root / "times").read_text().splitlines():
        key, at, word = line.rsplit(" ", 2)
        found.setdefault(key, {})[word] = int(at)
    return sorted(found.items(), key=lambda item: item[1]["start"])


def overlaps(project):
    in_order = spans(project)
    return [
        (one, other)
        for (one, a), (other, b) in pairwise(in_order)
        if "end" not in a or b["start"] < a["end"]
    ]


def said(process, *words):
    """Read what zf says until a line has these words; that line."""
    for line in process.stderr:
        if all(word in line for word in words):
            return line
    raise AssertionError(process.communicate())


@pytest.fixture
def waiting(project):
    """Run r1 has the group; r2 waits for it, and has said so."""
    for run in ("r1", "r2"):
        os.mkfifo(project.root / f"gate-{run}")
    (project.root / "zf.yaml").write_text("grace_sec: 5\n")
    project.task("10-holder", HOLDER, concurrency="db")
    project.task("20-beside", "true", parallel_safe=True)
    first = project.popen("run-phase", "A", "-v", "--run-id", "r1")
    said(first, "start", "10-holder")
    second = project.popen("run-phase", "A", "-v", "-j", "1", "--run-id", "r2")
    line = said(second, "waiting", "10-holder")
    yield first, second, line
    for process in (first, second):
        if process.poll() is None:
            process.kill()
        process.communicate()


def open_gate(project, run):
    """Let the task of that run end."""
    (project.root / f"gate-{run}").write_text("go\n")


def event(project, run, kind):
    [found] = [one for one in project.events(run) if one["type"] == kind]
    return found


def test_the_second_waits_without_a_slot_and_says_for_whom(project, waiting):
    first, second, line = waiting
    told = f"waits for 'db', held by run r1 (task 10-holder, pid {first.pid})"
    assert line == f"· waiting   10-holder  {told}\n"
    said(second, "success", "20-beside")
    rows = project.zf("status", "r2").out.splitlines()
    # How wide the columns are hangs on what the other task used.
    assert rows[0].split() == ["TASK", "STATUS", "TIME", "CPU", "MEMORY", "PHASE", "WHAT"]
    assert rows[1].split(maxsplit=6) == ["10-holder", "waiting", "-", "-", "-", "A", told]
    open_gate(project, "r1")
    said(second, "start", "10-holder")
    open_gate(project, "r2")
    assert [first.wait(30), second.wait(30)] == [0, 0]
    assert overlaps(project) == []
    assert len(spans(project)) == 2
    waited_s = event(project, "r2", "lease_taken")["waited_s"]
    assert waited_s > 0
    assert event(project, "r1", "lease_taken")["waited_s"] == 0
    assert " while another run had 'db'" in project.zf("explain", "r2", "10-holder").out
    assert "waited" not in project.zf("explain", "r1", "10-holder").out
    for run in ("r1", "r2"):
        assert verify(str(project.proof(run))).exit_code == VERIFIED


def test_a_killed_runner_has_the_group_until_its_worker_has_ended_the_task(project, waiting):
    first, second, _ = waiting
    first.kill()
    said(second, "start", "10-holder")
    open_gate(project, "r2")
    assert second.wait(30) == 0
    # The first's task took its time to end, and wrote down when it did.
    assert [key for key, _ in spans(project)] == ["r1", "r2"]
    assert overlaps(project) == []


def test_nobody_has_the_group_of_a_runner_and_workers_that_were_killed(project, waiting):
    first, second, _ = waiting
    # Stopped, the runner can do nothing about it; it goes last, so workers do not hear of its end.
    first.send_signal(signal.SIGSTOP)
    for pid in (*children(first.pid), first.pid):
        os.kill(pid, signal.SIGKILL)
    said(second, "start", "10-holder")
    open_gate(project, "r2")
    assert second.wait(30) == 0
    # What is left of the first is there until somebody looks after that run.
    open_gate(project, "r1")


def test_a_resumed_run_waits_like_any_other(project, waiting):
    first, second, _ = waiting
    second.kill()
    again = project.popen("resume", "r2", "-v")
    said(again, "waiting", "10-holder", f"pid {first.pid}")
    open_gate(project, "r1")
    said(again, "start", "10-holder")
    open_gate(project, "r2")
    again.communicate()
    assert [first.wait(30), again.returncode] == [0, 0]
    assert overlaps(project) == []


def test_waiting_counts_as_time_in_the_queue(project, waiting):
    first, _, _ = waiting
    project.task("10-holder", HOLDER, concurrency="db", queue_timeout_sec=0.5)
    done = project.zf("run-phase", "A", "--run-id", "r3")
    assert done.code == 1
    assert project.status("r3", "10-holder")["status"] == "timeout"
    assert project.status("r3", "10-holder")["cause"] == "queue_timeout"
    told = f"waited 0.5s for 'db', held by run r1 (task 10-holder, pid {first.pid})"
    assert project.status("r3", "10-holder")["detail"] == told


def test_one_that_waits_can_be_cancelled(project, waiting):
    _, second, _ = waiting
    assert project.zf("cancel", "r2", "10-holder").code == 0
    assert second.wait(30) == 1
    assert project.status("r2", "10-holder")["status"] == "cancelled"


def test_a_folder_for_leases_that_is_not_ours_alone_is_refused(project, tmp_path):
    project.task("10-a", "true", concurrency="db")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    done = project.zf("run-phase", "A", env={"ZF_LEASES_DIR": str(tmp_path / "open")})
    assert done.code == 2
    assert "error[ZF124]: cannot keep leases on concurrency groups in" in done.err
    assert not (project.root / "proofs").exists()


# Overlaps, measured from the tasks' own clocks.

SHORT = """
echo "$RUN_ID/$TASK_ID $(date +%s%N) start" >> times
mkdir busy
rmdir busy
echo "$RUN_ID/$TASK_ID $(date +%s%N) end" >> times
"""


def crowd(project, *, runs, tasks, kills=0):
    """Runs side by side whose tasks are all in one group; some runners are killed."""
    for number in range(tasks):
        project.task(f"t{number:02}", SHORT, concurrency="db", parallel_safe=True)
    with open(project.root / "said", "w") as sink:
        quiet = {"stdout": sink, "stderr": sink}
        started = [
            project.popen("run-phase", "A", "--run-id", f"r{n}", **quiet) for n in range(runs)
        ]
    for number in range(kills):
        # Whenever another tenth of it all is done, one of the runners dies.
        wanted = (number + 1) * runs * tasks // 10
        while done_so_far(project) < wanted and any(one.poll() is None for one in started):
            time.sleep(0.01)
        started[number].kill()
    codes = [one.wait(600) for one in started]
    assert set(codes[kills:]) == {0}, (project.root / "said").read_text()
    assert overlaps_of_whole(project) == []


def done_so_far(project):
    try:
        return (project.root / "times").read_text().count("end\n")
    except FileNotFoundError:
        return 0


def overlaps_of_whole(project):
    """Attempts that were killed wrote no end; those beside them are looked at all the same."""
    whole = [(key, span) for key, span in spans(project) if "end" in span]
    return [(one, other) for (one, a), (other, b) in pairwise(whole) if b["start"] < a["end"]]


def test_no_two_tasks_of_a_group_overlap(project):
    crowd(project, runs=3, tasks=4)
    assert len(spans(project)) == 12


@pytest.mark.campaign
def test_campaign_of_leases(project):
    crowd(project, runs=10, tasks=50)
    assert len(spans(project)) == 500


@pytest.mark.campaign
def test_campaign_of_leases_and_killed_runners(project):
    crowd(project, runs=10, tasks=50, kills=4)
    assert len(spans(project)) >= 300
