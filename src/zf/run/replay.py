"""A recorded task run again: its recorded scripts, environment and commit, in a scratch folder.

Nothing of the project's work tree is read or written, only its repository. What cannot be had again
(changes that were never committed, secrets, variables that were not recorded) is said.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.audit import compare
from zf.errors import ZfError, printable
from zf.lean.records import Struct, field, replace
from zf.model import RESERVED_ENV, Flow, Project, Step, Task, recalled
from zf.plan.graph import plan_task
from zf.plan.load import load
from zf.plan.places import find_root
from zf.proof import layout, read
from zf.proof.source.git import environment as git_environment
from zf.redact.redactor import Redactor
from zf.redact.secret_forms import is_secret_name
from zf.report.words import quoted_log, tail, what
from zf.run.launch import launch
from zf.run.request import RunRequest
from zf.run.schedule.orders import Limits
from zf.run.upstream import outcomes, refuse_unless_intact, verified_journal
from zf.settings import DEFAULT_PHASE_TIMEOUT_S, resolve

_RUN = "replay"
_NOT_RECORDED = re.compile(r"^# passed, value not recorded: (.+)$", re.MULTILINE)
_HIDDEN = "***"
# What decides whether and when a task starts, and what it is started with.
_ALONE = Task("", "", ())
_NOT_AGAIN = (
    *("needs", "condition", "env", "env_from", "pass_env", "required_env", "resources"),
    "concurrency",
    *("max_retries", "deadline_s", "start_after_s", "queue_timeout_s"),
)
_NAMES = {"status": "status", "exit_code": "exit code", "signal": "signal"}


class Replayed(Struct, frozen=True):
    """What came out the second time: for each outcome, log and artifact what it was and is, and
    `notes` on what could not be the same. Of a task that did not succeed the second time, `why` it
    did not, and the end of its log.
    """

    run_dir: str
    outcome: Mapping[str, compare.Pair]
    files: Mapping[str, compare.Pair]
    notes: tuple[str, ...]
    why: str = ""
    log: Sequence[str] = ()

    @property
    def same(self) -> bool:
        return all(one == other for one, other in (*self.outcome.values(), *self.files.values()))

    def render(self) -> str:
        """One line for each thing compared."""
        lines = [f"note: {note}" for note in self.notes]
        for name, (one, other) in self.outcome.items():
            said = f"{_word(one)}, as before" if one == other else f"{_word(one)} -> {_word(other)}"
            lines.append(f"{_NAMES[name]}: {said}")
        lines += [f"{path}: {compare.which(pair)}" for path, pair in self.files.items()]
        if self.why:
            lines.append(f"why: {self.why}")
            lines += quoted_log(tail(self.log))
        return "".join(printable(line) + "\n" for line in lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": "zf/replay/v1",
            "same": self.same,
            "run_dir": self.run_dir,
            "outcome": {name: list(pair) for name, pair in self.outcome.items()},
            "files": {path: list(pair) for path, pair in self.files.items()},
            "notes": list(self.notes),
            "why": self.why or None,
        }


def replay(
    run_dir: str, task: str, scratch: str, *, root: str, environ: Mapping[str, str]
) -> Replayed:
    """Run a task of a recorded run again below `scratch`, an empty folder, and compare.

    `root` is in the repository the run was of. Raises ZfError when the proof is not intact, or
    there is no such task, commit or repository.
    """
    run = read.run_json(run_dir)
    # A replay runs the scripts of the proof: they must at least be the ones that ran.
    found = refuse_unless_intact(run_dir, str(run["run_id"]))
    ends = outcomes(verified_journal(run_dir, str(run["run_id"]), found))
    try:
        status = read.status_json(run_dir, task)
    except ZfError:
        hint = _instances(run_dir, task)
        raise ZfError(f"no task {task!r} in this run", code="ZF151", hint=hint) from None
    if task not in ends:
        # What lies there is not its outcome yet, and nothing vouches for its scripts.
        raise ZfError(
            f"task {task!r} has not ended in this run",
            code="ZF151",
            hint=f"zf status {run['run_id']} says whether the run goes on;"
            f" zf resume {run['run_id']} finishes it",
        )
    if not status["attempt"]:
        raise ZfError(
            f"task {task!r} was not run: it is {status['status']}",
            code="ZF151",
            hint="there is nothing to run again",
        )
    notes = _Notes(run)
    if status["attempt"] > 1:
        notes.said.append(f"what is compared is attempt {status['attempt']}; this is a first one")
    recorded, env = _recorded_task(run_dir, task, notes)
    variables, made = recorded_environment(run_dir, task, environ, env, notes.said)
    source = _check_out(run["source"]["commit"], root, f"{scratch}/source")
    variables |= _given(source, task, variables)
    recorded = replace(recorded, env=made, pass_env=tuple(variables))
    # Not passed on, as they were not then; but what a step finds elsewhere is to be known again.
    variables = {**_secret(environ, recorded.secrets), **variables}
    flow = Flow(
        root=source,
        home=scratch,
        tasks={task: recorded},
        project=Project(),
    )
    settings = resolve({}, default_run_id=_RUN)
    plan = plan_task(flow, task, with_needs=False, phase_timeout_s=settings.phase_timeout_s.value)
    limits = Limits(settings.max_jobs.value, only=task, retries=False, seed=_RUN)
    redactor = Redactor([recorded], variables, flow.project)
    request = RunRequest(flow, plan, settings, limits, variables, redactor, watch=lambda *_: None)
    done = launch(request, ["zf", "replay", str(run["run_id"]), task])
    if done.facts.interrupted:
        raise KeyboardInterrupt
    again = read.status_json(done.run_dir, task)
    ended = done.facts.tasks[task]
    return Replayed(
        done.run_dir,
        {name: (status[name], again[name]) for name in _NAMES},
        compare.output(run_dir, done.run_dir, task),
        tuple(notes.said),
        what(ended),
        read.log_tail(done.run_dir, task, ended.step or 0) if what(ended) else (),
    )


def _word(value: object) -> str:
    return "none" if value is None else str(value)


class _Notes(Struct):
    """What makes the second time differ from the first."""

    run: Mapping[str, Any]
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.run["source"]["dirty"] is not False:
            self.said.append("the work tree had changes then that are in no commit")


def _given(source: str, task: str, values: Mapping[str, str]) -> dict[str, str]:
    """The values that the task's file gives to variables of which a secret was not recorded."""
    try:
        root, home = find_root(source)
    except ZfError:
        return {}
    flow = load(root, home, default_phase_timeout_s=DEFAULT_PHASE_TIMEOUT_S).flow
    if flow is None or task not in flow.tasks:
        return {}
    env = flow.tasks[task].env
    return {name: env[name] for name in env if _HIDDEN in values.get(name, "")}


