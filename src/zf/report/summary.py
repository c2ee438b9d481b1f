"""What zf says when a run is over: each failure, what else is remarkable, the counts, the anchors.

Facts in, text out: nothing here writes, waits or reads a clock.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.events import Status
from zf.lean import lazy
from zf.model import NOTHING
from zf.proof.layout import step_log
from zf.report.words import (
    NO_TAILS,
    PLAIN,
    TAIL_LINES,
    VERBS,
    Style,
    count,
    counted,
    duration,
    failed_tests,
    place,
    quoted_log,
    spent,
    tail,
    tries,
    what,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from zf.report import blocked
    from zf.report.facts import Facts, Result
    from zf.report.task_facts import TaskFacts
else:
    blocked = lazy.module("zf.report.blocked")

# Enough to see a whole small run fail; a large one that breaks altogether stays readable.
DETAILED_FAILURES = 25

# The one word for a run. PASS needs a task that ran and succeeded.
VERDICTS: Mapping[Result, str] = {
    "passed": "PASS",
    "failed": "FAIL",
    "timeout": "TIMEOUT",
    "interrupted": "INTERRUPTED",
    "nothing run": "NOTHING RUN",
    "unfinished": "UNFINISHED",
    "waiting": "WAITING",
    # In place of all of these for a run whose folder is not what zf wrote.
    "tampered": "TAMPERED WHILE RUNNING",
}


def summary(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
    remarks: Mapping[str, Sequence[str]] = NO_TAILS,
    outputs: Mapping[str, Mapping[str, str]] = NOTHING,
    advice: Sequence[str] = (),
    told: Collection[str] = (),
    reported: bool = False,
    shown: Collection[str] = (),
) -> str:
    """The last thing a run prints: each failure, then what was tolerated, succeeded only after a
    retry or is remarkable otherwise, then what is blocked, then counts and time, and last what to
    do.

    `tails` are the raw ends of logs, `most` how many lines of each to show; `told` are the failures
    that have been told already, `reported` says that what was not started has been. Those that were
    `shown` with their logs on the same screen are named.
    """
    failed = [task for task in _heaviest_first(facts) if task.id not in {*told, *shown}]
    groups = _alike(failed, tails)
    told_whole = groups[:DETAILED_FAILURES]
    blocks = [_failures(facts, group, tails, most, proof, style) for group in told_whole]
    rest = [task for group in groups[DETAILED_FAILURES:] for task in group]
    if rest:
        lines = [f"and {count(len(rest), 'failure')} more:"]
        lines += [f"  {style.label(task.word)} {printable(task.id)}" for task in rest]
        blocks.append(lines)
    if shown:
        again = [task for task in _heaviest_first(facts) if task.id in shown]
        blocks.append([style.folded(_failure_head(facts, [task], style)) for task in again])
    blocks += [_odd(facts, proof, style)] if facts.warned or facts.flaky else []
    notes = {name: [cases] for name, cases in _failed_all_the_same(facts)}
    for name, more in (*remarks.items(), *_uses(facts)):
        notes[name] = [*notes.get(name, ()), *more]
    blocks += [_remarks(notes, style)] if notes else []
    if not (told or reported or facts.all_well):
        blocks += [blocked.headline(facts, style), *blocked.not_started(facts)]
    last = [
        _counts_line(facts, style),
        *_base_lines(facts, style),
        *_outputs_line(outputs),
        *use_line(facts),
        *_throttle_lines(facts, style),
        *map(printable, facts.given),
        *advice,
    ]
    blocks.append([*last, f"proof: {printable(proof)}"] if proof else last)
    return "\n\n".join("\n".join(lines) for lines in blocks if lines) + "\n"


def brief(
    facts: Facts,
    *,
    tails: Mapping[str, Sequence[str]] = NO_TAILS,
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
    shown: Collection[str] = (),
    verdict: str = "",
) -> str:
    """The failures that are not `shown` yet, and one line about the run, which begins with the
    `verdict` if there is one: what `--quiet` prints.
    """
    failed = [task for task in _heaviest_first(facts) if task.id not in shown]
    blocks = [_failures(facts, group, tails, most, proof, style) for group in _alike(failed, tails)]
    blocks.append([_counts_line(facts, style, verdict)])
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def failure(
    facts: Facts,
    task: TaskFacts,
    *,
    tail: Sequence[str],
    most: int | None = None,
    proof: str = "",
    style: Style = PLAIN,
) -> list[str]:
    """One failure, as soon as it is known; what it holds up is blocked by then."""
    held, is_all = facts.waiting_on(task.id, Status.BLOCKED)
    weight = f", holds up {held}{'' if is_all else '+'} {'task' if held == 1 else 'tasks'}"
    head = style.folded(_failure_head_of([task], weight if held else "", style))
    return [head, *_failure_body(facts, [task], {task.id: tail}, most, proof, style)]


def _heaviest_first(facts: Facts) -> list[TaskFacts]:
    """The failures, the one that holds up most first."""
    blocks = {cause.task: cause.blocks for cause in facts.causes}
    return sorted(facts.failed, key=lambda task: -blocks.get(task.id, 0))


def _alike(
    failed: Sequence[TaskFacts], tails: Mapping[str, Sequence[str]]
) -> list[list[TaskFacts]]:
    """Failures grouped by what happened: the same outcome and the same output, but for numbers and
    their own names.
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
    """What anchors a sealed proof outside of it: the digest at the end of its journal, which a CI
    keeps in its log, and its signer. `compared` is how many trees, of how many, were compared
    before the seal; before a signature all are.
    """
    if facts.tampered or facts.suspended:
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
    """A failure, or several that are alike: the first one's log and place."""
    head = style.folded(_failure_head(facts, alike, style))
    return [head, *_failure_body(facts, alike, tails, most, proof, style)]


