"""The project that is served: where it is, its task files as they are now, and its runs."""

from __future__ import annotations

import os
import threading
from typing import Self

from zf.errors import ZfError
from zf.model import Flow
from zf.plan import places
from zf.server import state
from zf.server.live.flows import Flows


class Served:
    """One project. `flow` reads its files anew; `flows` keeps that until one of them changes."""

    def __init__(self, root: str, home: str) -> None:
        """Raises OSError where the server's folder cannot be made."""
        self.root = root
        self.proofs = f"{home}/proofs"
        self.home = home
        self.folder = state.folder(root)
        self.flows = Flows(root, self.flow)
        # The loader keeps nothing between two calls, but what it calls caches.
        self._lock = threading.Lock()

    @classmethod
    def around(cls, start: str) -> Self:
        """That around a folder; raises ZfError (exit 2) where there is none."""
        root, home = places.find_root(start)
        try:
            return cls(root, home)
        except OSError as error:
            raise ZfError(
                f"the server cannot keep its tokens in {root}/{places.SERVER_FOLDER}:"
                f" {error.strerror}",
                code="ZF806",
            ) from None

    @property
    def name(self) -> str:
        """What people call it: its folder."""
        return os.path.basename(self.root) or "zf"

    def flow(self) -> Flow:
        """The tasks, checked. Raises ZfError with all problems of all files."""
        from zf.plan import load  # noqa: PLC0415 - brings the parsers along
        from zf.settings import resolve  # noqa: PLC0415 - as above

        timeout = resolve(os.environ, default_run_id="serve").phase_timeout_s
        with self._lock:
            loaded = load.load(self.root, self.home, default_phase_timeout_s=timeout.value)
        if loaded.flow is None:
            count = sum(problem.severity == "error" for problem in loaded.problems)
            raise ZfError(
                f"{count} errors in the task files", code="ZF807", problems=loaded.problems
            )
        return loaded.flow
