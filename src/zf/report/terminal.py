"""What zf says while a run goes on and when it is over: lines, the board's rows, the summary.

Every function takes facts and returns text; nothing here writes, waits or reads a clock. `now` and
the facts' own moments are readings of the same monotonic clock.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, assert_never

from zf.errors import printable
from zf.events import (
    FAILED,
    AttemptEnded,
    AttemptStarted,
    CancelRequested,
    ConditionEvaluated,
    Event,
    Interrupted,
    LeaseAwaited,
    LeaseTaken,
    PhaseEnded,
    PhaseStarted,
    PhaseTimedOut,
    RetryDropped,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    RunTimedOut,
    Status,
    TaskNotRun,
    ThrottleEntered,
    ThrottleLeft,
    to_json,
)
from zf.lean import lazy
from zf.proof.layout import step_log
from zf.report.blocked import code, headline, not_started
from zf.report.words import (
    NO_TAILS,
    PLAIN,
    TAIL_LINES,
    VERBS,
    Style,
    because,
    count,
    counted,
    duration,
    limit,
    log_line,
    place,
    quoted_log,
    spent,
    story,
    tail,
    tries,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from zf.report.facts import Facts, Result
    from zf.report.task_facts import TaskFacts

# A minute is what CI users take for a hang; shorter would fill their logs.
HEARTBEAT_S = 60.0
# Enough to see a whole small run fail; a large one that breaks altogether stays readable.
DETAILED_FAILURES = 25
BOARD_ROWS = 12

VERDICTS: Mapping[Result, str] = {
    "passed": "PASS",
    "failed": "FAIL",
    "timeout": "TIMEOUT",
    "interrupted": "INTERRUPTED",
    "nothing run": "NOTHING RUN",
    "unfinished": "UNFINISHED",
    # In place of all of these for a run whose folder is not what zf wrote.
    "tampered": "TAMPERED WHILE RUNNING",
}


def verdict(facts: Facts) -> str:
    """The one word for a run. PASS needs a task that ran and succeeded."""
    return VERDICTS[facts.result]


# --- Progress: plain and json --------------------------------------------------------------------


def plain_line(facts: Facts, event: Event, style: Style = PLAIN) -> str:
    """The line for an event just added to `facts`, or nothing for one that needs none."""
    match event:
        case AttemptStarted(task=name) if name in facts.tasks:
            return _start_line(facts.tasks[name], style)
        case AttemptEnded(task=name) | TaskNotRun(task=name) if name in facts.tasks:
            return _end_line(facts.tasks[event.task], style)
        case LeaseAwaited(task=name) if name in facts.tasks:
            task = facts.tasks[name]
            return f"{_word(task.word, style)} {printable(name)}  {what(task)}"
        case RetryScheduled() | RetryDropped() if event.task in facts.tasks:
            return _retry_line(event, style)
        case _:
            return _run_line(facts, event, style)


def _run_line(facts: Facts, event: Event, style: Style) -> str:
    """The same for what concerns more than one task."""
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
        case RunTimedOut(deadline_s=deadline_s):
            told = f"past its deadline of {limit(deadline_s)}: ending what runs"
            return style.paint(f"run {printable(facts.run)}: {told}", "error")
        case ThrottleEntered(reason=reason):
            word = style.paint("throttle:", "throttle")
            return f"{word} {printable(reason)}: nothing new starts while a task runs"
        case ThrottleLeft(duration_s=took, held_s=held):
            word = style.paint("throttle:", "throttle")
            return (
                f"{word} over after {duration(took)}, tasks were kept waiting for {duration(held)}"
            )
        case CancelRequested(task=name):
            return f"cancel requested: {'the whole run' if name is None else printable(name)}"
        case Interrupted(count=times):
            how = "ending what runs" if times == 1 else "killing what runs"
            return style.paint(f"interrupted: {how}", "interrupted")
        case RunEnded() | ConditionEvaluated() | LeaseTaken():
            return ""  # the summary says it, or nothing needs to
        case AttemptStarted() | AttemptEnded() | TaskNotRun() | LeaseAwaited():
            return ""  # of a task that is not in the plan
        case RetryScheduled() | RetryDropped():
            return ""
        case _:
            assert_never(event)


def _start_line(task: TaskFacts, style: Style) -> str:
    again = f"  attempt {task.attempt}" if task.attempt > 1 else ""
    return f"{_word('start', style)} {printable(task.id)}{again}"


def _end_line(task: TaskFacts, style: Style) -> str:
    again = f"attempt {task.attempt}" if task.attempt > 1 else ""
    parts = (printable(task.id), spent(task), again, story(task))
    colour = "flaky" if task.flaky else task.conclusion
    word = _word(task.conclusion, style, colour)
    return f"{word} {'  '.join(part for part in parts if part)}"


def _retry_line(event: RetryScheduled | RetryDropped, style: Style) -> str:
    if isinstance(event, RetryDropped):
        then = f"dropped: {because(event.cause)}"
    else:
        then = f"in {limit(event.delay_s)}" if event.delay_s else "at once"
    return f"{_word('retry', style)} {printable(event.task)}  attempt {event.attempt} {then}"


def _word(word: str, style: Style, colour: str = "") -> str:
    # The longest word is `cancelled`; padding stays outside the colour.
    padded = style.paint(word, colour or word) + " " * (9 - len(word))
    return f"{style.shape(colour or word)} {padded}"


def failure_tail(lines: Sequence[str], most: int = TAIL_LINES) -> list[str]:
    """What of a failed task's log says why, for right after its end line."""
    return quoted_log(tail(lines, most))


