"""Outputs of needs: what task files take of them has to be handed on there, and what it then is.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from zf.lean.records import Struct
from zf.model import NOTHING, Need, base_of


class Wrong(Struct, frozen=True):
    """A reference to an output that is not there, and what to do about it."""

    code: str
    message: str
    hint: str | None


def split(reference: str) -> tuple[str, str]:
    """The task and the output that `task.output` names: ids may have dots, outputs have none."""
    task, _, output = reference.rpartition(".")
    return task, output


def key_of(task: str, output: str) -> str:
    """How a condition writes an output, always the same."""
    from zf.plan.conditions.condition import Field  # noqa: PLC0415 - 4 ms, and few plans have one

    return Field("needs", (task, output)).key


def value_of(
    task: str, output: str, needs: Iterable[Need], handed: Mapping[str, Mapping[str, str]]
) -> str | None:
    """An output of a task or matrix among these needs, by what each of them `handed` on; None where
    there is none.

    Of a matrix that is all instances have, as a JSON object: the name of each with its value. So
    none is lost, whichever ends last. Of the one instance that `matrix: same` stands for, it is the
    value alone.
    """
    if task in handed:
        return handed[task].get(output)
    instances = {need.task: need for need in needs if base_of(need.task) == task != need.task}
    if [need.matrix for need in instances.values()] == ["same"]:
        return handed.get(next(iter(instances)), NOTHING).get(output)
    by_instance = {
        name: handed[name][output]
        for name in sorted(instances)
        if name in handed and output in handed[name]
    }
    if not by_instance:
        return None
    return json.dumps(by_instance, ensure_ascii=False, separators=(",", ":"))


def wrong(
    task: str,
    reference: str,
    needs: Mapping[str, tuple[str, ...] | None],
    known: Mapping[str, object],
) -> Wrong | None:
    """What is wrong with a reference of this task's, if anything. `needs` are its needs with the
    outputs that each declares (None where its file cannot be read), `known` all tasks there are.
    """
    from zf.plan.suggest import nearest  # noqa: PLC0415 - hardly any reference is wrong

    need, output = split(reference)
    if need not in needs:
        if need in known:
            message = f"takes an output of '{need}', which '{task}' does not need"
            hint = "a task cannot take its own output" if need == task else "add it to `needs`"
            return Wrong("ZF282", message, hint)
        guess = nearest(need, needs) or nearest(need, known)
        hint = f"did you mean '{guess}.{output}'?" if guess else "add the task, and to `needs`"
        return Wrong("ZF282", f"takes an output of the unknown task '{need}'", hint)
    declared = needs[need]
    if declared is None or output in declared:
        return None
    guess = nearest(output, declared)
    hint = f"did you mean '{need}.{guess}'?" if guess else f"add it to `outputs` of '{need}'"
    return Wrong("ZF283", f"takes '{output}' of '{need}', which declares no such output", hint)


def fields(needs: Mapping[str, tuple[str, ...] | None]) -> Iterator[str]:
    """What a condition may mention of the outputs of these needs, by its keys."""
    for need, declared in needs.items():
        for output in declared or ():
            yield key_of(need, output)
