"""What task files take of the outputs of needs, against what those declare."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.errors import Problem
from zf.lean.records import Struct
from zf.model import base_of
from zf.plan.outputs.values import split
from zf.plan.suggest import nearest

if TYPE_CHECKING:
    from zf.plan.drafts import Draft
    from zf.plan.matrix.instances import Expanded

# The needs of a task, each with the outputs that it declares: None where its file cannot be read.
_Needs = Mapping[str, Collection[str] | None]


class _Wrong(Struct, frozen=True):
    """A reference to an output that is not there, and what to do about it."""

    code: str
    message: str
    hint: str | None


def check(drafts: Sequence[Draft], expanded: Expanded) -> Iterator[Problem]:
    """Variables that take an output which no need of their task hands on. Of a matrix, an instance
    may be named, which are in `expanded`.
    """
    known = {draft.id: draft for draft in drafts}
    for draft in drafts:
        for name, reference in (draft.task.env_from if draft.task else {}).items():
            needs = _declared(draft, known, expanded)
            if found := _wrong(draft.id, reference, needs, known):
                message = f"'{name}' {found.message}"
                yield draft.problem(("env", name, "from"), found.code, message, found.hint)
        for axis, reference in (draft.matrix.sources if draft.matrix else {}).items():
            yield from _listed(draft, axis, reference, _declared(draft, known, expanded), known)


def _listed(
    draft: Draft, axis: str, reference: str, needs: _Needs, known: Mapping[str, Draft]
) -> Iterator[Problem]:
    """What is wrong with where a matrix takes its values from."""
    where = ("matrix", axis, "from") if axis else ("matrix", "from")
    found = _wrong(draft.id, reference, needs, known)
    task, _ = split(reference)
    if found is None and task in known and known[task].matrix is not None:
        message = f"takes an output of '{task}', of which each instance hands on its own"
        found = _Wrong("ZF296", message, "take it of a task without a matrix, which needs them")
    if found is not None:
        message = f"the matrix {found.message}"
        yield draft.problem(where, found.code, message, found.hint)


def _wrong(task: str, reference: str, needs: _Needs, known: Mapping[str, object]) -> _Wrong | None:
    """What is wrong with a reference of this task's, if anything; `known` are all tasks."""
    need, output = split(reference)
    if need not in needs:
        if need in known:
            message = f"takes an output of '{need}', which '{task}' does not need"
            hint = "a task cannot take its own output" if need == task else "add it to `needs`"
            return _Wrong("ZF282", message, hint)
        guess = nearest(need, needs) or nearest(need, known)
        hint = f"did you mean '{guess}.{output}'?" if guess else "name a task of `needs`"
        return _Wrong("ZF282", f"takes an output of the unknown task '{need}'", hint)
    declared = needs[need]
    if declared is None or output in declared:
        return None
    guess = nearest(output, declared)
    hint = f"did you mean '{need}.{guess}'?" if guess else f"add it to `outputs` of '{need}'"
    return _Wrong("ZF283", f"takes '{output}' of '{need}', which declares no such output", hint)


def fields(draft: Draft, known: Mapping[str, Draft], expanded: Expanded) -> Iterator[str]:
    """What the condition of a task may mention of the outputs of its needs, by its keys."""
    from zf.plan.conditions.condition import Field  # noqa: PLC0415 - 4 ms, and few plans have one

    needs = _declared(draft, known, expanded)
    for need, declared in needs.items():
        for output in declared or ():
            yield Field("needs", (need, output)).key
    for one in draft.condition.fields if draft.condition else ():
        # The file that may declare it is broken: that is told, and enough.
        if one.kind == "needs" and needs.get(one.path[0], ()) is None:
            yield one.key


def _declared(draft: Draft, known: Mapping[str, Draft], expanded: Expanded) -> _Needs:
    """The needs of a task, and the instances of a matrix among them, with their outputs."""
    names = {
        name
        for need in draft.needs
        for name in (need.task, *(task.id for task in expanded.get(need.task, ())))
    }
    found = {name: known.get(base_of(name)) for name in sorted(names)}
    return {name: () if its is None else its.outputs for name, its in found.items()}