def _secret(environ: Mapping[str, str], globs: Sequence[str]) -> dict[str, str]:
    """What is named as a secret of all the variables there are now."""
    return {name: value for name, value in environ.items() if is_secret_name(name, globs)}


def _recorded_task(run_dir: str, task: str, notes: _Notes) -> tuple[Task, Mapping[str, str]]:
    """The task as it was recorded, its scripts from their own files; and the `env` of its file."""
    said = read.read_json(run_dir, f"{task}/{layout.TASK}")
    if said["needs"]:
        needed = ", ".join(need["task"] for need in said["needs"])
        notes.said.append(f"what it needs was not run again: {needed}")
    task_then = recalled(said)

    def as_run(kind: str, steps: Sequence[Step]) -> Iterator[Step]:
        for number, step in enumerate(steps, read.first_step(notes.run)):
            data = read.read_bytes(run_dir, f"{task}/{layout.script(f'{kind}-{number}')}")
            text = data.decode("utf-8", "surrogateescape")
            if _HIDDEN in text:
                notes.said.append(f"{kind} {step.name!r}: a secret in its script was not recorded")
            for name, value in step.env.items():
                if _HIDDEN in value:
                    what = f"a secret in its {name} was not recorded"
                    notes.said.append(f"{kind} {step.name!r}: {what}")
            yield replace(
                step, run=text, condition=_decided(run_dir, task, f"{kind}-{number}", step)
            )

    alone = replace(
        task_then,
        steps=tuple(as_run("step", task_then.steps)),
        cleanup=tuple(as_run("cleanup", task_then.cleanup)),
        secrets=(*notes.run["secrets"], *task_then.secrets),
        # Its environment is the recorded one, and nothing is waited for.
        **{name: getattr(_ALONE, name) for name in _NOT_AGAIN},
    )
    return alone, task_then.env


