"""A busy project, runs of it that are killed at random moments, and what must hold."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.program import Finished, Project, survivors
from zf.audit.conclusion import VERIFIED
from zf.audit.verify import verify

COOKIE = "ZF_TEST_COOKIE"


class Busy(Project):
    """Forty short tasks in layers, some of which start processes that would outlive them."""

    def __init__(self, root: Path, cookie: str) -> None:
        super().__init__(root)
        self.cookie = f"{cookie}-{uuid.uuid4().hex}"  # another clone may run the same test
        # Found in the environment of zf, of its workers and of everything they start.
        self.env[COOKIE] = self.cookie
        (root / "zf.yaml").write_text(f"pass_env: [{COOKIE}]\ngrace_sec: 1\n")
        for number in range(40):
            needs = [f"t{n:02}" for n in (number - 4, number - 5) if n >= 0 and number % 3]
            self.task(
                f"t{number:02}",
                f"echo one; sleep 0.0{number % 7}; [ ! -e slow ] || sleep 61",
                "sleep 60 & disown; kill $!; echo two > $ARTIFACTS_DIR/two",
                needs=needs,
                parallel_safe=number % 10 != 9,
            )

    def left(self) -> list[str]:
        """What is still alive of all that was ever started here."""
        return survivors(f"{COOKIE}={self.cookie}")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start zf in a group of its own, with Ctrl-C as it is at a terminal."""
        return self.popen(
            *words,
            "--progress",
            "json",
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def follow_until(process: subprocess.Popen[str], lines: int, rng: random.Random) -> list[str]:
    """Read this many lines of progress, then a moment more."""
    assert process.stderr is not None
    told = []
    for _ in range(lines):
        line = process.stderr.readline()
        if not line:
            break
        told.append(line)
    select.select([], [], [], rng.random() * 0.01)
    return told


def kill(process: subprocess.Popen[str], *, workers: bool, rng: random.Random) -> list[str]:
    """SIGKILL the runner, perhaps with all its workers; the rest of what it had told.

    The runner is stopped first: it must not live to see a worker die, which would be an outcome.
    """
    pids = [process.pid]
    os.kill(process.pid, signal.SIGSTOP)
    if workers:
        pids += children(process.pid)
        rng.shuffle(pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _, err = process.communicate()
    return err.splitlines(keepends=True)


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def acknowledged(told: list[str]) -> set[tuple[str, int, str]]:
    """The outcomes that zf said aloud."""
    events = [json.loads(line) for line in told if line.startswith("{") and line.endswith("}\n")]
    return {
        (event["task"], event["attempt"], event["status"])
        for event in events
        if event["type"] == "attempt_ended"
    }


def check_told_once(events: list[dict[str, Any]], told: list[str]) -> None:
    """Each attempt that began has ended once, and what zf told of an end is in the journal."""
    ends = Counter((e["task"], e["attempt"]) for e in events if e["type"] == "attempt_ended")
    starts = Counter((e["task"], e["attempt"]) for e in events if e["type"] == "attempt_started")
    assert set(ends.values()) <= {1}
    assert ends == starts
    lasting = {
        (e["task"], e["attempt"], e["status"]) for e in events if e["type"] == "attempt_ended"
    }
    assert acknowledged(told) <= lasting


def check_whole(project: Busy, run: str, told: list[str], done: Finished) -> None:
    """Nothing leaked, nothing was lost, nothing was told twice."""
    assert project.left() == []
    assert not list(project.proof(".locks").glob("*.next"))
    found = verify(str(project.proof(run)))
    assert found.exit_code == VERIFIED, (found.findings, done)
    check_told_once(project.events(run), told)
