"""What to run and how, and what the user allows it: all that a run is begun or resumed with."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Self

from zf.errors import Exit, ZfError, printable
from zf.events import ConditionEvaluated
from zf.inputs import NO_WORDS, Inputs, Words
from zf.lean import lazy
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING, POOL, POOL_NAME, Executor, Flow, Task, declares_inputs
from zf.plan.graph import Plan
from zf.proof import read
from zf.proof.durations.form import Durations
from zf.proof.durations.runs import weights
from zf.proof.layout import MANIFEST, PLAN, RUN
from zf.proof.source import provenance
from zf.proof.tree.records import Place
from zf.redact.redactor import Redactor, hidden_by_name
from zf.run.host import leases, lock
from zf.run.host.interrupts import Inbox
from zf.run.host.machine import available
from zf.run.recorder import Watch
from zf.run.schedule.context import condition_contexts, facts_for_steps
from zf.run.schedule.orders import Limits, Throttle
from zf.settings import RunOptions, Settings
from zf.tracing import Trace
from zf.typed import ALWAYS, NEVER

if TYPE_CHECKING:
    from zf.audit.authentic import Trust
    from zf.plan.conditions.verdict import ConditionContext
    from zf.plan.inputs import arguments, given
    from zf.proof.source.early_look import Looking
    from zf.run.schedule.scheduler import Scheduler
    from zf.work.caching.lookup import Caching
    from zf.work.walls.shield import Grounds
else:  # few runs have any
    arguments = lazy.module("zf.plan.inputs.arguments")
    given = lazy.module("zf.plan.inputs.given")


def no_output() -> int | None:
    """Nothing waits to be written."""
    return None


class RunRequest(Struct, frozen=True):
    """What to run and how; `watch` is called at least every `look_s` seconds, or every poll
    interval.
    """

    flow: Flow
    plan: Plan
    settings: Settings
    limits: Limits
    environ: Mapping[str, str]
    redactor: Redactor
    watch: Watch
    look_s: float = float("inf")
    # What `watch` has more to write on, if it has.
    output_fd: Callable[[], int | None] = no_output
    rerun_of: str | None = None
    # What the run was given, and the words that its command line handed on.
    inputs: Inputs = field(default_factory=lambda: NOTHING)
    arguments: tuple[str, ...] = ()
    # What the project itself says of earlier runs, for tasks of which its own runs say nothing.
    durations: Durations | None = None
    # A look at the work tree that was begun before the project was loaded.
    looking: Looking | None = None
    trace: Trace = field(default_factory=Trace)
    # The digests of the run.json and plan.json that it was made from, if it is to be resumed.
    papers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    # The task that has the terminal while it runs, if one has it.
    terminal: str = ""
    # The keys that must have signed an earlier run whose results are to count.
    trust: Trust | None = None
    # What the names of images stand for, where an earlier run says so.
    images: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: NOTHING)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.settings.run_id.value

    @property
    def run_dir(self) -> str:
        """The run's folder."""
        return f"{self.flow.proofs}/{self.run}"

    def source(self, inbox: Inbox) -> provenance.Source:
        """Where the code comes from, as it is now, or was when a look was begun."""
        return provenance.Source.look(
            self.flow.root,
            exclude=(self.flow.proofs,),
            environ=self.environ,
            cache=lock.folder(self.flow.proofs),
            ear=inbox,
            looking=self.looking,
        )

    def place(self) -> Place:
        """Where its tasks run."""
        return Place(self.run, os.uname().nodename, provenance.user_name(), self.flow.root)

    def shield(self) -> Grounds | None:
        """What its workers are to shield; None when that is not wanted."""
        mode, proofs = self.settings.shield.value, self.flow.proofs
        if mode == NEVER:
            return None
        from zf.work.walls.shield import Grounds  # noqa: PLC0415 - not without one

        return Grounds(
            mode,
            proofs,
            lock.folder(proofs),
            lock.lock_path(proofs, self.run),
            lock.orders_paths(proofs, self.run),
            lambda: lock.live_runs(proofs, but=self.run),
            # What is left running is for a task that comes later to end.
            landlock=mode == ALWAYS and not any(t.leave_running for t in self.plan.tasks.values()),
        )

    def caching(self) -> Caching | None:
        """How earlier results come to count; None where none does."""
        count = sum(1 for task in self.plan.tasks.values() if task.cache)
        if not (self.settings.cached.value and count):
            return None
        from zf.work.caching.lookup import Caching  # noqa: PLC0415 - not without one

        if self.settings.sign.value and self.trust is None:
            return None  # nothing says whose signature would count
        if count > (os.cpu_count() or 1):
            # Once, before workers are forked; where there are few, they have the time themselves.
            import zf.audit.verify  # noqa: PLC0415
            import zf.work.caching.attempt  # noqa: F401, PLC0415

        return Caching(look_up=True, trust=self.trust)

    @contextmanager
    def looking_up(self) -> Iterator[Caching | None]:
        """The same for a new run. What the first task most likely asks for is verified meanwhile,
        by a process that is forked before there is anything that it must not have.
        """
        caching = self.caching()
        if caching is None:
            yield None
            return
        with closing(caching):
            level, tasks = self.plan.level, self.plan.tasks.values()
            if first := next((task.id for task in tasks if task.cache and not level[task.id]), ""):
                caching.begin(self.flow.proofs, first)
            yield caching

    def weighed(self, rows: Sequence[dict[str, Any]], earlier: Durations) -> Self:
        """The same, with how long its tasks are expected to take, which is written into the `rows`
        of its plan.json, too.
        """
        known = (earlier, self.durations) if self.durations else (earlier,)
        weight_s = weights(rows, *known)
        for row in rows if weight_s else ():
            row["weight_s"] = weight_s[row["id"]]
        return replace(self, plan=replace(self.plan, weight_s=weight_s)) if weight_s else self

    def leases(self) -> str:
        """The folder of the leases, for a run that needs any."""
        groups = {task.concurrency for task in self.plan.tasks.values() if task.concurrency}
        return leases.folder(self.environ, groups) if groups else ""

    def facts_for_steps(
        self, about: Mapping[str, Any], tasks: Iterable[Task]
    ) -> Mapping[str, Mapping[str, Any]]:
        """What conditions of steps may refer to beside variables; `about` is run.json."""
        return facts_for_steps(
            tasks,
            run=self.run,
            max_jobs=self.limits.max_jobs,
            source=about["source"],
            ci=about.get("ci"),
            inputs=self.inputs,
        )

    def contexts(
        self, about: Mapping[str, Any], tasks: Iterable[Task]
    ) -> dict[str, ConditionContext]:
        """What the conditions of these tasks may refer to; as above."""
        return condition_contexts(
            tasks,
            self.environ,
            self.flow.project,
            run=self.run,
            max_jobs=self.limits.max_jobs,
            source=about["source"],
            ci=about.get("ci"),
            hide=self.redactor.text,
            inputs=self.inputs,
        )

    def scheduler(
        self,
        about: Mapping[str, Any],
        decided: Mapping[str, ConditionEvaluated] = NOTHING,
        joined: Collection[Task] = (),
    ) -> Scheduler:
        """A scheduler for it; `about` is run.json, `decided` are the conditions answered before;
        `joined` are instances that joined its plan.
        """
        from zf.run.schedule.scheduler import Scheduler  # noqa: PLC0415 - as the engine, in launch

        contexts = self.contexts(about, chain(self.plan.tasks.values(), joined))
        scheduler = Scheduler(self.plan, self.limits, contexts, decided)
        asked = [need for need in self.plan.upstream if scheduler.asks_for_outputs_of(need)]
        if asked:
            from zf.run import outputs  # noqa: PLC0415 - few runs read any

            for need in asked:
                read = outputs.read_met(self.flow.proofs, need, self.plan.upstream[need])
                scheduler.take_outputs(read)
        return scheduler


