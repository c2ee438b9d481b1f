"""Running attempts for real: a project in a folder, a pool of workers, and what became of each."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from zf.events import AttemptEnded
from zf.model import Project, Step, Task
from zf.proof.tree.records import Place
from zf.redact.redactor import Redactor
from zf.work.control import PING
from zf.work.pool import Pool
from zf.work.supervise.watchdog import Patience, Watch
from zf.work.worker import Shared


@dataclass
class Result:
    """One attempt: its event, and its tree."""

    ended: AttemptEnded
    tree: Path

    def json(self, path):
        return json.loads((self.tree / path).read_bytes())

    @property
    def status(self):
        return self.json("99-summary/status.json")

    def log(self, step=0, kind="step"):
        return (self.tree / f"20-logs/{kind}-{step}.log").read_bytes()

    @property
    def artifacts(self):
        top = self.tree / "30-artifacts"
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())

    def outcome(self):
        return self.ended.status.value, self.ended.exit_code, self.ended.cause.value


class Attempts:
    """A project with its proofs folder; `run` does one task, `run_all` many at once."""

    def __init__(self, folder, *, grace_s=0.3, environ=None, project=None, run="r1"):
        self.root = folder / "project"
        self.root.mkdir()
        self.run_dir = self.root / "proofs" / run
        self.run_dir.mkdir(parents=True)
        environ = {"PATH": os.environ["PATH"]} if environ is None else environ
        self.shared = Shared(
            place=Place(run, "harbour", "alice", str(self.root)),
            run_dir=str(self.run_dir),
            grace_s=grace_s,
            project=project or Project(),
            environ=environ,
            redactor=Redactor((), environ, project or Project()),
            aside=str(folder / "aside"),
        )

    def pool(self, *tasks, **options):
        return Pool({task.id: task for task in tasks}, self.shared, **options)

    def run(self, *scripts, **fields):
        return self.run_all([task(*scripts, **fields)])[0]

    def run_all(self, tasks, jobs=2):
        pool = self.pool(*tasks)
        try:
            ended = drive(pool, tasks, jobs)
        finally:
            pool.close()
        return [self.result(ended[one.id]) for one in tasks]

    def result_of(self, name):
        return Result(None, self.run_dir / name)

    def result(self, ended):
        return Result(ended, self.run_dir / ended.task)


def task(*scripts, name="t", **fields):
    steps = tuple(Step(f"step-{n - 1}", script, n) for n, script in enumerate(scripts, start=1))
    defaults = {"steps": steps, "phase": "A", "timeout_s": 60, "file": f"tasks/{name}/task.yaml"}
    return Task(id=name, **{**defaults, **fields})


def drive(pool, tasks, jobs, attempt=1):
    """Run them all, `jobs` at a time; how each ended, by id."""
    waiting, free, slots, ended = list(tasks), list(range(jobs)), {}, {}
    while len(ended) < len(tasks):
        while waiting and free:
            slots[waiting[0].id] = free.pop()
            pool.start(waiting[0].id, attempt, slots[waiting.pop(0).id])
        for event in pool.wait(30, None):
            ended[event.task] = event
            free.append(slots[event.task])
    return ended


def wait_for_one(pool):
    """How the next attempt that ends has ended."""
    while not (ended := pool.wait(30, None)):
        pass
    return ended[0]


def settle(pool, handle):
    """Return when the worker is waiting: for its step, or for the next order."""
    handle.watch = Watch(Patience(), 60.0)
    handle.watch.answered = False
    pool._send(handle, PING)
    while not handle.watch.answered:
        assert pool.wait(30, None) == []


def checksums_hold(tree):
    """What coreutils say to the tree's own lists; an empty list is all right, and they are not."""
    for folder, listed in (("", "task.sha256"), ("30-artifacts", "artifacts.sha256")):
        path = tree / "40-checksums" / listed
        if path.read_bytes():
            subprocess.run(
                ["sha256sum", "-c", "--strict", "--quiet", path], cwd=tree / folder, check=True
            )


def all_listed(tree):
    """Every file of the tree is in task.sha256, but that one and earlier attempts."""
    listed = [line[66:] for line in (tree / "40-checksums/task.sha256").read_text().splitlines()]
    there = [str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()]
    there = [path for path in there if not path.startswith("attempts/")]
    there.remove("40-checksums/task.sha256")
    assert listed == sorted(there)


def processes(mark):
    """The processes whose command line holds the mark."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in command:
                found.append(int(name))
    return found
