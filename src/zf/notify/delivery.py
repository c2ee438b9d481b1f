"""Sending what is due, once; and the process that does so beside what goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO

from zf.lean.records import Struct
from zf.notify.channels import Channel
from zf.notify.outbox import Letter, Outbox

# A letter whose channel zf.yaml does not have any more is kept, and says so.
_NO_CHANNEL = "zf.yaml has no such channel any more"
# How long a run in CI waits for its messages: what outlives its command there is ended.
CI_WAIT_S = 10.0


class Attempt(Struct, frozen=True):
    """One attempt to send a letter; `failed` says why it did not succeed, empty if it did."""

    letter: Letter
    failed: str = ""


def send_due(
    outbox: Outbox,
    channels: Mapping[str, Channel],
    environ: Mapping[str, str],
    now: Callable[[], float],
    *,
    wanted: Callable[[Letter], bool] | None = None,
) -> list[Attempt]:
    """Try once to send each letter that is due, or those that are `wanted`. Nothing while another
    process does.
    """
    made: list[Attempt] = []
    with outbox.sending() as is_sender:
        if not is_sender:
            return made
        chosen = outbox.due(now()) if wanted is None else filter(wanted, outbox.letters())
        for letter in chosen:
            failed = _attempt(letter, channels.get(letter.channel), environ, now())
            if failed:
                outbox.put(letter.after_failure(failed, now()))
            else:
                outbox.remove(letter)
            made.append(Attempt(letter, failed))
    return made


def _attempt(
    letter: Letter, channel: Channel | None, environ: Mapping[str, str], now: float
) -> str:
    from zf.notify.senders import NotSentError, send  # noqa: PLC0415 - a run only starts a sender

    if channel is None:
        return _NO_CHANNEL
    try:
        send(letter, channel, environ, now)
    except NotSentError as error:
        return str(error)
    return ""


def send_beside(root: str) -> subprocess.Popen[bytes]:
    """Start a process of its own that sends what is due in this project, and ends."""
    quiet: int | IO[bytes] = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", "zf", "notify", "send"],
        cwd=root,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
    )
