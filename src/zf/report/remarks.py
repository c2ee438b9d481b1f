"""Remarks on a task: those that only its status.json has, on files that were refused, patterns that
matched nothing, processes left behind; and on what it used of what it had asked for. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.events import ApprovalGiven, Cached, Status
from zf.report.words import duration, moment, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from zf.events import CacheMissed
    from zf.report.task_facts import TaskFacts

# Of each kind; a task can leave thousands, and status.json has them all.
_MOST = 5
_MOST_CASES = 20
_MOST_CHARS, _FEW_CHARS = 200, 40
# Of what changed; the proof has more.
_MOST_CHANGES = 10
# In less time than this, starting up is most of what a task does.
_LEAST_S = 1.0
_MB = 1024 * 1024


def cpu_s(measures: Mapping[str, Any]) -> float | None:
    """Seconds of processor time, in user mode and in the kernel; None where that is not known."""
    user_s, system_s = measures.get("cpu_user_s"), measures.get("cpu_system_s")
    return None if user_s is None or system_s is None else user_s + system_s


def use(measures: Mapping[str, Any], largest: str = "") -> str:
    """What was used, as far as it is known and more than nothing. `largest` is the task that had
    the largest process.
    """
    spent_s, peak = cpu_s(measures), measures.get("peak_memory_bytes")
    parts = [] if spent_s is None else [f"{duration(spent_s)} of CPU time"]
    if peak:
        whose = f" ({printable(largest)})" if largest else ""
        parts.append(f"up to {size(peak)} of memory in one process{whose}")
    for key, what_with in (("read_bytes", "read"), ("written_bytes", "written")):
        if measures.get(key):
            parts.append(f"{size(measures[key])} {what_with}")
    return ", ".join(parts)


def measured(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each series that the task's steps wrote: its name, labels and value; of many the
    first, and how many more.
    """
    lines = []
    for one in metrics[:_MOST]:
        told = f"{{{labels(one['labels'])}}}" if one["labels"] else ""
        value = f"{number(one['value'])} {one['unit']}".rstrip()
        lines.append(printable(f"{one['name']}{told} = {value}"))
    if len(metrics) > _MOST:
        lines.append(f"and {len(metrics) - _MOST} more")
    return lines


def labels(of: Mapping[str, str]) -> str:
    """Labels of a series as one text, by name."""
    return ", ".join(f"{name}={value}" for name, value in sorted(of.items()))


def number(value: float) -> str:
    """A value for people: thousands apart, and no more than four digits behind the point."""
    text = f"{value:,.0f}" if value == int(value) else f"{value:,.4f}".rstrip("0")
    return text.replace(",", " ")


def on_use(task: TaskFacts) -> list[str]:
    """A line for each of its `resources` of which the task used plainly more or less than it had
    asked for: `asked for 4 cpu, used 0.6`, `2.1 GiB of the 2.0 GiB asked for`.

    Memory is told only when one of its processes alone had more than that: what all together had
    at a time is not known.
    """
    lines = []
    asked, spent_s = task.resources.get("cpu"), cpu_s(task.measures)
    if asked and spent_s is not None and task.duration_s and task.duration_s >= _LEAST_S:
        used = spent_s / task.duration_s
        # What fails or is ended may never have come to its work. 1 is the least that can be asked.
        too_few = used < asked / 2 and asked > 1 and task.status is Status.SUCCESS
        if too_few or used > 1.1 * asked:
            lines.append(f"asked for {asked} cpu, used {used:.1f}")
    memory, peak = task.resources.get("mem_mb"), task.measures.get("peak_memory_bytes")
    if memory and peak and peak > memory * _MB:
        lines.append(f"memory: {size(peak)} of the {size(memory * _MB)} asked for")
    return lines


def on_cache(looked_up: Cached | CacheMissed | None) -> list[str]:
    """What came of looking for an earlier result: a line, and one for each thing that changed."""
    if looked_up is None:
        return []
    if isinstance(looked_up, Cached):
        return [f"the result of run {printable(looked_up.origin)} counts: nothing has changed"]
    since = f" since run {printable(looked_up.origin)}" if looked_up.origin else ""
    lines = [f"not used: {printable(looked_up.reason)}{since}"]
    for change in looked_up.changed[:_MOST_CHANGES]:
        what = " ".join(filter(None, (change.get("part"), change.get("name"))))
        old, new = change.get("old", ""), change.get("new", "")
        lines.append(printable(f"{what}: {old} -> {new}"))
    if len(looked_up.changed) > _MOST_CHANGES:
        lines.append(f"and {len(looked_up.changed) - _MOST_CHANGES} more")
    return lines


