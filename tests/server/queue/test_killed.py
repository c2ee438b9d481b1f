"""Whatever of the queue is killed, and when: no item is lost, none is run twice, and whoever follows
a run sees every event once, and its end once.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import KILL, TEAR, Fault
from tests.support.ports import free_port
from tests.support.program import Project, survivors
from tests.support.served import Server, parsed
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.xdist_group("queue"),
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is what follows the runs"),
]
PROJECT = """\
queue: {max_runs: 2}
inputs: {word: {default: hello}}
tasks:
  one: {phase: E, run: "echo $INPUT_WORD-one >> ran"}
  two: {phase: E, needs: [one], run: "echo $INPUT_WORD-two >> ran; sleep 0.2"}
  three: {phase: E, needs: [two], run: "echo $INPUT_WORD-three >> ran"}
"""
TASKS = ("one", "two", "three")
MARK = "ZF_TEST_MARK"
ENDS = {
    f"item_{word}" for word in ("done", "expired", "superseded", "cancelled", "rejected", "lost")
}
DEADLINE_S = 180.0


class Killed:
    """A project with items in its queue, and its server, which is killed over and over."""

    def __init__(self, root: Path, items: int, rng: random.Random) -> None:
        self.project = Project(root)
        self.project.env[MARK] = self.project.mark
        (root / "zf.yaml").write_text(PROJECT)
        done = self.project.zf("token", "create", "viewer", "--role", "viewer")
        self.said = root / "said"
        self.token = done.out.split()[-1]
        self.port = free_port()
        self.rng = rng
        self.struck: Counter[str] = Counter()
        self.items = [self._enqueued(f"w{number}") for number in range(items)]

    def _enqueued(self, word: str) -> str:
        done = self.project.zf("enqueue", "E", "-i", f"word={word}", "--json")
        assert done.code == 0, done
        return str(json.loads(done.out)["item"])

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the queue that are whole."""
        data = (self.project.root / ".zenflow/server/queue.jsonl").read_bytes()
        return [json.loads(line) for line in data.split(b"\n")[:-1]]

    def ends(self) -> dict[str, list[str]]:
        """The terminal lines of each item."""
        found: dict[str, list[str]] = {}
        for line in self.lines():
            if line["type"] in ENDS:
                found.setdefault(line["item"], []).append(line["type"])
        return found

    @property
    def is_over(self) -> bool:
        return len(self.ends()) == len(self.items)

    def ran(self) -> list[str]:
        path = self.project.root / "ran"
        return path.read_text().split() if path.exists() else []

    def starts(self, fault: Fault | None, log: Path) -> subprocess.Popen[str]:
        log.unlink(missing_ok=True)
        words = ("serve", "--port", str(self.port))
        env = fault.env(log) if fault else {}
        with self.said.open("w") as said:
            return self.project.popen(*words, stdout=said, stderr=said, env=env)

    def dies_at_a_line(self, log: Path) -> None:
        """One server, killed before a line of its queue is flushed, half-way through a write, or
        as soon as a line is seen.
        """
        how, nth = self.rng.choice((KILL, TEAR, "seen")), self.rng.randint(1, 2)
        fault = None
        if how == KILL:
            fault = Fault("runner", KILL, nth, names=("fdatasync",))
        elif how == TEAR:
            fault = Fault("runner", TEAR, nth, names=("write",))
        before = len(self.lines())
        process = self.starts(fault, log)
        eventually(
            lambda: (
                process.poll() is not None
                or self.is_over
                or (fault is None and len(self.lines()) >= before + nth)
            ),
            seconds=DEADLINE_S,
        )
        if process.poll() is None:
            process.kill()
        assert process.wait() == -signal.SIGKILL, (how, nth, self.said.read_text())
        self.struck.update(("rounds", str(how)))

    def everything_dies(self) -> None:
        """The server, and each other process of the project or not, at a random moment."""
        before, more = (len(self.lines()), len(self.ran())), self.rng.randint(1, 3)
        process = self.starts(None, self.project.root / "none")
        eventually(
            lambda: (
                process.poll() is not None
                or self.is_over
                or len(self.lines()) + len(self.ran()) >= sum(before) + more
            ),
            seconds=DEADLINE_S,
        )
        time.sleep(self.rng.random() * 0.3)  # whatever it is at just then
        victims = [pid for pid in self.processes() if self.rng.random() < 0.7]
        for pid in {process.pid, *victims}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                self.struck["gone"] += 1
            else:
                self.struck["killed"] += 1
        process.wait()
        self.struck["rounds"] += 1

    def processes(self) -> list[int]:
        """The zf processes of this project: its server, runners and workers."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
                words = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue  # gone in the meantime, or not ours
            if self.project.mark.encode() in environ and re.search(rb"\0-m\0zf\0|zf", words):
                found.append(int(name))
        return found

    def ends_by_itself(self) -> None:
        """A server that is left alone sees to everything."""
        with Server(self.project) as server:
            eventually(lambda: self.is_over, seconds=DEADLINE_S)
            assert server.process.poll() is None
        eventually(
            lambda: survivors(f"{MARK}={self.project.mark}"), of=lambda left: not left, seconds=60
        )


class Follower:
    """`curl -N` on a run, which comes back with the last id it has until it has seen the end."""

    def __init__(self, killed: Killed, item: str) -> None:
        self.run = f"queue-{item}"
        self._killed = killed
        self.seen: list[dict[str, str]] = []
        self.came = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ending.is_set() and not self.has_ended:
            self.came += self._comes()
            self._ending.wait(0.3)  # as a browser does, which is told how long to wait

    @property
    def has_ended(self) -> bool:
        return any(one.get("event") == "end" for one in self.seen)

    def _comes(self) -> bool:
        """One connection; whether it brought anything."""
        ids = [one["id"] for one in self.seen if "id" in one]
        words = ["curl", "-sSfN", "--max-time", "120"]
        words += ["-H", f"Authorization: Bearer {self._killed.token}"]
        words += ["-H", f"Last-Event-ID: {ids[-1]}"] if ids else []
        url = f"http://127.0.0.1:{self._killed.port}/api/v1/runs/{self.run}/events"
        with subprocess.Popen(
            [*words, url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as curl:
            before = len(self.seen)
            self.seen += (one for one in parsed(curl.stdout) if one.get("event") != "heartbeat")
        return len(self.seen) > before

    def saw_everything_once(self) -> None:
        """Compare with the journal."""
        path = self._killed.project.root / "proofs" / self.run / "events.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        eventually(lambda: self.has_ended, seconds=DEADLINE_S)
        self._thread.join()
        *told, end = self.seen
        assert [int(one["id"]) for one in told] == [*range(len(lines))]
        assert [json.loads(one["data"]) for one in told] == lines
        assert end["event"] == "end"
        assert not json.loads(end["data"])["dead"]

    def gives_up(self) -> None:
        self._ending.set()


def killed_at_lines(root: Path, count: int, items: int, seed: int) -> Killed:
    """So many servers killed, one after the other, over so many items."""
    killed = Killed(root / "project", items, random.Random(seed))
    followers = [Follower(killed, item) for item in killed.items[::3]]
    try:
        for _ in range(count):
            if not killed.is_over:
                killed.dies_at_a_line(root / "calls")
        with Server(killed.project) as server:
            killed.port = server.port
            eventually(lambda: killed.is_over, seconds=DEADLINE_S)
            for follower in followers:
                follower.saw_everything_once()
    finally:
        for follower in followers:
            follower.gives_up()
        killed.project.end_all()
    words = [f"w{number}-{task}" for number in range(items) for task in TASKS]
    assert sorted(killed.ran()) == sorted(words), "each is there once, and none is missing"
    assert killed.ends() == {item: ["item_done"] for item in killed.items}
    return killed


def killed_together(root: Path, count: int, items: int, seed: int) -> Killed:
    """The server, runners and workers, so many times."""
    killed = Killed(root / "project", items, random.Random(seed))
    try:
        for _ in range(count):
            if not killed.is_over:
                killed.everything_dies()
        killed.ends_by_itself()
    finally:
        killed.project.end_all()
    ends = killed.ends()
    assert {*map(len, ends.values())} == {1}
    assert {end for [end] in ends.values()} <= {"item_done", "item_lost"}
    claimed = Counter(line["item"] for line in killed.lines() if line["type"] == "item_claimed")
    assert claimed == dict.fromkeys(killed.items, 1)
    taken_up = Counter(line["item"] for line in killed.lines() if line["type"] == "run_taken_up")
    ended = [line for line in killed.lines() if line["type"] in ENDS]
    results = {line["item"]: line.get("result") for line in ended}
    ran = Counter(killed.ran())
    for number, item in enumerate(killed.items):
        times = [ran[f"w{number}-{task}"] for task in TASKS]
        assert max(times) <= 1 + taken_up[item], (item, times, taken_up[item])
        killed.struck[f"{ends[item][0]} {results[item] or ''}".strip()] += 1
        if results[item] == "passed":
            assert min(times) >= 1, (item, times)
        elif ends[item] == ["item_done"]:  # of a worker that was killed, the attempt is lost
            path = killed.project.root / f"proofs/queue-{item}/events.jsonl"
            attempts = [json.loads(line) for line in path.read_text().splitlines()]
            said = {one["status"] for one in attempts if one["type"] == "attempt_ended"}
            assert said - {"success"}, (item, times, path.read_text())
    return killed


def test_a_server_that_dies_at_a_line_of_its_queue_loses_nothing_and_runs_nothing_twice(tmp_path):
    killed_at_lines(tmp_path, 3, 2, seed=1)


def test_of_what_dies_with_the_server_everything_is_resumed_or_lost(tmp_path):
    killed_together(tmp_path, 2, 2, seed=1)


@pytest.mark.campaign
def test_the_server_is_killed_a_thousand_times(tmp_path, capsys):
    _campaign(tmp_path, capsys, killed_at_lines, 1000)


@pytest.mark.campaign
def test_everything_is_killed_five_hundred_times(tmp_path, capsys):
    _campaign(tmp_path, capsys, killed_together, 500)


def _campaign(tmp_path, capsys, course, rounds):
    """Two projects at once, each on its own port and in its own folder, until it is enough: a server
    that starts is what a round waits for.
    """
    struck, numbers, failed = Counter(), count(1), threading.Event()

    def goes_through(_):
        while struck["rounds"] < rounds and not failed.is_set():
            number = next(numbers)
            root = tmp_path / f"{number}"
            try:
                struck.update(course(root, 30, 12, seed=number).struck)
            except BaseException:
                failed.set()
                raise
            with capsys.disabled():
                print(f"project {number} of 12 items; killed in all: {dict(struck)}", flush=True)
            shutil.rmtree(root)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(goes_through, range(2)))
    assert struck["rounds"] >= rounds