def _failure_body(
    facts: Facts,
    alike: Sequence[TaskFacts],
    tails: Mapping[str, Sequence[str]],
    most: int | None,
    proof: str,
    style: Style,
) -> list[str]:
    task = alike[0]
    lines: list[str] = []
    if len(alike) > 1:
        names = [printable(one.id) for one in alike]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        lines.append(style.folded(f"    {', '.join(names[:_MOST_NAMES])}{more}"))
    lines += _tries(task, style)
    if cases := failed_tests(task):
        lines.append(style.folded(f"    {cases}"))
    log = quoted_log(tail(tails.get(task.id, ()), most or task.log_tail or TAIL_LINES), "    ")
    lines += [style.folded(line, "    |   ") for line in log]
    where = f"    {place(task)}"
    if proof:
        tree = f"{printable(proof)}/{printable(task.id)}"
        number = facts.step_number(task)
        path = f"/{step_log(number)}" if tails.get(task.id) else ""
        found = f"{'log' if path else 'proof'}: {tree}{path}"
        if style.columns and len(where) + len(found) + 3 > style.columns:
            return [*lines, where, f"    {found}"]
        where += f"   {found}"
    return [*lines, where]


# More names than this on one line are looked over, not read.
_MOST_NAMES = 20


def _failure_head(facts: Facts, alike: Sequence[TaskFacts], style: Style) -> str:
    held = {cause.task: cause.blocks for cause in facts.causes}
    blocks = held.get(alike[0].id, 0) if len(alike) == 1 else 0
    weight = f", holds up {count(blocks, 'task')}" if blocks else ""
    return _failure_head_of(alike, weight, style)


def _failure_head_of(alike: Sequence[TaskFacts], weight: str, style: Style) -> str:
    task = alike[0]
    assert task.status is not None
    word = style.paint(VERBS[task.status], task.word)
    name = printable(task.id) if len(alike) == 1 else f"{len(alike)} tasks"
    after = spent(task, " after ") if len(alike) == 1 else ""
    again = f", attempt {task.attempt}" if task.attempt > 1 else ""
    told = f"{style.shape(task.word)} {style.paint(name, 'bold')} {word}{after}{again}: "
    return f"{told}{what(task)} [{blocked.code(task)}]{weight}"


def _remarks(remarks: Mapping[str, Sequence[str]], style: Style) -> list[str]:
    """What a task's status.json says beside its outcome."""
    word = style.paint("note:", "warning")
    return [
        style.folded(f"{word} {printable(name)}: {line}")
        for name, lines in remarks.items()
        for line in lines
    ]


def _uses(facts: Facts) -> Iterator[tuple[str, list[str]]]:
    """What tasks used of what they had asked for, where that is worth a remark."""
    for task in facts.tasks.values():
        if task.resources and task.measures:
            from zf.report.remarks import on_use  # noqa: PLC0415 - hardly any run has such tasks

            if lines := on_use(task):
                yield task.id, lines


def _odd(facts: Facts, proof: str, style: Style) -> list[str]:
    """What did not fail the run and must not be overlooked either: each by name, however many."""
    lines = []
    for task in (*facts.warned, *facts.flaky):
        lines += [style.folded(_odd_head(task, style)), *_tries(task, style)]
        if cases := failed_tests(task):
            lines.append(style.folded(f"  {cases}"))
        if proof:
            lines.append(f"  proof: {printable(proof)}/{printable(task.id)}")
    return lines


