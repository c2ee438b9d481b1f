"""Whether a probe whose steps succeeded is good: the condition `until`, where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.lean.records import Struct
from zf.work.environment import OUTPUT, channel_files

if TYPE_CHECKING:
    from zf.model import Task
    from zf.plan.conditions.condition import Scalar
    from zf.work.outcome import Outcome

# The variables of these names, and those of them that are not told.
Look = Callable[[Iterable[str]], tuple[Mapping[str, str], frozenset[str]]]


class Asked(Struct, frozen=True):
    """What the condition may refer to beside the probe's own outputs, which lie in `channel`."""

    channel: str
    look: Look
    facts: Mapping[str, Scalar]
    hide: Callable[[str], str]


def is_met(asked: Asked, text: str, task: Task, outcome: Outcome) -> bool:
    """Whether it holds; what it looked at is told to the outcome where it does not. One that cannot
    be answered does not hold.
    """
    if not text:
        return True
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few tasks have one
    from zf.plan.conditions.verdict import ConditionContext, Needs, evaluate  # noqa: PLC0415

    condition = parse(text)
    seen, hidden = asked.look(condition.variables)
    fields = {**asked.facts, **_outputs(asked.channel, task.id, outcome.attempt)}
    context = ConditionContext(seen, asked.facts, hidden, asked.hide, fields=fields)
    found = evaluate(condition, context, Needs())
    if found.value is not True:
        outcome.detail = found.explain(text)
    return found.value is True


def _outputs(channel: str, task: str, attempt: int) -> dict[str, str]:
    """What the probe wrote to `$ZF_OUTPUT`, by how a condition mentions it."""
    from zf.plan.conditions.condition import Field  # noqa: PLC0415 - as above
    from zf.proof.tree.contents import MAX_HANDED_BYTES  # noqa: PLC0415 - as above
    from zf.work.results.channel import contents  # noqa: PLC0415 - as above
    from zf.work.results.outputs import parse  # noqa: PLC0415 - as above

    found: dict[str, str] = {}
    with suppress(OSError):
        data = contents(channel_files(channel, task, attempt)[OUTPUT], MAX_HANDED_BYTES)
        for name, value in parse(data[:MAX_HANDED_BYTES]).values.items():
            found[Field("outputs", (name,)).key] = value.decode("utf-8", "replace")
    return found
