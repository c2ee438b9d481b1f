"""What several files of a proof say alike, held against each other.

Who changes one of them and makes every digest anew has forgotten the other. By
conventions/PROOFS_CONVENTION.md alone: what wrote the files shares no code with this. What hides a
secret (`***`) may do so in one place only, so such values are not compared. Pure.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from zf.lean.records import Struct, field
from zf.proof.layout import (
    ARTIFACTS_LIST,
    COMMANDS_LIST,
    ENV,
    PLAN,
    RUN,
    STATUS,
    TASK,
    command_record,
)
from zf.proof.layout import log as command_log
from zf.proof.layout import script as command_script

# A path, and what it says otherwise than another.
Found = Iterator[tuple[str, str]]
Said = Mapping[str, Any]
_STARS = "***"
_ABSENT = "absent"
# What a row of plan.json calls what task.json has; and what that has where the row is silent.
_TWICE: tuple[tuple[str, str, object], ...] = (
    *[(key, key, _ABSENT) for key in ("title", "phase", "file", "line", "needs", "parallel_safe")],
    *[(key, key, _ABSENT) for key in ("base", "matrix", "outputs", "origins", "max_parallel")],
    ("timeout_s", "timeout_sec", _ABSENT),
    ("log_tail", "log_tail", None),
    ("resources", "resources", {}),
    ("concurrency", "concurrency", ""),
    ("start_after_s", "start_after", 0),
)
# Where what a task file has always said ends in task.json, and what comes before it there.
_LAST_OF_OLD = "line"
_OF_THE_RUN = frozenset({"schema", "run_id", "started_at", "hostname", "user", "pwd"})
_EXPORT = re.compile(r"export (\w+)='([^']*(?:'\\''[^']*)*)'\n")
# What a step comes to in an attempt that is a success.
_WELL = frozenset({"success", "skipped", "not_run"})


class Tree(Struct):
    """What the files of one attempt say; `digests` are the SHA-256 of its files as they are listed,
    by the path in the tree. None and nothing for what is not there.
    """

    status: Said = field(default_factory=dict)
    task: Said | None = None
    commands: object = None
    outputs: Said = field(default_factory=dict)
    env: Mapping[str, str] | None = None
    # By name: `step-0`, `cleanup-0`.
    steps: dict[str, Said] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    artifacts: int = 0


class Papers(Struct, frozen=True):
    """What the run's own papers say, as far as its trees say it, too. `resumed`: more than one
    process had a part in it, on whatever machine.
    """

    paper: Said
    resumed: bool = False
    # What each task handed on, by its id.
    outputs: Mapping[str, Said] = field(default_factory=dict)
    # Instances that joined the plan, of which its rows say what their base does.
    joined: Collection[str] = ()


def exports(data: bytes) -> dict[str, str]:
    """The variables that an env.sh sets."""
    text = data.decode("utf-8", "surrogateescape")
    return {name: value.replace("'\\''", "'") for name, value in _EXPORT.findall(text)}


def of_tree(tree: Tree, row: Said, run: Papers, event: Said) -> Found:
    """One attempt, or the tree of a task that was not run, against the task's row of the plan, the
    run's own paper and the event that ended it.
    """
    if tree.status:
        is_joined = row.get("id") in run.joined
        yield from _of_status(tree.status, {} if is_joined else row, event, tree.artifacts)
    task = tree.task
    if task is None or task.get("schema") != "zf/task/v2":
        return
    told_of_plan = _of_base(task, row) if row.get("id") in run.joined else _of_plan(task, row)
    yield from ((TASK, told) for told in told_of_plan)
    elsewhere = run.resumed or "executor" in tree.status
    yield from ((TASK, told) for told in _of_run(task, row, run, event, elsewhere=elsewhere))
    yield from _of_commands(task, tree, event)
    yield from ((STATUS, told) for told in _of_wall(task, tree, event))
    if tree.env is not None:
        yield from ((ENV, told) for told in _of_env(tree.env, task, run, event))


def _unlike(what: str, here: object, there: object, where: str) -> Iterator[str]:
    if here != there and not _is_hidden(here, there):
        yield f"{what} is {here!r:.80} here, {there!r:.80} in {where}"


def _is_hidden(*values: object) -> bool:
    return any(_STARS in repr(value) for value in values)


def _of_base(task: Said, row: Said) -> Iterator[str]:
    for key in ("base", "matrix", "outputs", "origins"):
        yield from _unlike(key, task.get(key), row.get(key), PLAN)


def _of_plan(task: Said, row: Said) -> Iterator[str]:
    for in_row, in_task, silent in _TWICE:
        yield from _unlike(in_task, task.get(in_task, silent), row.get(in_row, silent), PLAN)
    yield from _unlike("id", task.get("id"), row.get("id"), PLAN)
    steps = [{key: step.get(key) for key in ("name", "line")} for step in _list(task, "commands")]
    yield from _unlike("commands", steps, row.get("steps"), PLAN)
    yield from _unlike("arguments", "arguments" in task, "arguments" in row, PLAN)
    if _is_hidden(task):
        return
    for key, digest in (("sha256", definition), ("script_sha256", script)):
        if key in row and row[key] != digest(task):
            yield f"its {key} is not that of the plan"


def definition(task: Said) -> str:
    """The digest of all that a task file says, made of task.json."""
    said = {key: value for key, value in task.items() if key not in _OF_THE_RUN}
    keys = [*said]
    end = keys.index(_LAST_OF_OLD) + 1 if _LAST_OF_OLD in said else len(keys)
    later = {key: said.pop(key) for key in keys[end:]}
    later.pop("origins", None)
    if task.get("file") and not str(task["file"]).endswith("/task.yaml"):
        said["line"] = 0
        for key in ("commands", "cleanup"):
            said[key] = [{**step, "line": 0} for step in _list(task, key)]
    return _digest([*said.values(), later] if later else [*said.values()])


def script(task: Said) -> str:
    """The digest of what its steps and its cleanup run."""
    return _digest([[step.get("run") for step in _list(task, k)] for k in ("commands", "cleanup")])


def _digest(value: object) -> str:
    return sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def _of_run(task: Said, row: Said, run: Papers, event: Said, *, elsewhere: bool) -> Iterator[str]:
    paper = run.paper
    yield from _unlike("run_id", task.get("run_id"), paper.get("run_id"), RUN)
    if not elsewhere:
        yield from _unlike("hostname", task.get("hostname"), paper.get("host"), RUN)
        yield from _unlike("user", task.get("user"), paper.get("user"), RUN)
    if "arguments" in row:
        yield from _unlike("arguments", task.get("arguments"), paper.get("arguments"), RUN)
    began = event.get("started_at", event.get("at"))
    yield from _unlike("started_at", task.get("started_at"), began, "the journal")


def _of_status(status: Said, row: Said, event: Said, artifacts: int) -> Found:
    pairs = [("title", "title"), ("phase", "phase"), ("timeout_sec", "timeout_s")]
    for in_status, in_row in pairs if "title" in status and row else ():
        for told in _unlike(in_status, status.get(in_status), row.get(in_row), PLAN):
            yield STATUS, told
    if event.get("type") != "attempt_ended":
        at = event.get("at")
        due = {"attempt": 0, "started_at": at, "completed_at": at, "duration_s": 0}
        due |= dict.fromkeys(("exit_code", "signal", "step"))
        for key, value in due.items():
            for told in _unlike(key, status.get(key), value, "the journal"):
                yield STATUS, told
        return
    if status.get("schema") == "zf/status/v2" and status.get("artifacts") != artifacts:
        yield STATUS, f"artifacts is {status.get('artifacts')}, {ARTIFACTS_LIST} has {artifacts}"
    if status.get("needs"):
        yield STATUS, "needs is not empty, though the task was attempted"
    for key in ("tests", "metrics", "measures"):
        for told in _other_measures(key, status.get(key), event.get(key)):
            yield STATUS, told


def _other_measures(key: str, here: object, there: object) -> Iterator[str]:
    """What status.json has of it and the event has not: the steps apart, and the names of tests,
    the same.
    """
    if there is None:  # of an earlier version of zf
        return
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        keys = {*here, *there} - {"steps", "cleanup"} if key == "measures" else {*here} & {*there}
        for name in sorted(keys):
            if here.get(name) != there.get(name):
                yield f"{key}: {name} is not what the journal says"
        return
    yield from _unlike(key, here or {}, there or {}, "the journal")


def _of_commands(task: Said, tree: Tree, event: Said) -> Found:
    for kind, key in (("step", "commands"), ("cleanup", "cleanup")):
        for number, said in enumerate(_list(task, key)):
            record = tree.steps.get(f"{kind}-{number}")
            if record is not None:
                name = f"{kind}-{number}"
                yield from _of_step(name, number, said, record, task, tree)
                if kind == "step":
                    for told in _of_end(number, said, record, event):
                        yield command_record(name), told
        for told in _of_outputs(kind, tree):
            yield STATUS, told
    if isinstance(tree.commands, list):
        steps = [{k: v for k, v in step.items() if k != "line"} for step in _list(task, "commands")]
        for told in _unlike("it", tree.commands, steps, TASK):
            yield COMMANDS_LIST, told


def _of_wall(task: Said, tree: Tree, event: Said) -> Iterator[str]:
    """The wall that the steps ran behind against that which the task asks for."""
    isolation, possible = tree.status.get("isolation"), []
    if task.get("container"):
        possible = ["container"]
    elif task.get("sandbox"):
        possible = ["sandbox", "none"] if task["sandbox"].get("if_available") else ["sandbox"]
    steps = (record for name, record in tree.steps.items() if name.startswith("step-"))
    ran = any(record.get("status") == "success" for record in steps)
    if isolation is None:
        if possible and ran and event.get("status") == "success":
            yield f"isolation is missing, and the task asks for a {possible[0]}"
    elif str(isolation).partition(":")[0] not in possible:
        asked = " or ".join(possible) or "no wall"
        yield f"isolation is {isolation!r:.80}, and the task asks for {asked}"


def _of_step(name: str, number: int, said: Said, record: Said, task: Said, tree: Tree) -> Found:
    path = command_record(name)
    pairs = [("step", number), ("name", said.get("name")), ("line", said.get("line"))]
    for key, value in pairs:
        for told in _unlike(key, record.get(key), value, TASK):
            yield path, told
    argv, shell = record.get("argv"), said.get("shell", [])
    arguments = task.get("arguments", [])
    ends = argv[len(argv) - len(arguments) :] if isinstance(argv, list) else None
    for told in _unlike("argv", ends, arguments, TASK):
        yield path, told
    begins = argv[: len(shell)] if isinstance(argv, list) else None
    if begins != shell and not any("{0}" in word for word in shell):
        yield path, f"argv is {argv!r:.80} here, and the `shell` of the task {shell!r:.80}"
    files = {"script_sha256": command_script(name)}
    if record.get("log") is not None:
        files["log_sha256"] = log = command_log(name)
        for told in _unlike("log", record.get("log"), log, "its name"):
            yield path, told
    for key, file in files.items():
        if record.get(key) != tree.digests.get(file):
            yield path, f"{key} is not that of {file}"
    if record.get("status") == "success" and (record.get("exit_code"), record.get("signal")) != (
        0,
        None,
    ):
        yield path, "is a success with an exit code, or a signal, that is none"


def _of_end(number: int, said: Said, record: Said, event: Said) -> Iterator[str]:
    """How a step ended against how its attempt did."""
    if event.get("step") == number and event.get("cause") in {"exit", "signal"}:
        pairs = [("status", "status"), ("signal", "signal")]
        pairs += [("exit_code", "exit_code")] if event.get("cause") == "exit" else []
        for here, there in pairs:
            yield from _unlike(here, record.get(here), event.get(there), "the journal")
    ended = record.get("status")
    is_well = ended in _WELL or said.get("continue_on_error") is True
    if event.get("status") == "success" and not is_well:
        yield f"its status is {ended!r:.40}, and its attempt a success"


def _of_outputs(kind: str, tree: Tree) -> Iterator[str]:
    """How much each command printed, which status.json has once more."""
    measures = tree.status.get("measures")
    listed = _list(measures, f"{kind}s" if kind == "step" else kind) if measures else []
    for row in listed:
        record = tree.steps.get(f"{kind}-{row.get(kind)}", {})
        what = f"output_bytes of {kind} {row.get(kind)!r:.20}"
        there = record.get("output_bytes")
        yield from _unlike(what, row.get("output_bytes"), there, "its record")


def _of_env(env: Mapping[str, str], task: Said, run: Papers, event: Said) -> Iterator[str]:
    """The variables that the steps had, as far as something else says what they were."""
    due = {"RUN_ID": task.get("run_id"), "TASK_ID": task.get("id"), "PHASE": task.get("phase")}
    if event.get("type") == "attempt_ended":
        due["ATTEMPT"] = str(event.get("attempt"))
    own = task.get("env", {})
    due |= {name: value for name, value in own.items() if "$" not in value}
    due |= {_variable("MATRIX", axis): one for axis, one in task.get("matrix", {}).items()}
    for name, source in task.get("env_from", {}).items():
        needed, _, output = str(source).rpartition(".")
        if output in run.outputs.get(needed, {}):
            due[name] = run.outputs[needed][output]
    inputs = _inputs(run.paper.get("inputs"))
    due |= {name: value for name, value in inputs.items() if value is not None}
    for name, value in due.items():
        if name in env:
            yield from _unlike(name, env[name], value, "what else tells of it")
    for name in sorted(env):
        if name.startswith("INPUT_") and not (name in inputs or name in own or name in due):
            yield f"{name} is of an input that the run does not have"
    root = env.get("ZENFLOW_ROOT")
    if root is not None:
        where = posixpath.normpath(posixpath.join(root, str(task.get("workdir", "."))))
        yield from _unlike("the folder of its steps", where, task.get("pwd"), TASK)


def _inputs(recorded: object) -> dict[str, str | None]:
    """The variables of the inputs, with their values; None for one that is hidden."""
    rows = recorded if isinstance(recorded, Mapping) else {}
    return {
        _variable("INPUT", name): text_of(one["value"]) if "value" in one else None
        for name, one in rows.items()
        if isinstance(one, Mapping)
    }


def text_of(value: object) -> str:
    """An input as steps have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        from decimal import Decimal  # noqa: PLC0415 - 1 ms, and few plans have such a number

        return format(Decimal(repr(value)), "f")
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _variable(kind: str, name: str) -> str:
    return f"{kind}_{name.upper().replace('-', '_')}"


