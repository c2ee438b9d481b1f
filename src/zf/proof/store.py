"""The proof tree of one task, writer side: folders, files written once, checksums, the outcome.

How it survives a crash without an fsync per file: everything is written plainly inside the task's
folder, its SHA-256 taken from the bytes on their way, and `99-summary/status.json` comes last, a
finished temporary file renamed onto its final name. A tree without it is undecided, whatever else
it holds. One with it proves nothing by itself either: anything may have been written there by other
processes of the same user. An outcome counts once the worker has told the runner its digest on its
socket, or, after the runner's death, when the journal names that digest; what makes it durable is
the journal's sync, not this module.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from typing import Any, NoReturn

from zf.events import Cause, Status
from zf.lean import lazy
from zf.lean.record import record
from zf.model import Step, Task
from zf.proof.checksums import is_safe_name, line, parse
from zf.proof.lines import framed, key_lines, object_lines
from zf.proof.read import open_inside, open_regular

META, COMMANDS, LOGS = "00-meta", "10-commands", "20-logs"
ARTIFACTS, CHECKSUMS, SUMMARY = "30-artifacts", "40-checksums", "99-summary"
FOLDERS = (META, COMMANDS, LOGS, ARTIFACTS, CHECKSUMS, SUMMARY)
NOT_RUN_FOLDERS = (META, CHECKSUMS, SUMMARY)
ASIDE_ORDER = (META, COMMANDS, LOGS, ARTIFACTS, SUMMARY, CHECKSUMS)
STATUS = "status.json"
ATTEMPTS_LIST = "attempts.sha256"
NO_ARTIFACT = "was written into zf's own part of the proof"
_ATTEMPTS = "attempts"
# Where artifacts are gathered when their folder is not the one it was.
_TAKEN = ".30-artifacts"
_TASK_LIST = f"{CHECKSUMS}/task.sha256"
# What an attempt writes besides its artifacts and the lists and outcome that come last.
_OWN_FILE = lazy.pattern(
    r"00-meta/(task\.json|env\.sh)"
    r"|10-commands/(commands\.json|(step|cleanup)-\d+\.(sh|json))"
    r"|20-logs/(step|cleanup)-\d+\.log"
)

# A verifier looks 64 folders deep, and an attempt's own lie four deep.
_MAX_DEPTH = 56
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TreeLostError(OSError):
    """A step moved the tree, or a folder of it that is zf's own: what it held is lost."""


