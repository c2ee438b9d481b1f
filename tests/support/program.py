"""A project in a temporary folder and the real `zf` run on it: what the whole-program tests use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ZF = (sys.executable, "-m", "zf")


def survivors(marker: str) -> list[str]:
    """Command lines of live processes whose environment holds the marker."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if marker.encode() in environ.read():
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        found.append(cmdline.read().replace(b"\0", b" ").decode())
        except OSError:
            continue  # gone in the meantime, or not ours
    return found


def heard(process: subprocess.Popen[str], kind: str, count: int = 1, **fields: object) -> None:
    """Read what a run says with `--progress json` until it has told so many events like this."""
    assert process.stderr is not None
    while count:
        line = process.stderr.readline()
        assert line, process.communicate()
        event = json.loads(line)
        count -= event["type"] == kind and fields.items() <= event.items()


@dataclass
class Finished:
    """One finished command line."""

    code: int
    out: str
    err: str


class Project:
    """Write task files, run zf on them, look at what it left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "tasks").mkdir(parents=True)
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ZF_", "ZENFLOW_", "GITHUB_", "GITLAB_"))
            and name not in {"RUN_ID", "MAX_JOBS", "CI"}
        }
        # A run must not depend on who runs the tests, nor on a git repository around them.
        self.env["GIT_CEILING_DIRECTORIES"] = str(root.parent)
        # Nor on which runs of others have a `concurrency` group just now.
        self.env["ZF_LEASES_DIR"] = str(root.parent / "leases")
        # Nor is the cache of who runs the tests theirs.
        self.env["XDG_CACHE_HOME"] = str(root.parent / "cache")
        # In the environment of whatever a test starts, and of nothing else on this machine.
        self.mark = f"mark-{uuid.uuid4().hex}"
        self._begun: list[subprocess.Popen[str]] = []

    def task(self, task_id: str, *runs: str, phase: str = "A", **keys: Any) -> Path:
        """A task whose steps are the given scripts."""
        steps = [{"name": f"step {n}", "run": run} for n, run in enumerate(runs, start=1)]
        return self.file(
            task_id,
            yaml.safe_dump({"id": task_id, "phase": phase, **keys, "commands": steps}),
        )

    def file(self, task_id: str, text: str | bytes) -> Path:
        """A task file, letter for letter."""
        path = self.root / "tasks" / task_id / "task.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def popen(self, *words: str, **keys: Any) -> subprocess.Popen[str]:
        """Start zf; the caller waits for it."""
        env = {**self.env, **keys.pop("env", {})}
        process = subprocess.Popen(
            [*ZF, *words],
            cwd=keys.pop("cwd", self.root),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=keys.pop("stdout", subprocess.PIPE),
            stderr=keys.pop("stderr", subprocess.PIPE),
            encoding="utf-8",
            errors="surrogateescape",
            **keys,
        )
        self._begun.append(process)
        return process

    def end_all(self) -> None:
        """End what `popen` began, also what is stopped, and close its pipes."""
        for process in self._begun:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def zf(self, *words: str, timeout_s: float = 120, **keys: Any) -> Finished:
        """Run zf to its end. A hang is a failure: everything is killed after `timeout_s`."""
        process = self.popen(*words, start_new_session=True, **keys)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"zf {words} hangs\n{out}\n{err}") from None
        return Finished(process.returncode, out, err)

    def proof(self, run: str, *parts: str) -> Path:
        return self.root.joinpath("proofs", run, *parts)

    def json(self, run: str, *parts: str) -> Any:
        return json.loads(self.proof(run, *parts).read_bytes())

    def status(self, run: str, task: str) -> Any:
        return self.json(run, task, "99-summary", "status.json")

    def log(self, run: str, task: str, step: int = 0) -> bytes:
        return self.proof(run, task, "20-logs", f"step-{step}.log").read_bytes()

    def events(self, run: str) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for line in self.proof(run, "events.jsonl").read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")  # one that is just being written may be seen in part
        ]
