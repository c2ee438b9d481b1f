"""What an output is that a task takes of its needs. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from zf.model import NOTHING, Need, base_of


def split(reference: str) -> tuple[str, str]:
    """The task and the output that `task.output` names: ids may have dots, outputs have none."""
    task, _, output = reference.rpartition(".")
    return task, output


def value_of(
    task: str, output: str, needs: Collection[Need], handed: Mapping[str, Mapping[str, str]]
) -> str | None:
    """An output of a task or matrix among these needs, by what each of them `handed` on; None where
    there is none.

    Of a matrix that is all instances have, as a JSON object: the name of each with its value. So
    none is lost, whichever ends last. Of the one instance that `matrix: same` stands for, it is the
    value alone.
    """
    if any(need.task == task for need in needs):
        return handed.get(task, NOTHING).get(output)
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
