"""What of an earlier run is to run again, and what its other tasks did for that."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from zf.errors import ZfError, in_shell, printable
from zf.events import WELL
from zf.lean.records import replace
from zf.model import Flow, base_of, is_task_id
from zf.plan.graph import Plan, plan_selection
from zf.plan.topology import reachable
from zf.proof import read
from zf.report.facts import Facts, build
from zf.report.task_facts import named, not_well
from zf.run.host.lock import refuse_in_use
from zf.run.upstream import what_it_had
from zf.settings import RunOptions, Settings

if TYPE_CHECKING:
    from zf.run.selecting import Selected
    from zf.work.caching.beforehand import Verifying

# What reading a plan takes that nothing has vouched for: what checks it is to be loaded.
_LOADING_S = 0.01


def select(
    flow: Flow,
    settings: Settings,
    options: RunOptions,
    run_dir: str,
    asked: str,
    environ: Mapping[str, str],
    begun: Verifying | None = None,
) -> tuple[Plan, bool | Literal["now"]] | None:
    """The plan of what is to run again of the run in this folder, which the user `asked` for by
    that name, and how it failed fast; None when everything went well. Verifying it may have
    `begun`.

    Raises ZfError: exit 5 for a run that goes on, 2 for unknown tasks and for needs that are met
    neither by it nor by what runs again, 1 when the proof that would meet them is not intact.
    """
    # What has not ended did not fail, and would run twice at once.
    refuse_in_use(flow.proofs, os.path.basename(run_dir), "its tasks may still be running")
    if begun is not None and (sound := begun.sound_within(_LOADING_S)):
        read.SOUND_PLANS.add(sound.plan_sha256)
    planned = read.plan_json(run_dir)
    facts = build(planned, read.journal(run_dir).events)
    if chosen := options.matrix or planned.get("matrix"):
        from zf.plan.matrix.chosen import narrowed  # noqa: PLC0415 - few runs choose

        flow = narrowed(flow, chosen)
    names = _names(facts, options)
    stated = flow
    if 0 in flow.instances.values():
        from zf.plan.matrix.known import known_from  # noqa: PLC0415 - few matrices grow

        flow = known_from(flow, read.grown_plan(run_dir))
    selected = _selected(flow, facts, options, environ)
    if selected is not None:
        names = selected.among(names)
    if flow is not stated:
        flow, names = _listed_anew(stated, flow, read.grown_plan(run_dir), names)
    if not names:
        return None
    outside = {
        need.task
        for name in names
        if name in flow.tasks
        for need in flow.tasks[name].needs
        if need.task not in names
    }
    earlier = what_it_had(flow.proofs, facts.run, outside, begun)
    if selected is not None:
        selected.refuse_skipped(flow, names & flow.tasks.keys(), earlier.met)
    try:
        plan = plan_selection(
            flow,
            names,
            phase_timeout_s=settings.phase_timeout_s.value,
            phase_timeout_forced=settings.phase_timeout_s.given,
            upstream=earlier.met,
            unmet=earlier.unmet,
            again=f"zf rerun {facts.run} --failed",
        )
    except ZfError as error:
        raise _with_its_run(error, asked, facts, names) from None
    return plan, read.run_json(run_dir)["limits"]["fail_fast"]


def _listed_anew(
    stated: Flow, flow: Flow, plan: Mapping[str, Any], names: set[str]
) -> tuple[Flow, set[str]]:
    """The flow with the instances that the run had, and the tasks that are to run again: but where
    what lists instances runs again, they are not known.
    """
    from zf.plan.matrix.dynamic import sources  # noqa: PLC0415 - few matrices grow
    from zf.plan.matrix.known import known_from  # noqa: PLC0415 - as above

    later = [task for task in stated.tasks.values() if task.matrix_from]
    anew = {task.id for task in later if names.intersection(sources(task))}
    if not anew:
        return flow, names
    bases = {base for name in names if (base := base_of(name)) in anew}
    kept = {name for name in names if base_of(name) not in anew}
    return known_from(stated, plan, anew), kept | bases


def _names(facts: Facts, options: RunOptions) -> set[str]:
    """Which tasks the options ask for."""
    if options.failed:
        return not_well(facts) or _refuse_handlers(facts)
    if options.only is not None:
        return set(facts.tasks)
    own = set(named(facts, options.first or ""))
    return own | _below(facts, own, everything=options.downstream)


def _refuse_handlers(facts: Facts) -> set[str]:
    """No task is to run again. Raises ZfError where that is no good news, as handlers failed."""
    ill = [t.id for t in facts.tasks.values() if t.is_handler and t.status not in {*WELL, None}]
    ill = [name for name in ill if not facts.tasks[name].warned]
    if not ill:
        return set()
    run = in_shell(facts.run)
    raise ZfError(
        f"of run {printable(facts.run)} only handlers failed: {printable(', '.join(ill))}",
        code="ZF759",
        hint=f"a handler runs with the tasks that it follows: zf rerun {run} --from TASK",
    )


def _selected(
    flow: Flow, facts: Facts, options: RunOptions, environ: Mapping[str, str]
) -> Selected | None:
    """What `--only` and `--skip` come to among the tasks of the run."""
    if options.only is None and options.skip is None:
        return None
    from zf.run.selecting import Selecting  # noqa: PLC0415 - few reruns select

    typed = Selecting.typed(options)
    # A plain id is one of the run, though its file may be gone.
    own = None
    if options.only is not None and is_task_id(options.only):
        own = set(named(facts, options.only))
    there = {name: flow.tasks[name] for name in facts.tasks if name in flow.tasks}
    asked = typed if own is None else replace(typed, only=None)
    found = asked.of(replace(flow, tasks=there), environ)
    return found if own is None else replace(found, only=own)


def _below(facts: Facts, tasks: Collection[str], *, everything: bool) -> set[str]:
    found = reachable(tasks, lambda name: facts.dependents.get(name, ()))
    return found if everything else found & not_well(facts)


def _with_its_run(error: ZfError, asked: str, facts: Facts, names: Collection[str]) -> ZfError:
    """The refusal of unmet needs, with why this run does not meet them: it may be a newer one than
    the user thinks of, as each `run-task` is a run, and that one ran its task without needs.
    """
    if not error.problems or error.problems[-1].code != "ZF104":
        return error
    last = error.problems[-1]
    name = printable(facts.run)
    hint = last.hint or ""
    if not facts.needs_checked:
        latest = f"{asked} is " if asked != facts.run else ""
        hint = (
            f"zf run-task {in_shell(min(names))} --with-needs ({latest}run {name}, which"
            " ran without needs; zf status lists the earlier ones)"
        )
    elif asked != facts.run:
        hint += f" ({asked} is run {name})"
    problems = (*error.problems[:-1], replace(last, hint=hint))
    return ZfError(problems[0].message, exit_code=error.exit_code, problems=problems)
