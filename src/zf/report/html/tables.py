"""The tables of the page: every task, what they left, how the run was set, and what its proof is
worth. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.events import ApprovalGiven, ApprovalRefused
from zf.inputs import shown
from zf.lean.records import Struct
from zf.report.html.state import RANK, STATES, State, name_of, state_of
from zf.report.task_facts import bases
from zf.report.waiting import by_whom
from zf.report.words import duration, moment, size, spent, what

if TYPE_CHECKING:
    from zf.report.formats.recorded import Artifact, RecordedRun
    from zf.report.html.logs import Log
    from zf.report.task_facts import TaskFacts

# Of a longer list, what a page shows before it says where the rest is.
MOST_ARTIFACTS = 2000
MOST_LEFT_OUT = 200
MOST_INSTANCES = 12
MOST_CHARS = 500
# Less processor time is shown as none.
_WORTH_TELLING_S = 0.05


class Row(Struct, frozen=True):
    """One task. Numbers are there to sort by, texts to read; a number is -1 where there is none."""

    task: TaskFacts
    state: State
    rank: int
    told: str
    seconds: float
    took: str
    cpu_s: float
    cpu: str
    bytes: int
    memory: str


class Columns(Struct, frozen=True):
    """Which of the columns of the tasks have anything in them."""

    phase: bool
    needs: bool
    cpu: bool
    memory: bool


def rows(run: RecordedRun) -> list[Row]:
    """Every task: what went wrong first, and else in plan order."""
    return sorted(map(row_of, run.facts.tasks.values()), key=lambda row: row.rank)


class Matrix(Struct, frozen=True):
    """A task with a matrix: what its instances came to together, and those that the page names."""

    id: str
    state: State
    told: str
    tasks: Sequence[TaskFacts]
    more: int


def matrices(run: RecordedRun) -> list[Matrix]:
    """Each of them, in plan order; of many instances those that went worst are named."""
    found = []
    for base in bases(run.facts.tasks.values()).values():
        worst = sorted(base.tasks, key=lambda task: RANK[name_of(task)])
        shown = worst[:MOST_INSTANCES]
        state = STATES[base.conclusion]
        found.append(Matrix(base.id, state, base.told, shown, len(worst) - len(shown)))
    return found


def row_of(task: TaskFacts) -> Row:
    cpu_s, memory = cpu_of(task.measures), _number(task.measures, "peak_memory_bytes")
    took = spent(task)
    return Row(
        task=task,
        state=state_of(task),
        rank=RANK[name_of(task)],
        told=_told(task),
        seconds=task.duration_s if took and task.duration_s is not None else -1.0,
        took="" if took == "-" else took,
        cpu_s=-1.0 if cpu_s is None else cpu_s,
        cpu="" if cpu_s is None else duration(cpu_s),
        bytes=-1 if memory is None else int(memory),
        memory="" if memory is None else size(int(memory)),
    )


def _told(task: TaskFacts) -> str:
    """What its state does not say by itself."""
    if task.unmet:
        return f"waited for {', '.join(task.unmet)}"
    if task.flaky and task.earlier:
        first = task.earlier[0].task
        return f"attempt {first.attempt}: {what(first)}"
    return what(task)


def columns(run: RecordedRun, found: Sequence[Row]) -> Columns:
    return Columns(
        phase=len(run.facts.phases) > 1,
        needs=any(row.task.needs for row in found),
        cpu=any(row.cpu_s >= _WORTH_TELLING_S for row in found),
        memory=any(row.memory for row in found),
    )


def cpu_of(measures: Mapping[str, Any]) -> float | None:
    """Processor time of an attempt in seconds, of user and system, where it was measured."""
    user, system = _number(measures, "cpu_user_s"), _number(measures, "cpu_system_s")
    return None if user is None or system is None else user + system


def _number(measures: Mapping[str, Any], name: str) -> float | None:
    value = measures.get(name)
    return value if isinstance(value, (int, float)) else None


# What is handed on and kept, and how it was set.


class Output(Struct, frozen=True):
    """An output of a task: its value, on one line and cut where that is long."""

    task: str
    name: str
    value: str
    left_out: int


def outputs(run: RecordedRun) -> list[Output]:
    """What tasks handed on, in plan order."""
    return [
        Output(task.id, name, printable(value[:MOST_CHARS]), max(0, len(value) - MOST_CHARS))
        for task in run.facts.tasks.values()
        if task.outputs_sha256
        for name, value in run.outputs(task.id).items()
    ]


def artifacts(run: RecordedRun) -> tuple[list[tuple[str, Artifact]], int, int]:
    """What tasks left, each with its task, as far as the page shows it; then how many files there
    are altogether, and their bytes.
    """
    found = [(task, one) for task in run.facts.tasks for one in run.artifacts(task)]
    return found[:MOST_ARTIFACTS], len(found), sum(one.bytes or 0 for _, one in found)


# What had to be approved.


class Decision(Struct, frozen=True):
    """One answer to a task that had to be approved, or those it still waits for. `shown` says how
    the approver is known: by the fingerprint of a key, or by a token.
    """

    task: str
    state: State
    who: str
    when: str = ""
    shown: str = ""
    comment: str = ""


_SAID = {"": State("success", "approved"), "rejected": State("failure", "rejected")}


def decisions(run: RecordedRun) -> Iterator[Decision]:
    """Each answer to what was asked last of a task, those that did not count too, in plan order."""
    for task in run.facts.tasks.values():
        if task.gate is None:
            continue
        for answer in task.gate.answers:
            why = answer.why if isinstance(answer, ApprovalRefused) else ""
            yield Decision(
                task.id,
                _SAID.get(why, State("skipped", "did not count")),
                answer.approver or "unknown",
                moment(answer.at),
                answer.key,
                _comment(answer) if why in _SAID else answer.detail,  # type: ignore[union-attr]
            )
        if gate := task.unanswered:
            yield Decision(task.id, STATES["waiting"], f"for {by_whom(gate)}")


def _comment(answer: ApprovalGiven | ApprovalRefused) -> str:
    """What the one that decided wrote beside it: text of theirs."""
    try:
        return printable(str(json.loads(answer.statement).get("comment", "")))
    except (ValueError, AttributeError):
        return ""


# Limits of a run that are no settings, as they are when nothing was said.
_USUAL = {"fail_fast": False, "retries": True, "resources": {}}
_TOLD_ELSEWHERE = {"max_jobs", "seed"}


def settings(run: RecordedRun) -> Iterator[tuple[str, str, str]]:
    """Each setting of the run with its value and where that came from."""
    found = run.run.get("settings")
    if isinstance(found, dict):
        for name, setting in found.items():
            if isinstance(setting, dict):
                yield name, _shown(setting.get("value")), str(setting.get("source", ""))
    inputs = run.run.get("inputs")
    if isinstance(inputs, dict):
        for name, one in inputs.items():
            yield f"input {name}", shown(one), str(one.get("source", ""))
    limits = run.run.get("limits")
    if isinstance(limits, dict):
        for name, value in limits.items():
            if name not in _TOLD_ELSEWHERE and value != _USUAL.get(name):
                yield name, _shown(value), "the command line"


def about(run: RecordedRun) -> Iterator[tuple[str, str]]:
    """Where the run came from: source, command, machine and versions."""
    recorded = run.run
    source = recorded.get("source")
    source = source if isinstance(source, dict) else {}
    dirty = source.get("dirty")
    tree = "" if dirty is None else "with uncommitted changes" if dirty else "clean"
    ci = recorded.get("ci")
    told = {
        "commit": " ".join(filter(None, (_text(source.get("commit")), tree))),
        "branch": _text(source.get("branch")),
        "tag": _text(source.get("tag")),
        "repository": _text(source.get("repo")),
        "note": _text(source.get("note")),
        "command": _command(recorded.get("command")),
        "again of": _text(recorded.get("rerun_of")),
        "CI": _ci(ci) if isinstance(ci, dict) else "",
        "machine": _text(recorded.get("host")),
        "user": _text(recorded.get("user")),
        "platform": _text(recorded.get("platform")),
        "zf": _text(recorded.get("zf_version")),
        "Python": _text(recorded.get("python_version")),
    }
    return ((name, value) for name, value in told.items() if value)


def _command(words: object) -> str:
    """What was typed, with the program by its name alone."""
    first, *others = map(str, words if isinstance(words, list) and words else [""])
    return " ".join((first.rpartition("/")[2], *others))


def _ci(ci: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in ci.items() if isinstance(value, str))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, sort_keys=True) if value is not None else ""


# What the proof is worth.

_STATES = {
    "passed": "success",
    "failed": "failure",
    "doubtful": "lost",
    "unsigned": "skipped",
    "not checked": "skipped",
}


class Verdict(Struct, frozen=True):
    name: str
    state: State
    summary: str


def verdicts(verification: Mapping[str, Any]) -> list[Verdict]:
    """The five answers of `zf verify`, as it gave them."""
    return [
        Verdict(name, State(_STATES.get(told["state"], "lost"), told["state"]), told["summary"])
        for name, told in verification["verdicts"].items()
    ]


def findings(verification: Mapping[str, Any]) -> list[str]:
    """What `zf verify` found wrong, a line each."""
    return [
        f"{one['verdict']}: {one['path'] + ': ' if one['path'] else ''}{one['message']}"
        for one in verification["findings"]
    ]


def left_out(run: RecordedRun, logs: Sequence[Log]) -> Iterator[tuple[Log, str, str]]:
    """Each log that is not in the page, its size, and its SHA-256 as the proof has it."""
    for log in logs[:MOST_LEFT_OUT]:
        attempt = None if log.newest else log.attempt
        record = run.command_record(log.task, attempt, log.file.name) or {}
        yield log, size(log.file.bytes), _text(record.get("log_sha256"))
