"""Very many tasks at once: they all run, and neither descriptors nor processes pile up."""

import os
import time
from pathlib import Path

import pytest

from tests.support.killed_runs import children
from tests.support.program import heard
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

# Each waits for one line; the fifo is kept open, so none is lost.
WAIT = "exec 3<>gate; read -u 3 line"


def descriptors(pids):
    return sorted(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def idle_descriptors(workers):
    """How many descriptors each worker has open that does not run the one task, by pid: once that
    task has a process and the others have let go of their last tree, which they do after they told
    its outcome. Which worker runs it is chance.
    """
    give_up = time.monotonic() + 60
    while True:
        busy = [pid for pid in workers if children(pid)]
        idle = {pid: descriptors([pid])[0] for pid in workers if pid not in busy}
        # The first of them were made before the journal was, and do not have it open.
        if len(busy) == 1 and max(idle.values()) - min(idle.values()) <= 1:
            return idle
        assert time.monotonic() < give_up, (busy, idle)


def zombies(pids):
    below = [child for pid in pids for child in children(pid)]
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2] for pid in below]
    return sum(stat.startswith("Z") for stat in stats)


def pss_kb(pids):
    """The memory of these processes, in KiB; what several share is divided between them."""
    rows = [Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() for pid in pids]
    return sum(int(row.split()[1]) for one in rows for row in one if row.startswith("Pss:"))


def two_waves(project, many):
    """So many tasks at once, twice, and a single one after each wave, during which the other
    workers have nothing to do; what an idle worker then takes, in KiB.
    """
    os.mkfifo(project.root / "gate")
    gate = os.open(project.root / "gate", os.O_RDWR)
    for phase in "AC":
        for number in range(many):
            project.task(f"{phase}{number:04}", WAIT, phase=phase, parallel_safe=True)
    project.task("B", WAIT, phase="B")
    project.task("D", WAIT, phase="D")
    process = project.popen(
        *("run-phase", "A", "B", "C", "D", "--run-id", "r1"),
        *("-j", str(many), "--progress", "json"),
    )
    seen = []
    for wave, after in ("AB", "CD"):
        heard(process, "attempt_started", many)
        # All of them are under way: none could have ended yet.
        os.write(gate, b"\n" * many)
        heard(process, "attempt_started", task=after)
        workers = children(process.pid)
        assert len(workers) == many, wave
        seen.append((descriptors([process.pid]), idle_descriptors(workers)))
        assert zombies([process.pid, *workers]) == 0
        idle_kb = pss_kb(workers) / many
        os.write(gate, b"\n")
    _, err = process.communicate()
    os.close(gate)
    assert process.returncode == 0, err
    (runner, idle), (runner_later, idle_later) = seen
    both = idle.keys() & idle_later.keys()
    assert len(both) >= many - 2  # all but the two that ran B and D
    assert runner == runner_later
    assert {pid: idle[pid] for pid in both} == {pid: idle_later[pid] for pid in both}
    assert verify(str(project.proof("r1"))).exit_code == VERIFIED
    return idle_kb


def test_a_hundred_at_once(project):
    two_waves(project, 100)


@pytest.mark.campaign
def test_a_thousand_at_once(project):
    print(f"an idle worker among 1000: {two_waves(project, 1000):.0f} KiB (PSS)")
