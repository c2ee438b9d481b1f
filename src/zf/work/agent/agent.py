"""`zf agent`: a worker's outside, for a runner at the other end of its stdin and stdout.

The runner says once what the run is, then gives attempts one at a time; what they print, what they
come to and their proof trees go back. An attempt lives as long as the runner's lease: when stdin is
at its end, or no renewal has come for so long, the attempt's tree of processes is ended, as for a
worker whose runner has died, and nothing of it is left when the agent exits.
"""

from __future__ import annotations

import os
import pwd
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from zf.errors import ZfError, error_text, printable
from zf.events import AttemptEnded, Cause, to_json
from zf.lean.records import Struct, asdict, json_decode
from zf.lean.signals import signal
from zf.metrics.budget import Spent
from zf.model import Task
from zf.proof import layout
from zf.proof.files import open_regular, opened, write_all
from zf.proof.tree.records import Place
from zf.work.agent import frames, spec
from zf.work.agent.archive import UnpackError, unpack
from zf.work.agent.folders import Folders, cache_of
from zf.work.agent.frames import Frame, FrameError, Listener, Saying, Speaker
from zf.work.agent.saying import CLOCK, clock, hello, result
from zf.work.agent.waking import Waking
from zf.work.pool import Pool

# How often the logs of what runs are looked at, and the longest wait for anything.
_LOOK_S, _WAIT_S = 0.03, 0.5
# After which there is time for what can wait.
_IDLE_S = 0.3
# A tree larger than this is removed before the next attempt begins.
_LARGE_BYTES = 4 * 1024 * 1024
# What is given to the pipe before logs and the clock are looked at again.
_AT_ONCE_BYTES = 4 * 1024 * 1024
# Says that it was told to go (128 + 15), or that its runner has let it down (EX_TEMPFAIL).
_TERMINATED, _LEFT_ALONE = 143, 75
_NOT_BEGUN = "it was ended before it began"


class _UnderWay(Struct):
    """The attempt that was given. `lacks` are the trees that have not come yet; `told_to` is how
    much of each log was sent.
    """

    token: str
    task: str
    attempt: int
    spent: Mapping[str, float]
    lacks: set[str]
    started: bool = False
    told_to: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it