def limits_of(
    flow: Flow,
    plan: Plan,
    settings: Settings,
    options: RunOptions,
    *,
    only: str | None = None,
    fail_fast: bool | Literal["now"] = False,
) -> Limits:
    """What the user allows a run: flags first, then the project file, then the machine itself.
    `fail_fast` holds where no flag says how.
    """
    project = flow.project
    throttle = None
    if project.throttle_cpu_percent is not None or project.throttle_min_free_mem_mb is not None:
        usual = Throttle()
        throttle = Throttle(
            project.throttle_cpu_percent or usual.cpu_percent,
            project.throttle_min_free_mem_mb or usual.min_free_mem_mb,
        )
    return Limits(
        settings.max_jobs.value,
        _fails_fast(options, fail_fast),
        only,
        retries=not options.no_retries,
        resources=available(plan.tasks.values(), project, options.resources),
        throttle=throttle,
        deadline_s=options.deadline_s,
        seed=settings.run_id.value,
        keep_going=options.keep_going,
        on_approval=options.on_approval or "wait",
        **_places(project.executors, settings),
    )


def _places(declared: Mapping[str, Executor], settings: Settings) -> dict[str, Any]:
    """The executors of zf.yaml, with the pool that the run is given, and the one for tasks that
    name none. Raises ZfError (exit 2).
    """
    name = settings.executor.value or ""
    if not name.startswith(POOL):
        return {"executors": declared, "executor": name}
    from zf.engines.dask import pool  # noqa: PLC0415 - few runs have one

    found = pool.executor(settings.executor, declared, settings.max_jobs.value, os.environ)
    return {"executors": {**declared, POOL_NAME: found}, "executor": POOL_NAME}


