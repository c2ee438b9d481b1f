"""One attempt of one task: its steps in order, its cleanup, its artifacts, its whole proof tree."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from functools import partial
from itertools import chain
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from zf.errors import error_text
from zf.events import FAILED, WELL, Cause, Status, timestamp
from zf.lean import lazy
from zf.lean.records import replace
from zf.model import NOTHING, is_limited, recorded_step
from zf.proof import layout
from zf.proof.lines import list_lines, object_lines
from zf.proof.tree.records import env_sh, keep_answers, task_json, task_lines
from zf.proof.tree.store import NO_ARTIFACT, TaskTree
from zf.redact.redactor import free_text, without_secrets
from zf.redact.stream import StreamRedactor
from zf.work.artifacts import ArtifactSecrets, Collecting, collected, collecting_limit_s
from zf.work.capture import Capture
from zf.work.outcome import Outcome
from zf.work.results.budgets import meter_of
from zf.work.shell import (
    NOTHING_BETWEEN,
    Behind,
    NotStartedError,
    Started,
    WorkdirError,
    behind,
    enter,
)
from zf.work.steps import Command, asked
from zf.work.supervise.supervisor import Ended, Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from zf.model import Task
    from zf.plan.conditions.condition import Scalar
    from zf.work import terminal
    from zf.work.caching import attempt as cache
    from zf.work.caching.use import Use
    from zf.work.context import WorkerContext
    from zf.work.control import StartOrder
    from zf.work.limits import limits
    from zf.work.limits.limits import Limits
    from zf.work.probes import probing
    from zf.work.results import channel, hints, needs, reports, taken
    from zf.work.services import attempt as services
    from zf.work.services.services import Services
    from zf.work.terminal import Terminal
    from zf.work.walls import around as walls
    from zf.work.walls.sandbox import Sandbox
else:
    cache = lazy.module("zf.work.caching.attempt")
    channel = lazy.module("zf.work.results.channel")
    hints = lazy.module("zf.work.results.hints")
    limits = lazy.module("zf.work.limits.limits")
    needs = lazy.module("zf.work.results.needs")
    probing = lazy.module("zf.work.probes.probing")
    reports = lazy.module("zf.work.results.reports")
    services = lazy.module("zf.work.services.attempt")
    taken = lazy.module("zf.work.results.taken")
    terminal = lazy.module("zf.work.terminal")
    walls = lazy.module("zf.work.walls.around")

# Has no state, so one is enough.
_NO_CONTEXT = nullcontext()
_bytes = methodcaller("encode", "utf-8", "surrogateescape")


class Attempt:
    """One attempt, from its order or before to all but its claim; `outcome` is told how it goes.

    Made, its tree says what is known before it begins, without secrets.
    """

    def __init__(
        self,
        context: WorkerContext,
        task: Task,
        outcome: Outcome,
        at: str | None = None,
        met: Mapping[str, str] = NOTHING,
    ) -> None:
        """`met` is what its order says of its needs. The tree is made in its place, or `at` another
        until it is `put_in_place`. OSError.
        """
        self._context = context
        self._task = task
        self.outcome = outcome
        self._cache: Use | None = None  # whether an earlier result counts for it
        # Where a task has its artifacts until they are copied into its proof, if it may leave
        # processes behind, which could go on writing there; and where the worker can write to it.
        left = f"left/{task.id}.{outcome.attempt}" if task.leave_running else ""
        self._left = left and f"{context.aside}/{left}"
        self._left_at = left and f"{context.written_aside}/{left}"
        # What its steps run behind.
        is_walled = task.sandbox or task.container
        self._wall = walls.Wall(context, task, outcome) if is_walled else None
        self._limits: Limits | None = None
        # What runs beside its steps.
        self._services: Services | None = services.prepare(task) if task.services else None
        # When the time of its steps began, if not with its own: services come before.
        self._steps_from = 0.0
        # What conditions of steps may refer to beside variables.
        self._facts: Mapping[str, Scalar] = NOTHING
        self._meter = meter_of(context, task, outcome.attempt)
        held = taken.variables(context, task, met, outcome) if task.env_from else NOTHING
        self._env = context.outside.build(task, self._own_variables(), held)
        self._own = self._env.of_commands(task)
        self._secrets = context.outside.secrets(task, self._env, self._own.values())
        self._redactor = StreamRedactor(self._secrets)
        env = self._env.values, self._env.recorded, self._env.hidden
        self._pwd, exports = context.place.workdir(task), env_sh(*env)
        # One search of all: there is hardly ever a secret in them, and value by value is slow.
        if self._redactor.holds_secret(b"\0".join((free_text(task), _bytes(self._pwd), exports))):
            hide = self._redactor.text
            self._pwd, exports = hide(self._pwd), env_sh(*env, hide)
            # From here on everything is called as it may be shown.
            task = outcome.task = without_secrets(task, self._redactor)
        run_dir, folders = context.written_at, context.folders
        if at is None:
            self.tree = TaskTree.create(run_dir, task.id, outcome.attempt, folders)
        else:
            self.tree = TaskTree.create_at(at, run_dir, task.id, folders)
        try:
            self.tree.write(layout.ENV, exports)
            steps = [
                {"name": step.name, "run": step.run, **recorded_step(step)} for step in task.steps
            ]
            self.tree.write(layout.COMMANDS_LIST, list_lines(steps))
            self._lines = task_lines(task)
        except BaseException:
            self.tree.close()
            raise

    def run(self, order: StartOrder, meanwhile: Callable[[], None] | None = None) -> None:
        """Fill the tree with all the rest but the outcome itself.

        While the first step runs, `meanwhile` is called once; it must not raise.
        """
        self._facts = order.facts
        if self._facts and self._task.needs:
            handed = taken.for_conditions(self._context, self._task, order.needs, self.outcome)
            self._facts = {**self._facts, **handed}
        if self._left:
            os.makedirs(self._left_at)
        if order.told:
            channel.tell(self._context, self._task.id, self.outcome.attempt, order.told)
        if self._task.outputs:
            channel.mend(self._context.written_channel)
        if self._context.shield is not None:
            self._context.shield.begin(self.tree, self._task.id)
            if self._left:
                self._context.shield.open_up(self._left_at, self._left)
        keep_answers(self.tree, order.answers)
        problem = ""
        if self._task.needs and (order.needs or self._context.upstream or self._context.copied):
            problem = needs.lay_out(self._context, self._task, order.needs, self._redactor.text)
        place, started_at = self._context.place, self.outcome.started_at
        self.tree.write(layout.TASK, task_json(place, started_at, self._pwd, self._lines))
        if problem and self.outcome.status is Status.SUCCESS:
            self.outcome.fail(Cause.ARTIFACTS, problem)
        elif self._task.cache and not self.outcome.interactive:
            workdir = self._task.workdir, self.outcome.task.workdir
            go = partial(enter, self._context.real_root, *workdir)
            about = (self._context, self._task, self.outcome, self.tree, self._env)
            self._cache = cache.begin(*about, order.needs, self._redactor.text, go)
        try:
            self._run_commands(meanwhile)
        finally:
            if self._services is not None:
                services.end(self._services, self.outcome)
            if self._limits is not None:
                self._limits.end(self.outcome, self.tree.end_of)
            if self._wall is not None:
                self._wall.end()
        if self._wall is not None:
            self._wall.judge()
        self._collect()
        if self._task.budget:
            self.outcome.take_budget(order.spent, self._meter.used if self._meter else NOTHING)
        self.outcome.tell_remarks()
        if self._cache is not None:
            self._cache.conclude(self.outcome, self.tree)
        self.outcome.redactions = self._redactor.counts
        self.outcome.notes += self._redactor.warnings
        self.outcome.hide(self._redactor.text)

    def _run_commands(self, meanwhile: Callable[[], None] | None) -> None:
        """Its steps and its cleanup, beside its services."""
        outcome = self.outcome
        if is_limited(self._task) and not outcome.cached_from:
            self._limits = limits.begin(self._context, self._task, outcome)
        if self._services is not None and outcome.status is Status.SUCCESS:
            if not outcome.cached_from:
                about = self._context, self._task, outcome, self.tree, self._redactor
                beside = self._beside, self._sandbox, self._env.values
                services.begin(self._services, *about, *beside)
            self._steps_from = time.monotonic()
        self._run_steps(meanwhile)
        if outcome.cause is Cause.EXIT and outcome.step is not None:
            own = self._own.get(f"step-{outcome.step}")
            values = {**self._env.values, **(own.values if own else {})}
            stands = self._wall.standing if self._wall is not None else None
            hints.tell(self._context, self._task, outcome, self.tree, values, stands)
        self._run_cleanup()

    def _beside(self, script: str) -> Callable[[], Started]:
        """What starts a script that runs beside the steps, on this machine where these are in a
        container. Raises NotStartedError.
        """
        task, context = self._task, self._context
        enter(context.real_root, task.workdir, self.outcome.task.workdir)
        env = {**self._env.values}
        if task.container:
            env = {**context.outside.of_this_machine(), **env}
            return partial(context.shell.start, env, _bytes(script))
        return partial(context.shell.start, env, _bytes(script), wall=self._behind(env))

    def _sandbox(self) -> Sandbox | None:
        """Its sandbox, made when it is first asked for. Raises NotStartedError."""
        return self._wall.sandbox(self._env) if self._wall is not None else None

    def _own_variables(self) -> dict[str, str]:
        own = self._context.own_variables(self._task, self.outcome.attempt, self._left)
        return {**own, **self._context.ports_of(self._task.phase, self._services)}

    def _run_steps(self, meanwhile: Callable[[], None] | None) -> None:
        task = self._task
        terms = Terms(
            (self._steps_from or self.outcome.began) + task.timeout_s,
            task.silence_timeout_s,
            leave_running=task.leave_running,
            meter=self._meter,
            walled=self._wall is not None,
        )
        if not task.repeat:
            self._run_each(terms, meanwhile)
            return
        look = partial(self._context.outside.for_condition, env=self._env.values, task=task)
        ask = look, self._facts, self._redactor.text
        probing.run(self._context, task, self.outcome, self.tree, self._run_each, terms, *ask)

    def _run_each(self, terms: Terms, meanwhile: Callable[[], None] | None = None) -> None:
        """Run the steps, one after the other, as far as they go well."""
        task, outcome, orders = self._task, self.outcome, self._context.orders
        for index in range(len(task.steps)):
            if outcome.status is Status.SUCCESS and orders.stop is not None:
                outcome.take_stop(index, orders.stop)
            command = Command("step", index, task.steps, outcome.task.steps)
            wanted = outcome.status is Status.SUCCESS
            if not wanted and command.step.condition:
                wanted = outcome.goes_on and orders.stop is None
            wanted = wanted and not outcome.cached_from
            self._run_command(command, terms if wanted else None, meanwhile)
            meanwhile = None

    def _run_cleanup(self) -> None:
        """However the steps ended, unless the runner leaves no time for anything any more."""
        task, outcome, context = self._task, self.outcome, self._context
        if not task.cleanup:
            return
        terms = Terms(
            time.monotonic() + task.cleanup_timeout_s,
            leave_running=task.leave_running,
            cleanup=True,
            walled=self._wall is not None,
        )
        for index in range(len(task.cleanup)):
            stop = context.orders.stop
            wanted = not (context.supervisor.has_unkillable or outcome.cached_from)
            wanted = wanted and (stop is None or not stop.force)
            command = Command("cleanup", index, task.cleanup, outcome.task.cleanup)
            self._run_command(command, terms if wanted else None)

    def _run_command(
        self,
        command: Command,
        terms: Terms | None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Run a command on these terms, or leave it where there are none, or where its condition
        is against it; the proof says which.
        """
        digest = self.tree.write(layout.script(command.file), _bytes(command.shown.run))
        own = self._own.get(command.file)
        shown = own.shown(self._redactor.text) if own else NOTHING
        by_file = self._wall is not None and self._wall.takes_files
        arguments = self.outcome.task.arguments
        record = command.record(digest, arguments, shown, by_file=by_file)
        if terms is not None and command.step.condition:
            terms = terms if self._asked(command, record) else None
        if terms is not None:
            record |= self._run_logged(command, command.terms(terms), meanwhile)
        if command.step.continue_on_error and record["status"] in FAILED:
            record["tolerated"] = True
        self.tree.write(layout.command_record(command.file), object_lines(record))

    def _asked(self, command: Command, record: dict[str, Any]) -> bool:
        """Whether the condition of the command is for it; its record says more."""
        own = self._own.get(command.file)
        env = self._env.for_step(command.index, "", own.values if own else NOTHING)
        look = partial(self._context.outside.for_condition, env=env, task=self._task)
        return asked(command, self.outcome, look, self._facts, self._redactor.text, record)

    def _run_logged(
        self, command: Command, terms: Terms, meanwhile: Callable[[], None] | None
    ) -> dict[str, Any]:
        """Run a command with a log for its output, and tell the outcome how it ended; what its
        record says of that.
        """
        outcome, path = self.outcome, layout.log(command.file)
        started, began = time.time(), time.monotonic()
        stream, log = self._redactor.stream(), self.tree.create_file(path)
        ended = None
        try:
            capture = Capture(log, self._context.buffer, stream, self._task.max_log_bytes)
            try:
                with self._terminal(command, capture) as on:
                    ended = self._start(command, capture, terms, meanwhile, on)
            except WorkdirError as error:
                status = command.cannot_run(outcome, Cause.WORKDIR, str(error))
            except NotStartedError as error:
                status = command.cannot_run(outcome, Cause.SPAWN, *error.args)
            else:
                status = command.take(outcome, ended)
            capture.finish()
        finally:
            os.close(log)
        if ended is not None:
            used = self._context.supervisor.measures()
            outcome.measure(command.kind, command.index, used, capture.output_bytes)
        if capture.failure is not None and outcome.status in WELL:
            outcome.goes_on = False
            why = error_text(capture.failure)
            outcome.fail(Cause.STORAGE, f"the log of {command.label} could not be written: {why}")
        if capture.is_cut:
            outcome.notes.append(f"the log of {command.label} was cut at max_log_bytes")
        log_sha256 = capture.log_sha256
        self.tree.wrote(path, log_sha256)
        return {
            "status": status,
            "exit_code": None if ended is None else ended.exit_code,
            "signal": None if ended is None else ended.signal,
            "started_at": timestamp(started),
            "completed_at": timestamp(time.time()),
            "duration_s": round(time.monotonic() - began, 6),
            "log": path,
            "log_bytes": capture.log_bytes,
            "log_sha256": log_sha256,
            "output_bytes": capture.output_bytes,
            "output_sha256": capture.output_sha256,
        }

    def _start(
        self,
        command: Command,
        capture: Capture,
        terms: Terms,
        meanwhile: Callable[[], None] | None,
        on: Terminal | None = None,
    ) -> Ended:
        """Start the command where it is to run, and wait for its end. Raises WorkdirError and
        NotStartedError. What is `on` a terminal takes what is typed there.
        """
        step = command.step
        context, outcome = self._context, self.outcome
        workdir = step.workdir or self._task.workdir
        enter(context.real_root, workdir, command.shown.workdir or outcome.task.workdir)
        traceparent = context.trace.step(self._task.id, outcome.attempt, command.file)
        own = self._own.get(command.file)
        env = self._env.for_step(command.index, traceparent, own.values if own else NOTHING)
        script = _bytes(step.run), self._task.arguments, step.shell
        keys = (on.fd, on.keys) if on else None
        file = None
        if step.shell or self._wall is not None:
            file = walls.file_of(self._wall, context, outcome, step, command.file)

        def once(meanwhile: Callable[[], None] | None = None) -> Ended:
            wall = self._behind(env, file.seen if file else "", on=on is not None)
            with file or _NO_CONTEXT:
                leader, pipe = context.shell.start(env, *script, file, on, wall=wall)
                return context.supervisor.run(leader, pipe, capture, terms, meanwhile, keys)

        ended = once(meanwhile)
        return ended if self._wall is None or on else self._wall.stood(ended, once)

    def _terminal(
        self, command: Command, capture: Capture
    ) -> AbstractContextManager[Terminal | None]:
        """What a command is on, if it is a step of a task that has the terminal."""
        if self.outcome.interactive and command.kind == "step":
            return terminal.for_step(capture, command.label)
        return _NO_CONTEXT

    def _behind(
        self, values: Mapping[str, str], script: str | None = None, *, on: bool = False
    ) -> Behind:
        """What a command line is put behind, in the current folder. Raises NotStartedError."""
        found = NOTHING_BETWEEN
        if self._wall is not None:
            found = self._wall.behind(self._env, values, script, on=on)
        if self._limits is not None:
            return replace(found, words=behind(self._limits.words, found.words))
        return found

    def _collect(self) -> None:
        """Take the tree back from the steps, and the artifacts into it: those that they left, or
        those of an earlier result.
        """
        context, tree, task, outcome = self._context, self.tree, self._task, self.outcome
        secrets = ArtifactSecrets(self._redactor, self._secrets, task.allow_secrets_in)
        lost = context.shield.end(tree) if context.shield is not None else []
        strange = [(name, NO_ARTIFACT) for name in lost] + tree.take_over()
        collecting = Collecting(context.orders, collecting_limit_s(task.timeout_s))
        globs = tuple(chain.from_iterable(task.reports.values())) if task.reports else ()
        if self._cache is not None and self._cache.origin is not None:
            found = cache.taken_over(self._cache.origin, tree, outcome, secrets, collecting)
        else:
            patterns = task.artifacts + globs
            found = collected(context, tree, patterns, secrets, self._left_at, collecting)
        if globs:
            outcome.tests = reports.read_reports(
                tree, found, globs, self._redactor.text, collecting
            )
            outcome.notes += outcome.tests.notes
        outcome.notes += secrets.notes()
        if collecting.stop is not None:
            outcome.take_stop_of_collecting(collecting.stop)
        outcome.take_artifacts(
            found, strange, task.required_artifacts, leaks_fail=context.leaks_fail
        )
        if not outcome.cached_from and (task.outputs or context.was_told()):
            channel.take_told(context, task, tree, outcome, self._redactor.text)