def _list(said: Said, key: str) -> list[Said]:
    return [one for one in said.get(key) or () if isinstance(one, Mapping)]


def of_journal(plan: Said, events: Iterable[Said], planned: Mapping[str, Said]) -> Iterator[str]:
    """Events about phases and groups against the plan: which the run had, with which limits. What
    a resumed run says may have other limits, so those are compared in the lines before that alone.
    """
    phases = {row.get("name"): row for row in _list(plan, "phases")}
    is_resumed = False
    for event in events:
        kind, phase = event.get("type"), event.get("phase")
        is_resumed |= kind == "run_resumed"
        if kind == "run_started" and event.get("phases") != [*phases]:
            yield "run_started names other phases than the plan"
        if phase is not None and phase not in phases:
            yield f"{kind} names a phase that was not planned: {phase!r:.80}"
        if is_resumed:
            continue
        limit_s = phases.get(phase, {}).get("timeout_s")
        if kind == "phase_started" and event.get("timeout_s") != limit_s:
            yield f"the timeout of phase {phase!r:.80} is another in the plan"
        if "concurrency" in event:
            group = planned.get(str(event.get("task")), {}).get("concurrency")
            if event["concurrency"] != group:
                yield f"{kind} names another group than the plan has for {event.get('task')!r:.80}"


