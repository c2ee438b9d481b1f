"""What zf says while a run goes on: a line for each event, heartbeats, what tasks print.

Every function takes facts and returns text; nothing here writes, waits or reads a clock. `now` and
the facts' own moments are readings of the same monotonic clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from zf.errors import in_shell, printable
from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptEnded,
    AttemptPlaced,
    AttemptStarted,
    BudgetWarned,
    Cached,
    CacheMissed,
    CancelRequested,
    ConditionEvaluated,
    Event,
    ExecutorDrained,
    HandlerClaimed,
    HandlerEnded,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    PlanExtended,
    Probe,
    ResultQuarantined,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    RunSuspended,
    RunTimedOut,
    ServiceEnded,
    ServiceStarted,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
    to_json,
)
from zf.lean.encoder import encoder
from zf.metrics import budget
from zf.report.words import (
    PLAIN,
    TAIL_LINES,
    Style,
    because,
    count,
    duration,
    failed_tests,
    limit,
    log_line,
    quoted_log,
    spent,
    story,
    tail,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

_encode = encoder()
# A minute is what CI users take for a hang; shorter would fill their logs.
HEARTBEAT_S = 60.0
# Of instances that joined the plan, in one line.
_MOST_NAMES = 8


def plain_line(facts: Facts, event: Event, style: Style = PLAIN) -> str:
    """The line for an event just added to `facts`, or nothing for one that needs none."""
    match event:
        case AttemptStarted(task=name) if name in facts.tasks:
            return _start_line(facts.tasks[name], style)
        case AttemptEnded(task=name) | TaskNotRun(task=name) if name in facts.tasks:
            return _end_line(facts.tasks[event.task], style)
        case LeaseAwaited(task=name) if name in facts.tasks:
            task = facts.tasks[name]
            return f"{style.label(task.word)} {printable(name)}  {what(task)}"
        case Probe(task=name) if name in facts.tasks:
            return _probe_line(facts.tasks[name], event, style)
        case ApprovalAsked() | ApprovalRefused() if event.task in facts.tasks:
            return _gate_line(facts, event, style)
        case ApprovalGiven(task=name, approver=approver) if name in facts.tasks:
            gate, word = facts.tasks[name].gate, style.label("approved", "success")
            so_far = f" ({len(gate.given)} of {gate.asked.min})" if gate else ""
            return f"{word} {printable(name)}  by {printable(approver)}{so_far}"
        case RetryScheduled() | RetryDropped() if event.task in facts.tasks:
            return _retry_line(event, style)
        case _:
            return _run_line(facts, event, style)


def _run_line(facts: Facts, event: Event, style: Style) -> str:
    """The same for an event that concerns the phase or the run."""
    match event:
        case RunStarted(run=run, tasks=tasks, phases=phases):
            only = f"phase {printable(phases[0])}, " if len(phases) == 1 else ""
            return f"run {printable(run)}: {only}{count(tasks, 'task')}"
        case RunResumed(leftovers=leftovers):
            found = f", leftover processes ended: {leftovers}" if leftovers else ""
            return f"run {printable(facts.run)}: resumed{found}"
        case PhaseStarted() | PhaseEnded() if len(facts.phases) == 1:
            return ""  # the run's own lines say the same
        case PhaseStarted(phase=phase, timeout_s=timeout_s):
            planned = facts.phases.get(phase)
            tasks = planned.tasks if planned else 0
            return f"phase {printable(phase)}: {count(tasks, 'task')}, at most {limit(timeout_s)}"
        case PhaseEnded(phase=phase, ok=ok, duration_s=took):
            word = "passed" if ok else "failed"
            return f"phase {printable(phase)}: {style.paint(word, word)} after {duration(took)}"
        case PhaseTimedOut(phase=phase, timeout_s=timeout_s):
            # Not the summary's lines, which scripts count.
            told = f"past its limit of {limit(timeout_s)}: ending what runs"
            return style.paint(f"phase {printable(phase)}: {told}", "error")
        case BudgetWarned():
            told = _budget_told(event)
            return style.paint(f"{told}: ending it", "error") if event.over else told
        case RunTimedOut(deadline_s=deadline_s):
            told = f"past its deadline of {limit(deadline_s)}: ending what runs"
            return style.paint(f"run {printable(facts.run)}: {told}", "error")
        case PlanExtended(base=base, instances=instances):
            names = [printable(str(one["id"]).partition("@")[2]) for one in instances]
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            told = ", ".join(names[:_MOST_NAMES]) + more
            return f"{printable(base)}: {count(len(names), 'instance')}: {told}"
        case ThrottleEntered(reason=reason):
            told = f"{printable(reason)}: nothing new starts while a task runs"
            return f"{style.paint('throttle:', 'throttle')} {told}"
        case ThrottleLeft(duration_s=took, held_s=held):
            told = f"over after {duration(took)}, tasks were kept waiting for {duration(held)}"
            return f"{style.paint('throttle:', 'throttle')} {told}"
        case CancelRequested(task=name, by=by) if by:
            return f"cancel requested: {printable(name or '')}, by {printable(by)}, which is newer"
        case CancelRequested(task=name):
            return f"cancel requested: {'the whole run' if name is None else printable(name)}"
        case Interrupted(count=times):
            how = "ending what runs" if times == 1 else "killing what runs"
            return style.paint(f"interrupted: {how}", "interrupted")
        case ResultQuarantined(task=name, executor=executor, differs=differs):
            told = f"a result of {printable(name)} came from {printable(executor)} after its end"
            more = ", and it is not the one that came before" if differs else ""
            return style.paint(f"{told}{more}: it is in the quarantine", "error")
        case ExecutorDrained(executor=executor):
            return f"{printable(executor)} is drained: nothing starts there any more"
        case AttemptPlaced():
            return ""
        case RunEnded() | ConditionEvaluated() | LeaseTaken() | Cached() | CacheMissed():
            return ""  # the summary says it, or nothing needs to
        case ServiceStarted() | ServiceEnded():
            return ""  # of a task, whose end says what came of it
        case AttemptStarted() | AttemptEnded() | TaskNotRun() | LeaseAwaited():
            return ""  # of a task that is not in the plan
        case RetryScheduled() | RetryDropped() | Probe() | HandlerClaimed() | HandlerEnded():
            return ""
        case RunSuspended(waiting=names):
            told = f"{count(len(names), 'task')} {'waits' if len(names) == 1 else 'wait'}"
            return f"run {printable(facts.run)}: suspended, as {told} for approval"
        case ApprovalAsked() | ApprovalGiven() | ApprovalRefused():
            return ""
        case _:
            assert_never(event)


def _gate_line(facts: Facts, event: ApprovalAsked | ApprovalRefused, style: Style) -> str:
    """What a task waits for; or an answer that does not count. One that rejects is told with what
    becomes of the task.
    """
    name = printable(event.task)
    if isinstance(event, ApprovalRefused):
        if event.why == "rejected":
            return ""
        word = style.paint("refused:", "warning")
        return f"{word} an answer about {name}: {printable(event.detail)}"
    from zf.report.waiting import by_whom  # noqa: PLC0415 - few runs have anything to approve

    gate = facts.tasks[event.task].gate
    assert gate is not None
    asked = f"{printable(event.prompt)} - " if event.prompt else ""
    command = f"{style.zf} approve {in_shell(facts.run)} {in_shell(event.task)}"
    return f"{style.label('waiting')} {name}  {asked}waits for {by_whom(gate)}: {command}"


def _start_line(task: TaskFacts, style: Style) -> str:
    again = f"  attempt {task.attempt}" if task.attempt > 1 else ""
    return f"{style.label('start')} {printable(task.id)}{again}"


def _probe_line(task: TaskFacts, probe: Probe, style: Style) -> str:
    """Only where the answer is another than before: a watch may have hundreds."""
    if task.probe_row > 1:
        return ""
    code = f"exit code {probe.exit_code}" if probe.exit_code else ""
    parts = (printable(task.id), f"probe {probe.number} {probe.result}", code, probe.line)
    return f"{style.label('probe')} {'  '.join(printable(part) for part in parts if part)}"


def _end_line(task: TaskFacts, style: Style) -> str:
    again = f"attempt {task.attempt}" if task.attempt > 1 else ""
    parts = (printable(task.id), spent(task), again, story(task), failed_tests(task))
    colour = "flaky" if task.flaky else task.conclusion
    word = style.label(task.conclusion, colour)
    return f"{word} {'  '.join(part for part in parts if part)}"


def _retry_line(event: RetryScheduled | RetryDropped, style: Style) -> str:
    if isinstance(event, RetryDropped):
        then = f"dropped: {because(event.cause)}"
    else:
        then = f"in {limit(event.delay_s)}" if event.delay_s else "at once"
    return f"{style.label('retry')} {printable(event.task)}  attempt {event.attempt} {then}"


def failure_tail(lines: Sequence[str], most: int = TAIL_LINES) -> list[str]:
    """The lines of a failed task's log that say why, to print right after its end line."""
    return quoted_log(tail(lines, most))


