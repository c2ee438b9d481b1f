"""Builds small, complete proof bundles through the real writers, with fixed times.

Not a test: the tests of `proof/` need runs of every outcome without running anything.
"""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from zf.events import (
    SCHEMA,
    AttemptEnded,
    AttemptStarted,
    Cause,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.model import Need, Step, Task, definition_sha256
from zf.proof import layout
from zf.proof.files import write_json
from zf.proof.journal import Journal
from zf.proof.known import Known
from zf.proof.lines import list_lines, object_lines
from zf.proof.seal import seal_known
from zf.proof.tree import records, store

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BEGAN = 1_795_242_644  # 2026-11-21T06:30:44Z


MEASURES = {
    "cpu_user_s": 0.25,
    "cpu_system_s": 0.0625,
    "peak_memory_bytes": 64_000_000,
    "read_bytes": 0,
    "written_bytes": 4096,
    "output_bytes": 6,
    "source": "wait4",
}


def moment(second: float) -> str:
    minute, second = divmod(44 + second, 60)
    return f"2026-11-21T06:{30 + int(minute):02}:{second:09.6f}Z"


@dataclass
class Ending:
    """What becomes of one attempt."""

    status: Status
    cause: Cause = Cause.NONE
    exit_code: int | None = 0
    artifacts: tuple[tuple[str, bytes], ...] = ()
    log: bytes = b"hello\n"


OK = Ending(Status.SUCCESS, artifacts=(("report/a b.txt", b"result\n"), ("empty", b"")))
FAILED = Ending(Status.FAILURE, Cause.EXIT, 7)
TIMED_OUT = Ending(Status.TIMEOUT, Cause.TIMEOUT, 124)


class Run:
    """A run being written, one event a second."""

    def __init__(
        self, proofs: Path, run: str = "r1", commit: str = COMMIT, *, dirty: bool | None = False
    ) -> None:
        self.path = proofs / run
        self.path.mkdir(parents=True)
        self.run = run
        self.commit = commit
        self.dirty = dirty
        self.second = 0.0
        self.ends: dict[str, Status] = {}
        self.tasks: dict[str, Task] = {}
        self.known = Known()

    def plan(self, **needs: tuple[str, ...]) -> "Run":
        for name, its_needs in needs.items():
            self.tasks[name] = Task(
                id=name,
                phase="A",
                title=f"Task {name}",
                steps=(Step("say", f"echo {name}\n"),),
                needs=tuple(Need(need) for need in its_needs),
                file=f"tasks/{name}/task.yaml",
            )
        rows = [
            {
                "id": task.id,
                "title": task.title,
                "phase": "A",
                "file": task.file,
                "line": 1,
                "sha256": definition_sha256(task),
                "needs": [
                    {"task": n.task, "optional": False, "require": "success"} for n in task.needs
                ],
                "parallel_safe": False,
                "timeout_s": 300,
                "level": 0,
                "chain": 1,
                "steps": [{"name": "say", "line": 0}],
            }
            for task in self.tasks.values()
        ]
        plan = {
            "schema": "zf/plan/v2",
            "phases": [{"name": "A", "title": "A", "timeout_s": 3600, "whole": True}],
            "needs": "checked",
            "upstream": {},
            "tasks": rows,
        }
        run_json = {
            "schema": "zf/run/v2",
            "run_id": self.run,
            "zf_version": "0.1.0",
            "python_version": "3.11.7",
            "platform": "Linux 6 x86_64",
            "host": "example",
            "user": "alice",
            "ci": None,
            "command": ["zf", "run-phase", "A"],
            "started_at": moment(0),
            "source": {
                "commit": self.commit,
                "branch": "main",
                "tree": "f" * 40,
                "dirty": self.dirty,
                "diff_sha256": None,
                "repo": "https://example.org/x.git",
                "note": None,
            },
            "settings": {"max_jobs": {"value": 4, "source": "default"}},
            "secrets": [],
            "limits": {
                "max_jobs": 4,
                "fail_fast": False,
                "only": None,
                "retries": True,
                "resources": {},
                "throttle": None,
                "deadline_s": None,
                "seed": self.run,
            },
            "rerun_of": None,
        }
        run_sha256 = write_json(str(self.path / "run.json"), run_json)
        digest = write_json(str(self.path / "plan.json"), plan)
        self.journal = Journal.create(str(self.path / "events.jsonl"))
        nonce = self.run.encode().hex()
        self.tell(
            RunStarted(
                *(self.run, ("A",), len(rows), digest, nonce, self.commit, None, None),
                run_sha256=run_sha256,
                schema=SCHEMA,
            )
        )
        self.tell(PhaseStarted("A", 3600))
        return self

    def tell(self, event) -> None:
        self.journal.append(event, moment(self.second), 1000 + self.second)
        self.journal.commit()
        self.known.take(event)
        self.second += 1

    def began(self, name: str, attempt: int = 1) -> store.TaskTree:
        self.tell(AttemptStarted(name, attempt, 0))
        tree = store.TaskTree.create(str(self.path), name, attempt)
        tree.write(layout.TASK, self._task_json(name, moment(self.second - 0.9)))
        tree.write(layout.ENV, b"export LANG='C'\n")
        tree.write("10-commands/step-0.sh", self.tasks[name].steps[0].run.encode())
        return tree

    def attempt(self, name: str, ending: Ending = OK, attempt: int = 1) -> None:
        tree = self.began(name, attempt)
        began, ended = moment(self.second - 0.9), moment(self.second - 0.4)
        tree.write("20-logs/step-0.log", ending.log)
        row = self._step(name, ending, began, ended)
        tree.write("10-commands/step-0.json", object_lines(row))
        steps = [{"name": step.name, "run": step.run} for step in self.tasks[name].steps]
        tree.write(layout.COMMANDS_LIST, list_lines(steps))
        for path, data in ending.artifacts:
            target = self.path / name / layout.ARTIFACTS / path
            target.parent.mkdir(parents=True, exist_ok=True)
            tree.write(f"{layout.ARTIFACTS}/{path}", data)
        if ending.status == Status.TIMEOUT:
            tree.write("99-summary/.timeout_killed", b"timeout\n")
        step = None if ending.status == Status.SUCCESS else 0
        event = AttemptEnded(
            task=name,
            attempt=attempt,
            status=ending.status,
            exit_code=ending.exit_code,
            signal=None,
            cause=ending.cause,
            detail="",
            step=step,
            started_at=began,
            completed_at=ended,
            duration_s=0.5,
            task_sha256="",
            measures=MEASURES,
        )
        told = {
            "measures": {**MEASURES, "steps": [{"step": 0, **MEASURES}]},
            "artifacts": len(ending.artifacts),
        }
        fields = records.status_fields(self.run, self.tasks[name], event, **told)
        digest = tree.write_status(fields)
        tree.close()
        self.ends[name] = ending.status
        self.tell(replace(event, task_sha256=digest))

    @property
    def _place(self) -> records.Place:
        return records.Place(self.run, "example", "alice", "/home/alice/x")

    def _task_json(self, name: str, began: str) -> bytes:
        task = self.tasks[name]
        return records.task_json(self._place, began, "/home/alice/x", records.task_lines(task))

    def _step(self, name: str, ending: Ending, began: str, ended: str) -> dict:
        return {
            "schema": "zf/step/v2",
            "step": 0,
            "name": "say",
            "line": 0,
            "argv": ["bash", "step-0.sh"],
            "script_sha256": sha256(self.tasks[name].steps[0].run.encode()).hexdigest(),
            "status": ending.status,
            "exit_code": ending.exit_code,
            "signal": None,
            "started_at": began,
            "completed_at": ended,
            "duration_s": 0.5,
            "log": "20-logs/step-0.log",
            "log_bytes": len(ending.log),
            "log_sha256": sha256(ending.log).hexdigest(),
            "output_bytes": MEASURES["output_bytes"],
        }

    def not_run(self, name: str, status: Status, cause: Cause, **needs: Status) -> None:
        at = moment(self.second)
        detail = "; ".join(f"dependency '{n}' has status: {s}" for n, s in needs.items())
        event = TaskNotRun(name, status, cause, detail, needs, at, "")
        digest = records.write_not_run(str(self.path), self._place, self.tasks[name], event)
        self.ends[name] = status
        self.tell(replace(event, task_sha256=digest))

    def end(self, exit_code: int = 0) -> "Run":
        self.tell(PhaseEnded("A", exit_code == 0, self.second))
        self.tell(RunEnded(exit_code, Counter(self.ends.values()), self.second))
        self.journal.close()
        self.known.tops[layout.JOURNAL] = self.journal.sha256
        seal_known(str(self.path), self.known)
        return self

    @property
    def head(self) -> str:
        return self.journal.head


def tiny(proofs: Path, run: str = "r1") -> Run:
    """One task that succeeded, the smallest whole run, for what is done byte by byte."""
    made = Run(proofs, run).plan(one=())
    made.attempt("one", Ending(Status.SUCCESS, artifacts=(("a", b"x\n"),)))
    return made.end()


def small(proofs: Path, run: str = "r1") -> Run:
    """Two tasks, one of them blocked: the smallest run with both kinds of tree."""
    made = Run(proofs, run).plan(one=(), two=("one",))
    made.attempt("one", FAILED)
    made.not_run("two", Status.BLOCKED, Cause.NEED, one=Status.FAILURE)
    return made.end(1)


def full(proofs: Path, run: str = "r1") -> Run:
    """Every outcome a task can have."""
    made = Run(proofs, run).plan(
        good=(), bad=(), slow=(), flaky=(), held=("bad",), skipped=(), stopped=()
    )
    made.attempt("good")
    made.attempt("bad", FAILED)
    made.not_run("held", Status.BLOCKED, Cause.NEED, bad=Status.FAILURE)
    made.attempt("slow", TIMED_OUT)
    made.attempt("flaky", FAILED)
    made.attempt("flaky", OK, attempt=2)
    made.not_run("skipped", Status.SKIPPED, Cause.NEED)
    made.not_run("stopped", Status.CANCELLED, Cause.INTERRUPT)
    return made.end(1)


def killed(proofs: Path, run: str = "r1") -> Run:
    """One task ended, one was running, one never started; the runner is gone."""
    made = Run(proofs, run).plan(done=(), running=(), waiting=("running",))
    made.attempt("done")
    tree = made.began("running")
    tree.write("20-logs/step-0.log", b"half a li")
    tree.close()
    made.journal.close()
    return made
