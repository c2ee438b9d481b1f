"""Messages about a run, where zf.yaml has channels for them: written down, and sent beside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.cli.display import streams
from zf.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.events import ApprovalAsked, Event
    from zf.model import Flow
    from zf.report.facts import Facts
    from zf.run.sealing import Launched

    Watch = Callable[[Event | None, Facts, float], None]


def with_waiting(watch: Watch, flow: Flow, hide: Callable[[str], str]) -> Watch:
    """The same watching, which also tells of tasks that wait for an approval."""
    from zf.events import ApprovalAsked

    def telling(event: Event | None, facts: Facts, mono: float) -> None:
        watch(event, facts, mono)
        if isinstance(event, ApprovalAsked):
            _run_waits(event, facts, flow, hide)

    return telling


def _run_waits(asked: ApprovalAsked, facts: Facts, flow: Flow, hide: Callable[[str], str]) -> None:
    from zf.notify import announce, delivery

    by = f"{', '.join(asked.by)} may approve {asked.task}: zf approve {facts.run} {asked.task}"
    try:
        written = announce.run_waits(
            f"{flow.proofs}/{facts.run}",
            facts,
            flow.project.notify,
            root=flow.root,
            now=time.time(),
            hide=hide,
            task=asked.task,
            note=f"{asked.prompt}\n{by}" if asked.prompt else by,
        )
        if written:
            delivery.send_beside(flow.root)
    except OSError as error:
        _warn(facts.run, error)


def run_ended(done: Launched, flow: Flow, hide: Callable[[str], str]) -> None:
    """Tell of a run that is over. What goes wrong is said, and changes nothing of the run."""
    from zf.notify import announce, delivery
    from zf.notify.outbox import Outbox

    try:
        written = announce.run_ended(
            done.run_dir,
            done.facts,
            done.head,
            flow.project.notify,
            root=flow.root,
            now=time.time(),
            hide=hide,
        )
        if written or Outbox(flow.proofs).due(time.time()):
            sender = delivery.send_beside(flow.root)
            if os.environ.get("CI"):  # what outlives the command is ended there
                with suppress(subprocess.TimeoutExpired):
                    sender.wait(delivery.CI_WAIT_S)
    except OSError as error:
        _warn(done.run, error)


def _warn(run: str, error: OSError) -> None:
    said = Problem(
        code="ZF860",
        message=f"no message about run {run} could be written: {error.strerror}",
        hint="see to the folder of the proofs; zf notify lists what waits to be sent",
        severity="warning",
    )
    streams.say(sys.stderr, said.render() + "\n")
