"""Which trace a run belongs to, and the ids of its spans: W3C Trace Context.

Ids of spans are not kept anywhere. They are made from names, so that what a step was told while it
ran is what is exported later. https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Self

from zf.lean import lazy
from zf.lean.records import Struct

# The variable in which a parent is handed down.
TRACEPARENT = "TRACEPARENT"
# Versions after 00 may have more behind these four fields; ff is none.
_HEADER = lazy.pattern(
    r"(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"
    r"|(?!ff|00)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[^\n]*)?)"
)
_SAMPLED = 1


class Parent(Struct, frozen=True):
    """The span that another program handed down."""

    trace_id: str
    span_id: str
    sampled: bool

    @classmethod
    def read(cls, header: str) -> Self | None:
        """What a traceparent says; None for one that has not its form, which counts as none."""
        found = _HEADER.fullmatch(header)
        if found is None:
            return None
        trace_id, span_id, flags = [field for field in found.groups() if field is not None]
        if not (trace_id.strip("0") and span_id.strip("0")):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


class Trace(Struct, frozen=True):
    """The trace of one run. `traceparent` is what the run was handed, empty without any;
    `trace_id` is empty for a run that has no trace.
    """

    run: str = ""
    trace_id: str = ""
    traceparent: str = ""

    @classmethod
    def begin(cls, run: str, traceparent: str) -> Self:
        """The trace of a new run: its parent's, or else one of its own."""
        parent = Parent.read(traceparent) if traceparent else None
        if parent is None:
            return cls(run, os.urandom(16).hex())
        return cls(run, parent.trace_id, traceparent)

    @property
    def parent(self) -> Parent | None:
        """The span that the run's own is a child of."""
        return Parent.read(self.traceparent) if self.traceparent else None

    def span_id(self, *names: str) -> str:
        """The id of a span of this run, which these names tell from its others."""
        key = "\0".join((self.trace_id, self.run, *names))
        return sha256(key.encode()).hexdigest()[:16]

    def step(self, task: str, attempt: int, command: str) -> str:
        """The traceparent for a step, or another command, by the name of its files; empty for a run
        without a trace.
        """
        if not self.trace_id:
            return ""
        parent = self.parent
        flags = "01" if parent is None or parent.sampled else "00"
        return f"00-{self.trace_id}-{self.span_id('step', task, str(attempt), command)}-{flags}"
