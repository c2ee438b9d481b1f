"""A run in numbers, as OpenMetrics text: how long it and its tasks took, and what they came to; for
GitLab's `artifacts:reports:metrics`, and whatever scrapes such files. Pure.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.events import Status
from zf.report.summary import total_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

Sample = tuple["Mapping[str, str]", float]


def render(run: RecordedRun) -> Iterator[bytes]:
    """Every family with its samples. Labels are the names of tasks and phases alone: none grows
    from run to run.
    """
    facts = run.facts
    tasks = facts.tasks.values()
    yield _family(
        "zf_run_success", "Whether the run passed.", [({}, float(facts.result == "passed"))]
    )
    took = total_s(facts)
    if took is not None:
        yield _family("zf_run_duration_seconds", "How long the run took.", [({}, took)], "seconds")
    words = [*(status.value for status in Status), "running", "waiting"]
    yield _family(
        "zf_tasks",
        "How many tasks came to what.",
        [({"status": word}, facts.counts.get(word, 0)) for word in words],
    )
    yield _family(
        "zf_task_duration_seconds",
        "How long the attempt of a task took that counts.",
        [(_of(task), task.duration_s) for task in tasks if task.duration_s is not None],
        "seconds",
    )
    yield _family(
        "zf_task_attempts",
        "How many attempts were made of a task.",
        [(_of(task), task.attempt) for task in tasks if task.attempt],
    )
    yield b"# EOF\n"


def _of(task: TaskFacts) -> Mapping[str, str]:
    return {"task": task.id, "phase": task.phase}


def _family(name: str, about: str, samples: Iterable[Sample], unit: str = "") -> bytes:
    """Gauges: each file tells of one run, and nothing in it is counted on in the next."""
    lines = [f"# TYPE {name} gauge"]
    lines += [f"# UNIT {name} {unit}"] if unit else []
    lines.append(f"# HELP {name} {_escaped(about)}")
    found = [f"{name}{_labels(labels)} {value:.10g}" for labels, value in samples]
    return "".join(f"{line}\n" for line in [*lines, *found]).encode() if found else b""


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