class TaskTree:
    """The tree of the attempt under way. Every folder is held open from the start, so a step that
    puts a link in a folder's place moves nothing but its own evidence.
    """

    def __init__(
        self, run_dir: str, task: str, folders: tuple[str, ...], *, at: str | None = None
    ) -> None:
        self.path = f"{run_dir}/{task}"
        self.digests: dict[str, str] = {}
        self.listed = b""  # what task.sha256 says, once there is one
        self._fds: dict[str, int] = {}
        # The files of earlier attempts, and what lay between them that nobody had written.
        self._earlier: set[str] = set()
        self._planted: list[str] = []
        self._at = at
        self.fd = os.open(at or self.path, _FOLDER)
        try:
            self._open(folders)
        except BaseException:
            self.close()
            raise

    def _open(self, folders: tuple[str, ...]) -> None:
        for name in folders:
            self._fds[name] = os.open(name, _FOLDER, dir_fd=self.fd)

    @classmethod
    def create(
        cls, run_dir: str, task: str, attempt: int = 1, folders: tuple[str, ...] = FOLDERS
    ) -> TaskTree:
        """A new, empty tree; one that an earlier attempt left is moved to `attempts/K/` first."""
        path = f"{run_dir}/{task}"
        is_first = True
        try:
            os.mkdir(path)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                is_first = not _set_aside(path, attempt - 1)
            else:
                # Planted: with a link there, all of this would be made where it leads.
                os.unlink(path)
                os.mkdir(path)
        tree = cls(run_dir, task, ())
        tree._fill(folders)
        if not is_first:
            tree._list_attempts()
        return tree

    @classmethod
    def create_at(
        cls, place: str, run_dir: str, task: str, folders: tuple[str, ...] = FOLDERS
    ) -> TaskTree:
        """The tree of a first attempt, at another place until it is `put_in_place`."""
        os.mkdir(place)
        tree = cls(run_dir, task, (), at=place)
        tree._fill(folders)
        return tree

    def put_in_place(self) -> None:
        """Move it to where it belongs; OSError when something is there already."""
        assert self._at is not None
        os.rename(self._at, self.path)
        self._at = None

    def _fill(self, folders: tuple[str, ...]) -> None:
        try:
            for name in folders:
                os.mkdir(name, dir_fd=self.fd)
            self._open(folders)
        except BaseException:
            self.close()
            raise

    @classmethod
    def reopen(cls, run_dir: str, task: str) -> TaskTree:
        """The tree a dead worker left, made fit to be decided: missing folders made, what it wrote
        hashed, everything else removed, checksum lists and any outcome too. 30-artifacts is left
        as it is. Takes whatever lies there: links, fifos and files in the place of folders go.
        """
        path = f"{run_dir}/{task}"
        for folder in (path, *(f"{path}/{name}" for name in FOLDERS)):
            _make_room(folder)
        tree = cls(run_dir, task, FOLDERS)
        try:
            for fd in tree._fds.values():
                _refuse_mount(fd, tree.fd)
            for folder, name in tree._entries():
                if _OWN_FILE.fullmatch(f"{folder}/{name}"):
                    digest = _hash_plain(tree._fds[folder], name)
                    if digest is not None:
                        tree.wrote(folder, name, digest)
            tree.sweep()
            for name in os.listdir(tree.fd):
                if name not in FOLDERS and (name != _ATTEMPTS or os.path.islink(f"{path}/{name}")):
                    remove(tree.fd, name)
            if os.path.lexists(f"{path}/attempts"):
                _make_room(f"{path}/attempts")
                # The list may have been cut short, or the worker killed before it came to it.
                tree._list_attempts()
        except BaseException:
            tree.close()
            raise
        return tree

    def _list_attempts(self) -> None:
        listed = _attempts_list(self.fd)
        self.write(CHECKSUMS, ATTEMPTS_LIST, listed)
        self._earlier = set(parse(listed))
        self._planted = _sweep_attempts(self.fd, self._earlier)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def take_back(self, name: str) -> None:
        """Open one of its folders anew, which was elsewhere for a while; made if it is missing."""
        try:
            fd = os.open(name, _FOLDER, dir_fd=self.fd)
        except FileNotFoundError:
            os.mkdir(name, dir_fd=self.fd)
            fd = os.open(name, _FOLDER, dir_fd=self.fd)
        before = self._fds.pop(name, None)
        self._fds[name] = fd
        if before is not None:
            os.close(before)

    def folder(self, name: str) -> int:
        """The descriptor of one of the tree's folders."""
        return self._fds[name]

    def create_file(self, folder: str, name: str) -> int:
        """A new file to be written piece by piece; `wrote` takes its digest when it is complete."""
        return os.open(name, _NEW, 0o666, dir_fd=self._fds[folder])

    def wrote(self, folder: str, name: str, digest: str) -> None:
        """Take the digest of a file written by other hands (a log, an artifact) into the list."""
        self.digests[f"{folder}/{name}"] = digest

    def write(self, folder: str, name: str, data: bytes) -> str:
        """Write a whole file, once; returns the SHA-256 of its bytes."""
        self._write_new(folder, name, data)
        digest = sha256(data).hexdigest()
        self.digests[f"{folder}/{name}"] = digest
        return digest

    def decide(self, status: Mapping[str, Any]) -> str:
        """Write the checksum lists, then claim the outcome; returns the SHA-256 of task.sha256.

        What lies in the outcome's place is not ours and gives way: one process decides a tree.
        """
        data = object_lines(status)
        prefix = f"{ARTIFACTS}/"
        artifacts = {
            name[len(prefix) :]: digest
            for name, digest in self.digests.items()
            if name.startswith(prefix)
        }
        self.write(CHECKSUMS, "artifacts.sha256", checksum_list(artifacts))
        self.digests[f"{SUMMARY}/{STATUS}"] = sha256(data).hexdigest()
        self.listed = checksum_list(self.digests)
        self._write_new(CHECKSUMS, "task.sha256", self.listed)
        self._claim(data)
        return sha256(self.listed).hexdigest()

    def take_over(self) -> list[tuple[str, str]]:
        """Take the tree as the task left it, by name: its folders are where they were, or the tree
        is lost; 30-artifacts may have been made anew; everything else there is no part of it.

        What is removed, and why. Raises TreeLostError, the place of the tree then being free.
        """
        own = os.fstat(self.fd)
        if not _is_at(own, self.path):
            self._give_up("its folder")
        _give_back(self.fd, own)
        # One look at the folder tells all names and numbers. Where those are not the ones that
        # stat tells, as on some overlays, it is asked.
        with os.scandir(self.fd) as entries:
            present = {entry.name: entry.inode() for entry in entries}
        moved = []
        for name, fd in self._fds.items():
            held = os.fstat(fd)
            _give_back(fd, held)
            if present.get(name) != held.st_ino and not _is_at(held, name, self.fd):
                moved.append(name)
        refused = self._take_artifacts() if ARTIFACTS in moved else []
        for name in moved:
            if name != ARTIFACTS:
                self._give_up(name)
        for name in present.keys() - self._fds.keys():
            if not (self._earlier and name == _ATTEMPTS):
                remove(self.fd, name)
                refused.append((name, NO_ARTIFACT))
        surplus, gone = self._differences()
        for path in surplus:
            folder, _, name = path.partition("/")
            remove(self._fds[folder], name)
        if self._earlier:
            surplus += self._planted + _sweep_attempts(self.fd, self._earlier)
        for path in gone:
            del self.digests[path]
        refused += [(path, NO_ARTIFACT) for path in surplus]
        return refused + [(path, "was removed while the task ran") for path in gone]

    def _differences(self) -> tuple[list[str], list[str]]:
        """What is in zf's own folders besides what zf wrote, and what of that is not there."""
        present = {f"{folder}/{name}" for folder, name in self._entries()}
        if present == self.digests.keys():
            return [], []
        own = {path for path in self.digests if not path.startswith(f"{ARTIFACTS}/")}
        return sorted(present - own), sorted(own - present)

    def _take_artifacts(self) -> list[tuple[str, str]]:
        """What is called 30-artifacts is not the folder it was: its files are taken into a new one,
        if it is a folder of ours; one that may be anybody's is not made a part of the proof.
        """
        os.close(self._fds.pop(ARTIFACTS))
        with suppress(FileExistsError):
            os.mkdir(_TAKEN, dir_fd=self.fd)
        target = self._fds[ARTIFACTS] = os.open(_TAKEN, _FOLDER, dir_fd=self.fd)
        refused = []
        try:
            source = os.open(ARTIFACTS, _FOLDER, dir_fd=self.fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = f"is no folder that can be read ({error.strerror})"
            remove(self.fd, ARTIFACTS)
            refused.append((ARTIFACTS, f"{reason}, in the place of the task's own"))
        else:
            try:
                refused += self._move_in(source, target)
            finally:
                os.close(source)
            remove(self.fd, ARTIFACTS)
        os.rename(_TAKEN, ARTIFACTS, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        return refused

    def _move_in(self, source: int, target: int) -> list[tuple[str, str]]:
        if reason := _why_strange(source, self.fd):
            return [(ARTIFACTS, f"{reason}, in the place of the task's own")]
        refused = []
        for name in os.listdir(source):
            try:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            except OSError as error:
                refused.append((f"{ARTIFACTS}/{name}", f"cannot be taken: {error.strerror}"))
        return refused

    def _give_up(self, what: str) -> NoReturn:
        folder, name = os.path.split(self.path)
        parent = os.open(folder, _FOLDER)
        try:
            remove(parent, name)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.EBUSY:  # emptied, and still covered by the shield
                raise
        finally:
            os.close(parent)
        raise TreeLostError(errno.ENOENT, f"{what} was removed or replaced while the task ran")

    def sweep(self) -> list[str]:
        """Remove what others put into zf's own folders, where nothing would vouch for it; which."""
        swept = []
        for folder, name in self._entries():
            path = f"{folder}/{name}"
            if path not in self.digests:
                remove(self._fds[folder], name)
                swept.append(path)
        return swept

    def _entries(self) -> list[tuple[str, str]]:
        return [
            (folder, name)
            for folder, fd in self._fds.items()
            if folder != ARTIFACTS
            for name in os.listdir(fd)
        ]

    def _claim(self, data: bytes) -> None:
        fd = self._fds[SUMMARY]
        temporary = f".{STATUS}.{os.getpid()}"
        self._write_new(SUMMARY, temporary, data)
        try:
            os.rename(temporary, STATUS, src_dir_fd=fd, dst_dir_fd=fd)
        except IsADirectoryError:
            remove(fd, STATUS)
            os.rename(temporary, STATUS, src_dir_fd=fd, dst_dir_fd=fd)

    def _write_new(self, folder: str, name: str, data: bytes) -> None:
        fd = os.open(name, _NEW, 0o666, dir_fd=self._fds[folder])
        try:
            if data:
                write_all(fd, data)
        finally:
            os.close(fd)


@record
class Place:
    """Where a run's tasks run: which run, on whose account, and the project's root there."""

    run: str
    hostname: str
    user: str
    root: str

    def workdir(self, task: Task) -> str:
        """The folder in which the task's steps start."""
        if task.workdir == ".":
            return self.root
        return os.path.normpath(f"{self.root}/{task.workdir}")


def write_not_run(
    run_dir: str,
    place: Place,
    task: Task,
    status: Status,
    cause: Cause,
    detail: str,
    needs: Mapping[str, Status],
    at: str,
) -> str:
    """The whole tree of a task that was never attempted; returns the SHA-256 of its task.sha256."""
    tree = TaskTree.create(run_dir, task.id, folders=NOT_RUN_FOLDERS)
    try:
        told = task_json(place, at, place.workdir(task), task_lines(task))
        tree.write(META, "task.json", told)
        return tree.decide(
            status_fields(
                place.run,
                task,
                status,
                cause,
                detail,
                started_at=at,
                completed_at=at,
                needs=needs,
            )
        )
    finally:
        tree.close()


def status_fields(
    run: str,
    task: Task,
    status: Status,
    cause: Cause,
    detail: str,
    *,
    started_at: str,
    completed_at: str,
    duration_s: float = 0.0,
    attempt: int = 0,
    exit_code: int | None = None,
    signal: int | None = None,
    step: int | None = None,
    needs: Mapping[str, Status] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """What status.json says, in the order it says it; `attempt` is 0 for a task that was not run.

    `more` holds what only an attempt has: containment, survivors, artifacts, refused, ...
    """
    return {
        "schema": "zf/status/v2",
        "task_id": task.id,
        "run_id": run,
        "phase": task.phase,
        "title": task.title or task.id,
        "status": status,
        "conclusion": "warned" if task.tolerates(status, exit_code) else status,
        # Also when attempts were lost with the runner: nothing that went wrong is hidden.
        "flaky": status == Status.SUCCESS and attempt > 1,
        "exit_code": exit_code,
        "signal": signal,
        "attempt": attempt,
        "cause": cause,
        "detail": detail,
        "step": step,
        "started_at": started_at,
        "completed_at": completed_at,
        "duration_s": duration_s,
        "timeout_sec": task.timeout_s,
        "needs": needs or {},
        **more,
    }


def task_json(place: Place, started_at: str, pwd: str, lines: str) -> bytes:
    """What 00-meta/task.json says: where and when the task began, and its `task_lines`."""
    return framed(
        key_lines(
            {
                "schema": "zf/task/v2",
                "run_id": place.run,
                "started_at": started_at,
                "hostname": place.hostname,
                "user": place.user,
                "pwd": pwd,
            }
        ),
        lines,
    )


def task_lines(task: Task) -> str:
    """The task as it was loaded, defaults filled in."""
    return key_lines(
        {
            "id": task.id,
            "title": task.title or task.id,
            "phase": task.phase,
            "file": task.file,
            "line": task.line,
            "needs": [
                {"task": need.task, "optional": need.optional, "require": need.require}
                for need in task.needs
            ],
            "parallel_safe": task.parallel_safe,
            "timeout_sec": task.timeout_s,
            "silence_timeout_sec": task.silence_timeout_s,
            "cleanup_timeout_sec": task.cleanup_timeout_s,
            "leave_running": task.leave_running,
            "max_log_bytes": task.max_log_bytes,
            "workdir": task.workdir,
            "env": task.env,
            "pass_env": task.pass_env,
            "secrets": task.secrets,
            "artifacts": task.artifacts,
            "required_artifacts": task.required_artifacts,
            "allow_secrets_in": task.allow_secrets_in,
            "commands": _steps_json(task.steps),
            "cleanup": _steps_json(task.cleanup),
        }
    )


def _steps_json(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    return [{"name": step.name, "run": step.run, "line": step.line} for step in steps]


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however little the system takes at a time."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def checksum_list(digests: Mapping[str, str]) -> bytes:
    """GNU format, in byte order of the names (all of them ASCII)."""
    return "".join([line(digests[name], name) for name in sorted(digests)]).encode("ascii")


def artifacts_of(folder: str, task_sha256: str) -> str:
    """The artifacts of a decided task, compared with its list, whose digest the caller knows: where
    they are, or an empty text if there are none. Raises OSError, or ValueError saying what is not
    as listed.
    """
    with open(f"{folder}/{CHECKSUMS}/task.sha256", "rb", opener=_not_through_link) as stream:
        data = stream.read()
    if sha256(data).hexdigest() != task_sha256:
        raise ValueError("their list is not what it was when their task ended")
    prefix = f"{ARTIFACTS}/"
    listed = {
        name.removeprefix(prefix): digest
        for name, digest in parse(data).items()
        if name.startswith(prefix)
    }
    if not listed:
        return ""
    top = f"{folder}/{ARTIFACTS}"
    fd = os.open(top, _FOLDER)
    try:
        _compare(fd, listed)
    finally:
        os.close(fd)
    return top


def _not_through_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _compare(top: int, listed: Mapping[str, str]) -> None:
    """See that these files and no others lie below an open folder; ValueError if not."""
    missing = set(listed)
    for name, digest in _hashes(top):
        if name not in missing:
            raise ValueError(f"{name} was not there when its task ended")
        if digest != listed[name]:
            raise ValueError(f"{name} is not what it was when its task ended")
        missing.discard(name)
    if missing:
        raise ValueError(f"{min(missing)} is not there any more")


def _hashes(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str | None]]:
    """Everything below an open folder that is no folder, with its SHA-256; None for what is no file
    that can be read. Nothing is changed.
    """
    for name in sorted(os.listdir(folder)):
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            yield prefix + name, _hash_plain(folder, name)
            continue
        if depth == _MAX_DEPTH:
            raise ValueError(f"{prefix}{name} was not there when its task ended")
        below = os.open(name, _FOLDER, dir_fd=folder)
        try:
            yield from _hashes(below, f"{prefix}{name}/", depth + 1)
        finally:
            os.close(below)


def hash_tree(folder: int, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every regular file below an open folder with its SHA-256. Links, whatever else is no file,
    what cannot be read or lies too deep, and names that no checksum list takes are removed: no
    proof can hold them.
    """
    for name in sorted(os.listdir(folder)):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not is_safe_name(name) or (depth == _MAX_DEPTH and stat.S_ISDIR(mode)):
            remove(folder, name)
        elif stat.S_ISDIR(mode):
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(name, stat.S_IMODE(mode) | stat.S_IRWXU, dir_fd=folder)
            below = os.open(name, _FOLDER, dir_fd=folder)
            try:
                yield from hash_tree(below, f"{prefix}{name}/", depth + 1)
            finally:
                os.close(below)
        else:
            digest = _hash_plain(folder, name)
            if digest is None:
                remove(folder, name)
            else:
                yield prefix + name, digest


def _make_room(path: str) -> None:
    """Have a folder at `path` that can be written to; anything else that is there goes."""
    with suppress(FileExistsError):
        os.mkdir(path)
        return
    mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        os.unlink(path)
        os.mkdir(path)
    elif mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(path, stat.S_IMODE(mode) | stat.S_IRWXU)


def _hash_plain(folder: int, name: str) -> str | None:
    """The SHA-256 of a regular file that can be read; None for anything else."""
    try:
        fd = open_regular(folder, name)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def is_tree_of(run_dir: str, task: str, task_sha256: str) -> bool:
    """Whether the tree in the task's place is that of the attempt that ended with this list."""
    with suppress(OSError):
        folder = os.open(f"{run_dir}/{task}/{CHECKSUMS}", _FOLDER)
        try:
            return _hash_plain(folder, "task.sha256") == task_sha256
        finally:
            os.close(folder)
    return False


def _set_aside(path: str, attempt: int) -> bool:
    """Move the tree an earlier attempt left to `attempts/<attempt>/`; whether there are any now.

    Can be killed anywhere and repeated: it goes on where it stopped. The checksum lists go last, as
    `is_tree_of` goes by them. Only a tree cut short before
    its start was on record can find its place taken; it goes to `attempts/<attempt>.1/` and so on.
    """
    left = [name for name in ASIDE_ORDER if os.path.lexists(f"{path}/{name}")]
    if not left:
        return os.path.lexists(f"{path}/attempts")
    if os.path.islink(f"{path}/attempts"):
        os.unlink(f"{path}/attempts")  # or the tree would be moved to where it leads
    target = base = f"{path}/attempts/{attempt}"
    count = 0
    while os.path.islink(target) or any(os.path.lexists(f"{target}/{name}") for name in left):
        count += 1
        target = f"{base}.{count}"
    os.makedirs(target, exist_ok=True)
    for name in left:
        os.rename(f"{path}/{name}", f"{target}/{name}")
    return True


def _sweep_attempts(task_fd: int, listed: Collection[str]) -> list[str]:
    """Remove what is among the files of earlier attempts and in none of their lists; which."""
    folders = {os.path.dirname(path) for path in listed}
    for path in tuple(folders):
        parts = path.split("/")
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts))}
    folders |= {f"{_ATTEMPTS}/{n}/{name}" for n in _numbers(listed) for name in FOLDERS}
    return list(_swept(task_fd, _ATTEMPTS, "", listed, folders))


def _numbers(listed: Collection[str]) -> set[str]:
    return {path.split("/")[1] for path in listed}


def _swept(
    parent: int, name: str, prefix: str, files: Collection[str], folders: Collection[str]
) -> Iterator[str]:
    path = prefix + name
    is_folder = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    if path not in (folders if is_folder else files):
        remove(parent, name)
        yield path
    elif is_folder:
        below = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for one in os.listdir(below):
                yield from _swept(below, one, f"{path}/", files, folders)
        finally:
            os.close(below)


def _give_back(fd: int, held: os.stat_result) -> None:
    """Give its owner back the rights to an open folder: without them no proof could be read."""
    if held.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):  # another's
            os.fchmod(fd, stat.S_IMODE(held.st_mode) | stat.S_IRWXU)


