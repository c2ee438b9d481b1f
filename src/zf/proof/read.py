"""Reading runs that are there: which ones, and the files of one, each opened without trust.

A proof folder holds what hostile tasks left in it and may come from anywhere, so nothing here
follows a link, waits on a fifo, reads past a limit or takes JSON with a key twice. Whether what is
read is true is the question of `verify.py`.

While it is read or built on, a run can be kept where it is, by a shared lock on its journal; what
removes runs asks for that lock alone. The lock on the run's id is for its runner and for signing.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

from zf.errors import ZfError, in_shell, printable
from zf.events import PlanExtended
from zf.instances import extended
from zf.lean.records import Struct
from zf.proof.checksums import MAX_LIST_BYTES, parse
from zf.proof.files import APPEND, NAMED_FOLDER, READ, open_folder_inside, open_inside, opened
from zf.proof.journal import JournalReading, decode, last_line, read_stream
from zf.proof.layout import (
    ARTIFACTS,
    ARTIFACTS_LIST,
    JOURNAL,
    LOGS,
    MANIFEST,
    OUTPUTS,
    PLAN,
    RUN,
    STATUS,
    earlier_tree,
    step_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A plan of 100 000 tasks is about 50 MB.
MAX_JSON_BYTES = 128 * 1024 * 1024
_MOST_TAIL_BLOCKS = 16
# What stands for the newest run wherever one is named; so no run may be called that.
LATEST = "latest"
_MAX_CANDIDATES = 10
_TAIL_BLOCK_BYTES = 16 * 1024
# The SHA-256 of each plan.json of which another process of ours has said that its form is right.
SOUND_PLANS: set[str] = set()


def list_runs(proofs: str) -> list[str]:
    """The runs in a proofs folder, newest first; none when there is no such folder."""
    found = []
    with suppress(FileNotFoundError), os.scandir(proofs) as scan:
        for entry in scan:
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            # run.json is written once, when the run starts.
            with suppress(OSError):
                began = os.stat(f"{entry.path}/{RUN}", follow_symlinks=False).st_mtime_ns
                found.append((began, entry.name))
    return [name for _, name in sorted(found, reverse=True)]


def find_run(proofs: str, run: str) -> str:
    """The folder of a run, named by its id or the beginning of it; `latest` is the newest one.

    Raises ZfError (exit 2) when there is none, or when several begin so.
    """
    runs = list_runs(proofs)
    if run == LATEST and runs:
        return f"{proofs}/{runs[0]}"
    if run in runs:
        return f"{proofs}/{run}"
    begin = [name for name in runs if run and name.startswith(run)]
    if len(begin) == 1:
        return f"{proofs}/{begin[0]}"
    if begin:
        shown = ", ".join(printable(name) for name in begin[:_MAX_CANDIDATES])
        more = len(begin) - _MAX_CANDIDATES
        raise ZfError(
            f"{printable(run)!r} is the beginning of {len(begin)} runs: {shown}"
            + (f" and {more} more" if more > 0 else ""),
            code="ZF612",
            hint="write more of the id; the newest run is also called 'latest'",
        )
    if not runs:
        raise ZfError(
            f"no runs in {printable(proofs)}",
            code="ZF610",
            hint="zf run runs everything; zf list shows the tasks",
        )
    from difflib import get_close_matches  # noqa: PLC0415 - only a message needs it

    near = get_close_matches(run, runs, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the newest is {runs[0]!r}"
    raise ZfError(f"unknown run {printable(run)!r}", code="ZF610", hint=hint)


def newest_head(proofs: str, *, but: str = "") -> tuple[str, str] | None:
    """The newest run (leaving out `but`) and the hash of its journal's last line."""
    for run in list_runs(proofs):
        if run != but:
            line = last_line(f"{proofs}/{run}/{JOURNAL}")
            return None if line is None else (run, sha256(line).hexdigest())
    return None


def run_json(run_dir: str) -> dict[str, Any]:
    """What run.json says; ZfError when it cannot be read."""
    return read_json(run_dir, RUN)


def first_step(run: Mapping[str, Any]) -> int:
    """The number of the first step in the file names of a run with this run.json: zf 0.1 counted
    from 1.
    """
    return 1 if run.get("schema") == "zf/run/v1" else 0


def plan_json(run_dir: str) -> dict[str, Any]:
    """What plan.json says; ZfError when it cannot be read."""
    return read_json(run_dir, PLAN)


def grown_plan(run_dir: str) -> Mapping[str, Any]:
    """What plan.json says, with the instances that joined the plan while the run went on; as far as
    the two can be read. ZfError when plan.json cannot.
    """
    plan = plan_json(run_dir)
    try:
        if not any("matrix_from" in row for row in plan["tasks"]):
            return plan
        events = journal(run_dir).events
        return extended(plan, [event for event in events if isinstance(event, PlanExtended)])
    except (ZfError, KeyError, TypeError, AttributeError):
        return plan


