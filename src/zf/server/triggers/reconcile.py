"""Asking a source of truth which runs there should be: a git ref, or a command that prints keys.

What it names, and what the queue has no item for yet, is queued; so a delivery that was lost, or a
server that was away, costs a few minutes and no run.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

from zf.server.queue.items import RECONCILE, Source
from zf.server.queue.records import Record
from zf.server.queue.rules import admit

if TYPE_CHECKING:
    from zf.model import Flow
    from zf.server.queue.fold import Entry, State
    from zf.server.triggers.current import Current
    from zf.server.triggers.declared import Reconcile

_WAIT_S = 60.0
_MOST_KEYS = 1000
_MOST_KEY = 200
# Ends of items after which there is a need for another one: it never ran to its end.
_IN_VAIN = frozenset({"lost", "expired"})


class AskError(Exception):
    """The source of truth could not be asked."""


class Asked:
    """How one source of truth is doing, shown to people."""

    def __init__(self) -> None:
        self.last_run: float | None = None
        self.keys = 0
        self.error = ""


class Reconciler:
    """Asks each source when it is due, outside of the queue's lock, as it may take its time."""

    def __init__(self, current: Current, root: str) -> None:
        self._current = current
        self._root = root
        self.asked: dict[str, Asked] = {}

    def due(self, now: float) -> list[str]:
        """The sources that are to be asked now."""
        self._current.flow()
        found = []
        for name, source in self._current.reconcile.items():
            last = self.asked.setdefault(name, Asked()).last_run
            if last is None or now - last >= source.every_min * 60 or now < last:
                found.append(name)
        return found

    def ask(self, name: str) -> list[str]:
        """The keys that a source names now; none, and a remark, where it cannot be asked."""
        asked = self.asked.setdefault(name, Asked())
        asked.last_run = time.time()
        try:
            keys = ask(self._current.reconcile[name], self._root)
        except AskError as error:
            asked.error = str(error)
            return []
        asked.error, asked.keys = "", len(keys)
        return keys


def lines(
    state: State, flow: Flow, name: str, source: Reconcile, keys: list[str]
) -> Iterator[Record]:
    """The lines for those keys that have no item, or whose items were all lost or rejected."""
    for key in keys:
        item = _next_id(state, name, key)
        if item is None or any(_counts(entry, key) for entry in state.entries.values()):
            continue
        inputs = {one: str(value) for one, value in source.inputs.items()}
        inputs |= {source.input: key} if source.input else {}
        told = Source(RECONCILE, name, delivery=key, via="reconcile")
        yield from admit(state, source.item(item, told, flow, inputs, key))


def _counts(entry: Entry, key: str) -> bool:
    """Whether it is an item for that key, whatever it is from, that was not in vain."""
    return entry.item.key == key and entry.state not in _IN_VAIN


def _next_id(state: State, name: str, key: str) -> str | None:
    """The id of an item for this key: it follows from the key, so that there is no second one."""
    first = f"{name}-{sha256(key.encode()).hexdigest()[:16]}"
    for number in range(1, 4):
        item = first if number == 1 else f"{first}-{number}"
        entry = state.entries.get(item)
        if entry is None:
            return item
        if entry.state not in _IN_VAIN:
            return None
    return None


def ask(source: Reconcile, root: str) -> list[str]:
    """The keys that it names. Raises AskError."""
    if source.command:
        printed = _run(["/bin/sh", "-c", source.command], root)
        keys = [line.strip() for line in printed.splitlines() if line.strip()]
    elif source.remote:
        found = _run(["git", "ls-remote", "--exit-code", source.remote, source.git_ref], root)
        keys = [found.split()[0]] if found.split() else []
    else:
        keys = [
            _run(["git", "rev-parse", "--verify", f"{source.git_ref}^{{commit}}"], root).strip()
        ]
    return [key for key in dict.fromkeys(keys) if len(key) <= _MOST_KEY][:_MOST_KEYS]


def _run(words: list[str], root: str) -> str:
    try:
        done = subprocess.run(
            words,
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AskError(f"it did not answer within {_WAIT_S:g} seconds") from None
    except OSError as error:
        raise AskError(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AskError(f"exit code {done.returncode}" + (f": {said[-1][:200]}" if said else ""))
    return done.stdout.decode("utf-8", "replace")
