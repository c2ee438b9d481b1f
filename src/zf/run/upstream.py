"""Needs met by an earlier run: its proof is verified before it counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from zf.errors import Exit, ZfError
from zf.events import Status
from zf.proof import read
from zf.proof.findings import State
from zf.proof.provenance import source
from zf.proof.verify import verify


def met_by(proofs: str, run: str, needs: Collection[str]) -> set[str]:
    """Which of these tasks succeeded in a run whose proof is intact.

    Raises ZfError: exit 2 for a run that does not exist, 1 for one whose proof is not intact.
    """
    run_dir = read.find_run(proofs, run)
    planned = {row["id"] for row in read.plan_json(run_dir)["tasks"]}
    wanted = planned.intersection(needs)
    if not wanted:
        return set()
    refuse_unless_intact(run_dir, run)
    return {task for task in wanted if _succeeded(run_dir, task)}


def refuse_unless_intact(run_dir: str, run: str) -> None:
    """Raises ZfError (exit 1) when anything in a run's folder is not as it was sealed."""
    verdict = next(v for v in verify(run_dir).verdicts if v.name == "INTACT")
    if verdict.state != State.PASSED:
        raise ZfError(
            f"the proof of run {run!r} cannot be built on: {verdict.summary}",
            exit_code=Exit.FAILED,
            code="ZF140",
            hint=f"zf verify {run} says what is wrong with it",
        )


def resolve(
    proofs: str, root: str, needs: Mapping[str, object], named: Iterable[str]
) -> dict[str, str]:
    """For each need, the run that met it: the first of the named ones that did.

    `latest` stands for the runs of the present commit: a need is met if the newest of them that
    planned the task saw it succeed, so that an old success never hides a new failure.
    """
    met: dict[str, str] = {}
    for run in named:
        missing = needs.keys() - met.keys()
        if run == "latest":
            met.update(_latest(proofs, root, missing))
        else:
            met.update(dict.fromkeys(met_by(proofs, run, missing), run))
    return met


def _latest(proofs: str, root: str, needs: Collection[str]) -> dict[str, str]:
    commit = source(root)["commit"]
    if commit is None:
        raise ZfError(
            "--upstream latest needs a git commit to go by, and there is none",
            code="ZF106",
            hint="name the run: --upstream RUN_ID",
        )
    open_needs = set(needs)
    met = {}
    for run in read.list_runs(proofs):
        if not open_needs:
            break
        run_dir = f"{proofs}/{run}"
        try:
            if read.run_json(run_dir)["source"]["commit"] != commit:
                continue
            planned = {row["id"] for row in read.plan_json(run_dir)["tasks"]}
        except (ZfError, KeyError):
            continue  # a run cut short before it had a plan met nothing
        wanted = open_needs & planned
        met.update(dict.fromkeys(met_by(proofs, run, wanted), run))
        open_needs -= wanted
    return met


def _succeeded(run_dir: str, task: str) -> bool:
    return bool(read.status_json(run_dir, task)["status"] == Status.SUCCESS)
