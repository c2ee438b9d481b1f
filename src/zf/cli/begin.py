"""A new run from the command line, once its words are read: settings, plan, limits, the run.

Knows nothing of the command-line parser, which a plain command line does without (`quick.py`).
"""

from __future__ import annotations

import gc
import os
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from zf.cli.display import progress, streams
from zf.cli.project import adopt, find_run, hide_in_commands, open_project, project_durations
from zf.cli.signing import conclude, signer_of_run, trust_of
from zf.errors import Exit, ZfError
from zf.inputs import GIVEN_PREFIX, Words, without_values
from zf.lean.records import replace
from zf.model import NOTHING, Asked, declares_inputs
from zf.plan.places import NoProjectError
from zf.run.host.beside import Beside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any, Literal

    from zf.inputs import Inputs
    from zf.model import Flow
    from zf.plan.graph import Met, Plan
    from zf.run.selecting import Selected, Selecting
    from zf.settings import RunOptions, Settings


def begin_phases(phases: Sequence[str], options: RunOptions) -> int:
    """Run these phases; the exit code."""
    with Beside() as beside:
        return _begin_phases(phases, options, beside)


def _begin_phases(phases: Sequence[str], options: RunOptions, beside: Beside) -> int:
    asked = Asked(phases=tuple(phases))
    selecting = _selecting(options)
    flow, settings = settle(options, asked, None if options.dry_run else beside)
    from zf.plan import graph  # by now it is there

    flow = chosen_of(flow, options)
    if options.arguments:
        from zf.plan.inputs import arguments

        flow = arguments.given(flow, arguments.of_phases(flow, phases), options.arguments)
    runs = [*map(adopt, options.upstream)]
    if runs and 0 in flow.instances.values():
        from zf.run.upstream import with_instances

        flow = with_instances(flow, phases, runs)
    selected = selecting.of(flow, os.environ) if selecting else None
    names = None if selected is None else selected.among(flow.tasks)
    met, unmet = _upstream(flow, phases, runs, names)
    if selected is not None and names is not None:
        members = [name for name in names if flow.tasks[name].phase in phases]
        selected.refuse_skipped(flow, members, met)
    plan = graph.plan_phases(
        flow,
        phases,
        phase_timeout_s=settings.phase_timeout_s.value,
        phase_timeout_forced=settings.phase_timeout_s.given,
        upstream=met,
        unmet=unmet,
        builds_on=runs,
        chosen=names,
        again="" if selected is None else selected.typed.with_needs(phases),
    )
    if selected is not None and not plan.tasks:
        return _nothing(selected)
    if options.dry_run:
        return _show(flow, plan, settings, options)
    return carry_out(flow, plan, settings, options, beside)


def _selecting(options: RunOptions) -> Selecting | None:
    """What `--only` and `--skip` say, if they do."""
    if options.only is None and options.skip is None:
        return None
    from zf.run.selecting import Selecting

    return Selecting.typed(options)


def _nothing(selected: Selected) -> int:
    """Say that nothing is left to be run, which is no failure: nothing may have changed."""
    streams.say(sys.stderr, selected.nothing())
    return Exit.OK


def begin_named(words: Sequence[str], options: RunOptions) -> int:
    """Run what these words name, phases and tasks, with all that it needs; the exit code. Where
    there is no project yet, and no word for anything in one, tasks are proposed first.
    """
    names = [*map(task_id, words)]
    try:
        with Beside() as beside:
            return _begin_named(names, options, beside)
    except NoProjectError:
        from zf.cli.verbs import init

        if names or options.dry_run or not init.is_answered():
            raise
        if not init.offer():
            return Exit.USAGE
    with Beside() as beside:
        return _begin_named(names, options, beside)