def _odd_head(task: TaskFacts, style: Style) -> str:
    """A sentence, not its end line once more: both are on one screen."""
    colour = "warned" if task.warned else "flaky"
    name = f"{style.shape(colour)} {style.paint(printable(task.id), 'bold')}"
    if task.warned:
        assert task.status is not None
        word = style.paint(VERBS.get(task.status, task.word), colour)
        return f"{name} {word}{spent(task, ' after ')}, tolerated (warned): {what(task)}"
    return f"{name} {style.paint('succeeded', colour)} only on attempt {task.attempt} (flaky)"


def _failed_all_the_same(facts: Facts) -> list[tuple[str, str]]:
    """The tasks that succeeded though test cases of theirs failed, and which."""
    well = (task for task in facts.tasks.values() if task.tests and task.status is Status.SUCCESS)
    return [(task.id, cases) for task in well if not task.flaky and (cases := failed_tests(task))]


def _tries(task: TaskFacts, style: Style) -> list[str]:
    return [style.folded(f"  {line}") for line in tries(task)]


def _base_lines(facts: Facts, style: Style) -> list[str]:
    """The matrices that did not go well: of many instances it is hard to see."""
    if not any(task.base for task in facts.tasks.values()):
        return []
    from zf.report.task_facts import bases  # noqa: PLC0415 - few runs have a matrix

    return [
        style.folded(f"{style.paint(printable(name), 'bold')}: {base.conclusion}, {base.told}")
        for name, base in bases(facts.tasks.values()).items()
        if base.conclusion not in {"success", "skipped"}
    ]


def _throttle_lines(facts: Facts, style: Style) -> list[str]:
    if not facts.throttles:
        return []
    times = "once" if facts.throttles == 1 else f"{facts.throttles} times"
    took, held = duration(facts.throttled_s), duration(facts.held_s)
    word = style.paint("throttled:", "throttle")
    told = f"{word} {times}, for {took} in all; tasks were kept waiting for {held} of it"
    return [style.folded(told)]


def _counts_line(facts: Facts, style: Style, verdict: str = "") -> str:
    cached = sum([bool(task.cached_from) for task in facts.tasks.values() if task.looked_up])
    counts = counted(facts.counts, facts.tolerated, len(facts.flaky), cached)
    took = f" in {duration(total_s(facts))}" if total_s(facts) is not None else ""
    total = count(len(facts.tasks), "task")
    word = verdict or style.paint(VERDICTS[facts.result], facts.result)
    told = f"{word} {printable(facts.run)}: {total}{': ' if counts else ''}{counts}{took}"
    return style.folded(told)


def _outputs_line(outputs: Mapping[str, Mapping[str, str]]) -> list[str]:
    if not outputs:
        return []
    from zf.report.remarks import outputs_line  # noqa: PLC0415 - few runs have any

    return outputs_line(outputs)


def use_line(facts: Facts) -> list[str]:
    """What the run cost, if that is worth a line."""
    tried = [(task.id, task.measures) for task in facts.tasks.values() if task.measures]
    for task in facts.tasks.values():
        tried += [(task.id, one.task.measures) for one in task.earlier if one.task.measures]
    if sum([(m.get("cpu_user_s") or 0) + (m.get("cpu_system_s") or 0) for _, m in tried]) < 1:
        return []
    used, largest = _total_use(tried)
    from zf.report.remarks import use  # noqa: PLC0415 - nothing to say of most runs

    return [f"used: {use(used, largest)}"]


def _total_use(tried: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], str]:
    """What all attempts, of these tasks and with these measures, used together as far as it is
    known, in the form of one's measures; and the task that had the largest process.
    """
    total: dict[str, Any] = {
        key: sum([measures.get(key) or 0 for _, measures in tried]) for key in _ADDED
    }
    peaks = [(measures.get("peak_memory_bytes") or 0, task) for task, measures in tried]
    peak, largest = max(peaks, key=itemgetter(0), default=(0, ""))
    return total | {"peak_memory_bytes": peak or None}, largest if peak else ""


_ADDED = ("cpu_user_s", "cpu_system_s", "read_bytes", "written_bytes", "output_bytes")


def total_s(facts: Facts) -> float | None:
    """How long the run took, or has taken so far."""
    if facts.duration_s is not None:
        return facts.duration_s
    if facts.started_mono is None or facts.last_mono is None:
        return None
    return facts.last_mono - facts.started_mono
