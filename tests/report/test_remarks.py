"""What is said of a task beside its outcome: what it used of what it had asked for."""

from __future__ import annotations

import pytest

from tests.support.report_samples import ended, facts_of, failed, used
from zf.events import Event
from zf.report.remarks import on_use, use

GB = 2**30


@pytest.mark.parametrize(
    ("resources", "event", "told"),
    [
        ({"cpu": 4}, ended("a", duration_s=10, measures=used(6)), "asked for 4 cpu, used 0.6"),
        ({"cpu": 4}, ended("a", duration_s=10, measures=used(20)), ""),
        ({"cpu": 4}, ended("a", duration_s=10, measures=used(43)), ""),
        ({"cpu": 4}, ended("a", duration_s=10, measures=used(45)), "asked for 4 cpu, used 4.5"),
        ({"cpu": 1}, ended("a", duration_s=10, measures=used(0.1)), ""),
        ({"cpu": 1}, ended("a", duration_s=10, measures=used(34)), "asked for 1 cpu, used 3.4"),
        # Over before it could use what it had, one way or another.
        ({"cpu": 4}, ended("a", duration_s=0.9, measures=used(0.1)), ""),
        ({"cpu": 4}, failed("a", duration_s=10, measures=used(1)), ""),
        ({"cpu": 4}, failed("a", duration_s=10, measures=used(80)), "asked for 4 cpu, used 8.0"),
        (
            {"mem_mb": 2048},
            failed("a", measures=used(1, int(2.1 * GB))),
            "memory: 2.1 GiB of the 2.0 GiB asked for",
        ),
        ({"mem_mb": 2048}, ended("a", measures=used(1, 2 * GB)), ""),
        ({"mem_mb": 2048}, ended("a", measures=used(1, 2**20)), ""),
        # Not known, or not measured by zf.
        ({"mem_mb": 2048, "cpu": 4}, ended("a", measures={}), ""),
        (
            {"mem_mb": 1, "cpu": 4},
            ended("a", measures=used(1) | {"cpu_user_s": None, "cpu_system_s": None}),
            "",
        ),
        ({"licences": 1, "cpu": 0}, ended("a", duration_s=10, measures=used(9, GB)), ""),
        ({}, ended("a", duration_s=10, measures=used(90, GB)), ""),
    ],
)
def test_what_was_used_of_what_was_asked_for(
    resources: dict[str, int], event: Event, told: str
) -> None:
    task = facts_of("a", [event]).tasks["a"]
    task.resources = resources
    assert on_use(task) == ([told] if told else [])


def test_use_says_what_is_known_and_more_than_nothing() -> None:
    known = {"cpu_user_s": 1.25, "cpu_system_s": 0.25, "peak_memory_bytes": 3 * 2**30}
    whole = {**known, "read_bytes": 512, "written_bytes": 2**20, "output_bytes": 7}
    told = "1.5s of CPU time, up to 3.0 GiB of memory in one process"
    assert use(known) == told
    assert use(whole) == f"{told}, 512 B read, 1.0 MiB written"
    assert use(known, "a\x1bb") == f"{told} (a\\x1bb)"
    assert use({"cpu_user_s": None, "cpu_system_s": None, "peak_memory_bytes": None}) == ""
    assert use({}) == ""