def _begin_named(words: Sequence[str], options: RunOptions, beside: Beside) -> int:
    asked = Asked(words=tuple(words), needs=True)
    selecting = _selecting(options)
    flow, settings = settle(options, asked, None if options.dry_run else beside)
    from zf.plan import graph, named

    flow = chosen_of(flow, options)
    terminal = ""
    if options.tty:
        flow, settings, terminal = _with_terminal(flow, settings, options, words)
    if options.arguments:
        from zf.plan.inputs import arguments

        flow = arguments.given(flow, named.themselves(flow, words), options.arguments)
    selected = selecting.of(flow, os.environ) if selecting else None
    plan = graph.plan_named(
        flow,
        words,
        phase_timeout_s=settings.phase_timeout_s.value,
        phase_timeout_forced=settings.phase_timeout_s.given,
        only=None if selected is None else selected.only,
        skipped=() if selected is None else selected.skipped,
    )
    if selected is not None:
        selected.refuse_skipped(flow, plan.tasks)
        if not plan.tasks:
            return _nothing(selected)
    if options.dry_run:
        return _show(flow, plan, settings, options)
    if options.output is None and named.only_task(flow, words):
        options.values["output"] = "prefix"
    return carry_out(flow, plan, settings, options, beside, terminal=terminal)


def _show(flow: Flow, plan: Plan, settings: Settings, options: RunOptions) -> int:
    inputs = inputs_of(flow, plan, options)
    import json

    from zf.plan import draw

    print(json.dumps(plan.as_json(), indent=2) if options.as_json else draw.text(plan))
    if options.why and not options.as_json:
        from zf.redact.redactor import Redactor
        from zf.work.caching.forecast import Forecast
        from zf.work.caching.lookup import Lookup

        if any(task.container or task.services for task in plan.tasks.values()):
            from zf.run.host.containers import as_known_here

            plan = as_known_here(plan, settings.container_engine.value)
        hidden = Redactor(plan.tasks.values(), os.environ, flow.project, inputs)
        look = Lookup(flow.proofs)
        print(*Forecast(flow, plan, inputs, os.environ, hidden, look).lines(), sep="\n")
    return Exit.OK


def begin_task(task: str, options: RunOptions) -> int:
    """Run this task, named by its id or its file; the exit code."""
    with Beside() as beside:
        return _begin_task(task_id(task), options, beside)


def _begin_task(task: str, options: RunOptions, beside: Beside) -> int:
    flow, settings = settle(options, Asked(task=task, needs=options.with_needs), beside)
    from zf.plan import graph  # by now it is there

    flow = chosen_of(flow, options)
    terminal = ""
    if options.tty:
        flow, settings, terminal = _with_terminal(flow, settings, options, (task,))
    if options.arguments:
        from zf.plan.inputs import arguments

        flow = arguments.given(flow, {task}, options.arguments)
    plan = graph.plan_task(
        flow,
        task,
        with_needs=options.with_needs,
        phase_timeout_s=settings.phase_timeout_s.value,
        phase_timeout_forced=settings.phase_timeout_s.given,
    )
    return carry_out(flow, plan, settings, options, beside, only=task, terminal=terminal)


def _tell(text: str) -> None:
    streams.say(sys.stderr, text)


def _with_terminal(
    flow: Flow, settings: Settings, options: RunOptions, words: Sequence[str]
) -> tuple[Flow, Settings, str]:
    """The flow and the settings for a run whose one named task has the terminal, and that task."""
    from zf.plan import named
    from zf.plan.matrix.chosen import instances_of
    from zf.run.interactive import terminal

    if not named.only_task(flow, words):
        raise ZfError(
            "--tty gives one task the terminal, and the words do not name one task",
            code="ZF155",
            hint="name it; of a task with a matrix, one instance",
        )
    terminal.refuse_without(os.environ, progress.ci_around(options.ci, os.environ))
    [task] = instances_of(flow, words[0].removeprefix("task:"))
    # Nothing else is drawn on it meanwhile.
    options.values |= {"output": "quiet", "progress": "plain"}
    return terminal.interactive(flow, task), terminal.unhurried(settings), task