def status_json(run_dir: str, task: str) -> dict[str, Any]:
    """What a task's status.json says; ZfError when it cannot be read."""
    return read_json(run_dir, f"{task}/{STATUS}")


def outputs(run_dir: str, task: str) -> dict[str, str]:
    """What a task handed on, by name; ZfError when it cannot be read."""
    said = read_json(run_dir, f"{task}/{OUTPUTS}")
    return {name: value for name, value in said.items() if isinstance(value, str)}


def journal(run_dir: str) -> JournalReading:
    """The run's journal; ZfError when it cannot be opened, never for what it says."""
    with open_file(run_dir, JOURNAL) as stream:
        return read_stream(stream)


def read_bytes(run_dir: str, path: str) -> bytes:
    """A small file of the run; `path` is relative and `/`-separated."""
    with open_file(run_dir, path) as stream:
        # As much as there is: room for the largest would be asked of the system for each file.
        size = os.fstat(stream.fileno()).st_size
        data = stream.read(min(size, MAX_JSON_BYTES) + 1)
    if len(data) > MAX_JSON_BYTES:
        shown = printable(f"{run_dir}/{path}")
        raise ZfError(f"{shown}: larger than {MAX_JSON_BYTES} bytes", code="ZF611")
    return data


def read_json(run_dir: str, path: str) -> dict[str, Any]:
    """The object in a JSON file of the run; `path` is relative and `/`-separated."""
    return object_and_digest(run_dir, path)[0]


def object_and_digest(run_dir: str, path: str) -> tuple[dict[str, Any], str]:
    """The same, and the SHA-256 of the file it was read from."""
    data = read_bytes(run_dir, path)
    shown = printable(f"{run_dir}/{path}")
    hint = f"zf verify {in_shell(run_dir)} says what is wrong with it"
    try:
        value = decode(data)
    except ValueError as error:
        raise ZfError(f"{shown}: {error}", code="ZF611", hint=hint) from None
    if not isinstance(value, dict):
        raise ZfError(f"{shown}: not a JSON object", code="ZF611", hint=hint)
    digest = sha256(data).hexdigest()
    if path == PLAN and digest not in SOUND_PLANS:
        # What all the rest is read by; in its form it breaks nothing, whatever wrote it.
        from zf.proof import forms  # noqa: PLC0415 - no new run reads a plan

        if wrong := forms.problems("plan", value):
            raise ZfError(f"{shown}: {wrong[0]}", code="ZF611", hint=hint)
    return value, digest


def log_tail(run_dir: str, task: str, step: int, *, attempt: int = 0, lines: int = 10) -> list[str]:
    """The last lines of a step's log, raw but decoded; empty when there is no log. Of the attempt
    that counts, or of the one with this number.

    Reads from the end, never more than `lines` blocks of 16 KiB or 16 of them: one endless line
    costs no more.
    """
    tree = attempt_tree(run_dir, task, attempt)
    try:
        stream = open_file(run_dir, f"{tree}/{step_log(step)}")
    except ZfError:
        return []
    with stream:
        return [line.decode("utf-8", "replace") for line in _tail(stream, lines)]


def attempt_tree(run_dir: str, task: str, attempt: int) -> str:
    """Where in a run the tree of this attempt is now: another one moves it aside."""
    aside = earlier_tree(task, attempt)
    return aside if attempt and os.path.isdir(f"{run_dir}/{aside}") else task


def log_pieces(run_dir: str, task: str, step: int) -> Iterator[bytes]:
    """A step's log, piece by piece, as it is now; raises ZfError when it is not there."""
    with open_file(run_dir, f"{task}/{step_log(step)}") as stream:
        while piece := stream.read(1024 * 1024):
            yield piece


class Artifact(Struct, frozen=True):
    """A file that a task left: its path among the artifacts, its SHA-256 as listed, and how large
    it is, which is None where it is not there.
    """

    path: str
    sha256: str
    bytes: int | None


def artifacts(run_dir: str, task: str) -> list[Artifact]:
    """The artifacts of a task as the list of their checksums has them, in its order; none where
    there is no such list, or one that is none.
    """
    listed = _listed(run_dir, f"{task}/{ARTIFACTS_LIST}")
    return [_artifact(run_dir, task, path, digest) for path, digest in listed.items()]


