"""One owner per run id, by flock on a file that is never unlinked.

The descriptor is inherited by the worker processes, so that getting the lock means that the
runner and all its workers are gone. What the file says is for people only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time
from contextlib import suppress
from hashlib import sha256

from zf.errors import Exit, ZfError, printable
from zf.lean import lazy
from zf.proof.layout import LOCKS
from zf.run.host.interrupts import FOR

_OWNER = lazy.pattern(r"pid (\d+) on (\S+)")
# The owner writes its name just after it has the lock; a process that comes between waits a little.
_NAME_WAIT_S = 0.5
_LOOK_AGAIN_S = 0.02
# With the user's number; not in TMPDIR, which differs from one terminal to the next.
ORDERS_FOLDER = "/tmp/zf-orders"  # noqa: S108 - made with mode 0700, and looked at before use


def acquire(proofs: str, run: str, instead: str = "") -> int:
    """The descriptor that holds the lock on a run id until it is closed in every process.

    Raises ZfError (exit 5) naming the owner while another process holds it, and what the caller
    could do `instead` of waiting.
    """
    fd = _open(proofs, run, instead)
    if not _try(fd):
        raise _in_use(fd, run, instead=instead)
    return fd


def acquire_if_free(proofs: str, run: str) -> int | None:
    """The same, and None while another process holds it."""
    fd = _open(proofs, run)
    if _try(fd):
        return fd
    os.close(fd)
    return None


def take_over(proofs: str, run: str, wakeup_fd: int, *, patience_s: float) -> int:
    """The same for a run whose runner may have died just now: its workers, which are ending what
    ran, get `patience_s` to do so. The wait ends when `wakeup_fd` becomes readable.

    Raises ZfError (exit 5) if another runner has it, or its workers take longer.
    """
    fd = _open(proofs, run)
    until = time.monotonic() + patience_s
    while not _try(fd):
        if is_run(proofs, run) or time.monotonic() >= until:
            raise _in_use(fd, run)
        if select.select([wakeup_fd], [], [], _LOOK_AGAIN_S)[0]:
            os.close(fd)
            raise KeyboardInterrupt
    return fd


def refuse_in_use(proofs: str, run: str, why: str, instead: str = "") -> None:
    """Raises ZfError (exit 5) naming the owner while a run goes on, with `why` that matters, and
    what the caller could do `instead` of waiting.

    A shared lock, for a moment: looks do not exclude each other.
    """
    try:
        fd = os.open(lock_path(proofs, run), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # a run that was made elsewhere has no lock here
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(fd, run, why, instead) from None
    os.close(fd)


def release(fd: int) -> None:
    """Give the lock back; its file names no owner any more."""
    with suppress(OSError):  # the name is for people only
        os.ftruncate(fd, 0)
    os.close(fd)


def is_in_place(fd: int, proofs: str, run: str) -> bool:
    """Whether the lock that we hold is the one that others would find."""
    try:
        there = os.lstat(lock_path(proofs, run))
    except OSError:
        return False
    held = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)


def orders_path(proofs: str, run: str) -> str:
    """The fifo on which the runner of this run takes orders from other processes."""
    return f"{folder(proofs)}/{run.casefold()}.orders"


def orders_paths(proofs: str, run: str) -> tuple[str, str]:
    """Where that fifo can be: beside the lock, or, as some file systems hold proofs but no fifos
    (CIFS, vfat), in a folder of this user's.
    """
    beside = orders_path(proofs, run)
    mark = sha256(os.fsencode(os.path.realpath(beside))).hexdigest()[:32]
    return beside, f"{ORDERS_FOLDER}-{os.geteuid()}/{mark}.orders"


def is_run(proofs: str, run: str) -> bool:
    """Whether a runner is at work on the run. Asks without touching the lock, so that a look never
    makes another process's `acquire` fail.
    """
    try:
        os.close(_open_orders(proofs, run))
    except PermissionError:
        # Not for us to write to: of another user, or seen by a step from under the shield.
        return True
    except OSError:
        return False
    return True


def has_runner(proofs: str, run: str) -> bool:
    """The same of a run that may have no fifo, too. Where it has none its lock is touched."""
    if is_run(proofs, run):
        return True
    if not is_locked(proofs, run):
        return False
    # The workers of a runner that was killed hold the lock until they have ended what ran.
    named = _OWNER.fullmatch(owner(proofs, run))
    return named is None or named[2] != os.uname().nodename or is_alive(int(named[1]))


def is_locked(proofs: str, run: str) -> bool:
    """Whether a runner or its workers hold the run's lock. Touches it, so that is for when there is
    no other way to know.
    """
    try:
        fd = os.open(f"{folder(proofs)}/{run.casefold()}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def owner(proofs: str, run: str) -> str:
    """What the lock file says of its holder."""
    with open(f"{folder(proofs)}/{run.casefold()}.lock", encoding="utf-8", errors="replace") as f:
        return printable(f.readline(200).rstrip("\n"))


def cancel(proofs: str, run: str, task: str | None, asked_by: str = "") -> None:
    """Ask the zf that runs this to end this task, or, with None, the run; for what asked the server
    (`trigger.as_word`), if it was that.

    Raises ZfError (exit 1) when none does, or it cannot be asked.
    """
    before = f"{FOR} {asked_by} " if asked_by else ""
    try:
        order(proofs, run, f"{before}cancel" if task is None else f"{before}cancel {task}")
    except PermissionError as error:
        raise ZfError(
            f"{run!r} cannot be cancelled from here: {error.strerror}",
            exit_code=Exit.FAILED,
            code="ZF144",
            hint="cancel it from outside of its steps, as the user who runs it",
        ) from None
    except OSError:
        if is_locked(proofs, run):
            raise ZfError(
                f"{run!r} is running ({owner(proofs, run)}), but takes no orders",
                exit_code=Exit.FAILED,
                code="ZF147",
                hint="it could make no fifo; send that process TERM, once more to end it now",
            ) from None
        raise ZfError(
            f"no zf is running {run!r}",
            exit_code=Exit.FAILED,
            code="ZF144",
            hint=f"zf status {run} says what became of it",
        ) from None


def order(proofs: str, run: str, text: str) -> None:
    """Hand one line to the runner of the run; OSError when there is none."""
    fd = _open_orders(proofs, run)
    try:
        if not os.fstat(fd).st_mode & stat.S_IWUSR:
            # What a step sees of its own run under the shield; root may open it all the same.
            raise PermissionError(errno.EPERM, "the run takes no orders from its own steps")
        os.write(fd, f"{text}\n".encode())
    finally:
        os.close(fd)


def _open_orders(proofs: str, run: str) -> int:
    """The fifo; opening it fails when it has no reader."""
    beside, elsewhere = orders_paths(proofs, run)
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(beside, flags)
    except PermissionError:
        raise  # it is there, but another user's
    except OSError:
        fd = os.open(elsewhere, flags)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ENXIO, "no fifo")
    return fd


def staging_path(proofs: str, run: str) -> str:
    """Where a run's folder is made ready before it appears under its name. Not beside the lock:
    seen from a step, that folder is a mount of its own, out of which nothing can be renamed.
    """
    return f"{proofs}/.{run.casefold()}.new"


def aside_path(proofs: str, run: str) -> str:
    """Where the run's workers make trees ready that are no part of the run yet."""
    return f"{folder(proofs)}/{run.casefold()}.next"