def chosen_of(flow: Flow, options: RunOptions) -> Flow:
    """The flow with those instances of its matrices alone that `--matrix` wants."""
    if not options.matrix:
        return flow
    from zf.plan.matrix.chosen import narrowed

    return narrowed(flow, options.matrix)


def _upstream(
    flow: Flow, phases: Sequence[str], runs: Sequence[str], chosen: Collection[str] | None
) -> tuple[Mapping[str, Met], Collection[str]]:
    """Which earlier run met which need, and the needs that they planned and none met."""
    if not runs:
        return {}, ()
    from zf.plan import graph
    from zf.run.upstream import resolve as met_upstream

    needs = graph.outside_needs(flow, phases, chosen)
    found = met_upstream(flow.proofs, flow.root, needs, runs)
    return found.met, found.unmet


def task_id(text: str) -> str:
    """The id that an id or the path of a task file names; a path also says which project."""
    if "/" not in text and not text.endswith((".yaml", ".yml")):
        return text
    from zf.cli.project import go_to
    from zf.plan.files.reading import task_at
    from zf.plan.places import find_root

    root, task = task_at(text)
    # Inside that project zf stays where it is, so that the paths it prints fit.
    with suppress(ZfError):
        if find_root(os.getcwd())[0] == root:
            return task
    go_to(root)
    return task


def settle(
    options: RunOptions, asked: Asked, beside: Beside | None = None
) -> tuple[Flow, Settings]:
    """The checked project, with warnings about what is asked for, and the settings that hold; what
    is `beside` is begun meanwhile.
    """
    from zf.settings import resolve

    streams.display()
    # UTC, so that run ids sort by time wherever they were made.
    default_run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{os.getpid()}"
    # Variables come first: a bad one is told before any file is read.
    first = resolve(os.environ, options, default_run_id=default_run_id)

    def before(root: str, home: str) -> None:
        if beside is not None:
            beside.look(root, home)
            beside.verify(home)

    def meanwhile() -> None:
        _get_ready()
        if beside is not None and beside.looking is not None:
            beside.looking.go_on()

    flow = open_project(
        phase_timeout_s=first.phase_timeout_s.value,
        before=before,
        meanwhile=meanwhile,
        asked=replace(asked, forced=first.phase_timeout_s.given),
    )
    settings = resolve(os.environ, options, default_run_id=default_run_id, project=flow.project)
    if options.why and not settings.cached.value:
        raise ZfError("--why goes with --cached", code="ZF532", hint="type --cached --why")
    return flow, settings


def _get_ready() -> None:
    """Import all that a run takes but the parser, while another process loads the project: it
    would come to 50 of the 100 ms before the first task.
    """
    import zf.plan.graph
    import zf.run.launch  # noqa: F401


def words_of(options: RunOptions) -> Words:
    """What was typed for inputs."""
    return Words(options.inputs, options.inputs_file)


def inputs_of(
    flow: Flow, plan: Plan, options: RunOptions, again: Mapping[str, Any] = NOTHING
) -> Inputs:
    """The inputs of a run of this plan: those of the run.json `again` of an earlier run, as far as
    it had them. Warnings go to stderr. Raises ZfError (exit 2) with every problem at once.
    """
    words, variables = words_of(options), any(name.startswith(GIVEN_PREFIX) for name in os.environ)
    if not (words or variables or again.get("inputs") or declares_inputs(flow.project)):
        return NOTHING
    from zf.plan.inputs import given

    kept = given.Kept.of(again) if again else None
    phases = [phase.name for phase in plan.phases]
    inputs, warnings = given.resolve(flow.project, phases, words, os.environ, kept)
    for warning in warnings:
        streams.say(sys.stderr, warning.render() + "\n")
    return inputs


