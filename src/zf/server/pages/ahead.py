"""The newest runs, read and drawn before anybody looks: of a large one that takes seconds, for
which its first page would wait.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event

from zf.proof import layout, read
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries
from zf.server.pages import run as page

_NEWEST = 2
# Between two looks whether one of them is over by now.
_LOOK_S = 2.0


class Ahead:
    """The runs of one server."""

    def __init__(self, runs: Summaries, opened: OpenRuns) -> None:
        self._runs = runs
        self._opened = opened
        self._made: set[str] = set()

    def make(self) -> None:
        """Make what is not made yet of the newest runs that are over."""
        newest = self._runs.names()[:_NEWEST]
        self._made &= {*newest}
        # The newest one last, which is given up last then.
        for name in reversed(newest):
            folder = f"{self._runs.proofs}/{name}"
            if name not in self._made and read.exists(folder, layout.MANIFEST):
                self._made.add(name)
                # Its row for the lists, which do not wait then until its pages are made.
                self._runs.of(name)
                for part in page.PARTS:
                    # A page that cannot be made says so to who asks for it.
                    with suppress(Exception), self._opened.open(name) as opened:
                        part(opened)

    def keep_up(self, ended: Event) -> None:
        """Do so for each run that ends, until the server does."""
        while not ended.wait(_LOOK_S):
            self.make()