def remarks(status: Mapping[str, Any]) -> list[str]:
    """A line for each, safe to print; of many of a kind the first, and how many more."""
    lines = []
    for kind in (_unmatched, _refused, _survivors, _notes):
        found = list(kind(status))
        lines += found[:_MOST]
        if len(found) > _MOST:
            lines.append(f"and {len(found) - _MOST} more")
    return lines


def failed_cases(status: Mapping[str, Any]) -> list[str]:
    """A line for each test case that failed by the task's own reports, where it stands and why; of
    many the first, and how many more.
    """
    said = status.get("tests")
    said = said if isinstance(said, dict) else {}
    cases = [one for one in _list(said, "cases") if isinstance(one, dict)]
    lines = [_case(one) for one in cases[:_MOST_CASES]]
    failed = sum(n for key in ("failed", "errors") if isinstance(n := said.get(key), int))
    if lines and failed > len(lines):
        lines.append(f"and {failed - len(lines)} more")
    return lines


def handed_on(outputs: Mapping[str, str]) -> list[str]:
    """A line for each output of a task, safe to print, and cut where it is long; of many the first,
    and how many more.
    """
    lines = [output(name, value) for name, value in [*outputs.items()][:_MOST_CASES]]
    if len(outputs) > len(lines):
        lines.append(f"and {len(outputs) - len(lines)} more")
    return lines


def outputs_line(outputs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What the tasks of a run handed on, in a line; of many the first, and how many more."""
    told = [
        output(f"{task}.{name}", value, _FEW_CHARS)
        for task, values in outputs.items()
        for name, value in values.items()
    ]
    if len(told) > _MOST:
        told[_MOST:] = [f"and {len(told) - _MOST} more"]
    return [f"outputs: {', '.join(told)}"] if told else []


def output(name: str, value: str, most: int = _MOST_CHARS) -> str:
    """`version = 1.4.0`."""
    shown = printable(value)
    if len(shown) > most:
        shown = f"{shown[:most]}... ({len(value)} characters)"
    return f"{printable(name)} = {shown}"


def _case(one: Mapping[str, Any]) -> str:
    name, classname = str(one.get("name", "")), str(one.get("classname") or "")
    if not name.startswith(classname):
        name = f"{classname}.{name}"
    line = f":{one['line']}" if isinstance(one.get("line"), int) else ""
    place = f" ({one['file']}{line})" if one.get("file") else ""
    why = str(one.get("message", "")).partition("\\n")[0]
    return printable(f"{name}{place}{': ' if why else ''}{why}")


def _unmatched(status: Mapping[str, Any]) -> Iterator[str]:
    # A required pattern without a file is what the task failed for, and is told as that.
    told = str(status.get("detail")) if status.get("cause") == "artifacts" else ""
    for pattern in _list(status, "unmatched"):
        if f"'{pattern}'" not in told:
            yield f"artifacts: '{printable(str(pattern))}' matched nothing"


def _refused(status: Mapping[str, Any]) -> Iterator[str]:
    left_out = [one for one in _list(status, "refused") if isinstance(one, dict)]
    reasons = [str(one.get("reason")) for one in left_out]
    for one, reason in zip(left_out, reasons, strict=True):
        yield f"not kept as an artifact: {printable(str(one.get('path')))} {printable(reason)}"
    if any(reason.startswith(_LEAK) for reason in reasons[:_MOST]):
        yield "`allow_secrets_in: [path]` in the task file keeps a file that is meant to hold it"


# How the reason begins that an artifact is refused for a secret in it.
_LEAK = ("contains a secret", "holds what must not be seen")  # the second is what zf 0.1 wrote


def _survivors(status: Mapping[str, Any]) -> Iterator[str]:
    left = [one for one in _list(status, "survivors") if isinstance(one, dict)]
    for one in left:
        pid, command = one.get("pid"), printable(str(one.get("command", "")))
        yield f"process {pid} outlived its step: {command}"
    if left and status.get("cause") == "survivors":
        yield "`leave_running: true` in the task file lets processes stay until the run ends"


def _notes(status: Mapping[str, Any]) -> Iterator[str]:
    for note in _list(status, "notes"):
        yield printable(str(note))


def _list(status: Mapping[str, Any], key: str) -> list[Any]:
    found = status.get(key)
    return found if isinstance(found, list) else []


def approvals(task: TaskFacts) -> list[str]:
    """What was answered when it was to be approved, a line for each answer."""
    if task.gate is None:
        return []
    asked = task.gate.asked
    lines = [f"asked of {', '.join(map(printable, asked.by))}" + _needed(asked.min)]
    for answer in task.gate.answers:
        if isinstance(answer, ApprovalGiven):
            lines.append(f"approved by {printable(answer.approver)} at {moment(answer.at)}")
        else:
            lines.append(f"{answer.why.replace('_', ' ')}: {printable(answer.detail)}")
    return lines


def _needed(least: int) -> str:
    return f", {least} of them needed" if least > 1 else ""
