"""A task's artifacts: what may be kept of them, their bytes as they pass, and what is refused."""

from __future__ import annotations

import os
import sys
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Protocol

from zf.errors import printable
from zf.lean.records import Struct, field
from zf.proof.files import NEW, write_all
from zf.proof.layout import ARTIFACTS, RENAMED
from zf.proof.lines import object_lines
from zf.proof.tree.store import TaskTree

# Far beyond any report, far below what fills a disk by mistake or makes a list unreadable.
MAX_FILES = 20_000
MAX_BYTES = 16 * 1024**3
_BLOCK_BYTES = 1024 * 1024
# From here on a thread to hash in is worth starting.
_LARGE_BYTES = 16 * _BLOCK_BYTES
_SWITCH_S = 0.000_02
# What is recorded of a task stays short enough to be read, whatever the task does.
TOLD_MOST = 100
_PATH_CHARS = 400


class RefusedError(Exception):
    """A file or folder is not taken; the message says why."""


class LeakError(RefusedError):
    """A file contains a secret; the arguments are the rules that say so."""


class Secrets(Protocol):
    """What must not get into a proof."""

    def search(self, path: str, data: Iterable[bytes]) -> Iterable[str]:
        """The rules that find something in an artifact; none when it may be kept."""
        ...

    def text(self, text: str) -> str:
        """The text without what must not be seen."""
        ...


class Collected(Struct):
    """What became of a task's artifacts. `refused` tells what was left out and why, `leaks` which
    of them for what must not be seen, `unmatched` the patterns that no file matches, `missing`
    those for which none is kept, `notes` what is odd but no loss, `renamed` what is called
    otherwise in the proof. Of `refused` and `leaks` only the first are listed; all are counted.
    """

    secrets: Secrets | None = None
    # Why no more is to be taken, asked between files and blocks; nothing while it may go on.
    stop_reason: Callable[[], str] | None = None
    stopped: str = ""
    count: int = 0
    size_bytes: int = 0
    leaks: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    renamed: list[dict[str, str]] = field(default_factory=list)
    refusals: int = 0
    leaked: int = 0

    def why_stopped(self) -> str:
        """Why nothing more is taken, once that is so."""
        if not self.stopped and self.stop_reason is not None:
            self.stopped = self.stop_reason()
        return self.stopped

    def refuse(self, path: str, reason: str) -> None:
        """Tell that this is not in the proof."""
        self.refusals += 1
        if self.refusals <= TOLD_MOST:
            self.refused.append({"path": self.shown(path), "reason": reason})

    def leak(self, path: str, rules: Iterable[str]) -> None:
        """Tell that this is not in the proof because it would give something away."""
        self.refuse(path, f"contains a secret ({listed(sorted(rules))})")
        self.leaked += 1
        if self.leaked <= TOLD_MOST:
            self.leaks.append(self.shown(path))

    def why_beyond(self, size_bytes: int) -> str:
        """Why a file that claims this size is not even read: a sparse one of 8 TiB takes no room,
        and hours to read.
        """
        if self.count >= MAX_FILES:
            return f"is beyond the limit of {MAX_FILES} artifacts a task"
        return _why_large(self.size_bytes + size_bytes)

    @contextmanager
    def telling(self, path: str) -> Iterator[None]:
        """Tell of this path when it is refused within the block, which ends then."""
        try:
            yield
        except LeakError as leak:
            self.leak(path, leak.args)
        except RefusedError as refusal:
            self.refuse(path, str(refusal))

    def keep(self, original: str, stored: str) -> None:
        """Count one more that is in the proof."""
        self.count += 1
        if stored == original:
            return
        try:
            self.renamed.append({"stored": stored, "original": os.fsencode(original).decode()})
        except UnicodeDecodeError:
            coded = b2a_base64(os.fsencode(original), newline=False).decode()
            self.renamed.append({"stored": stored, "original_base64": coded})

    def shown(self, path: str) -> str:
        """A path as it may be told: cut only when no secret is in it any more."""
        shown = printable(path if self.secrets is None else self.secrets.text(path))
        return shown if len(shown) <= _PATH_CHARS else f"{shown[: _PATH_CHARS - 3]}..."


