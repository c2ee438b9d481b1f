"""What `zf serve` is to stand: many who follow one run, many runs, a large log, a large run."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from benchmarks import measure
from benchmarks.bench import Bench, Row, median
from benchmarks.measure import FailedError
from benchmarks.runners import RUN_ID, zf_program

_DEADLINE_S = 120.0
_CLIENTS, _MUTE = 200, 50
_names = count()


@dataclass(frozen=True, slots=True)
class _Server:
    """One that answers; `begun_s` is how long it took to."""

    port: int
    pid: int
    token: str
    begun_s: float

    def head(self, path: str) -> bytes:
        """A request, as it goes over the wire."""
        return (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n"
        ).encode()

    def get(self, path: str) -> tuple[float, bytes]:
        """An answer, and how many milliseconds it took until all of it was there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_DEADLINE_S)
        start = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        body = answer.read()
        took_ms = 1000 * (time.perf_counter() - start)
        connection.close()
        if answer.status != 200:
            raise FailedError(f"{path}: {answer.status} {body[:500]!r}")
        return took_ms, body

    def cpu_s(self) -> float:
        """The processor time that it has used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The most memory it had resident so far."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        return int(found[1]) / 1000 if found else 0.0


@contextmanager
def _served(folder: str) -> Iterator[_Server]:
    """`zf serve` on this project, once it is ready."""
    words = [*zf_program(), "token", "create", f"bench-{next(_names)}", "--role", "viewer"]
    env = measure.environment(XDG_CACHE_HOME=f"{folder}/.cache")
    said = subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, text=True)
    start = time.perf_counter()
    with subprocess.Popen(
        [*zf_program(), "serve", "--port", "0"],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"://[^/\s]+:(\d+)/", line)
            if found is None:
                raise FailedError(f"zf serve: {line}{process.stdout.read()}")
            server = _Server(int(found[1]), process.pid, said.stdout.split()[-1], 0.0)
            _until_ready(server)
            yield _Server(server.port, process.pid, server.token, time.perf_counter() - start)
        finally:
            process.terminate()


def _until_ready(server: _Server) -> None:
    until = time.monotonic() + _DEADLINE_S
    while True:
        try:
            server.get("/api/v1/ready")
        except FailedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


class _Clients:
    """Those who follow a run: some read all of it, the others nothing.

    One thread stands for all of them, at a lower priority. It reads everything, but looks at no
    more of it than it has to, and is not woken by each piece: others' machines are no part of what
    is measured.
    """

    def __init__(self, server: _Server, reading: int, mute: int) -> None:
        self.ended = 0
        request = server.head(f"/api/v1/runs/{RUN_ID}/events")
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}
        self._mute: list[socket.socket] = []
        for number in range(reading + mute):
            one = socket.create_connection(("127.0.0.1", server.port), _DEADLINE_S)
            one.sendall(request)
            one.recv(200)  # its answer has begun
            if number < mute:
                self._mute.append(one)
                continue
            one.setblocking(False)
            self._tails[one] = b""
            self._selector.register(one, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        os.nice(5)  # of this thread alone, on Linux
        # One for all: to have a new one for each reading took longer than to read.
        room = memoryview(bytearray(256 * 1024))
        while self._tails and not self._closing:
            time.sleep(0.05)
            for key, _ in self._selector.select(0.2):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                size = one.recv_into(room)
                self._tails[one] = (self._tails[one] + room[max(0, size - 300) : size])[-300:]
                if b"event: end" in self._tails[one]:
                    self.ended += 1
                elif size:
                    continue
                self._selector.unregister(one)
                one.close()
                del self._tails[one]

    def leave(self) -> None:
        """Wait for those who read to see the end; the others just go."""
        self._thread.join(30)
        self._closing = True
        self._thread.join()
        for one in [*self._mute, *self._tails]:
            one.close()


def clients_rows(bench: Bench) -> Iterator[Row]:
    """The same run with so many who follow it and with none, in turn."""
    peak_mb = 0.0
    kinds = {
        "steps of 0.1 s": ("sleep 0.1", bench.size(200, 20), 1.02),
        "no-ops, on every core": ("true", bench.size(1500, 100), None),
    }
    for kind, (step, tasks, must) in kinds.items():
        taken: dict[str, list[float]] = {"followed": [], "alone": []}
        for turn in range(bench.rounds):
            for name in sorted(taken, reverse=bool(turn % 2)):
                followers = (_CLIENTS - _MUTE, _MUTE) if name == "followed" else (0, 0)
                with bench.folder() as folder:
                    all_ = {f"t{n:05}": {"needs": ["first"], "run": step} for n in range(tasks)}
                    _write_tasks(folder, {"first": {"run": "cat go"}, **all_})
                    with _served(folder) as server:
                        _until_idle(server)  # with followers it has time for that before they run
                        taken[name].append(_run_s(bench, folder, server, followers))
                        peak_mb = max(peak_mb, server.peak_mb())
        followed, alone = median(taken["followed"]), median(taken["alone"])
        yield Row(
            work=f"a run that {_CLIENTS} follow, {_MUTE} of them mute; {kind}: wall / alone",
            value=followed / alone,
            unit="x",
            target=1.02,
            must=must,
            detail=f"{followed:.2f} s / {alone:.2f} s for {tasks} tasks, -j{bench.jobs}",
            samples=taken,
        )
    yield _memory(f"a run that {_CLIENTS} follow", peak_mb)


def _run_s(bench: Bench, folder: str, server: _Server, followers: tuple[int, int]) -> float:
    """How long a run takes from when its first task may end; its followers are there by then."""
    os.mkfifo(f"{folder}/go")
    words = ["run", "-j", str(bench.jobs), "--run-id", RUN_ID, "--shield", "never"]
    with open(f"{folder}/.said", "wb") as said:
        process = subprocess.Popen(
            [*zf_program(), *words], cwd=folder, env=measure.environment(), stdout=said, stderr=said
        )
    with process:
        go = os.open(f"{folder}/go", os.O_WRONLY)  # until the first task is there
        clients = _Clients(server, *followers)
        start = time.perf_counter()
        os.close(go)
        code = process.wait()
        took_s = time.perf_counter() - start
    clients.leave()
    if code != 0 or clients.ended != followers[0]:
        raise FailedError(
            f"exit {code}, {clients.ended} saw the end: {measure.tail(folder + '/.said')}"
        )
    return took_s


def runs_rows(bench: Bench) -> Iterator[Row]:
    """A folder of many runs: how soon the server is there, and how soon it lists them."""
    runs = bench.size(10_000, 100)
    with bench.folder() as folder:
        _many_runs(folder, runs)
        begun_s, first_ms, list_ms, page_ms, found_ms = [], [], [], [], []
        peak_mb = 0.0
        for _ in range(bench.rounds):
            with _served(folder) as server:
                begun_s.append(server.begun_s)
                first_ms.append(server.get("/api/v1/runs")[0])
                for _ in range(20):
                    list_ms.append(server.get("/api/v1/runs")[0])
                    page_ms.append(server.get("/runs")[0])
                _until_all_is_read(server, runs)
                found_ms += [server.get("/api/v1/runs?text=run-00007")[0] for _ in range(5)]
                peak_mb = max(peak_mb, server.peak_mb())
    yield _limit(f"{runs} runs: `zf serve` until it is ready", [1000 * s for s in begun_s], 3000)
    yield _limit(f"{runs} runs: the first list", first_ms, 100)
    yield _limit(f"{runs} runs: a list of 50, while all are being read", list_ms, 100)
    yield _limit(f"{runs} runs: the page of them, while all are being read", page_ms, 100)
    yield _limit(f"{runs} runs: one found by its text, all read", found_ms, 100)
    yield _memory(f"{runs} runs", peak_mb)


def _many_runs(folder: str, runs: int) -> None:
    """One run of some tasks, and copies of it under other names."""
    _write_tasks(folder, {f"t{n}": {"phase": "A", "run": "true"} for n in range(5)})
    words = ["run", "--run-id", "run-00000", "--shield", "never"]
    measure.run([*zf_program(), *words], folder)
    proofs = f"{folder}/proofs"
    for number in range(1, runs):
        name = f"run-{number:05}"
        for path, _, files in os.walk(f"{proofs}/run-00000"):
            into = path.replace("run-00000", name, 1)
            os.mkdir(into)
            for file_name in files:
                # The name of a run is in its journal and its run.json; a list reads no more.
                if file_name in {"events.jsonl", "run.json"} and path.endswith("/run-00000"):
                    shutil.copy2(f"{path}/{file_name}", f"{into}/{file_name}")
                else:
                    os.link(f"{path}/{file_name}", f"{into}/{file_name}")


def _until_all_is_read(server: _Server, runs: int) -> None:
    """A text which is nowhere is looked for in every run."""
    while server.get("/api/v1/runs?text=nowhere")[0] > runs / 50 + 20:
        pass


def log_rows(bench: Bench) -> Iterator[Row]:
    """A large log: opened first, read in its midst, and searched to its end."""
    size_mb = bench.size(1000, 16)
    prints = f"(yes {'y' * 99} || :) | head -c {size_mb}MB; echo; echo needle; echo the end"
    page = f"/runs/{RUN_ID}/tasks/large/logs/step-0"
    looks = {
        "its page, opened first": page,
        "its page at a line of its midst": f"{page}?line={size_mb * 5000}",
        "1000 lines of its midst": f"/api/v1{page}/lines?first={size_mb * 5000}&count=1000",
        "a search to its end": "",
    }
    taken: dict[str, list[float]] = {look: [] for look in looks}
    peak_mb = 0.0
    with bench.folder() as folder:
        _write_tasks(folder, {"large": {"run": prints}})
        measure.run([*zf_program(), "run", "--run-id", RUN_ID, "--shield", "never"], folder)
        for _ in range(bench.rounds):
            with _served(folder) as server:
                for look, path in looks.items():
                    taken[look].append(server.get(path)[0] if path else _search_ms(server, page))
                peak_mb = max(peak_mb, server.peak_mb())
    for look, samples in taken.items():
        yield _limit(f"a log of {size_mb} MB: {look}", samples, 1000 if look in _AT_ONCE else None)
    yield _memory(f"a log of {size_mb} MB", peak_mb)


_AT_ONCE = ("its page, opened first",)


def _search_ms(server: _Server, page: str) -> float:
    """What it takes to find the last but one line, by as many requests as that are."""
    whole_ms, cursor = 0.0, ""
    while True:
        path = f"/api/v1{page}/search?text=needle&cursor={cursor}"
        took_ms, body = server.get(path)
        whole_ms += took_ms
        found = json.loads(body)
        if found["lines"]:
            return whole_ms
        cursor = found["next"]


def large_rows(bench: Bench) -> Iterator[Row]:
    """A run of very many tasks: each of its pages, first and after that; first where it is the
    newest run, which the server draws before anybody looks, and where it is an older one.
    """
    tasks = bench.size(20_000, 200)
    base = f"/runs/{RUN_ID}"
    paths = [base, *(f"{base}/{part}" for part in ("tasks", "graph", "timeline", "files"))]
    paths += [f"{base}/tasks?q=t00017", f"{base}/tasks/t00017", f"/api/v1{base}", "/graph", "/runs"]
    first: dict[str, list[float]] = {path: [] for path in paths}
    cold: dict[str, list[float]] = {path: [] for path in paths}
    again: dict[str, list[float]] = {path: [] for path in paths}
    sizes: dict[str, int] = {}
    peak_mb = 0.0
    with bench.folder() as folder:
        layers = {f"t{n:05}": {"phase": "A", "run": ":", "needs": _needs(n)} for n in range(tasks)}
        _write_tasks(folder, {**layers, "small": {"phase": "B", "run": ":"}})
        words = ["-j", str(bench.jobs), "--shield", "never", "--run-id"]
        measure.run([*zf_program(), "run-phase", "A", *words, RUN_ID], folder)
        for _ in range(bench.rounds):
            with _served(folder) as server:
                _until_idle(server)
                for path in paths:
                    took_ms, body = server.get(path)
                    first[path].append(took_ms)
                    sizes[path] = len(body)
                    again[path] += [server.get(path)[0] for _ in range(5)]
                peak_mb = max(peak_mb, server.peak_mb())
        for newer in ("newer-1", "newer-2"):
            measure.run([*zf_program(), "run-phase", "B", *words, newer], folder)
        for _ in range(bench.rounds):
            with _served(folder) as server:
                _until_idle(server)
                for path in paths:
                    cold[path].append(server.get(path)[0])
    for path in paths:
        said = (
            f"first {median(first[path]):.0f} ms, of an older run {median(cold[path]):.0f} ms;"
            f" {sizes[path] / 1000:.0f} kB"
        )
        yield _limit(f"a run of {tasks} tasks: {path}", again[path], 100, said)
    yield _memory(f"a run of {tasks} tasks", peak_mb)


def _until_idle(server: _Server) -> None:
    """Until all that the server makes ready by itself is there."""
    before = -1.0
    while (now := server.cpu_s()) > before + 0.02:
        before = now
        time.sleep(0.5)


def _needs(number: int) -> list[str]:
    """Of a graph of layers as wide as a hundred tasks."""
    return [f"t{number - 100:05}"] if number >= 100 else []


def _write_tasks(folder: str, tasks: Mapping[str, object]) -> None:
    with open(f"{folder}/zf.yaml", "w", encoding="utf-8") as file:
        file.write(f"tasks: {json.dumps(tasks)}\n")


def _limit(work: str, samples: list[float], must: float | None, more: str = "") -> Row:
    """A row of milliseconds whose 95th percentile has a limit."""
    ordered = sorted(samples)
    return Row(
        work=f"{work}, p95",
        value=ordered[(len(ordered) - 1) * 95 // 100],
        unit="ms",
        target=must,
        must=must,
        detail=f"p50 {median(ordered):.0f} ms, worst {ordered[-1]:.0f} ms" + (more and f"; {more}"),
        samples={"ms": samples},
    )


def _memory(what: str, peak_mb: float) -> Row:
    return Row(f"{what}: peak memory of the server", peak_mb, "MB", 150, 150, "resident")
