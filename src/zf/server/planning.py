"""The plan of a run before it is asked for: what `zf plan` would say, and its digest.

The digest is that of the plan alone. What a run records has, besides, how long its tasks are
expected to take, which changes with each run; so a digest out of a run's journal is known here as
that of its plan without that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import Any

from zf.errors import ZfError, printable
from zf.events import RunStarted
from zf.inputs import NO_WORDS, Words
from zf.lean.records import Struct
from zf.model import Flow
from zf.plan import graph
from zf.plan.graph import Plan
from zf.plan.inputs import given
from zf.plan.phases import phase_order
from zf.proof import read
from zf.proof.canonical import canonical
from zf.proof.growing import GrowingJournal
from zf.redact.redactor import Redactor
from zf.server.project import Served
from zf.settings import resolve

# Runs in which a digest is looked for.
_NEWEST = 200


class Planned(Struct, frozen=True):
    """A plan as plan.json would have it, secrets hidden, and its SHA-256; with what it is of."""

    flow: Flow
    plan: Plan
    as_json: Mapping[str, Any]
    sha256: str
    words: tuple[str, ...]


def planned(project: Served, phases: Sequence[str], tasks: Sequence[str]) -> Planned:
    """The plan of phases as `zf run-phase` makes it, of tasks with what they need as `zf run` does,
    or of everything. Raises ZfError with every problem.
    """
    flow = project.flow()
    settings = resolve(os.environ, default_run_id="plan", project=flow.project)
    timeout_s, forced = settings.phase_timeout_s.value, settings.phase_timeout_s.given
    if tasks:
        named = [*(f"phase:{phase}" for phase in phases), *(f"task:{task}" for task in tasks)]
        words = tuple(named)
        plan = graph.plan_named(flow, words, phase_timeout_s=timeout_s, phase_timeout_forced=forced)
    else:
        words = tuple(phases) or (*phase_order(flow.tasks, flow.project),)
        plan = graph.plan_phases(
            flow, words, phase_timeout_s=timeout_s, phase_timeout_forced=forced
        )
    hidden = Redactor(plan.tasks.values(), os.environ, flow.project, {})
    said = hidden.plan(plan.as_json())
    return Planned(flow, plan, said, sha256(canonical(said)).hexdigest(), words)


def refuse_inputs(planned: Planned, inputs: Mapping[str, str]) -> None:
    """Raises ZfError with all that is wrong with the inputs of a run of this plan."""
    words = Words(tuple(f"{name}={value}" for name, value in inputs.items()))
    phases = [phase.name for phase in planned.plan.phases]
    given.resolve(planned.flow.project, phases, words or NO_WORDS, os.environ)


def as_texts(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Inputs in JSON as they would be typed. Raises ZfError for what cannot be."""
    return {name: _as_text(name, value) for name, value in inputs.items()}


def _as_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        text = str(value)
    elif isinstance(value, list) and all(isinstance(one, str) and "," not in one for one in value):
        text = ",".join(value)
    else:
        raise ZfError(
            f"the input {printable(name)} is neither a text, a number, true or false, nor a list"
            " of texts without commas",
            code="ZF828",
        )
    if "\0" in name + text or "=" in name:
        raise ZfError(f"the input {printable(name)} cannot be handed on", code="ZF828")
    return text


def is_of(project: Served, digest: str, planned: Planned) -> bool:
    """Whether a digest that a caller has is this plan's: the one it was told, or one that a run
    has on record.
    """
    if digest == planned.sha256:
        return True
    return any(
        found == digest and _bare(run_dir) == planned.sha256
        for found, run_dir in _of_runs(project.proofs)
    )


def _of_runs(proofs: str) -> Iterator[tuple[str, str]]:
    for run in islice(read.list_runs(proofs), _NEWEST):
        digest = of_run(f"{proofs}/{run}")
        if digest is not None:
            yield digest, f"{proofs}/{run}"


def of_run(run_dir: str) -> str | None:
    """The digest of a run's plan, as its journal has it."""
    with suppress(ZfError):
        journal = GrowingJournal(run_dir)
        try:
            first = next(journal.more(), None)
        finally:
            journal.close()
        if first is not None and isinstance(first.event, RunStarted):
            return first.event.plan_sha256
    return None


def _bare(run_dir: str) -> str:
    """The digest of a run's plan without how long its tasks were expected to take."""
    with suppress(ZfError):
        plan = read.plan_json(run_dir)
        for row in plan["tasks"]:
            row.pop("weight_s", None)
        return sha256(canonical(plan)).hexdigest()
    return ""