def json_line(event: Event, *, wall: str = "", mono: float | None = None) -> str:
    """One event as one line of JSON, in ASCII: a program's `--progress json`."""
    data = to_json(event)
    if wall:
        data["wall"] = wall
    if mono is not None:
        data["mono"] = mono
    # Mappings need not be dicts. And json leaves DEL as it is.
    return json.dumps(data, separators=(",", ":"), default=dict).replace("\x7f", "\\u007f")


class Heartbeats:
    """Which running tasks nothing has been heard of for a minute, as far as it was told."""

    def __init__(self, every_s: float = HEARTBEAT_S) -> None:
        self._every_s = every_s
        self._last: dict[str, float] = {}

    def heard(self, task: str, now: float) -> None:
        """The task printed something then, shown or not."""
        self._last[task] = now

    def due(self, facts: Facts, now: float) -> list[TaskFacts]:
        """The tasks that want a heartbeat line now; each counts as said."""
        self._last = {name: self._since(task) for name, task in facts.running.items()}
        due = [facts.running[name] for name, at in self._last.items() if now - at >= self._every_s]
        self._last.update((task.id, now) for task in due)
        return due

    def wake_at(self, facts: Facts) -> float | None:
        """When the next one is due, if nothing else is said."""
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
    return f"{_word('running', style)} {printable(task.id)}  {_elapsed(task, now)}{quiet}"


def _elapsed(task: TaskFacts, now: float) -> str:
    return duration(None if task.started_mono is None else now - task.started_mono)


# --- Output of tasks -----------------------------------------------------------------------------


def grouped(task: TaskFacts, lines: Iterable[str]) -> Iterator[str]:
    """A whole log under one header, for `--output group`."""
    yield f"log of {printable(task.id)} ({task.word}{spent(task, ', ')}):"
    for line in lines:
        yield f"  | {log_line(line)}".rstrip()


def prefixed(task: str, line: str) -> str:
    """One line of a log with its task before it, for `--output prefix`."""
    return f"{printable(task)} | {log_line(line)}".rstrip()


# --- The live board ------------------------------------------------------------------------------


def board(
    facts: Facts, now: float, *, columns: int, rows: int = BOARD_ROWS, style: Style = PLAIN
) -> list[str]:
    """At most `rows` lines, each narrower than `columns`: counts first, then what runs longest.

    The cost does not depend on the number of tasks: 20 000 are drawn as fast as 20.
    """
    width = max(1, columns - 1)
    rows = max(1, min(rows, BOARD_ROWS))
    lines = [_counts_row(facts, now, width, style)]
    room = rows - 1
    shown = room if len(facts.running) <= room else room - 1
    # Running tasks are in order of start, so the first ones have run longest.
    lines += [
        _running_row(facts, task, now, width)
        for task in islice(facts.running.values(), max(0, shown))
    ]
    more = len(facts.running) - (len(lines) - 1)
    if more and room:
        lines.append(f"  and {more} more running"[:width])
    from zf.report import waiting  # noqa: PLC0415 - for the board alone

    waits = waiting.row(facts, now) if len(lines) < rows else ""
    if waits:
        lines.append(f"  waiting: {_ascii(waits)}"[:width])
    return lines


