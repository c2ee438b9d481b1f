"""What the steps of a task would find if they ran now: folder, variables, and what its needs kept.

Made in a scratch folder, outside of any run: nothing here is recorded. As in a run, what needs left
is compared with what their proofs say before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from zf.errors import ZfError, error_text
from zf.inputs import Inputs
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING, Flow, Project, Task, is_limited
from zf.plan.graph import Met
from zf.proof import read
from zf.proof.source import provenance
from zf.proof.tree.contents import checked_outputs, copy_artifacts
from zf.proof.tree.records import Place
from zf.run.replay import recorded_environment
from zf.run.upstream import from_run
from zf.work.environment import Outside, own_variables
from zf.work.results import taken
from zf.work.supervise.leftovers import cookie

# What RUN_ID is, where there is no run.
_RUN = "shell"
# Of a need that no newer run did, no older one is looked for.
_MOST_RUNS = 20


class Surroundings(Struct, frozen=True):
    """Where and with which variables the steps of a task would run. `artifacts` is the scratch
    folder that stands for its own, `met` says which run each need is taken from, and `notes` what
    is not as it would be in a run.
    """

    task: Task
    variables: Mapping[str, str]
    artifacts: str
    met: Mapping[str, str]
    notes: Sequence[str]


class Wanted(Struct, frozen=True):
    """A task whose surroundings are wanted: as they are now, with what was `given` to a run, or as
    the folder of a `run` has them.
    """

    flow: Flow
    task: Task
    environ: Mapping[str, str]
    inputs: Inputs = field(default_factory=lambda: NOTHING)
    run_dir: str = ""


def prepare(wanted: Wanted, scratch: str) -> Surroundings:
    """Make them below `scratch`, an empty folder. Raises ZfError for a run that does not have the
    task, or whose proof is not intact.
    """
    task, notes = wanted.task, list[str]()
    needs = [need.task for need in task.needs]
    met = _of_run(wanted, needs) if wanted.run_dir else _newest(wanted.flow.proofs, needs)
    handed = _lay_out(wanted.flow.proofs, met, f"{scratch}/needs", notes)
    if lacking := [need for need in needs if need not in met]:
        where = "in that run" if wanted.run_dir else "in a run that is sealed"
        listed = ", ".join(lacking)
        notes.append(f"{listed}: no success {where}, so nothing of it is in $NEEDS_DIR")
    for name in ("artifacts", "needs", "told"):
        os.makedirs(f"{scratch}/{name}", exist_ok=True)
    own = own_variables(
        Place(_RUN, os.uname().nodename, provenance.user_name(), wanted.flow.root),
        task,
        1,
        folder=scratch,
        artifacts=f"{scratch}/artifacts",
        needs=f"{scratch}/needs" if needs else "",
        channel=f"{scratch}/told",
        cookie=cookie(scratch, task.id, 1),
    )
    if wanted.run_dir:
        variables = _recorded(wanted, own, notes)
    else:
        values, unset, too_large = taken.given(task, task.needs, handed)
        notes += [*unset, *too_large]
        outside = Outside(wanted.environ, wanted.flow.project, wanted.inputs)
        variables = outside.build(task, own, values).for_step(0)
    notes += _left_out(wanted)
    from_runs = {need: one.run for need, one in met.items()}
    return Surroundings(task, variables, f"{scratch}/artifacts", from_runs, tuple(notes))


def _left_out(wanted: Wanted) -> Iterator[str]:
    """What runs beside the steps of a task, or holds them, and is not there in a shell."""
    task, phase = wanted.task, wanted.flow.project.phases.get(wanted.task.phase)
    services = (*task.services, *(phase.services if phase else ()))
    if services:
        listed = ", ".join(one.name for one in services)
        yield f"services are not started here ({listed}), and the variables of their ports not set"
    if is_limited(task):
        yield "the limits of the task are not held here"


def _newest(proofs: str, needs: Sequence[str]) -> dict[str, Met]:
    """The newest sealed run that did each of the needs."""
    met: dict[str, Met] = {}
    for run in read.list_runs(proofs)[:_MOST_RUNS] if needs else ():
        missing = [need for need in needs if need not in met]
        if not missing:
            break
        with suppress(ZfError, OSError):  # it goes on, was never closed, or is not intact
            met |= from_run(proofs, run, missing, whole=False).met
    return met


def _of_run(wanted: Wanted, needs: Sequence[str]) -> dict[str, Met]:
    """What a run did for the needs, or was given for them by others."""
    run = os.path.basename(wanted.run_dir)
    if wanted.task.id not in {row["id"] for row in read.grown_plan(wanted.run_dir)["tasks"]}:
        raise ZfError(f"no task {wanted.task.id!r} in run {run!r}", code="ZF151")
    given = read.plan_json(wanted.run_dir).get("upstream") or {}
    earlier = {need: Met.recorded(given[need]) for need in needs if need in given}
    return {**earlier, **from_run(wanted.flow.proofs, run, needs, whole=False).met}


def _lay_out(
    proofs: str, met: Mapping[str, Met], place: str, notes: list[str]
) -> dict[str, dict[str, str]]:
    """Copy what the needs kept to a folder for each; what they handed on."""
    handed = {}
    for need, one in met.items():
        if one.task_sha256 is None:  # it kept nothing that was listed
            continue
        tree = f"{proofs}/{one.run}/{need}"
        try:
            copy_artifacts(tree, one.task_sha256, f"{place}/{need}")
            handed[need] = checked_outputs(tree, one.task_sha256)
        except (OSError, ValueError) as error:
            why = error_text(error) if isinstance(error, OSError) else str(error)
            notes.append(f"what {need} left in run {one.run} cannot be used: {why}")
    return handed


def _recorded(wanted: Wanted, own: Mapping[str, str], notes: list[str]) -> Mapping[str, str]:
    """The variables that the run's proof has, and what is set now for those of which it has the
    name alone.
    """
    task = wanted.task
    status = read.status_json(wanted.run_dir, task.id)
    if not status["attempt"]:
        raise ZfError(
            f"task {task.id!r} was not run: it is {status['status']}",
            code="ZF151",
            hint="its variables are not recorded; without --run, they are as they are now",
        )
    values, made = recorded_environment(wanted.run_dir, task.id, wanted.environ, task.env, notes)
    alone = replace(task, env=made, env_from={}, pass_env=tuple(values), required_env=())
    return Outside(values, Project()).build(alone, own).for_step(0)