def collect(
    tree: TaskTree,
    root: str,
    patterns: Sequence[str],
    *,
    proofs: str,
    secrets: Secrets | None = None,
    left: str | None = None,
    stop_reason: Callable[[], str] | None = None,
) -> Collected:
    """Take the task's artifacts into its tree; what had to be called otherwise there is written to
    `40-checksums/artifacts.json`, a file that is there only then.

    `patterns` are relative to `root`; the folder `proofs` is never looked into. Everything in the
    folder `left` is copied, as it may still be written to. When `stop_reason` gives one, whatever
    has not been taken by then is refused for it.
    """
    found = Collected(secrets, stop_reason)
    if left is not None or patterns or os.listdir(tree.folder(ARTIFACTS)):
        from zf.proof.tree import walk  # noqa: PLC0415 - most tasks leave nothing

        walk.take_all(tree, found, left, root, patterns, proofs)
    if found.renamed:
        data = object_lines({"schema": "zf/artifacts/v1", "renamed": found.renamed})
        tree.write(RENAMED, data)
    return found


def listed(told: Sequence[str], count: int | None = None, most: int = 10) -> str:
    """The first of them, and how many more there are of `count`."""
    more = (len(told) if count is None else count) - min(len(told), most)
    shown = ", ".join(told[:most])
    return f"{shown} and {more} more" if more else shown


def _why_large(size_bytes: int) -> str:
    if size_bytes <= MAX_BYTES:
        return ""
    return f"is beyond the limit of {MAX_BYTES >> 30} GiB of artifacts a task"


def copy_to(path: str, source: int, folder: int, name: str, found: Collected) -> str:
    target = os.open(name, NEW, 0o666, dir_fd=folder)
    try:
        return pass_bytes(path, source, target, found)
    except RefusedError:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(target)


def pass_bytes(path: str, source: int, target: int | None, found: Collected) -> str:
    """The SHA-256 of what is read, and in `target` the same bytes."""
    if found.secrets is not None and found.secrets.text(path) != path:
        raise LeakError("in its name")
    digest = sha256()
    with _beside(digest.update, os.fstat(source).st_size) as hash_on:
        blocks = _blocks(source, target, hash_on, found)
        if found.secrets is not None and (rules := found.secrets.search(path, blocks)):
            raise LeakError(*rules)
        for _ in blocks:
            pass
    return digest.hexdigest()


@contextmanager
def _beside(hash_on: Callable[[bytes], None], size: int) -> Iterator[Callable[[bytes], None]]:
    """Hash a large file on another core, one block behind: what else is done with the blocks, a
    look for secrets say, then takes no time of its own (2 GiB: 1.8 -> 1.2 times the hashing alone).
    """
    if size < _LARGE_BYTES:
        yield hash_on
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - 5 ms, and few are large

    usual_s = sys.getswitchinterval()
    # Hashing begins as soon as it is asked for, not when the rest has nothing to do for once.
    sys.setswitchinterval(_SWITCH_S)
    try:
        with ThreadPoolExecutor(1) as beside:
            under_way = beside.submit(hash_on, b"")

            def hash_next(block: bytes) -> None:
                nonlocal under_way
                under_way.result()
                under_way = beside.submit(hash_on, block)

            yield hash_next
            under_way.result()
    finally:
        sys.setswitchinterval(usual_s)


def _blocks(
    source: int, target: int | None, hash_on: Callable[[bytes], None], found: Collected
) -> Iterator[bytes]:
    """Each piece of a file as it passes."""
    while block := os.read(source, _BLOCK_BYTES):
        found.size_bytes += len(block)
        if reason := _why_large(found.size_bytes) or found.why_stopped():
            raise RefusedError(reason)
        hash_on(block)
        if target is not None:
            write_all(target, block)
        yield block
