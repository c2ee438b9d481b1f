"""The folders of an agent on its machine: the cache of checkouts, and what one has for itself.

    CACHE/checkouts/DIGEST/     a project as a run has it, by the SHA-256 of its archive
    CACHE/agents/NAME/          one agent's own, locked while it or a worker of it lives:
        project/                its copy of the checkout, in which steps run
        proofs/RUN/             the tree of the attempt, and what its needs left

CACHE is `$XDG_CACHE_HOME/zf`, or `~/.cache/zf`. What an agent left that was killed goes when the
next one begins; a checkout goes when none has used it for two weeks.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import file_digest

from zf.proof.files import FOLDER, remove_tree
from zf.work.agent.archive import UnpackError, unpack

_KEPT_S = 14 * 24 * 3600
# Where neither variable is set: a system user, say.
_ELSEWHERE = "/tmp/zf-{}"  # noqa: S108 - made with mode 0700, and refused where it is another's


def cache_of(environ: Mapping[str, str]) -> str:
    """The folder of all agents of this user on this machine."""
    if cache := environ.get("XDG_CACHE_HOME", ""):
        return f"{cache}/zf"
    if home := environ.get("HOME", ""):
        return f"{home}/.cache/zf"
    return _ELSEWHERE.format(os.geteuid())


class Folders:
    """Those of one agent. Raises OSError where they cannot be made."""

    def __init__(self, cache: str) -> None:
        self._checkouts = f"{cache}/checkouts"
        agents = f"{cache}/agents"
        for folder in (cache, agents, self._checkouts):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.stat(cache).st_uid != os.geteuid():
            raise PermissionError(1, "the folder of another account", cache)
        _sweep(agents)
        _forget(self._checkouts)
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        made = f"{agents}/.{name}"
        os.mkdir(made, mode=0o700)
        self._lock = os.open(made, FOLDER)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.own = f"{agents}/{name}"
        # From here on another agent may look whether it is locked.
        os.rename(made, self.own)
        self.proofs = f"{self.own}/proofs"
        self.incoming = f"{self.own}/incoming.tar"
        os.mkdir(self.proofs)
        self.project = ""
        self._dropped = 0
        self._cached = ""
        self._as_copied: dict[str, tuple[int, ...]] = {}

    def has_checkout(self, digest: str) -> bool:
        return os.path.isdir(f"{self._checkouts}/{digest}")

    def keep_checkout(self, digest: str) -> None:
        """Unpack what has come into the cache, if it is what was named. Raises UnpackError and
        OSError.
        """
        if digest_of(self.incoming) != digest:
            raise UnpackError("the checkout is not what its digest says")
        made = f"{self._checkouts}/.{os.path.basename(self.own)}"
        try:
            with open(self.incoming, "rb") as archive:
                unpack(archive, made, links=True)
            with suppress(OSError):  # another agent was faster
                os.rename(made, f"{self._checkouts}/{digest}")
        finally:
            remove_tree(made)
            os.unlink(self.incoming)

    def use_checkout(self, digest: str, name: str) -> None:
        """Have a copy of it for the steps of this agent, in a folder that is called like that of
        the project.
        """
        self._cached = f"{self._checkouts}/{digest}"
        os.utime(self._cached)
        self.project = f"{self.own}/project/{name}"
        self.renew()

    def is_changed(self) -> bool:
        """Whether steps have changed the copy."""
        return _seen(self.project) != self._as_copied

    def renew(self) -> None:
        """Have the copy as it was at first."""
        remove_tree(self.project)
        shutil.copytree(self._cached, self.project, symlinks=True)
        self._as_copied = _seen(self.project)

    @property
    def has_dropped(self) -> bool:
        return self._dropped > 0

    def drop(self, tree: str) -> None:
        """What was sent is of no use any more. To remove many small files can take longer than
        the next attempt, so that waits until `tidy`.
        """
        if os.path.lexists(tree):
            self._dropped += 1
            os.rename(tree, f"{self.own}/dropped.{self._dropped}")

    def tidy(self) -> None:
        """Remove what was dropped."""
        while self._dropped:
            remove_tree(f"{self.own}/dropped.{self._dropped}")
            self._dropped -= 1

    def close(self) -> None:
        """Nothing of the agent runs any more: its folder goes."""
        remove_tree(self.own)
        os.close(self._lock)


def digest_of(path: str) -> str:
    """The SHA-256 of a file of ours, in hex."""
    with open(path, "rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _seen(folder: str) -> dict[str, tuple[int, ...]]:
    """What there is below a folder, such that no change goes unseen: nothing sets a change time."""
    found: dict[str, tuple[int, ...]] = {}
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        with suppress(FileNotFoundError, NotADirectoryError):
            info = os.lstat(path)
            found[path] = (info.st_ino, info.st_mode, info.st_size, info.st_ctime_ns)
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        info = entry.stat(follow_symlinks=False)
                        told = (info.st_ino, info.st_mode, info.st_size, info.st_ctime_ns)
                        found[entry.path] = told
    return found


def _sweep(agents: str) -> None:
    """Remove the folders of agents that are gone, with their workers."""
    for name in os.listdir(agents):
        if name.startswith("."):
            continue
        path = f"{agents}/{name}"
        with suppress(OSError):
            lock = os.open(path, FOLDER)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
            finally:
                os.close(lock)


def _forget(checkouts: str) -> None:
    """Remove the checkouts that no agent has used for long."""
    long_ago = time.time() - _KEPT_S
    for name in os.listdir(checkouts):
        path = f"{checkouts}/{name}"
        with suppress(OSError):
            if os.stat(path).st_mtime < long_ago:
                remove_tree(path)
