"""Readings of the real machine."""

from __future__ import annotations

import os
import time

from zf.run.host.machine import MIN_INTERVAL_S, Sampler, machine_resources


def test_a_busy_loop_is_seen():
    start = time.monotonic()
    sampler = Sampler(start, interval_s=0)
    assert sampler.sample(start) is None
    assert sampler.due_at() == start + MIN_INTERVAL_S
    while time.monotonic() < start + 0.5:
        pass
    load = sampler.sample(time.monotonic())
    # One core was ours, whatever the others did.
    assert 80 / os.cpu_count() < load.cpu_percent <= 100
    assert load.free_mem_mb > 0
    assert sampler.sample(start + 0.5) is None


def test_the_machine_has_a_cpu_and_memory():
    found = machine_resources()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert found["cpu"] == usable
    assert found["mem_mb"] > 100