def _counts_row(facts: Facts, now: float, width: int, style: Style) -> str:
    counts = facts.counts
    warned = sum(facts.tolerated.values())
    failed = sum(counts[status] for status in FAILED) - warned
    not_run = counts[Status.BLOCKED] + counts[Status.CANCELLED] + counts[Status.SKIPPED]
    state = (
        "interrupted"
        if facts.interrupted
        else f"phase {_ascii(facts.phase)}"
        if facts.phase
        else ""
    )
    parts = [
        (f"{counts[Status.SUCCESS]} done", "success"),
        (f"{counts['running']} running", "running"),
        (f"{failed} failed", "failure" if failed else ""),
        (f"{warned} warned" if warned else "", "warned"),
        (f"{counts['waiting']} waiting", ""),
        (f"{not_run} not run" if not_run else "", "blocked"),
        ("throttled" if facts.throttle else "", "throttle"),
        (state, "bold"),
        (duration(None if facts.started_mono is None else now - facts.started_mono), ""),
    ]
    text: list[str] = []
    left = width
    for part, colour in parts:
        if part and len(part) <= left:
            text.append(style.paint(part, colour))
            left -= len(part) + 2
    return "  ".join(text)


def _running_row(facts: Facts, task: TaskFacts, now: float, width: int) -> str:
    elapsed = _elapsed(task, now)
    # Two spaces before and two between; names are cut so that the time can always be read.
    room = width - len(elapsed) - 4
    name = _ascii(task.id)
    if len(name) > room:
        name = name[: max(0, room - 3)] + "..."
    row = f"  {name}  {elapsed}"
    held, is_all = facts.waiting_on(task.id)
    extra = f"  holds up {held}{'' if is_all else '+'}" if held else ""
    return (row + extra if len(row + extra) <= width else row)[:width]


def _ascii(text: str) -> str:
    # Ids are ASCII; should one not be, its width on a terminal would be anybody's guess.
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")


# --- The summary ---------------------------------------------------------------------------------


def summary(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
    remarks: Mapping[str, Sequence[str]] = NO_TAILS,
    advice: Sequence[str] = (),
    told: Collection[str] = (),
    reported: bool = False,
) -> str:
    """The last thing a run prints: each failure, then what was tolerated, succeeded only after a
    retry or is remarkable otherwise, then what is blocked, then counts and time, and last what to
    do.

    `tails` are the raw ends of logs, `most` how many lines of each to show; `told` are the failures
    that have been told already, `reported` says that what was not started has been.
    """
    failed = [task for task in _heaviest_first(facts) if task.id not in told]
    groups = _alike(failed, tails)
    blocks = [
        _failures(facts, group, tails, most, proof, style) for group in groups[:DETAILED_FAILURES]
    ]
    rest = [task for group in groups[DETAILED_FAILURES:] for task in group]
    if rest:
        lines = [f"and {count(len(rest), 'failure')} more:"]
        lines += [f"  {_word(task.word, style)} {printable(task.id)}" for task in rest]
        blocks.append(lines)
    blocks += [_odd(facts, proof, style)] if facts.warned or facts.flaky else []
    blocks += [_remarks(remarks, style)] if remarks else []
    blocks += [headline(facts, style), *not_started(facts)] if not (told or reported) else []
    blocks.append(
        [
            _counts_line(facts, style),
            *_throttle_lines(facts, style),
            *advice,
            *([f"proof: {printable(proof)}"] if proof else []),
        ]
    )
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def _heaviest_first(facts: Facts) -> list[TaskFacts]:
    """The failures, the one that holds up most first."""
    blocks = {cause.task: cause.blocks for cause in facts.causes}
    return sorted(facts.failed, key=lambda task: -blocks.get(task.id, 0))


def _alike(
    failed: Sequence[TaskFacts], tails: Mapping[str, Sequence[str]]
) -> list[list[TaskFacts]]:
    """Failures of one cause together: they came to the same and printed the same, but for numbers
    and their own names.
    """
    groups: dict[object, list[TaskFacts]] = {}
    for task in failed:
        printed = "\n".join(tail(tails.get(task.id, ()))).replace(task.id, "")
        key = (task.status, len(task.earlier), what(task), _NUMBER.sub("0", printed))
        groups.setdefault(key, []).append(task)
    return list(groups.values())


_NUMBER = lazy.pattern(r"\d+")


def anchors(
    facts: Facts,
    head: str,
    signed_by: str | None,
    style: Style = PLAIN,
    compared: tuple[int, int] = (0, 0),
) -> str:
    """What holds a sealed proof in place from outside: the end of its journal, which a CI keeps in
    its log, and who signed it. So many trees, of all there are, were `compared` before the seal;
    before a signature all are.
    """
    if facts.tampered:
        return f"head: {head}\n"
    if signed_by is not None:
        return f"head: {head}\nsigned by: {printable(signed_by)}\n"
    unsigned = style.paint("UNSIGNED", "warning")
    run = printable(facts.run)
    text = f"head: {head}\n{unsigned}: to sign it, {style.zf} seal {run} --sign\n"
    done, trees = compared
    if done < trees:
        told = f"{done} of {count(trees, 'task tree')} compared before the seal"
        text += f"{told}; {style.zf} verify {run} compares all\n"
    return text


