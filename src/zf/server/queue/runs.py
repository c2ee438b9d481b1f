"""The runs of items: started, taken up and ended as processes of their own, and looked at.

Alive is what the kernel says: the lock on the run's id is held, by its runner or a worker of it. No
process number, no heartbeat and no age stands for that.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from zf.errors import Exit, ZfError, printable
from zf.events import RunResumed, RunSuspended
from zf.proof import layout, read
from zf.report.facts import build
from zf.run.gates import box
from zf.run.host.lock import cancel, is_locked, is_run
from zf.server.queue.rules import Seen

if TYPE_CHECKING:
    from zf.server.project import Served
    from zf.server.queue.items import Item
    from zf.server.starting import Starting

# The variable by which a run is told where that is which was delivered for it.
DELIVERED = "ZF_TRIGGER_PAYLOAD"
PAYLOADS = "payloads"
# What zf says when the id of its run is another's.
_TAKEN = ("ZF120", "ZF122")


class Runs:
    """The runs of the items of a project."""

    def __init__(self, starting: Starting, project: Served) -> None:
        self._starting = starting
        self._project = project
        # Runs that were asked to end by this process: asking twice ends them at once.
        self._asked: set[str] = set()

    def start(self, item: Item) -> None:
        """Start the run of an item. Raises OSError."""
        given = [word for name, value in item.inputs.items() for word in ("-i", f"{name}={value}")]
        verb = ["run-phase", *item.phases] if item.phases else ["run", *item.tasks]
        words = [*verb, "--run-id", item.run, *given]
        digest = item.source.payload_sha256
        environ = {DELIVERED: payload_path(self._project.folder, digest)} if digest else {}
        self._starting.start(words, item.run, asked_by(item), environ)

    def take_up(self, item: Item) -> None:
        """Resume the run of an item. Raises OSError."""
        self._starting.start(["resume", item.run], item.run, asked_by(item))

    def end(self, item: Item) -> None:
        """Ask the run of an item to end, once."""
        if item.run not in self._asked:
            with suppress(ZfError):
                cancel(self._project.proofs, item.run, None)
                self._asked.add(item.run)

    def forget(self, item: Item) -> None:
        """The item is over."""
        self._asked.discard(item.run)
        self._starting.forget(item.run)

    def look(self, item: Item) -> Seen:
        """What there is to be seen of an item's run now."""
        proofs = self._project.proofs
        run_dir = f"{proofs}/{item.run}"
        # Looked at in this order: a run that ends meanwhile is seen as alive, not as dead; and the
        # lock is touched only where no process of ours could be about to take it.
        if is_run(proofs, item.run):
            return Seen(alive=True)
        if self._starting.gets_ready(item.run):
            return Seen(child=True)
        if is_locked(proofs, item.run):
            return Seen(alive=True)
        code, said = self._failed(item)
        if not os.path.isdir(run_dir):
            return Seen(exit_code=code, said=said)
        try:
            events = read.journal(run_dir).events
            facts = build(read.plan_json(run_dir), events)
        except ZfError:
            return Seen(here=True, exit_code=code, said=said)
        suspended = facts.result == "waiting"
        return Seen(
            here=True,
            sealed=os.path.lexists(f"{run_dir}/{layout.MANIFEST}"),
            suspended=suspended,
            answered=suspended and bool(box.waiting(run_dir)),
            result=facts.result,
            result_code=facts.exit_code if facts.exit_code is not None else 1,
            resumes=sum(
                isinstance(event, RunResumed) and not isinstance(before, RunSuspended)
                for before, event in pairwise(events)
            ),
            exit_code=code,
            said=said,
        )

    def _failed(self, item: Item) -> tuple[int | None, str]:
        """What the zf that was started last said where it left no run, and its exit code."""
        ended = self._starting.exit_code(item.run)
        if ended is None:
            return None, ""
        code, why = self._starting.failed(item.run, ended).why_not
        if code in _TAKEN:
            return int(Exit.RUN_ID_TAKEN), ""
        return ended, printable(f"{why} ({code})")[:500]


def payload_path(folder: str, digest: str) -> str:
    """Where what was delivered is kept, by its digest."""
    return f"{folder}/{PAYLOADS}/{digest}"


def asked_by(item: Item) -> dict[str, str]:
    """What goes into the run's own record of why it was started."""
    source = item.source
    return {
        "by": source.by,
        "via": source.via or source.kind,
        "address": source.address,
        "name": source.name,
        "delivery": source.delivery,
        "payload_sha256": source.payload_sha256,
        "item": item.item,
    }
