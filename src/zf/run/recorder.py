"""Where an event goes: into the journal, and once that lasts, into the facts and to the watcher.

The watcher is told nothing that a crash could still undo.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from zf.events import AttemptEnded, Event, timestamp
from zf.proof.journal import Journal
from zf.proof.known import Known
from zf.report.facts import Facts, Fold

# Called with every event, and with None when only time has passed; the float is monotonic seconds.
Watch = Callable[[Event | None, Facts, float], None]


class Recorder:
    """The runner's only way to say that something happened; `facts` are those of all that was
    committed. The digests of task lists that go by are remembered in `known`.
    """

    def __init__(
        self, journal: Journal, fold: Fold, watch: Watch, known: Known | None = None
    ) -> None:
        self.facts = fold.facts
        self._journal = journal
        self._fold = fold
        self._watch = watch
        self._known = known or Known()
        self._uncommitted: list[tuple[Event, float, str]] = []
        self._untold: list[tuple[Event, float, str]] = []

    def record(self, event: Event) -> float:
        """Write the event down; it lasts, and is passed on, from the next `commit` on.

        Returns the moment that the journal has for it, in monotonic seconds. Raises OSError when it
        cannot be written, or tells of an attempt whose outcome could not be: without its proof an
        end does not count, and a later zf can still find the attempt open and run it again.
        """
        if isinstance(event, AttemptEnded) and not event.task_sha256:
            raise OSError(f"task {event.task!r}: {event.detail}")
        self._known.take(event)
        mono = round(time.monotonic(), 6)
        wall = timestamp(time.time())
        self._journal.append(event, wall, mono)
        self._uncommitted.append((event, mono, wall))
        return mono

    def flush(self) -> None:
        """Make everything recorded so far survive a kill of the runner."""
        self._journal.flush()

    def sha256(self) -> str:
        """The SHA-256 of all that was recorded, in hex, once it is out of this process."""
        self._journal.flush()
        return self._journal.sha256

    def commit(self) -> None:
        """Make everything recorded so far survive a crash of the machine; then tell it, event by
        event, each with the facts as it left them.
        """
        self._journal.commit()
        for event, mono, _ in self._untold:
            self._watch(event, self.facts, mono)
        committed, self._uncommitted, self._untold = self._uncommitted, [], []
        for event, mono, wall in committed:
            self._fold.apply(event, mono, wall)
            self._watch(event, self.facts, mono)

    def begin(self) -> None:
        """The same for the first event, but what is to show it hears of it with the next ones: no
        task waits until that is imported.
        """
        self._journal.commit()
        for event, mono, wall in self._uncommitted:
            self._fold.apply(event, mono, wall)
        self._uncommitted, self._untold = [], self._uncommitted

    def close(self) -> tuple[str, str]:
        """Commit and let go of the journal; the SHA-256 of its last line and of all of it, in hex.

        Of what was written, that is: another file may lie at its path by now.
        """
        self.commit()
        self._journal.close()
        return self._journal.head, self._journal.sha256

    def tick(self, mono: float) -> None:
        """Let the watcher look at the clock."""
        self._watch(None, self.facts, mono)