class Agent:
    """One conversation with a runner."""

    def __init__(self, environ: Mapping[str, str], in_fd: int, out_fd: int) -> None:
        self._environ = environ
        self._in, self._out = in_fd, out_fd
        os.set_blocking(out_fd, False)
        self._listener, self._speaker = Listener(), Speaker()
        self._queue: deque[Saying] = deque()
        self._pending = memoryview(b"")
        self._folders: Folders | None = None
        self._pool: Pool | None = None
        self._spec: Mapping[str, Any] = {}
        self._said: Mapping[str, Any] = {}
        self._tasks: dict[str, Task] = {}
        self._run_dir = ""
        self._under_way: _UnderWay | None = None
        self._incoming = -1
        self._lease_s = 60.0
        self._until = clock() + self._lease_s
        self._waking = Waking(CLOCK)
        self._sent_bytes = 0
        self._busy_at = 0.0
        self._exit_code: int | None = None
        self._terminated = False

    def run(self) -> int:
        """Until the runner has said goodbye or is gone; the exit code."""
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGHUP, self._terminate)
        self._renew()
        try:
            while self._exit_code is None:
                self._turn()
        finally:
            self._end()
        return self._exit_code

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    # One turn: wait, hear, tell.

    def _turn(self) -> None:
        self._write()
        ended, readable = self._wait()
        # First of all: what waited in the pipe while this process was stopped renews nothing.
        if clock() > self._until:
            self._exit_code = _LEFT_ALONE
            return
        if self._terminated:
            self._exit_code = _TERMINATED
            return
        if readable:
            self._hear()
        self._tell_logs()
        for event in ended:
            if isinstance(event, AttemptEnded):
                self._tell_end(event)
            else:
                self._tell_more(event)

    def _wait(self) -> tuple[list[Any], bool]:
        runs = self._under_way is not None and self._under_way.started
        patience_s = min(_LOOK_S if runs else _WAIT_S, max(0.0, self._until - clock()))
        wants_out = self._out if self._pending or self._queue else None
        if self._pool is not None:
            ended = self._pool.wait(patience_s, self._in, wants_out)
            if runs or ended or self._pool.woken:
                self._busy_at = clock()
            elif self._folders and self._folders.has_dropped and clock() > self._busy_at + _IDLE_S:
                self._busy(self._folders.tidy)
            return list(ended), self._pool.woken
        poll = select.poll()
        poll.register(self._in, select.POLLIN)
        if wants_out is not None:
            poll.register(wants_out, select.POLLOUT)
        return [], any(fd == self._in for fd, _ in poll.poll(patience_s * 1000))

    def _hear(self) -> None:
        data = os.read(self._in, frames.PIECE_BYTES)
        if not data:
            self._exit_code = _LEFT_ALONE
            return
        try:
            for frame in self._listener.feed(data):
                self._obey(frame)
        except (FrameError, KeyError, TypeError) as error:
            self._give_up(f"what the runner says is not understood: {error!r:.200}")

    def _obey(self, frame: Frame) -> None:
        header = frame.header
        match frame.kind:
            case frames.HELLO:
                self._pending = memoryview(frames.MAGIC)
                self._say(frames.HELLO, hello())
            case frames.BEGIN:
                self._attempted(lambda: self._begin(header, frame.body))
            case frames.EXTEND:
                assert self._pool is not None
                self._pool.extend(header["base"], header["instances"])
            case frames.START:
                self._attempted(lambda: self._take(header))
            case frames.PIECE:
                self._attempted(lambda: self._take_piece(header, frame.body))
            case frames.WORD:
                self._attend(header)
            case frames.KILL:
                self._kill(header)
            case frames.RENEW:
                self._renew()
                self._say(frames.ALIVE, {"number": header["number"], "at": time.time()})
            case frames.BYE:
                self._exit_code = 0

    def _attempted(self, work: Callable[[], None]) -> None:
        """Do what may fail on this machine; then the runner hears why, and nothing is left."""
        try:
            work()
        except UnpackError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(error_text(error))

    def _busy(self, work: Callable[[], None]) -> None:
        """Do what may take longer than the lease: a large need is unpacked, say, on a slow disk.
        Nothing runs meanwhile that has to end without the runner; renewals wait in the pipe.
        """
        self._say(frames.BUSY, {})
        self._write()
        work()
        self._renew()
        self._say(frames.READY, {})

    def _renew(self) -> None:
        self._until = clock() + self._lease_s
        self._waking.put_off(self._lease_s)

    # The run, and what it brings.

    def _begin(self, header: Mapping[str, Any], body: bytes) -> None:
        self._said, self._spec = header, json_decode(body)
        self._lease_s = header["lease_s"]
        self._renew()
        self._folders = Folders(cache_of(self._environ))
        if self._folders.has_checkout(header["checkout"]):
            self._busy(self._be_ready)
        else:
            self._say(frames.WANT, {"blobs": ["checkout"]})

    def _be_ready(self) -> None:
        """The checkout is here: steps can run in a copy of it."""
        folders, said = self._folders, self._said
        assert folders is not None
        folders.use_checkout(said["checkout"], said["name"])
        self._tasks = spec.tasks_of(self._spec)
        run, user = self._spec["run"], pwd.getpwuid(os.geteuid()).pw_name
        place = Place(run, os.uname().nodename, user, folders.project)
        self._run_dir = f"{folders.proofs}/{run}"
        aside = f"{folders.proofs}/{layout.LOCKS}/{run.casefold()}.next"
        for folder in (self._run_dir, aside):
            os.makedirs(folder)
        shared = spec.shared_of(
            self._spec,
            self._tasks,
            place,
            self._environ,
            run_dir=self._run_dir,
            aside=aside,
            executor=said["executor"],
        )
        self._pool = Pool(self._tasks, shared, first=1)
        self._spec = {}

    def _take(self, header: Mapping[str, Any]) -> None:
        """Take an attempt, which begins once all that it needs is here."""
        assert self._pool is not None
        assert self._folders is not None
        task = header["task"]
        self._under_way = _UnderWay(
            header["token"], task, header["attempt"], header["spent"], set(), told_to={}
        )
        tree = f"{self._run_dir}/{task}"
        self._folders.drop(tree)
        if self._sent_bytes > _LARGE_BYTES:
            self._busy(self._folders.tidy)
        self._sent_bytes = 0
        for number, listed in header["earlier"].items():
            at = f"{tree}/{layout.ATTEMPTS}/{number}/{layout.TASK_LIST}"
            os.makedirs(os.path.dirname(at))
            with open(at, "x", encoding="ascii") as stream:
                stream.write(listed)
        known = self._pool.known
        known.trees = {name: bytes.fromhex(digest) for name, digest in header["needs"].items()}
        if header["before"]:
            known.trees[task] = bytes.fromhex(header["before"])
        self._pool.facts = {task: header["facts"]}
        lacking = [at for at in header["trees"] if not os.path.isdir(self._at(at))]
        self._under_way.lacks = {*lacking}
        if lacking:
            self._say(frames.WANT, {"blobs": lacking})
        else:
            self._start(self._under_way)

    def _at(self, tree: str) -> str:
        """Where the tree of a need lies: `RUN/TASK`, of this run or an earlier one."""
        assert self._folders is not None
        return f"{self._folders.proofs}/{tree}"

    def _take_piece(self, header: Mapping[str, Any], body: bytes) -> None:
        assert self._folders is not None
        incoming = self._folders.incoming
        if self._incoming < 0:
            self._incoming = os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        write_all(self._incoming, body)
        if not header["last"]:
            return
        os.close(self._incoming)
        self._incoming = -1
        blob = header["blob"]
        if blob == "checkout":
            self._busy(self._unpack_checkout)
            return
        self._busy(lambda: self._unpack_need(blob))
        if self._under_way is not None and blob in self._under_way.lacks:
            self._under_way.lacks.discard(blob)
            if not self._under_way.lacks:
                self._start(self._under_way)

    def _unpack_checkout(self) -> None:
        assert self._folders is not None
        self._folders.keep_checkout(self._said["checkout"])
        self._be_ready()

    def _unpack_need(self, blob: str) -> None:
        assert self._folders is not None
        os.makedirs(os.path.dirname(self._at(blob)), exist_ok=True)
        with open(self._folders.incoming, "rb") as archive:
            unpack(archive, self._at(blob), links=False)
        os.unlink(self._folders.incoming)

    # An attempt.

    def _start(self, one: _UnderWay) -> None:
        assert self._pool is not None
        assert self._folders is not None
        if self._folders.is_changed():
            self._busy(self._folders.renew)
        one.started = True
        self._pool.start(one.task, one.attempt, 0, spent=one.spent)

    def _attend(self, header: Mapping[str, Any]) -> None:
        """What an attempt is to do after a probe."""
        one, pool = self._under_way, self._pool
        if one is None or one.token != header["token"] or pool is None:
            return
        match header["after"]:
            case "rest":
                pool.rest(one.task)
            case "probe":
                pool.probe(one.task)
            case _:
                pool.conclude(one.task, Cause(header["cause"]), header["detail"])

    def _kill(self, header: Mapping[str, Any]) -> None:
        one = self._under_way
        if one is None or one.token != header["token"]:
            # It was taken back on the way here, or has ended: then this says nothing new.
            self._say(frames.END, {"token": header["token"], "error": _NOT_BEGUN})
        elif one.started and self._pool is not None:
            cause, force = Cause(header["cause"]), header["force"]
            self._pool.kill(one.task, cause, force=force, detail=header["detail"])
        else:
            self._fail(_NOT_BEGUN)

    def _fail(self, why: str) -> None:
        """The attempt cannot be, or this agent cannot: the runner hears why."""
        one, self._under_way = self._under_way, None
        if one is None:
            self._give_up(why, Cause.NODE)
        else:
            self._say(frames.END, {"token": one.token, "error": printable(why)})

    def _give_up(self, why: str, cause: Cause = Cause.WORKER) -> None:
        self._say(frames.BYE, {"error": printable(why), "cause": cause})
        self._write()
        self._exit_code = _LEFT_ALONE

    def _tell_more(self, event: Any) -> None:
        one = self._under_way
        if one is None:
            return
        told = {"spent": asdict(event)} if isinstance(event, Spent) else {"event": to_json(event)}
        self._say(frames.TOLD, {"token": one.token, **told})

    def _tell_logs(self) -> None:
        """Send what was written into the logs since the last look."""
        one = self._under_way
        if one is None or not one.started:
            return
        with suppress(OSError), opened(f"{self._run_dir}/{one.task}/{layout.LOGS}") as folder:
            for name in sorted(os.listdir(folder)):
                self._tell_log(one, folder, name)

    def _tell_log(self, one: _UnderWay, folder: int, name: str) -> None:
        at = one.told_to.get(name, 0)
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_size <= at:
            return
        log = open_regular(folder, name)
        try:
            while piece := os.pread(log, frames.PIECE_BYTES, at):
                at += len(piece)
                self._say(frames.LOG, {"token": one.token, "log": name}, piece)
        finally:
            os.close(log)
            one.told_to[name] = at

    def _tell_end(self, event: AttemptEnded) -> None:
        assert self._pool is not None
        one, self._under_way = self._under_way, None
        if one is None:
            return
        if event.task_sha256:
            odd = self._pool.known.odd
            plain = odd is not None and one.task not in odd
            tree = f"{self._run_dir}/{one.task}"
            self._queue.append(result(tree, one.token, event, plain=plain))
        else:
            self._say(frames.END, {"token": one.token, "error": printable(event.detail)})

    # Saying.

    def _say(self, kind: bytes, header: Mapping[str, Any], body: bytes = b"") -> None:
        self._queue.append(iter([(kind, header, body)]))

    def _write(self) -> None:
        """Give the pipe what it takes."""
        written = 0
        try:
            while written < _AT_ONCE_BYTES and (self._pending or self._pull()):
                count = os.write(self._out, self._pending)
                self._pending = self._pending[count:]
                written += count
        except BlockingIOError:
            pass
        except OSError:  # nothing reads any more
            self._pending = memoryview(b"")
            self._queue.clear()
            if self._exit_code is None:
                self._exit_code = _LEFT_ALONE

    def _pull(self) -> bool:
        self._pending = memoryview(self._speaker.next_of(self._queue))
        self._sent_bytes += len(self._pending)
        return bool(self._pending)

    def _end(self) -> None:
        """Nothing of what it runs outlives it."""
        if self._pool is not None:
            self._pool.close()
        if self._terminated:
            self._tell_logs()
            self._say(frames.BYE, {"error": "the agent was told to end by a signal"})
            self._write()
        if self._folders is not None:
            self._folders.close()


def serve(environ: Mapping[str, str]) -> int:
    """Be an agent on this process's stdin and stdout, which nothing else gets from here on. Raises
    ZfError (exit 2) where that is a terminal.
    """
    if os.isatty(0):
        raise ZfError(
            "zf agent is not for a terminal: another zf starts it, and speaks to it",
            code="ZF778",
            hint="name it in zf.yaml: executors: {far: {start: [ssh, HOST, zf, agent]}}",
        )
    in_fd, out_fd = os.dup(0), os.dup(1)
    for fd in (in_fd, out_fd):
        os.set_inheritable(fd, False)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return Agent(environ, in_fd, out_fd).run()