def _is_at(held: os.stat_result, path: str, folder: int | None = None) -> bool:
    """Whether an open folder is what stands at a path, which leads through no link at its end."""
    try:
        found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return found.st_ino == held.st_ino and found.st_dev == held.st_dev


def _refuse_mount(folder: int, parent: int) -> None:
    """Raise OSError for a folder on another mount than its parent: what is in there is not ours."""
    if os.fstat(folder).st_dev != os.fstat(parent).st_dev or _mount(folder) != _mount(parent):
        raise OSError(errno.EBUSY, "a folder is mounted in the proof")


def _why_strange(folder: int, beside: int) -> str:
    """Why an open folder is not one that a task made in its tree, if it is not."""
    _refuse_mount(folder, beside)
    owner = os.fstat(folder).st_uid
    if owner != os.geteuid():
        return f"is the folder of another account ({owner})"
    return ""


def _mount(fd: int) -> str:
    """What the kernel calls the mount that an open file is on; nothing where it does not say."""
    with suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as stream:
        return next((told for told in stream if told.startswith("mnt_id:")), "")
    return ""


def _attempts_list(task_fd: int) -> bytes:
    """Checksums of every file of the earlier attempts, relative to the task's folder.

    Each attempt's own list is taken as it is; an attempt that never got one is hashed, and so is
    one whose list is none. What no proof can hold (a link, a name no list takes) goes.
    """
    digests: dict[str, str] = {}
    attempts = os.open("attempts", _FOLDER, dir_fd=task_fd)
    try:
        for attempt in os.listdir(attempts):
            mode = os.stat(attempt, dir_fd=attempts, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode) and is_safe_name(attempt):
                digests.update(_attempt_digests(attempts, attempt))
            else:
                remove(attempts, attempt)
    finally:
        os.close(attempts)
    return checksum_list(digests)


