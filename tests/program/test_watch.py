"""`zf watch`: real files, real processes, and what is left of them after each change."""

import os
import queue
import re
import signal
import subprocess
import threading
import time

import pytest

from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

PATIENCE_S = 90


class Watching:
    """A watch of a project, and what it says on stderr."""

    def __init__(self, project, *words, **keys):
        self.project = project
        self.process = project.popen("watch", *words, **keys)
        self.said = []
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def until(self, pattern, count=1):
        """The lines up to one with this, so many times."""
        found, by = [], time.monotonic() + PATIENCE_S
        while count:
            try:
                line = self._lines.get(timeout=max(0.0, by - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} after:\n{''.join(self.said)}") from None
            assert line is not None, "".join(self.said)
            self.said.append(line)
            found.append(line)
            count -= re.search(pattern, line) is not None
        return "".join(found)

    def ends(self, *, by=signal.SIGINT):
        """End it; its exit code and what else it said."""
        self.process.send_signal(by)
        code = self.process.wait(PATIENCE_S)
        rest = []
        while (line := self._lines.get(timeout=PATIENCE_S)) is not None:
            rest.append(line)
        return code, "".join(rest)

    def run_of(self, said):
        """The id of the run whose result these lines tell."""
        return re.search(r"^\S+ (\S+-w\d+): \d+ task", said, re.MULTILINE)[1]


@pytest.fixture
def watching(project):
    begun = []
    git(project, "init", "-q")
    (project.root / ".gitignore").write_text("proofs/\n")

    def begin(*words, **keys):
        begun.append(Watching(project, *words, **keys))
        return begun[-1]

    yield begin
    project.end_all()


def git(project, *words):
    subprocess.run(["git", *words], cwd=project.root, check=True, env=project.env)


def write(project, name, text):
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def chain(project):
    for name in ("lib", "app"):
        write(project, f"src/{name}", "1\n")
    project.task("lib", "cat src/lib", sources=["src/lib"], parallel_safe=True)
    project.task("app", "cat src/app", sources=["src/app"], needs=["lib"], parallel_safe=True)


DONE = r"^(passed|PASS|FAIL|superseded|INTERRUPTED)\b"


def test_a_change_runs_what_it_concerns_and_what_needs_that(project, watching):
    chain(project)
    watch = watching()
    first = watch.run_of(watch.until("watching 2 tasks, 5 files"))
    write(project, "src/app", "2\n")
    said = watch.until(DONE)
    assert "changed src/app\n" in said
    second = watch.run_of(said)
    write(project, "src/lib", "2\n")
    third = watch.run_of(watch.until(DONE))
    assert watch.ends()[0] == 130
    planned = {
        run: sorted(task["id"] for task in project.json(run, "plan.json")["tasks"])
        for run in (first, second, third)
    }
    assert planned == {first: ["app", "lib"], second: ["app"], third: ["app", "lib"]}
    assert project.log(second, "app") == b"2\n"
    # Each is an ordinary run: sealed, verified, explained.
    for run in planned:
        assert verify(str(project.proof(run))).exit_code == VERIFIED
    assert project.json(second, "plan.json")["upstream"]["lib"]["run"] == first
    assert project.json(first, "run.json")["command"][1:] == ["watch"]
    assert project.zf("explain", second).code == 0
    assert project.zf("logs", second, "app").out == "2\n"


def test_a_failure_is_shown_with_its_log_and_what_is_mended_passes(project, watching):
    write(project, "src", "bad\n")
    project.task("check", "grep good src", sources=["src"])
    watch = watching()
    said = watch.until(r"watching 1 task \(1 not passed\)")
    assert "check failed" in said
    write(project, "src", "good\n")
    assert re.search(r"^(passed|PASS)", watch.until(DONE), re.MULTILINE)
    code, _ = watch.ends()
    assert code == 130


def test_what_is_not_touched_goes_on_and_what_is_ended_is_gone(project, watching):
    for name in ("a", "b"):
        write(project, name, "1\n")
        run = f"echo $$ >> {name}.pids; touch {name}.up; exec sleep 1000"
        project.task(name, run, sources=[name], generates=[f"{name}.*"], parallel_safe=True)
    watch = watching()
    wait_for(lambda: (project.root / "a.up").exists() and (project.root / "b.up").exists())
    write(project, "a", "2\n")
    watch.until(r"^changed a$")
    wait_for(lambda: len(pids(project, "a")) == 2)
    old, new = pids(project, "a")
    assert not alive(old)
    assert alive(new)
    assert [alive(pid) for pid in pids(project, "b")] == [True]
    code, _ = watch.ends()
    assert code == 130
    assert not any(map(alive, (new, *pids(project, "b"))))
    runs = sorted(os.listdir(project.root / "proofs"))
    first, second = (run for run in runs if not run.startswith("."))
    assert project.status(first, "a")["cause"] == "superseded"
    assert second in project.status(first, "a")["detail"]


def pids(project, name):
    try:
        return [int(pid) for pid in (project.root / f"{name}.pids").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def wait_for(condition):
    by = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < by
        time.sleep(0.02)
