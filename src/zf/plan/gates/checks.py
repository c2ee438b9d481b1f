"""What a task file says of a monitor that cannot be meant: above all, one without limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zf.errors import Problem
    from zf.plan.drafts import Draft


def check_repeat(drafts: Iterable[Draft]) -> Iterator[Problem]:
    """Monitors that might never end, and what no monitor can have."""
    for draft in drafts:
        if draft.task is not None and draft.task.repeat:
            yield from _unlimited(draft, draft.task.repeat)
            yield from _beside(draft)
            yield from _outputs(draft)


def _unlimited(draft: Draft, said: Mapping[str, Any]) -> Iterator[Problem]:
    if "limit" not in said and "for_sec" not in said:
        yield draft.problem(
            ("repeat",),
            "ZF750",
            f"the `repeat` of {draft.title} has no limit",
            "say how many probes there are at most, such as limit: 30, or for how long it has to"
            " stay good: for_sec: 900",
        )
    if "inconclusive" in said and "inconclusive_limit" not in said:
        yield draft.problem(
            ("repeat", "inconclusive"),
            "ZF751",
            "`inconclusive` has no limit",
            "say how many such probes in a row fail the task, such as inconclusive_limit: 5",
        )
    elif "inconclusive_limit" in said and "inconclusive" not in said:
        yield draft.problem(
            ("repeat", "inconclusive_limit"),
            "ZF751",
            "`inconclusive_limit` limits nothing, as no exit code is inconclusive",
            "say which are, such as inconclusive: [75], or remove it",
        )


def _beside(draft: Draft) -> Iterator[Problem]:
    """Keys that mean nothing beside it."""
    task = draft.task
    assert task is not None
    for key, is_said, why in (
        ("cache", task.cache, "what it looks at is outside, and no earlier look counts for it"),
        ("leave_running", task.leave_running, "each probe ends with all that it started"),
    ):
        if is_said:
            hint = f"remove `{key}`, or `repeat`"
            yield draft.problem((key,), "ZF752", f"`{key}` cannot be beside `repeat`: {why}", hint)


def _outputs(draft: Draft) -> Iterator[Problem]:
    """Outputs that `until` asks for and that the task does not hand on."""
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few tasks repeat
    from zf.plan.suggest import nearest  # noqa: PLC0415 - as above

    task = draft.task
    assert task is not None
    if task.repeat["until"] == "success" or not task.outputs:
        return
    for field, (at, length) in parse(task.repeat["until"]).fields.items():
        if field.kind == "outputs" and field.path[0] not in task.outputs:
            guess = nearest(field.path[0], task.outputs)
            hint = f"did you mean 'outputs.{guess}'?" if guess else "add it to `outputs`"
            message = f"`until` asks for '{field.key}', which is not among the task's `outputs`"
            pointer, loc = draft.pointer(("repeat", "until"))
            yield pointer.inside(loc, at, length, "ZF260", message, hint)
