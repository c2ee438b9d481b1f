"""How attempts on executors end: by a result that counts, without one, or with one too late."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from zf.engines import results
from zf.engines.agents import Given
from zf.engines.results import BadResultError
from zf.errors import error_text
from zf.events import (
    AttemptEnded,
    AttemptPlaced,
    Cause,
    ResultQuarantined,
    Status,
    timestamp,
)
from zf.lean.records import Struct, field
from zf.metrics.budget import Spent
from zf.proof import layout
from zf.proof.known import Known
from zf.work.artifacts import Briefly
from zf.work.control import Told
from zf.work.outcome import Outcome
from zf.work.worker import Shared

# The runner keeps lists of trees up to this size, as of those that its own workers tell.
_LIST_BYTES = 4096

Happening = AttemptEnded | AttemptPlaced | ResultQuarantined | Spent | Told


class Ends(Struct):
    """What has come of attempts; `events` are those that nothing has taken yet."""

    shared: Shared
    known: Known
    aside: str
    events: list[Happening] = field(default_factory=list)
    # What has come for each token: the digests of whole results.
    _came: dict[str, set[str]] = field(default_factory=dict)
    _unsynced: bool = False

    def take(self) -> list[Happening]:
        """What has come since the last call, and lasts: what the journal may name. Raises OSError
        where that cannot be made so.
        """
        if self._unsynced:
            self._unsynced = False
            results.sync(self.shared.run_dir)
        events, self.events = self.events, []
        return events

    def accept(self, given: Given, header: Mapping[str, Any]) -> None:
        """Take what came for the end of an attempt, if it is what its agent says, and if not lose
        the attempt and raise BadResultError.
        """
        incoming, given.incoming = given.incoming, None
        try:
            complete = results.complete(incoming, header)
            event = results.ended(header, given.task.id, given.attempt)
            results.put(complete, f"{self.aside}/{given.token}", self.shared.run_dir, event)
            self._came[given.token] = {complete.sha256}
            self._unsynced = True
            self._remember(event, plain=header.get("plain") is True)
            self.events.append(event)
        except BadResultError as error:
            self.lose(given, Cause.WORKER, f"what its agent sent does not count: {error}")
            raise
        except OSError as error:
            self.lose(given, Cause.STORAGE, f"its proof could not be written: {error_text(error)}")
        finally:
            if incoming is not None:
                incoming.close()

    def _remember(self, event: AttemptEnded, *, plain: bool) -> None:
        if not plain:
            self.known.remark_on(event.task)
        path = f"{self.shared.run_dir}/{event.task}/{layout.TASK_LIST}"
        listed = None
        if os.path.getsize(path) <= _LIST_BYTES:
            with open(path, encoding="ascii") as stream:
                listed = stream.read()
        self.known.take_list(event.task, listed)

    def too_late(self, given: Given) -> None:
        """Keep a result of an attempt that is over, unless it is one that has come before."""
        incoming, given.incoming = given.incoming, None
        if incoming is None:
            return
        before = self._came.setdefault(given.token, set())
        if incoming.sha256 not in before:
            name = f"{given.task.id}.{given.attempt}.{incoming.sha256[:16]}"
            proofs = os.path.dirname(self.shared.run_dir)
            results.quarantine(proofs, self.shared.place.run, incoming, name)
            told = (given.task.id, given.attempt, given.executor, incoming.sha256)
            self.events.append(ResultQuarantined(*told, differs=bool(before)))
            before.add(incoming.sha256)
        incoming.close()

    def lose(self, given: Given, cause: Cause, detail: str) -> None:
        """Nothing came of it that counts."""
        outcome = self._outcome(given)
        outcome.fail(cause, f"{given.executor}: {detail}", status=Status.LOST)
        self._decide(given, outcome)

    def stopped(self, given: Given) -> None:
        """It was ended before it began."""
        assert given.stop is not None
        outcome = self._outcome(given)
        outcome.take_stop(0, given.stop)
        self._decide(given, outcome)

    def _outcome(self, given: Given) -> Outcome:
        outcome = Outcome(given.task, given.attempt, timestamp(given.at), given.began)
        outcome.executor = given.executor
        return outcome

    def _decide(self, given: Given, outcome: Outcome) -> None:
        """Claim the tree as it lies here, as for an attempt whose worker has died."""
        self.known.take_list(given.task.id, None)
        self.known.remark_on(given.task.id)
        shared = self.shared
        limits = (shared.redactor, given.before, Briefly())
        self.events.append(
            outcome.write_abandoned_status(shared.run_dir, shared.place.run, *limits)
        )