def _fails_fast(options: RunOptions, else_as: bool | Literal["now"]) -> bool | Literal["now"]:
    if options.fail_fast and options.keep_going:
        raise ZfError("--fail-fast and --keep-going exclude each other", hint="leave one out")
    if options.fail_fast is None:
        return False if options.keep_going else else_as
    return options.fail_fast


def recorded_request(
    flow: Flow,
    run_dir: str,
    environ: Mapping[str, str],
    *,
    watch: Watch,
    look_s: float,
    output_fd: Callable[[], int | None],
    words: Words = NO_WORDS,
) -> RunRequest:
    """What a run was begun with, to resume it with the task files as they are now; `words` are
    inputs that are given again.

    Raises ZfError: exit 5 for a run that is sealed, 2 when the files have changed, or the run has
    another form.
    """
    from zf.plan.recorded import plan_again  # noqa: PLC0415 - of a run that is resumed

    refuse_sealed(run_dir)
    refuse_interactive(run_dir)
    # Which files the run is taken up from is checked again once nothing else can touch it.
    recorded, run_sha256 = read.object_and_digest(run_dir, RUN)
    planned, plan_sha256 = read.object_and_digest(run_dir, PLAN)
    _refuse_old(run_dir, recorded)
    flow, inputs = _as_given(flow, planned, recorded, words, environ)
    if 0 in flow.instances.values():
        from zf.plan.matrix.known import grown  # noqa: PLC0415 - few matrices grow

        flow = grown(flow, planned)
    if recorded.get("images"):
        from zf.run.host import containers  # noqa: PLC0415 - few tasks have one

        flow = containers.pinned(flow, recorded["images"])
    there = {**flow.tasks, **{task.id: task for task in flow.handlers}}
    tasks = [there[row["id"]] for row in planned["tasks"] if row["id"] in there]
    redactor = Redactor(tasks, environ, flow.project, inputs)
    request = RunRequest(
        flow,
        plan_again(flow, planned, redactor.defined, run=os.path.basename(run_dir)),
        Settings.from_json(recorded["settings"]),
        Limits.from_json(recorded["limits"]),
        environ,
        redactor,
        watch,
        look_s,
        output_fd,
        papers={RUN: run_sha256, PLAN: plan_sha256},
        inputs=inputs,
        arguments=tuple(recorded.get("arguments", ())),
    )
    if os.path.basename(run_dir) != request.run:
        raise ZfError(
            f"{printable(run_dir)} is a copy of run {request.run!r}, and no run of its own",
            code="ZF140",
            hint=f"resume the run itself: zf resume {request.run}",
        )
    return request


def _as_given(
    flow: Flow,
    planned: Mapping[str, Any],
    recorded: Mapping[str, Any],
    words: Words,
    environ: Mapping[str, str],
) -> tuple[Flow, Inputs]:
    """The tasks with the arguments they had, and the inputs that the run had."""
    if recorded.get("arguments"):
        flow = arguments.kept(flow, planned, recorded)
    if not (recorded.get("inputs") or words or declares_inputs(flow.project)):
        return flow, NOTHING
    phases = [row["name"] for row in planned["phases"]]
    kept = given.Kept.of(recorded, exact=True)
    inputs, _ = given.resolve(flow.project, phases, words, environ, kept)
    return flow, hidden_by_name(inputs, flow.project)


def refuse_sealed(run_dir: str) -> None:
    """Raises ZfError (exit 5) for a run that is sealed, and so cannot be resumed."""
    if os.path.lexists(f"{run_dir}/{MANIFEST}"):
        run = os.path.basename(run_dir)
        raise ZfError(
            f"run {run!r} is sealed: it never changes",
            exit_code=Exit.RUN_ID_TAKEN,
            code="ZF142",
            hint=f"zf rerun {run} --failed starts a new run from it",
        )


def refuse_interactive(run_dir: str) -> None:
    """Raises ZfError (exit 2) for a run in which a task had the terminal: there is no going on with
    what a person did there.
    """
    if task := read.run_json(run_dir).get("interactive"):
        run = os.path.basename(run_dir)
        raise ZfError(
            f"run {run!r} gave {printable(str(task))} the terminal, and is not gone on with",
            code="ZF156",
            hint=f"zf seal {run} closes it as it is",
        )


def _refuse_old(run_dir: str, described: Mapping[str, Any]) -> None:
    """Refuse to go on with a run whose files have another form: its halves would differ.

    `described` is what its run.json says.
    """
    if described.get("schema") != provenance.SCHEMA:
        run, version = os.path.basename(run_dir), printable(str(described.get("zf_version")))
        raise ZfError(
            f"run {run!r} was begun by zf {version}, whose proofs have another form",
            code="ZF146",
            hint=f"finish it with that version; or zf seal {run}, then zf rerun {run} --failed",
        )
