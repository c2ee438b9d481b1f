"""A run in numbers, as OpenMetrics text: how long it and its tasks took and what they used, what
they came to, and what they measured themselves; for GitLab's `artifacts:reports:metrics`, and
whatever scrapes such files. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.events import Status
from zf.metrics.exposition import Series, from_json, summed, text
from zf.report.summary import total_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from zf.report.facts import Facts
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

# What zf's own names begin with, and what each says.
_OWN = "zf_"
_ABOUT = {
    "zf_run_success": "Whether the run passed.",
    "zf_run_duration_seconds": "How long the run took.",
    "zf_run_completed_timestamp_seconds": "When the run ended.",
    "zf_tasks": "How many tasks came to what.",
    "zf_task_attempts": "How many attempts were made of a task.",
    "zf_task_duration_seconds": "How long the attempt took that counts.",
    "zf_task_cpu_seconds": "The time on a CPU, user and system, of that attempt.",
    "zf_task_peak_memory_bytes": "The most memory that it had at once.",
}


def render(run: RecordedRun) -> Iterator[bytes]:
    """Gauges of the run and its tasks, and the tasks' metrics summed over the run. Labels are names
    of tasks, phases and statuses alone: none grows from run to run.
    """
    measured = map(from_json, summed(task.metrics for task in run.facts.tasks.values()))
    others = (one for one in measured if not one.name.startswith(_OWN))
    yield from with_help([*of_run(run.facts), *others])


def with_help(series: Iterable[Series]) -> Iterator[bytes]:
    """The text of these series, line by line."""
    for line in text(series).splitlines():
        yield f"{line}\n".encode()
        if line.startswith("# TYPE "):
            # promtool and people ask of every name what it means.
            name = line.split()[2]
            yield f"# HELP {name} {_ABOUT.get(name, 'What the tasks measured.')}\n".encode()


def of_run(facts: Facts) -> Iterator[Series]:
    """What zf itself says of a run and of its tasks."""
    yield gauge("run_success", float(facts.result == "passed"))
    took = total_s(facts)
    if took is not None:
        yield gauge("run_duration_seconds", took, unit="seconds")
    for word in (*(status.value for status in Status), "running", "waiting"):
        yield gauge("tasks", facts.counts.get(word, 0), {"status": word})
    for task in facts.tasks.values():
        yield from _of_task(task)


def _of_task(task: TaskFacts) -> Iterator[Series]:
    """How many attempts there were, and what that which counts took and used."""
    labels = {"phase": task.phase, "task": task.id}
    if task.attempt:
        yield gauge("task_attempts", task.attempt, labels)
    if task.duration_s is not None:
        yield gauge("task_duration_seconds", task.duration_s, labels, "seconds")
    used = {key: value for key, value in task.measures.items() if isinstance(value, (int, float))}
    if {"cpu_user_s", "cpu_system_s"} <= used.keys():
        cpu_s = used["cpu_user_s"] + used["cpu_system_s"]
        yield gauge("task_cpu_seconds", round(cpu_s, 6), labels, "seconds")
    if "peak_memory_bytes" in used:
        yield gauge("task_peak_memory_bytes", used["peak_memory_bytes"], labels, "bytes")


def gauge(
    name: str, value: float, labels: Mapping[str, str] | None = None, unit: str = ""
) -> Series:
    """One of zf's own, named without what all of these begin with."""
    told = tuple(sorted((labels or {}).items()))
    return Series(f"{_OWN}{name}", told, "gauge", float(value), unit)