def _failures(
    facts: Facts,
    alike: Sequence[TaskFacts],
    tails: Mapping[str, Sequence[str]],
    most: int | None,
    proof: str,
    style: Style,
) -> list[str]:
    """What is said of a failure, or of several that are alike: the first one's log and place."""
    task = alike[0]
    lines = [style.folded(_failure_head(facts, alike, style))]
    if len(alike) > 1:
        names = [printable(one.id) for one in alike]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lines.append(f"    {', '.join(names[:_MOST_NAMES])}{more}")
    lines += _tries(task, style)
    lines += quoted_log(tail(tails.get(task.id, ()), most or task.log_tail or TAIL_LINES), "    ")
    where = f"    {place(task)}"
    if proof:
        tree = f"{printable(proof)}/{printable(task.id)}"
        number = facts.step_number(task)
        log = f"/{step_log(number)}" if tails.get(task.id) else ""
        found = f"{'log' if log else 'proof'}: {tree}{log}"
        if style.columns and len(where) + len(found) + 3 > style.columns:
            return [*lines, where, f"    {found}"]
        where += f"   {found}"
    return [*lines, where]


# More names than this on one line are looked over, not read.
_MOST_NAMES = 20


def _failure_head(facts: Facts, alike: Sequence[TaskFacts], style: Style) -> str:
    task = alike[0]
    assert task.status is not None
    word = style.paint(VERBS[task.status], task.word)
    name = printable(task.id) if len(alike) == 1 else f"{len(alike)} tasks"
    after = spent(task, " after ") if len(alike) == 1 else ""
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    held = {cause.task: cause.blocks for cause in facts.causes}
    blocks = held.get(task.id, 0) if len(alike) == 1 else 0
    weight = f", holds up {count(blocks, 'task')}" if blocks else ""
    told = f"{style.shape(task.word)} {style.paint(name, 'bold')} {word}{after}{again}: "
    return f"{told}{what(task)} [{code(task)}]{weight}"


def _remarks(remarks: Mapping[str, Sequence[str]], style: Style) -> list[str]:
    """What a task's own record says beside its outcome."""
    word = style.paint("note:", "warning")
    return [
        style.folded(f"{word} {printable(name)}: {line}")
        for name, lines in remarks.items()
        for line in lines
    ]


def _odd(facts: Facts, proof: str, style: Style) -> list[str]:
    """What did not spoil the run and must not be overlooked either: each by name, however many."""
    lines = []
    for task in (*facts.warned, *facts.flaky):
        lines += [style.folded(_odd_head(task, style)), *_tries(task, style)]
        if proof:
            lines.append(f"  proof: {printable(proof)}/{printable(task.id)}")
    return lines


def _odd_head(task: TaskFacts, style: Style) -> str:
    """A sentence, and not the line that told of its end once more: both are on one screen."""
    colour = "warned" if task.warned else "flaky"
    name = f"{style.shape(colour)} {style.paint(printable(task.id), 'bold')}"
    if task.warned:
        assert task.status is not None
        word = style.paint(VERBS.get(task.status, task.word), colour)
        return f"{name} {word}{spent(task, ' after ')}, tolerated (warned): {what(task)}"
    return f"{name} {style.paint('succeeded', colour)} only on attempt {task.attempt} (flaky)"


def _tries(task: TaskFacts, style: Style) -> list[str]:
    return [style.folded(f"  {line}") for line in tries(task)]


def _throttle_lines(facts: Facts, style: Style) -> list[str]:
    if not facts.throttles:
        return []
    times = "once" if facts.throttles == 1 else f"{facts.throttles} times"
    took, held = duration(facts.throttled_s), duration(facts.held_s)
    word = style.paint("throttled:", "throttle")
    return [f"{word} {times}, for {took} in all; tasks were kept waiting for {held} of it"]


def _counts_line(facts: Facts, style: Style) -> str:
    counts = counted(facts.counts, facts.tolerated, len(facts.flaky))
    took = f" in {duration(total_s(facts))}" if total_s(facts) is not None else ""
    total = count(len(facts.tasks), "task")
    word = style.paint(VERDICTS[facts.result], facts.result)
    return f"{word} {printable(facts.run)}: {total}{': ' if counts else ''}{counts}{took}"


def total_s(facts: Facts) -> float | None:
    """How long the run took, or has taken so far."""
    if facts.duration_s is not None:
        return facts.duration_s
    if facts.started_mono is None or facts.last_mono is None:
        return None
    return facts.last_mono - facts.started_mono
