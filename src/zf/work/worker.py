"""A worker: a process that runs attempts, one at a time, and nothing else.

What should run, and what becomes of the result, is decided by the runner at the other end of the
order socket; how a worker comes to be is `pool.py`'s business.

Between the exit of a step and the start of its dependent lie 0.5 ms that a worker spends on the
folders of the tree, task.json and env.sh. While a step runs, its worker has nothing to do. So the
runner says which task it expects to follow in the same slot, and the worker makes that one's tree
at a place of its own; when the order comes, the tree takes its place with one rename. Until then it
is no part of the run: a wrong guess, or a death, leaves nothing in the proof.
"""

from __future__ import annotations

import _socket
import _thread
import errno
import os
import resource
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NoReturn, cast

from zf.errors import error_text, printable
from zf.events import AttemptEnded, Cause, Status
from zf.inputs import Inputs
from zf.lean.records import Struct, field
from zf.lean.signals import signal
from zf.model import NOTHING, Project, Task
from zf.outlet import say_if_possible
from zf.proof.files import remove_tree
from zf.proof.tree.records import Place
from zf.proof.tree.store import TaskTree
from zf.redact.redactor import Redactor
from zf.tracing import Trace
from zf.typed import ALWAYS, AUTO
from zf.work.artifacts import LEAST_S, Collecting, RunnerGoneError
from zf.work.attempt import Attempt
from zf.work.capture import Buffer
from zf.work.context import WorkerContext, extend
from zf.work.control import RunnerOrders, StartOrder
from zf.work.environment import UNTOUCHED_NS, Outside
from zf.work.outcome import Outcome
from zf.work.shell import Shell
from zf.work.supervise.cgroup import Cgroup
from zf.work.supervise.leftovers import cgroup_name
from zf.work.supervise.processes import (
    GroupTree,
    SubreaperTree,
    Tree,
    become_subreaper,
    go_on_when_parent_dies,
)
from zf.work.supervise.supervisor import Supervisor

if TYPE_CHECKING:
    from zf.plan.graph import Met
    from zf.work.caching.lookup import Caching
    from zf.work.walls.shield import Grounds, Shield


# Ctrl-C and a vanished terminal reach the whole foreground group; what they mean for a step is
# for the runner to say, so workers ignore them.
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# What is blocked while a worker is forked, until it has its own handlers.
WITHHELD = (*_IGNORED, signal.SIGTERM)
# Two descriptors a worker, at the most slots there can be.
_FILES = 20_480
_NO_SHIELD = "none"


class Shared(Struct, frozen=True):
    """What all attempts of a run have in common. Paths are absolute."""

    place: Place
    run_dir: str
    grace_s: float
    project: Project
    environ: Mapping[str, str]
    redactor: Redactor
    # Where trees may be made ahead of time: on the file system of `run_dir`, and of this run alone.
    aside: str
    # For needs that another run met: that run, and the digest of the task's list there.
    upstream: Mapping[str, Met] = field(default_factory=lambda: NOTHING)
    # The instances that joined the plan, by their base: the runner's, and a copy in each worker.
    joined: dict[str, list[str]] = field(default_factory=dict)
    # What the shield keeps steps away from; None where there is to be no shield.
    shield: Grounds | None = None
    trace: Trace = field(default_factory=Trace)
    caching: Caching | None = None
    # What the run was given.
    inputs: Inputs = field(default_factory=lambda: NOTHING)
    # The task that has the terminal, if one has it.
    terminal: str = ""
    container_engine: str = AUTO
    # The executor that this is, for what is not where the runner is.
    executor: str = ""
    # The ports of the services of phases, by phase, service and name.
    beside: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=lambda: NOTHING)


