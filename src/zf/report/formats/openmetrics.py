"""A run in numbers, as OpenMetrics text: how long it and its tasks took, and what they came to; for
GitLab's `artifacts:reports:metrics`, and whatever scrapes such files. Pure.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.events import Status
from zf.lean.records import Struct
from zf.model import NOTHING
from zf.report.summary import total_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

Sample = tuple["Mapping[str, str]", float]


class Family(Struct, frozen=True):
    """A gauge with its samples: a file tells of one run, and nothing in it is counted on in the
    next.
    """

    name: str
    about: str
    samples: Sequence[Sample]
    unit: str = ""

    def lines(self, common: Mapping[str, str] = NOTHING) -> Iterator[bytes]:
        """Its text; `common` are labels that each sample has. To Prometheus's own older format the
        unit is a comment.
        """
        if not self.samples:
            return
        yield f"# TYPE {self.name} gauge\n".encode()
        if self.unit:
            yield f"# UNIT {self.name} {self.unit}\n".encode()
        yield f"# HELP {self.name} {_escaped(self.about)}\n".encode()
        for labels, value in self.samples:
            yield f"{self.name}{_labels({**common, **labels})} {value:.16g}\n".encode()


def render(run: RecordedRun) -> Iterator[bytes]:
    """Every family with its samples."""
    for family in families(run):
        yield from family.lines()
    yield b"# EOF\n"


def families(run: RecordedRun) -> Iterator[Family]:
    """What is said of a run. Labels are the names of tasks and phases alone: none grows from run to
    run.
    """
    facts = run.facts
    tasks = facts.tasks.values()
    yield Family(
        "zf_run_success", "Whether the run passed.", [({}, float(facts.result == "passed"))]
    )
    took = total_s(facts)
    if took is not None:
        yield Family("zf_run_duration_seconds", "How long the run took.", [({}, took)], "seconds")
    words = [*(status.value for status in Status), "running", "waiting"]
    yield Family(
        "zf_tasks",
        "How many tasks came to what.",
        [({"status": word}, facts.counts.get(word, 0)) for word in words],
    )
    yield Family(
        "zf_task_duration_seconds",
        "How long the attempt of a task took that counts.",
        [(_of(task), task.duration_s) for task in tasks if task.duration_s is not None],
        "seconds",
    )
    yield Family(
        "zf_task_attempts",
        "How many attempts were made of a task.",
        [(_of(task), task.attempt) for task in tasks if task.attempt],
    )


def _of(task: TaskFacts) -> Mapping[str, str]:
    return {"task": task.id, "phase": task.phase}


def _labels(labels: Mapping[str, str]) -> str:
    said = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
