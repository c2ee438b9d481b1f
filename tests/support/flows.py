"""Flows in a few words, and refusals as they are told."""

from __future__ import annotations

import pytest

from zf.errors import ZfError
from zf.model import Flow, Need, Phase, Project, Step, Task


def flow(spec: str, **phases: Phase) -> Flow:
    """A flow from lines like `A: x <- y z`, meaning x of phase A needs y and z."""
    tasks = {}
    for line in filter(None, (text.strip() for text in spec.splitlines())):
        phase, rest = line.split(": ")
        name, _, needs = rest.partition(" <- ")
        tasks[name] = Task(
            name,
            phase,
            (Step("s", "true", 4),),
            title=name.upper(),
            needs=tuple(Need(need, line=3) for need in needs.split()),
            file=f"tasks/{name}/task.yaml",
        )
    return Flow("/p", "/p", dict(sorted(tasks.items())), Project(phases=phases))


def refusal(call, *args, **options) -> list[str]:
    with pytest.raises(ZfError) as caught:
        call(*args, **options)
    assert caught.value.exit_code == 2
    return [problem.render() for problem in caught.value.problems]
