"""Needs met by an earlier run: its proof is verified before it counts."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping

from zf.errors import Exit, ZfError
from zf.events import Status
from zf.plan.graph import Met
from zf.proof import read
from zf.proof.findings import State
from zf.proof.provenance import source
from zf.proof.verify import Verification, verify
from zf.record import record


@record
class Upstream:
    """What earlier runs did for needs: `met` says which run met each, with digests; `unmet` are
    those that one of them planned and none met.
    """

    met: Mapping[str, Met]
    unmet: frozenset[str] = frozenset()


def refuse_unless_intact(run_dir: str, run: str) -> Verification:
    """Raises ZfError (exit 1) when anything in a run's folder is not as it was sealed."""
    found = verify(run_dir)
    verdict = next(v for v in found.verdicts if v.name == "INTACT")
    if verdict.state != State.PASSED:
        raise ZfError(
            f"the proof of run {run!r} cannot be built on: {verdict.summary}",
            exit_code=Exit.FAILED,
            code="ZF140",
            hint=f"zf verify {run} says what is wrong with it",
        )
    return found


def from_run(proofs: str, run: str, needs: Collection[str]) -> Upstream:
    """What one run did for these needs: which tasks succeeded, or failed as they may.

    Raises ZfError: exit 2 for a run that does not exist, 1 for one whose proof is not intact.
    """
    run_dir = read.find_run(proofs, run)
    planned = _planned(run_dir).intersection(needs)
    if not planned:
        return Upstream({})
    found = refuse_unless_intact(run_dir, run)
    met = {
        task: Met(os.path.basename(run_dir), found.result["head"], found.tasks.get(task))
        for task in sorted(planned)
        if _succeeded(run_dir, task)
    }
    return Upstream(met, frozenset(planned - met.keys()))


def resolve(proofs: str, root: str, needs: Mapping[str, object], named: Iterable[str]) -> Upstream:
    """For each need, the run that met it: the first of the named ones that did.

    `latest` stands for the runs of the present commit: a need is met if the newest of them that
    planned the task saw it succeed, so that an old success never hides a new failure.
    """
    met: dict[str, Met] = {}
    unmet: set[str] = set()
    for run in named:
        missing = needs.keys() - met.keys()
        if run == "latest":
            found = _latest(proofs, root, missing)
        else:
            found = from_run(proofs, run, missing)
        met.update(found.met)
        unmet |= found.unmet
    return Upstream(met, frozenset(unmet - met.keys()))


def _latest(proofs: str, root: str, needs: Collection[str]) -> Upstream:
    commit = source(root)["commit"]
    if commit is None:
        raise ZfError(
            "--upstream latest needs a git commit to go by, and there is none",
            code="ZF106",
            hint="name the run: --upstream RUN_ID",
        )
    open_needs = set(needs)
    met: dict[str, Met] = {}
    unmet: set[str] = set()
    for run in read.list_runs(proofs):
        if not open_needs:
            break
        run_dir = f"{proofs}/{run}"
        try:
            if read.run_json(run_dir)["source"]["commit"] != commit:
                continue
            wanted = open_needs & _planned(run_dir)
        except (ZfError, KeyError):
            continue  # a run cut short before it had a plan met nothing
        found = from_run(proofs, run, wanted)
        met.update(found.met)
        unmet |= found.unmet
        open_needs -= wanted
    return Upstream(met, frozenset(unmet))


def _planned(run_dir: str) -> set[str]:
    return {row["id"] for row in read.plan_json(run_dir)["tasks"]}


def _succeeded(run_dir: str, task: str) -> bool:
    return read.status_json(run_dir, task)["conclusion"] in {Status.SUCCESS, "warned"}
