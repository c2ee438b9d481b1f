"""Which messages a run that is over, or that waits, gives rise to; they are put into the outbox."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.notify.channels import Channel, channels
from zf.notify.message import of_run
from zf.notify.outbox import Letter, Outbox
from zf.plan.notify.keys import FAILURE, RECOVERED, WAITING
from zf.proof import read
from zf.report.facts import Facts, build

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = frozenset({"failed", "timeout", "tampered"})
# So many runs back an earlier one of the same phases is looked for.
_MOST_RUNS_BACK = 200


def run_ended(
    run_dir: str,
    facts: Facts,
    head: str,
    said: Mapping[str, Any],
    *,
    root: str,
    now: float,
    hide: Callable[[str], str],
) -> int:
    """Tell of a run that is over, to the channels that zf.yaml has (`said`); how many letters were
    written. What they say went through `hide`.
    """
    about = _about(run_dir, facts)
    if about is None:
        return 0
    kind, first = about
    return tell(
        *(kind, run_dir, facts, channels(said)),
        head=head,
        first=first,
        root=root,
        now=now,
        hide=hide,
    )


def run_waits(
    run_dir: str,
    facts: Facts,
    said: Mapping[str, Any],
    *,
    root: str,
    now: float,
    hide: Callable[[str], str],
    task: str,
    note: str,
) -> int:
    """Tell that a task of a run waits for an approval; as above."""
    return tell(
        *(WAITING, run_dir, facts, channels(said)),
        root=root,
        now=now,
        hide=hide,
        note=note,
        again=task,
    )


def tell(
    about: str,
    run_dir: str,
    facts: Facts,
    those: Collection[Channel],
    *,
    root: str,
    now: float,
    hide: Callable[[str], str],
    head: str = "",
    first: bool = True,
    note: str = "",
    again: str = "",
) -> int:
    """Put this about a run into the outbox for each channel that wants it; how many do. `again`
    tells apart what may be told several times of one run.
    """
    outbox = Outbox(os.path.dirname(run_dir))
    wanting = [one for one in those if one.wants(about, facts.phases, first=first)]
    for channel in wanting:
        message = of_run(
            about,
            facts,
            project=os.path.basename(root),
            source=read.run_json(run_dir).get("source", {}),
            head=head,
            link=channel.link,
            tails=_tails(run_dir, facts, channel.log_lines) if about == FAILURE else None,
            note=note,
        )
        outbox.put(letter(about, f"{facts.run}/{again}", channel, hidden(message, hide), now))
    return len(wanting)


def letter(about: str, of: str, channel: Channel, message: Mapping[str, Any], now: float) -> Letter:
    """The letter of this message; its id is that of what it is about, for this channel."""
    name = sha256(f"{about}/{of}/{channel.name}".encode()).hexdigest()[:32]
    return Letter(f"msg_{name}", channel.name, now, now, message)


def hidden(value: Any, hide: Callable[[str], str]) -> Any:
    """The value with each text in it as `hide` leaves it."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: hidden(one, hide) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(one, hide) for one in value]
    return value


def _about(run_dir: str, facts: Facts) -> tuple[str, bool] | None:
    """What a run that is over is about, and whether the one before it was well."""
    if facts.result in _FAILED:
        before = _before(run_dir, facts)
        return FAILURE, before is None or before.result not in _FAILED
    if facts.result == "passed":
        before = _before(run_dir, facts)
        if before is not None and before.result in _FAILED:
            return RECOVERED, True
    return None


def _before(run_dir: str, facts: Facts) -> Facts | None:
    """The newest earlier run that this one can be held against."""
    proofs, own = os.path.split(run_dir)
    runs = read.list_runs(proofs)
    later = runs.index(own) + 1 if own in runs else 0
    for name in runs[later : later + _MOST_RUNS_BACK]:
        found = _facts(f"{proofs}/{name}")
        if found is not None and _is_told_by(found, facts):
            return found
    return None


def _is_told_by(before: Facts, facts: Facts) -> bool:
    """Whether what became of the earlier run says something about this one: of the same phases, and
    with the tasks that matter, as either may be a run of some tasks alone.
    """
    if before.phases.keys() != facts.phases.keys():
        return False
    if before.result in _FAILED:
        return facts.result != "passed" or {t.id for t in before.failed} <= facts.tasks.keys()
    if before.result != "passed":
        return False
    if facts.result == "passed":
        return facts.tasks.keys() <= before.tasks.keys()
    return {task.id for task in facts.failed} <= before.tasks.keys()


def _facts(run_dir: str) -> Facts | None:
    try:
        return build(read.plan_json(run_dir), read.journal(run_dir).events)
    except (ZfError, OSError, KeyError, TypeError, ValueError):
        return None  # such a run tells nothing


def _tails(run_dir: str, facts: Facts, lines: int) -> dict[str, Sequence[str]]:
    """The last lines of the logs of failed steps, of as many tasks as the message has causes."""
    if not lines:
        return {}
    failed = [task for task in facts.failed if task.step is not None][:10]
    return {
        task.id: read.log_tail(run_dir, task.id, facts.step_number(task), lines=lines)
        for task in failed
    }
