"""What is worth telling of a step that failed: what it lacked that it would have had elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from zf.proof import layout

if TYPE_CHECKING:
    from zf.model import Step, Task
    from zf.proof.tree.store import TaskTree
    from zf.work.context import WorkerContext
    from zf.work.outcome import Outcome
    from zf.work.walls.sandbox import Sandbox

# Of the files that a step could not see, and of the end of its log that is looked at for them.
_MOST_UNSEEN, _END_BYTES = 5, 16_384


def tell(
    context: WorkerContext,
    task: Task,
    outcome: Outcome,
    tree: TaskTree,
    env: Mapping[str, str],
    sandbox: Sandbox | None,
) -> None:
    """Note it of the step at which the outcome was decided, whose environment this was."""
    assert outcome.step is not None
    step = task.steps[outcome.step]
    outcome.notes += _not_passed(context, step, env)
    if sandbox is not None:
        end = tree.end_of(layout.log(f"step-{outcome.step}"), _END_BYTES)
        text = end.decode("utf-8", "replace")
        for path in sandbox.unseen(step.workdir or task.workdir, text)[:_MOST_UNSEEN]:
            told = f"{path} is in the project, but not in `read` of its sandbox"
            outcome.notes.append(told)


def _not_passed(context: WorkerContext, step: Step, env: Mapping[str, str]) -> list[str]:
    """Of the variables that the step names, those that it would have had elsewhere."""
    names = context.outside.not_passed(step, env)
    if not names:
        return []
    listed = ", ".join(names)
    verb = "is" if len(names) == 1 else "are"
    told = f"{listed} {verb} set where zf was started, but not passed to steps:"
    return [f"{told} `pass_env: [{listed}]` in the task file does that"]
