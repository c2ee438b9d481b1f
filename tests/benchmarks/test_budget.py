"""What a task may cost, counted instead of timed: the same on every machine, quiet or busy.

Each number is a difference between a large and a small run, so start-up is not in it. A budget
leaves room for what differs between systems and for events that come singly or in batches, not for
another file, another fsync or another copy per task. Raising one is a decision: say in the commit
what it buys.
"""

from functools import cache

import pytest

from benchmarks import shapes, stages
from zf.work.walls.namespace import has_capability


@cache
def counted(size, *, memory=False, shield="never"):
    """The processes of one run of `size` tasks, one at a time."""
    return stages.watch_run(shapes.wide(size), jobs=1, memory=memory, shield=shield)


def one(processes, role):
    (process,) = (process for process in processes if process["role"] == role)
    return process


def per_task(measure, small=40, large=140):
    """What `measure` of a run grows by with each further task."""
    return (measure(large) - measure(small)) / (large - small)


# Measured: 13 and 87. The runner's are a task.sha256 held against the one it knows (3), one look at
# what the task recorded (3), an order and an event; the worker's are 7 folders and 9 files made, a script sealed (4 calls, so that no step can
# change what bash reads), one child started and seen to its end, and a look at the end whether its
# folders are still the ones it made (9 calls: what a step moved or replaced is no part of a proof).
@pytest.mark.parametrize(("role", "budget"), [("runner", 15), ("worker", 90)])
def test_calls_into_the_system_per_task(role, budget):
    def calls(size):
        return sum(one(counted(size), role)["system_calls"].values())

    if role == "worker":
        assert 0 < per_task(calls) <= budget
        return

    # How many trees the runner compares before the seal depends on how long the run took; what a
    # compared tree costs beside the task itself shows where all of them are compared.
    def compared(size):
        made = one(counted(size), role)["calls"]
        return made["zf.proof.tampering.Differences._compare_tree"]

    assert (compared(4), compared(16)) == (4, 16)
    with_tree = per_task(calls, small=4, large=16)
    more_trees = compared(140) - compared(16)
    per = (calls(140) - calls(16) - more_trees * with_tree) / (140 - 16 - more_trees)
    assert 0 < per <= budget


# Measured: 102. A link to the artifacts and its end, another one for the task that it is at, the
# scratch folder looked through, link by link, and filled again; a mount that is moved is not counted.
@pytest.mark.skipif(not has_capability(), reason="the shield needs root")
def test_calls_into_the_system_per_task_with_the_shield():
    def calls(size):
        return sum(one(counted(size, shield="auto"), "worker")["system_calls"].values())

    assert 88 < per_task(calls) <= 104


# Measured: 5.1 kB, 0.6 of them the checksum list, so that it need not be read again for the seal, and
# 0.6 what the task used, which the summary adds up at the end; 0.5 are the fields of a task and its
# steps which most leave at their defaults. On top of the interpreter it is what keeps 20 000 tasks
# under 150 MB.
def test_memory_of_the_runner_per_task():
    def peak_bytes(size):
        return one(counted(size, memory=True), "runner")["peak_bytes"]

    assert 0 < per_task(peak_bytes) <= 5300


# Measured: 0.0. One object kept per task would make it 1. Below 300 tasks the numbers of the watch
# itself grow: counts past 256 are objects of their own.
def test_a_worker_keeps_nothing_of_the_tasks_it_has_run():
    def blocks(size):
        return one(counted(size), "worker")["kept_blocks"]

    assert per_task(blocks, small=300, large=600) < 0.5