def json_line(event: Event, mono: float | None = None) -> str:
    """One event as one line of JSON, in ASCII: a program's `--progress json`."""
    data = to_json(event)
    if mono is not None:
        data["mono"] = mono
    # JSON leaves DEL as it is.
    return _encode(data).replace("\x7f", "\\u007f")


class Heartbeats:
    """Finds the running tasks that have printed nothing, and had no heartbeat, for a minute."""

    def __init__(self, every_s: float = HEARTBEAT_S) -> None:
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def heard(self, task: str, now: float) -> None:
        """The task printed something then, shown or not."""
        self._last[task] = now

    def due(self, facts: Facts, now: float) -> list[TaskFacts]:
        """The tasks that are due a heartbeat line now; each is taken as printed."""
        self._last = {name: self._since(task) for name, task in facts.running.items()}
        due = [facts.running[name] for name, at in self._last.items() if now - at >= self._every_s]
        self._last.update((task.id, now) for task in due)
        return due

    def wake_at(self, facts: Facts) -> float | None:
        """When the next one is due, if nothing is printed until then."""
        since = (self._since(task) for task in facts.running.values())
        first = min(since, default=None)
        return None if first is None else first + self._every_s

    def _since(self, task: TaskFacts) -> float:
        return max(self._last.get(task.id, 0.0), task.started_mono or 0.0)