def carry_out(
    flow: Flow,
    plan: Plan,
    settings: Settings,
    options: RunOptions,
    beside: Beside,
    *,
    only: str | None = None,
    fail_fast: bool | Literal["now"] = False,
    rerun_of: str | None = None,
    again: Mapping[str, Any] = NOTHING,
    watcher: progress.Watcher | None = None,
    terminal: str = "",
) -> int:
    """Run a plan, showing what happens and then what came of it; the exit code. `again` is the
    run.json of the run of which it runs a part again. A `watcher` shows it in its own way, and
    `terminal` is the task that has the terminal.
    """
    from zf.redact.redactor import Redactor, hidden_by_name
    from zf.run.launch import launch
    from zf.run.request import RunRequest, limits_of

    inputs = hidden_by_name(inputs_of(flow, plan, options, again), flow.project)
    redactor = Redactor(plan.tasks.values(), os.environ, flow.project, inputs)
    if inputs:
        inputs = redactor.inputs(inputs)
    # From here on there is garbage, though little of it: what a run remembers, it keeps.
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()
    watcher = watcher or progress.Watcher(options, flow.proofs)
    request = RunRequest(
        flow,
        plan,
        settings,
        limits_of(flow, plan, settings, options, only=only, fail_fast=fail_fast),
        environ=os.environ,
        redactor=redactor,
        watch=watcher.watch,
        look_s=watcher.look_s,
        output_fd=watcher.output_fd,
        rerun_of=rerun_of,
        durations=project_durations(flow),
        looking=beside.looking,
        inputs=inputs,
        arguments=tuple(again.get("arguments", options.arguments)),
        terminal=terminal,
        images=again.get("images", NOTHING),
    )
    hide = request.redactor.text
    hide_in_commands(hide)
    if flow.project.notify:
        from zf.cli.display.notices import with_waiting  # few projects have channels

        request = replace(request, watch=with_waiting(request.watch, flow, hide))
    with signer_of_run(sign=settings.sign.value, key=options.key) as chosen, ExitStack() as opened:
        if chosen is not None and settings.cached.value:
            request = replace(request, trust=trust_of(chosen, opened))
        if terminal:
            from zf.run.interactive.terminal import lent

            watch = opened.enter_context(lent(request.watch, terminal, _tell))
            request = replace(request, watch=watch)
        done = launch(request, without_values(sys.argv, inputs))
        beside.let_go()
        return conclude(done, watcher, chosen, hide, options, flow)


def begin_rerun(run: str, options: RunOptions) -> int:
    """Run what the options choose of an earlier run again, as a new run; the exit code."""
    from zf.options import Setting

    chosen = [options.failed, options.first is not None, options.only is not None].count(True)
    if chosen > 1:
        raise ZfError("rerun takes one of --failed, --from TASK and --only EXPR")
    if options.downstream and options.first is None:
        raise ZfError("--downstream goes with --from TASK")
    if not chosen:
        options.values["failed"] = True
    # An archive is no run yet.
    with Beside("" if "/" in run or run.endswith(".tar") else run) as beside:
        flow, settings = settle(options, Asked(), beside)
        import zf.run.schedule.scheduler  # noqa: F401 - while that run is verified
        from zf.proof.read import plan_json, run_json
        from zf.run.rerun import select

        if not settings.cached.given:  # what is to run again is not what an earlier run did
            settings = replace(settings, cached=Setting(value=False, source="default"))
        for base in options.upstream:
            adopt(base)
        run = adopt(run)
        run_dir = find_run(run, own=True)
        name = os.path.basename(run_dir)
        recorded = run_json(run_dir)
        if recorded.get("arguments"):
            from zf.plan.inputs import arguments

            flow = arguments.kept(flow, plan_json(run_dir), recorded)
        again = select(flow, settings, options, run_dir, run, os.environ, beside.verifying)
        beside.verified()
        if again is None:
            why = "no task is selected" if options.only or options.skip else "every task succeeded"
            streams.say(sys.stderr, f"nothing to run again of {name}: {why}\n")
            return Exit.OK
        plan, fail_fast = again
        run_of = (flow, plan, settings, options, beside)
        return carry_out(*run_of, fail_fast=fail_fast, rerun_of=name, again=recorded)
