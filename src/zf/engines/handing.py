"""What an agent is handed: the run, once; each attempt with its needs; and the files of both."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from zf.engines import results
from zf.engines.agents import Given
from zf.engines.results import BadResultError
from zf.lean.encoder import encoder
from zf.lean.records import Struct
from zf.model import Task
from zf.proof import layout
from zf.proof.known import Known
from zf.work.agent import spec
from zf.work.agent.archive import files_below, pack
from zf.work.agent.frames import PIECE, PIECE_BYTES, Saying
from zf.work.context import needed
from zf.work.worker import Shared

# What is kept of a need for those that need it.
_OF_A_NEED = (layout.CHECKSUMS, layout.ARTIFACTS, layout.OUTPUTS)
_CHECKOUT = "checkout"
_encode = encoder()


class Handing(Struct):
    """What all agents of a run are handed; `checkout` is the archive of the project."""

    shared: Shared
    tasks: Mapping[str, Task]
    known: Known
    checkout: str
    digest: str
    # What each agent is told of the run, encoded once; empty where it is to be encoded anew.
    told: bytes = b""

    def begin(self, executor: str, lease_s: float) -> tuple[dict[str, Any], bytes]:
        """What one is told of the run."""
        header = {
            "lease_s": lease_s,
            "executor": executor,
            "checkout": self.digest,
            "name": os.path.basename(self.shared.place.root) or "project",
        }
        if not self.told:
            self.told = _encode(spec.told(self.shared, self.tasks.values())).encode()
        return header, self.told

    def start(self, given: Given, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What one is told of an attempt."""
        task, shared = given.task, self.shared
        names = [need.task for need in needed(task, shared.joined)]
        needs = self.known.lists_for_others(names)
        met = [(name, shared.upstream[name]) for name in names if name in shared.upstream]
        trees = [f"{shared.place.run}/{name}" for name in needs]
        trees += [f"{one.run}/{name}" for name, one in met if one.task_sha256]
        return {
            "token": given.token,
            "task": task.id,
            "attempt": given.attempt,
            "spent": dict(given.spent),
            "facts": dict(facts),
            "needs": needs,
            "trees": trees,
            "before": given.before,
            "earlier": results.earlier_lists(shared.run_dir, task.id),
        }

    def blob(self, name: str) -> Saying:
        """What one asks for, piece by piece: the checkout, or what a need left. Raises OSError, and
        BadResultError for what is not for it.
        """
        if name == _CHECKOUT:
            return _as_frames(name, _pieces(self.checkout))
        run, _, task = name.partition("/")
        if not self._may_have(run, task):
            raise BadResultError(f"it asks for {name!r:.100}, which no task of its needs")
        tree = f"{os.path.dirname(self.shared.run_dir)}/{run}/{task}"
        wanted = [path for path in files_below(tree) if path.split("/")[0] in _OF_A_NEED]
        return _as_frames(name, pack(tree, wanted))

    def _may_have(self, run: str, task: str) -> bool:
        met = self.shared.upstream.get(task)
        is_of_this = task in self.known.trees and run == self.shared.place.run
        return is_of_this or (met is not None and met.run == run)


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def _as_frames(name: str, pieces: Iterator[bytes]) -> Saying:
    held = b""
    for piece in pieces:
        held += piece
        if len(held) >= PIECE_BYTES:
            yield PIECE, {"blob": name, "last": False}, held
            held = b""
    yield PIECE, {"blob": name, "last": True}, held