def miscounted(ended: Said, statuses: Collection[str], planned: int) -> Iterator[str]:
    """What run_ended counts, against how the tasks ended. What it does not name is none."""
    counts, there = ended.get("counts"), Counter(statuses)
    if not isinstance(counts, Mapping):
        return
    lacking = planned - there.total()
    for word in sorted({*counts, *there}):
        many = counts.get(word, 0)
        if word not in {"waiting", "running"} and many != there[word]:
            yield f"run_ended counts {many!r:.20} {word!r:.40}, of which there are {there[word]}"
    if counts.get("waiting", 0) + counts.get("running", 0) != lacking:
        yield f"run_ended does not count the {lacking} tasks without an end"


def partly_whole(plan: Said, rows: Iterable[Said]) -> Iterator[str]:
    """Phases that are said to be whole, though instances of a matrix are left out."""
    whole = {row.get("name") for row in _list(plan, "phases") if row.get("whole") is True}
    there = Counter(str(row["base"]) for row in rows if "base" in row and row.get("phase") in whole)
    sizes = plan.get("instances", {})
    for base, many in there.items():
        if isinstance(sizes, Mapping) and sizes.get(base) != many:
            size = sizes.get(base)
            yield f"has {many} of {size!r:.20} instances of {base!r:.200} in a whole phase"


_EVENTS = "the journal"


def of_place(tree: Tree, placed: Said) -> Found:
    """An attempt that ran elsewhere against what the journal says of where that was."""
    for told in _unlike("executor", tree.status.get("executor"), placed.get("executor"), _EVENTS):
        yield STATUS, told
    task = tree.task or {}
    for key, of_event in (("hostname", "host"), ("user", "user")) if task else ():
        for told in _unlike(key, task.get(key), placed.get(of_event), _EVENTS):
            yield TASK, told


def of_inputs(paper: Said) -> Iterator[str]:
    """Inputs of run.json that have neither a value nor its digest, or both."""
    inputs = paper.get("inputs")
    for name, one in inputs.items() if isinstance(inputs, Mapping) else ():
        hidden = "salt" in one, "salted_sha256" in one
        if hidden != ("value" not in one,) * 2:
            yield f"the input {name!r:.80} has no value, or only a part of what hides it"
