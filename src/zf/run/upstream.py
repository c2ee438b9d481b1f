"""Needs met by an earlier run: its proof is verified before it counts, also when it comes as an
archive from another machine.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from zf.errors import Exit, ZfError, in_shell, printable
from zf.events import AttemptEnded, AttemptStarted, Status, TaskNotRun
from zf.lean import lazy
from zf.lean.records import Struct
from zf.model import Flow
from zf.plan.graph import Met
from zf.proof import read
from zf.proof.files import remove_tree
from zf.proof.journal import JournalReading
from zf.proof.layout import RUN
from zf.proof.source import provenance
from zf.run.host import lock
from zf.run.host.lock import refuse_in_use

if TYPE_CHECKING:
    import shutil

    from zf.audit.conclusion import Verification
    from zf.audit.exporting import unpack
    from zf.work.caching.beforehand import Verifying
else:  # for an archive alone
    shutil = lazy.module("shutil")
    unpack = lazy.module("zf.audit.exporting.unpack")


class Upstream(Struct, frozen=True):
    """What earlier runs did for needs: `met` says which run met each, with digests; `unmet` are
    those that one of them planned and none met.
    """

    met: Mapping[str, Met]
    unmet: frozenset[str] = frozenset()


def refuse_unless_intact(run_dir: str, run: str) -> Verification:
    """What verifying a run says; ZfError (exit 1) when anything in it is not as it was left."""
    from zf.audit.findings import State  # noqa: PLC0415 - 8 ms, and a run may be verified by now
    from zf.audit.verify import verify  # noqa: PLC0415 - as above

    found = verify(run_dir)
    verdict = next(v for v in found.verdicts if v.name == "INTACT")
    if verdict.state != State.PASSED:
        raise _not_sound(run, "it is not intact")
    return found


def _not_sound(run: str, why: str) -> ZfError:
    return ZfError(
        f"the proof of run {run!r} cannot be built on: {why}",
        exit_code=Exit.FAILED,
        code="ZF140",
        hint=f"zf verify {run} says what is wrong with it",
    )


def verified_journal(run_dir: str, run: str, found: Verification) -> JournalReading:
    """The journal that was just verified; ZfError when another one lies there by now."""
    reading = read.journal(run_dir)
    if reading.head != found.result["head"]:
        raise _not_sound(run, "it changed while it was verified")
    return reading


def _verified(run_dir: str, run: str, begun: Verifying | None, *, whole: bool) -> JournalReading:
    """The same of a run that is verified for this, or was while something else was done."""
    if begun is not None and begun.run_dir == run_dir and (sound := begun.sound()) is not None:
        reading = read.journal(run_dir)
        wanted = {"INTACT", "COMPLETE"} if whole else {"INTACT"}
        if wanted <= {*sound.passed} and reading.head == sound.head:
            return reading
    found = refuse_unless_intact(run_dir, run)
    if whole:
        _refuse_unless_complete(run, found)
    return verified_journal(run_dir, run, found)


def from_run(
    proofs: str,
    run: str,
    needs: Collection[str],
    *,
    whole: bool = True,
    begun: Verifying | None = None,
) -> Upstream:
    """What one run did for these needs: which tasks succeeded, or failed as they may. `whole`: the
    run must be complete, too. Verifying it may have `begun`.

    Only its journal is asked: what else lies in a run's folder may be there before an outcome is.
    Raises ZfError: exit 2 for a run that does not exist, 5 for one that goes on, 1 for one that was
    never closed or whose proof is not intact.
    """
    run_dir = read.find_run(proofs, run)
    name = os.path.basename(run_dir)
    planned = _planned(run_dir).intersection(needs)
    if not planned:
        return Upstream({})
    refuse_in_use(proofs, name, "its outcomes are not final")
    _keep(proofs, name)
    reading = _verified(run_dir, name, begun, whole=whole)
    ends = outcomes(reading)
    met = {
        task: Met(name, reading.head, ends[task].task_sha256)
        for task in sorted(planned)
        if task in ends and _is_good(ends[task])
    }
    return Upstream(met, frozenset(planned - met.keys()))


def _keep(proofs: str, run: str) -> None:
    """No other zf removes it any more: it is built on. One that has done so is told of."""
    try:
        read.keep(f"{proofs}/{run}")
    except FileNotFoundError:
        read.find_run(proofs, run)


class Adopted(Struct, frozen=True):
    """A run that came as an archive: its id, the commit it was of, and whether it is new here."""

    run: str
    commit: str | None
    is_new: bool


def adopt(proofs: str, archive: str) -> Adopted:
    """Make the run in an archive one of this project's, after its proof was verified: later runs
    name it as what they build on.

    Raises ZfError: exit 1 for a proof that is not intact, 5 for another run of that id, 2 for what
    is no archive.
    """
    with unpack.unpacked(archive) as folder:
        found = refuse_unless_intact(folder, archive)
        run, head = os.path.basename(folder), found.result["head"]
        if found.run != run:
            raise _not_sound(archive, f"its folder is {run!r}, its run {found.run!r}")
        described = read.run_json(folder)
        commit = described["source"]["commit"]
        os.makedirs(proofs, exist_ok=True)
        fd = lock.acquire(proofs, run)
        try:
            there = f"{proofs}/{run}"
            if os.path.lexists(there):
                if read.journal(there).head != head:
                    raise _another(run, archive)
                return Adopted(run, commit, is_new=False)
            _take_in(folder, lock.staging_path(proofs, run), there, described["started_at"])
        finally:
            lock.release(fd)
    return Adopted(run, commit, is_new=True)


def _take_in(folder: str, staging: str, there: str, began: str) -> None:
    """Copy a run's folder to its place, where it appears whole. Runs are told apart by when they
    began, and this one did not begin now.
    """
    try:
        shutil.copytree(folder, staging)
        moment = datetime.fromisoformat(began).timestamp()
        os.utime(f"{staging}/{RUN}", (moment, moment))
        os.rename(staging, there)
    finally:
        remove_tree(staging)


def _another(run: str, archive: str) -> ZfError:
    return ZfError(
        f"{printable(archive)} holds run {run!r}, and another run of that id is here",
        exit_code=Exit.RUN_ID_TAKEN,
        code="ZF122",
        hint=f"zf diff {in_shell(archive)} {run} says how they differ; move one of them away",
    )


def _refuse_unless_complete(run: str, found: Verification) -> None:
    from zf.audit.findings import State  # noqa: PLC0415 - as above

    verdict = next(v for v in found.verdicts if v.name == "COMPLETE")
    if verdict.state != State.PASSED:
        raise ZfError(
            f"run {run!r} cannot be built on, as it is not complete: {verdict.summary}",
            exit_code=Exit.FAILED,
            code="ZF148",
            hint=f"zf resume {run} finishes a run that was killed; a sealed one stays as it is",
        )


def what_it_had(
    proofs: str, run: str, needs: Collection[str], begun: Verifying | None = None
) -> Upstream:
    """The same, with what the run itself took from earlier ones: its `--upstream` is kept."""
    # What was killed and sealed as it was has outcomes, too.
    found = from_run(proofs, run, needs, whole=False, begun=begun)
    met, unmet = dict(found.met), found.unmet
    recorded = read.plan_json(read.find_run(proofs, run)).get("upstream")
    if isinstance(recorded, dict):
        for need in sorted(recorded.keys() & (set(needs) - met.keys() - unmet)):
            base = Met.recorded(recorded[need]).run
            if not os.path.isdir(f"{proofs}/{base}"):
                raise _base_missing(run, base, need)
            earlier = from_run(proofs, base, {need})
            met |= earlier.met
            unmet |= earlier.unmet
    return Upstream(met, unmet)


def _base_missing(run: str, base: str, need: str) -> ZfError:
    return ZfError(
        f"run {run!r} took {need!r} from run {printable(base)!r}, which is not here",
        code="ZF610",
        hint=f"name the archive of that run, too: --upstream {printable(base)}.tar",
    )


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


def with_instances(flow: Flow, phases: Collection[str], named: Iterable[str]) -> Flow:
    """The flow with the instances of tasks outside of these phases that one of these runs had, the
    first that planned them. `latest` stands for all runs, the newest first.
    """
    from zf.plan.matrix.known import known_from  # noqa: PLC0415 - few matrices grow

    runs = [each for run in named for each in _each(flow.proofs, run)]
    for run in runs:
        later = {task.id for task in flow.tasks.values() if task.matrix_from}
        wanted = {name for name in later if flow.tasks[name].phase not in phases}
        if not wanted:
            break
        with suppress(ZfError, KeyError):
            plan = read.grown_plan(read.find_run(flow.proofs, run))
            flow = known_from(flow, plan, but=later - wanted)
    return flow


def _each(proofs: str, run: str) -> list[str]:
    return read.list_runs(proofs) if run == "latest" else [run]


def _latest(proofs: str, root: str, needs: Collection[str]) -> Upstream:
    commit = provenance.commit(root, os.environ)
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
    return {row["id"] for row in read.grown_plan(run_dir)["tasks"]}


def outcomes(reading: JournalReading) -> dict[str, AttemptEnded | TaskNotRun]:
    """The event that settled each task; tasks that had not ended are not in it."""
    ends: dict[str, AttemptEnded | TaskNotRun] = {}
    for event in reading.events:
        if isinstance(event, AttemptStarted):
            ends.pop(event.task, None)
        elif isinstance(event, AttemptEnded | TaskNotRun):
            ends[event.task] = event
    return ends


def _is_good(end: AttemptEnded | TaskNotRun) -> bool:
    """A success, or a failure that the task file tolerates."""
    return end.warned or end.status is Status.SUCCESS