def _attempt_digests(attempts: int, attempt: str) -> dict[str, str]:
    prefix = f"attempts/{attempt}/"
    with suppress(OSError, ValueError):
        with os.fdopen(open_inside(attempts, f"{attempt}/{_TASK_LIST}"), "rb") as stream:
            listed = stream.read()
        found = parse(listed)
        if found:
            own = {prefix + _TASK_LIST: sha256(listed).hexdigest()}
            return own | {prefix + name: digest for name, digest in found.items()}
    folder = os.open(attempt, _FOLDER, dir_fd=attempts)
    try:
        return dict(hash_tree(folder, prefix))
    finally:
        os.close(folder)


def remove(folder: int, name: str) -> None:
    """Remove a file, or a folder however deep: what lies two levels down is moved up one, so this
    needs neither recursion nor long paths.
    """
    if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    os.chmod(name, 0o700, dir_fd=folder)
    top = os.open(name, _FOLDER, dir_fd=folder)
    try:
        _refuse_mount(top, folder)
        count = 0
        while names := os.listdir(top):
            for one in names:
                count = _lift(top, one, count)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder)


def remove_tree(path: str) -> None:
    """Remove a folder of ours with all that is in it, if it is there and as far as that goes."""
    with suppress(OSError):
        os.rmdir(path)
    if os.path.lexists(path):
        from shutil import rmtree  # noqa: PLC0415 - 2 ms, and mostly nothing is in there

        rmtree(path, ignore_errors=True)


def _lift(top: int, name: str, count: int) -> int:
    """Remove a file from an open folder, or a folder whose own folders are moved up beside it."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return count
    os.chmod(name, 0o700, dir_fd=top)
    below = os.open(name, _FOLDER, dir_fd=top)
    try:
        _refuse_mount(below, top)
        for one in os.listdir(below):
            if stat.S_ISDIR(os.stat(one, dir_fd=below, follow_symlinks=False).st_mode):
                count += 1
                os.rename(one, f".lifted.{name[:8]}.{count}", src_dir_fd=below, dst_dir_fd=top)
            else:
                os.unlink(one, dir_fd=below)
    finally:
        os.close(below)
    os.rmdir(name, dir_fd=top)
    return count