def _decided(run_dir: str, task: str, name: str, step: Step) -> str:
    """A condition for the step that comes to what it came to then, but for how the steps before it
    end this time: what it looked at may be otherwise now.
    """
    if not step.condition:
        return ""
    asked = read.read_json(run_dir, f"{task}/{layout.command_record(name)}").get("asked")
    if not asked:
        return step.condition
    if not asked["value"]:
        return "false"
    from zf.plan.conditions.condition import parse  # noqa: PLC0415 - few steps have one

    called = parse(step.condition).functions
    return next(
        (f"{one}()" for one in ("always", "failure", "cancelled", "success") if one in called), ""
    )


def recorded_environment(
    run_dir: str, task: str, environ: Mapping[str, str], env: Mapping[str, str], notes: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The recorded variables, and what was passed then as it is now; and those of the task's `env`
    that were made of such, to be made again. What is not as it was goes to the `notes`.
    """
    made: dict[str, str] = {}
    data = read.read_bytes(run_dir, f"{task}/{layout.ENV}")
    values = {k: v for k, v in compare.read_env(data).items() if k not in RESERVED_ENV}
    for name, value in values.items():
        if _HIDDEN in value:
            notes.append(f"{name}: a secret in its value was not recorded")
    for name in _NOT_RECORDED.findall(data.decode("utf-8", "surrogateescape")):
        if name in RESERVED_ENV:
            continue
        if name in env:
            made[name] = env[name]
            notes.append(f"{name}: its value was not recorded; made again of what is set now")
            continue
        if name in environ:
            values[name] = environ[name]
        now = "as it is now" if name in environ else "now not set"
        notes.append(f"{name}: its value was not recorded; {now}")
    return values, made


def _instances(run_dir: str, base: str) -> str | None:
    """What to name in place of a task with a matrix: one of its instances is replayed."""
    rows = read.grown_plan(run_dir)["tasks"]
    first = next((row["id"] for row in rows if row.get("base") == base), None)
    return first and f"it has a matrix: name one of its instances, such as {first}"


def _check_out(commit: str | None, root: str, target: str) -> str:
    """Put the commit's files into a folder of their own; the project's root in there."""
    if commit is None:
        raise ZfError("the run recorded no commit to go back to", code="ZF152")
    top = _git(root, "rev-parse", "--show-toplevel")
    inside = _git(root, "rev-parse", "--show-prefix")
    # A shared clone copies nothing, but names the repository in a file of one path a line.
    shared = [] if "\n" in top else ["--shared"]
    # `--template=` and a fresh configuration: no hook runs, of this user or the machine.
    _git(root, "clone", "--quiet", *shared, "--no-checkout", "--template=", "--", top, target)
    _git(target, "checkout", "--quiet", "--detach", commit)
    return os.path.join(target, inside).rstrip("/")


def _git(folder: str, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *words],
            cwd=folder,
            env=git_environment(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise ZfError(f"git could not be started: {error.strerror}", code="ZF152") from None
    if done.returncode != 0:
        said = os.fsdecode(done.stderr).strip().splitlines()
        raise ZfError(
            f"git {words[0]}: {printable(said[-1] if said else 'failed')}",
            code="ZF152",
            hint="replay needs the repository the run was of, with its commit",
        )
    # A path may itself end in blanks or a newline, and need not be UTF-8.
    return os.fsdecode(done.stdout.removesuffix(b"\n"))