class Worker:
    """Made in the worker's process; takes over its working directory and its children."""

    def __init__(self, shared: Shared, orders: RunnerOrders, *, early: bool = False) -> None:
        self._orders = orders
        self._redactor = shared.redactor
        self._tree: TaskTree | None = None
        self._listed, self._is_plain = b"", False
        # This comes first: a user namespace can be entered only while there is no other thread.
        shield, self._shielded = _shield(shared)
        pid = os.getpid()
        cgroup = _entering(cgroup_name(shared.run_dir, pid))
        confine = None if shield is None else shield.confine
        shell = Shell(shared.environ.get("PATH", os.defpath), confine)
        outside = Outside(shared.environ, shared.project, shared.inputs, shared.redactor.secrets)
        if shared.caching is not None:
            shared.caching.get_ready(early=early)  # while the kernel has it wait
        self._cgroup = cgroup()
        go_on_when_parent_dies()
        tree: Tree = GroupTree()
        if become_subreaper():
            tree = SubreaperTree(self._cgroup)
        self._containment = tree.containment
        self._supervisor = Supervisor(orders, shared.grace_s, tree)
        self._context = WorkerContext(
            pid=pid,
            place=shared.place,
            proofs=os.path.dirname(shared.run_dir),
            run_dir=shared.run_dir,
            aside=shared.aside,
            real_root=os.path.realpath(shared.place.root),
            shield=shield,
            orders=orders,
            supervisor=self._supervisor,
            shell=shell,
            outside=outside,
            buffer=Buffer(),
            leaks_fail=shared.project.secrets_in_artifacts == "fail",
            upstream=shared.upstream,
            joined=shared.joined,
            project=shared.project,
            trace=shared.trace,
            caching=shared.caching,
            cgroup=self._cgroup,
            beside=shared.beside,
            terminal=shared.terminal,
            container_engine=shared.container_engine,
            executor=shared.executor,
        )
        self._has_channel = self._has_aside = False
        # The attempt that will probably come next: at most one, the first of its task.
        self._ready: Attempt | None = None

    @property
    def context(self) -> WorkerContext:
        return self._context

    def serve(self, tasks: dict[str, Task]) -> None:
        """Take orders until the runner has no more, or this process is told to end, or cannot vouch
        for the next: when something could not be killed, or is to stay, or the shield is spoiled:
        by an error, or by a step's mount.
        """
        shield = self._context.shield
        supervisor, is_last, task = self._supervisor, False, ""
        while not is_last and (order := self._orders.next()) is not None:
            task = order.task
            for more in self._orders.extensions:
                extend(tasks, self._context.joined, more["extend"], more["instances"])
            self._orders.extensions.clear()
            following = partial(self._prepare, tasks[order.then]) if order.then else None
            ended = self.run_attempt(order, tasks[task], following)
            is_last = supervisor.has_unkillable or supervisor.has_kept or self._orders.detached
            is_last = is_last or self._orders.ended or (shield is not None and shield.is_spoiled)
            self._orders.report(ended, is_last, self._is_plain, self._listed)
            self._let_go()
            self._clear_channel()
            self._tell_late_output(task)
        self._discard()
        if shield is not None:
            shield.close()
        if supervisor.has_kept:
            supervisor.tend_kept()
            self._tell_late_output(task)
        if self._cgroup is not None and not self._orders.dismissed:
            self._cgroup.leave()  # which the runner would have done, and faster

    def _tell_late_output(self, task: str) -> None:
        """Print what came after a step's log was closed; its proof may be closed, too."""
        for late in self._supervisor.take_late_output():
            from zf.report.words import quoted_log, tail  # noqa: PLC0415 - hardly ever needed

            lines = late.end.decode("utf-8", "backslashreplace").splitlines()
            head = f"what {task} left running printed after its steps is in no log"
            told = "".join(f"{line}\n" for line in quoted_log(tail(lines)))
            say_if_possible(f"zf: {head} ({late.bytes} bytes):\n{told}")

    def _let_go(self) -> None:
        """Close the last attempt's tree: after its report, for which a dependent may be waiting."""
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def _clear_channel(self) -> None:
        """So that nothing in it is taken for what the next attempt told."""
        if self._context.told:
            from zf.work.results.channel import clear  # noqa: PLC0415 - few tasks tell anything

            clear(self._context.written_channel)
            self._context.told = False

    def _outcome_of(self, task: Task, attempt: int) -> Outcome:
        outcome = Outcome(task, attempt, containment=self._containment, shield=self._shielded)
        outcome.interactive = task.id == self._context.terminal
        outcome.executor = self._context.executor
        return outcome

    @property
    def _aside(self) -> str:
        return f"{self._context.written_aside}/{self._context.pid}"

    def _prepare(self, task: Task) -> None:
        """Make the task's first attempt ready. Whatever keeps it from that will come up again when
        it is its turn, and be told then. Ports of services are found free just before they are
        taken.
        """
        self._discard()
        if task.services or task.phase in self._context.beside:
            return
        try:
            if not self._has_aside:
                os.makedirs(self._context.aside, exist_ok=True)
                self._has_aside = True
            self._ready = Attempt(self._context, task, self._outcome_of(task, 1), at=self._aside)
        except Exception:  # noqa: BLE001 - see above
            self._has_aside = False  # a step may have removed it
            remove_tree(self._aside)

    def _take_ready(self, task: Task, attempt: int) -> Attempt | None:
        """The attempt, its tree in place and its time begun, if that is what was made ready."""
        ready = self._ready
        if ready is None:
            return None
        if attempt == 1 and ready.tree.path == f"{self._context.written_at}/{task.id}":
            with suppress(OSError):  # another tree is there: of an attempt that was lost, say
                ready.tree.put_in_place()
                ready.outcome.begin()
                self._ready = None
                return ready
        self._discard()
        return None

    def _discard(self) -> None:
        """The guess was wrong, or nothing follows."""
        if self._ready is not None:
            self._ready.tree.close()
            self._ready = None
            remove_tree(self._aside)

    def run_attempt(
        self, order: StartOrder, task: Task, meanwhile: Callable[[], None] | None
    ) -> AttemptEnded:
        """Run it and claim its outcome. Does not raise: what goes wrong is the outcome."""
        self._listed, self._is_plain = b"", False
        context, shield = self._context, self._context.shield
        attempt = self._take_ready(task, order.attempt)
        outcome = self._outcome_of(task, order.attempt) if attempt is None else attempt.outcome
        try:
            if shield is not None:
                shield.set_up()
            elif not self._has_channel:
                self._has_channel = True
                with suppress(OSError):  # then only what a step writes there is not kept
                    os.makedirs(context.channel, exist_ok=True)
                    os.utime(context.channel, ns=UNTOUCHED_NS)
            if order.refused:
                outcome.fail(Cause.SERVICE, order.refused)
            if attempt is None:
                attempt = Attempt(context, task, outcome, met=order.needs)
            tree = self._tree = attempt.tree
            attempt.run(order, meanwhile)
            ended = outcome.write_status(tree, context.place.run)
            # Only now: a tree that could not be decided has another list in the end.
            self._listed, self._is_plain = tree.listed, outcome.is_plain
        except RunnerGoneError:
            return outcome.undecided()
        except OSError as error:
            outcome.fail(Cause.STORAGE, f"the proof could not be written: {error_text(error)}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt needs an outcome
            _print_trace()
            detail = f"internal error of the worker: {printable(repr(error))}"
            outcome.fail(Cause.WORKER, detail, status=Status.LOST)
        else:
            return ended
        if shield is not None:
            # It may be half set up. The next task gets a worker with a new one.
            shield.give_up(self._tree)
        context.told = True  # it may have, and nothing has looked
        run, stop_reason = context.place.run, Collecting(self._orders, LEAST_S)
        try:
            return outcome.write_abandoned_status(
                context.written_at, run, self._redactor, order.before, stop_reason
            )
        except RunnerGoneError:
            return outcome.undecided()


def serve(
    shared: Shared,
    tasks: Mapping[str, Task],
    runner: _socket.socket,
    life: tuple[int, int],
    file_limits: tuple[int, int],
    others: Iterable[_socket.socket],
    *,
    early: bool,
) -> NoReturn:
    """The rest of the life of a process forked to be a worker, with the signals `WITHHELD` blocked;
    it never returns into the code it was forked from. `life` is the pipe that shows whether the
    runner lives, `file_limits` are for steps, and `others` the sockets to close; it is `early`
    where there is no order for it yet.
    """
    code = os.EX_SOFTWARE
    try:
        for one in others:
            one.close()
        os.close(life[1])
        _keep_descriptors_to_ourselves()
        _read_nothing()
        _forget_signals()
        resource.setrlimit(resource.RLIMIT_NOFILE, file_limits)
        orders = RunnerOrders(runner, life[0])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WITHHELD)
        Worker(shared, orders, early=early).serve(cast("dict[str, Task]", tasks))
        code = os.EX_OK
    except OSError as error:
        # The runner loses the attempt; why is all that is left to say.
        say_if_possible(f"zf: a worker had to give up: {error_text(error)}\n")
    except BaseException:  # noqa: BLE001 - nothing above this frame is ours
        _print_trace()
    finally:
        os._exit(code)


