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

    from zf.model import Flow
    from zf.run.sealing import Launched


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
        said = Problem(
            code="ZF860",
            message=f"no message about run {done.run} could be written: {error.strerror}",
            hint="see to the folder of the proofs; zf notify lists what waits to be sent",
            severity="warning",
        )
        streams.say(sys.stderr, said.render() + "\n")