def lock_path(proofs: str, run: str) -> str:
    """The file whose lock is held by the owner of the run id."""
    return f"{folder(proofs)}/{run.casefold()}.lock"


def live_runs(proofs: str, *, but: str) -> list[str]:
    """The folders of the other runs of this folder at which a runner is at work."""
    ending = ".orders"
    names = [name for name in os.listdir(folder(proofs)) if name.endswith(ending)]
    with_orders = {name.removesuffix(ending) for name in names} - {but.casefold()}
    return [
        f"{proofs}/{name}"
        for name in os.listdir(proofs)
        if name.casefold() in with_orders and is_run(proofs, name)
    ]


def folder(proofs: str) -> str:
    """Where zf keeps what is no part of any run."""
    return f"{proofs}/{LOCKS}"


def _open(proofs: str, run: str, instead: str = "") -> int:
    os.makedirs(folder(proofs), exist_ok=True)
    path = lock_path(proofs, run)
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    if not stat.S_ISREG(kind):
        raise ZfError(
            f"{printable(path)} is no lock: something else was put in its place",
            exit_code=Exit.FAILED,
            code="ZF153",
            hint="nothing of zf's makes it so; find what did, and remove it",
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno == errno.EROFS:  # as a step sees it from under the shield
            refuse_in_use(proofs, run, "", instead)
        raise


def _try(fd: int) -> bool:
    return try_lock(fd, f"pid {os.getpid()} on {os.uname().nodename}")


def try_lock(fd: int, about: str) -> bool:
    """Lock the file and write its owner into it, unless another process has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{about}\n".encode(), 0)
    return True


def _in_use(fd: int, run: str, why: str = "", instead: str = "") -> ZfError:
    owner = _owner(fd)
    os.close(fd)
    if _is_above_us(owner):
        hint = "this command is part of one of its steps, so that waiting for it would never end: "
        hint += instead or "give the command outside of its steps, once the run has ended"
    else:
        hint = f"wait for it to end, or {instead or f'end it with: zf cancel {run}'}"
    message = f"run id {run!r} is in use by {owner}{f'; {why}' if why else ''}"
    return ZfError(message, exit_code=Exit.RUN_ID_TAKEN, code="ZF120", hint=hint)


def _is_above_us(owner: str) -> bool:
    """Whether the owner started us: we are part of a step, perhaps by way of a run in that step."""
    from psutil import Process  # noqa: PLC0415 - only a refusal needs it

    found = _OWNER.fullmatch(owner)
    if found is None or found[2] != os.uname().nodename:
        return False
    return int(found[1]) in {parent.pid for parent in Process().parents()}


def _owner(fd: int) -> str:
    """The name in the file, once it is that of a living process; the last one found otherwise."""
    until = time.monotonic() + _NAME_WAIT_S
    while True:
        text = os.pread(fd, 200, 0).decode("utf-8", "replace").partition("\n")[0]
        found = _OWNER.fullmatch(text)
        if found is not None and (found[2] != os.uname().nodename or is_alive(int(found[1]))):
            return text
        if time.monotonic() >= until:
            return f"the workers of {printable(text)}, which is dead" if text else "another zf"
        time.sleep(_LOOK_AGAIN_S)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number, of any user."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # a number that no process can have
        return False
    except PermissionError:
        return True
    return True