def begin_process() -> None:
    """What any process does that was forked from the runner to start something: nothing of the
    runner's is inherited by that.
    """
    _read_nothing()
    _forget_signals()


def _print_trace() -> None:
    """What led to the error being handled: a bug of ours."""
    import traceback  # noqa: PLC0415 - 4 ms that no run should need

    say_if_possible(traceback.format_exc())


def _forget_signals() -> None:
    """Drop the runner's handlers; what it ignored stays ignored (and steps start without that)."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def occupy_standard_fds() -> None:
    """Where zf was started with one of 0, 1, 2 closed, nothing of ours may come to lie there: a
    step's own would be laid over it.
    """
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)


def raise_file_limit() -> tuple[int, int]:
    """Make room for a descriptor per worker; the limits as they were, which are the steps' own."""
    soft, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limits


def _keep_descriptors_to_ourselves() -> None:
    """No step inherits anything but its three: not the runner's, not what the runner was given."""
    for name in os.listdir("/dev/fd"):
        fd = int(name)
        if fd > 2:
            with suppress(OSError):  # the listing's own descriptor is closed by now
                os.set_inheritable(fd, False)


def _read_nothing() -> None:
    """Steps inherit this: what the runner was given to read is not theirs."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)


def _shield(shared: Shared) -> tuple[Shield | None, str]:
    """The shield for this process, and what the proof calls it; raises OSError when one is demanded
    and cannot be had.
    """
    grounds = shared.shield
    if grounds is None:
        return None, f"{_NO_SHIELD}: switched off"
    from zf.work.walls.namespace import ShieldError  # noqa: PLC0415 - not without one
    from zf.work.walls.shield import Shield  # noqa: PLC0415 - the runner has it already

    try:
        shield = Shield(grounds, shared.run_dir, shared.aside)
    except ShieldError as error:
        if grounds.mode == ALWAYS:
            raise OSError(errno.EPERM, f"no shield: {error}") from None
        return None, f"{_NO_SHIELD}: {error}"
    return shield, shield.what


def _entering(name: str) -> Callable[[], Cgroup | None]:
    """Begin to enter a cgroup of this name, which is mostly waiting; the result waits for the end.

    A bare thread, as importing `threading` takes longer than this saves. It ends before anything
    is forked.
    """
    entered: list[Cgroup | None] = []
    done = _thread.allocate_lock()

    def enter() -> None:
        try:
            entered.append(Cgroup.enter(name))
        finally:
            done.release()

    def wait() -> Cgroup | None:
        with done:
            return entered[0] if entered else None

    done.acquire()
    try:
        _thread.start_new_thread(enter, ())
    except RuntimeError:  # no more threads for this user
        enter()
    return wait
