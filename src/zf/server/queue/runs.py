"""The runs of items: started, taken up and ended as processes of their own, and looked at.

Alive is what the kernel says: the lock on the run's id is held, by its runner or a worker of it. No
process number, no heartbeat and no age stands for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import ZfError, printable
from zf.events import RunResumed
from zf.proof import layout, read
from zf.report.facts import build
from zf.run.host.lock import cancel, is_locked, is_run
from zf.server.queue.rules import Seen

if TYPE_CHECKING:
    from zf.server.queue.items import Item

STARTING = "starting"
_MOST_SAID = 2000


class Runs:
    """The runs that this process began, and what can be seen of any run of the project."""

    def __init__(self, root: str, home: str, folder: str) -> None:
        self._root = root
        self._proofs = f"{home}/proofs"
        self._folder = f"{folder}/{STARTING}"
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # Runs that were asked to end by this process: asking twice ends them at once.
        self._asked: set[str] = set()

    def start(self, item: Item, environ: Mapping[str, str]) -> None:
        """Start the run of an item."""
        given = [word for name, value in item.inputs.items() for word in ("-i", f"{name}={value}")]
        verb = ["run-phase", *item.phases] if item.phases else ["run", *item.tasks]
        self._spawn(item, [*verb, "--run-id", item.run, *given], environ)

    def take_up(self, item: Item, environ: Mapping[str, str]) -> None:
        """Resume the run of an item."""
        self._spawn(item, ["resume", item.run], environ)

    def _spawn(self, item: Item, words: list[str], environ: Mapping[str, str]) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        with open(f"{self._folder}/{item.run}.log", "wb") as log:
            self._children[item.run] = subprocess.Popen(
                [sys.executable, "-m", "zf", "-C", self._root, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    def end(self, item: Item) -> None:
        """Ask the run of an item to end, once."""
        if item.run not in self._asked:
            with suppress(ZfError):
                cancel(self._proofs, item.run, None)
                self._asked.add(item.run)

    def forget(self, item: Item) -> None:
        """The item is over."""
        self._children.pop(item.run, None)
        self._asked.discard(item.run)
        with suppress(OSError):
            os.unlink(f"{self._folder}/{item.run}.log")

    def look(self, item: Item) -> Seen:
        """What there is to be seen of an item's run now."""
        run_dir = f"{self._proofs}/{item.run}"
        child = self._children.get(item.run)
        code = child.poll() if child is not None else None
        # Looked at in this order: a run that ends meanwhile is seen as alive, not as dead; and the
        # lock is touched only where no process of ours could be about to take it.
        if is_run(self._proofs, item.run):
            return Seen(alive=True)
        if child is not None and code is None:
            return Seen(child=True)
        if is_locked(self._proofs, item.run):
            return Seen(alive=True)
        said = self._said(item) if code is not None else ""
        if not os.path.isdir(run_dir):
            return Seen(exit_code=code, said=said)
        try:
            events = read.journal(run_dir).events
            facts = build(read.plan_json(run_dir), events)
        except ZfError:
            return Seen(here=True, exit_code=code, said=said)
        is_sealed = os.path.lexists(f"{run_dir}/{layout.MANIFEST}")
        return Seen(
            here=True,
            sealed=is_sealed,
            result=facts.result,
            result_code=facts.exit_code if facts.exit_code is not None else 1,
            resumes=sum(isinstance(event, RunResumed) for event in events),
            exit_code=code,
            said=said,
        )

    def _said(self, item: Item) -> str:
        """The last line that the process of an item said, without the project's place."""
        with suppress(OSError), open(f"{self._folder}/{item.run}.log", "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _MOST_SAID))
            text = log.read().decode("utf-8", "replace").replace(f"{self._root}/", "")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            errors = [line for line in lines if "error" in line.lower()]
            return printable((errors or lines or [""])[0])[:500]
        return ""