def heartbeat_line(
    task: TaskFacts, now: float, *, silent_s: float | None = None, style: Style = PLAIN
) -> str:
    """`running   40-seed  2m00s`; with how long its log has not grown, where known."""
    quiet = "" if silent_s is None else f"  no output for {duration(silent_s)}"
    return f"{style.label('running')} {printable(task.id)}  {_since(task.started_mono, now)}{quiet}"


def grouped(task: TaskFacts, lines: Iterable[str]) -> Iterator[str]:
    """A whole log under one header, for `--output group`."""
    yield f"log of {printable(task.id)} ({task.word}{spent(task, ', ')}):"
    for line in lines:
        yield f"  | {log_line(line)}".rstrip()


def prefixed(task: str, line: str) -> str:
    """One line of a log with its task before it, for `--output prefix`."""
    return f"{printable(task)} | {log_line(line)}".rstrip()


def _budget_told(warned: BudgetWarned) -> str:
    """How much of a budget is used up."""
    whose = f"{warned.scope} {printable(warned.name)}" if warned.name else "run"
    return f"budget of {whose}: {budget.told(warned.metric, warned.spent, warned.budget)}"


def _since(moment: float | None, now: float) -> str:
    """How long ago a moment was; `-` where that is not known."""
    return duration(None if moment is None else now - moment)