def sealed_artifacts(run_dir: str) -> dict[str, list[Artifact]]:
    """The same of all tasks of a sealed run, out of its manifest: one file instead of thousands."""
    found: dict[str, list[Artifact]] = {}
    for path, digest in _listed(run_dir, MANIFEST).items():
        task, _, rest = path.partition("/")
        folder, _, name = rest.partition("/")
        if folder == ARTIFACTS:
            found.setdefault(task, []).append(_artifact(run_dir, task, name, digest))
    return found


def _listed(run_dir: str, path: str) -> dict[str, str]:
    try:
        with open_file(run_dir, path) as stream:
            data = stream.read(MAX_LIST_BYTES)
            return parse(data) if data else {}
    except (ZfError, ValueError):
        return {}


def _artifact(run_dir: str, task: str, path: str, digest: str) -> Artifact:
    try:
        with open_file(run_dir, f"{task}/{ARTIFACTS}/{path}") as stream:
            size = os.fstat(stream.fileno()).st_size
    except ZfError:
        size = None
    return Artifact(path, digest, size)


class LogFile(Struct, frozen=True):
    """What a command printed: its log's name (`step-0`, `cleanup-0`) and how large it is."""

    name: str
    bytes: int


def logs(run_dir: str, tree: str) -> list[LogFile]:
    """The logs in the tree of an attempt, in the order of its commands."""
    found = []
    with suppress(OSError), opened(run_dir, NAMED_FOLDER) as top:
        folder = open_folder_inside(top, f"{tree}/{LOGS}")
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    kind, dash, number = entry.name.removesuffix(".log").partition("-")
                    if dash and number.isdecimal() and entry.is_file(follow_symlinks=False):
                        size = entry.stat(follow_symlinks=False).st_size
                        found.append(
                            (kind != "step", int(number[:9]), LogFile(f"{kind}-{number}", size))
                        )
        finally:
            os.close(folder)
    return [file for *_, file in sorted(found, key=lambda row: row[:2])]


def exists(run_dir: str, path: str) -> bool:
    """Whether there is anything of this name in the run."""
    return os.path.lexists(f"{run_dir}/{path}")


def _tail(stream: BinaryIO, lines: int) -> list[bytes]:
    end = stream.seek(0, os.SEEK_END)
    tail = b""
    for _ in range(min(lines, _MOST_TAIL_BLOCKS)):
        if end == 0 or tail.count(b"\n", 0, -1) >= lines:
            break
        start = max(0, end - _TAIL_BLOCK_BYTES)
        stream.seek(start)
        tail = stream.read(end - start) + tail
        end = start
    return tail.removesuffix(b"\n").split(b"\n")[-lines:] if tail else []


def open_file(run_dir: str, path: str) -> BinaryIO:
    """A file of the run, opened to be read; ZfError when it cannot be."""
    try:
        with opened(run_dir, NAMED_FOLDER) as folder:
            return os.fdopen(open_inside(folder, path), "rb")
    except OSError as error:
        shown = printable(f"{run_dir}/{path}")
        raise ZfError(f"{shown}: {error.strerror}", code="ZF611") from None


# Keeping a run where it is.

# The descriptors that hold runs, by their journals' paths.
_kept: dict[str, int] = {}


def keep(run_dir: str) -> None:
    """Hold a run until `let_go`, or until this process and those it has forked end. One whose
    journal cannot be opened or locked is not held: what reads it will tell of that.

    Raises FileNotFoundError when the run has just been removed.
    """
    path = os.path.realpath(f"{run_dir}/{JOURNAL}")
    if path not in _kept and (fd := _shared(path)) is not None:
        _kept[path] = fd


@contextmanager
def kept(run_dir: str) -> Iterator[None]:
    """The same for a moment."""
    fd = _shared(f"{run_dir}/{JOURNAL}")
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _shared(path: str) -> int | None:
    try:
        fd = os.open(path, READ)
    except OSError:
        if not os.path.isdir(os.path.dirname(path)):
            raise FileNotFoundError(path) from None
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)  # what removes a run has it for a moment only
    except OSError:
        os.close(fd)
        return None
    if not _is_at(fd, path):
        os.close(fd)
        raise FileNotFoundError(path)
    return fd


def let_go() -> None:
    """The command is over."""
    while _kept:
        os.close(_kept.popitem()[1])


def alone(run_dir: str) -> int | None:
    """A descriptor that keeps every other process from reading the run, for what is to remove it;
    None while another one keeps it.

    Raises OSError when there is no such run.
    """
    path = f"{run_dir}/{JOURNAL}"
    fd = os.open(path, APPEND)
    with suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(fd, path):
            return fd
    os.close(fd)
    return None


def _is_at(fd: int, path: str) -> bool:
    try:
        there = os.lstat(path)
    except OSError:
        return False
    held = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)
