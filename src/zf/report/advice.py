"""What to do about a run: which tasks to mend first, and the commands to type next.

Each command is one that works as it stands; a test types them all. Pure; `zf` is how the
user calls zf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.errors import in_shell, printable
from zf.events import WELL, Status
from zf.lean.records import Struct
from zf.model import base_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zf.report.causes import RootCause
    from zf.report.facts import Facts

_NOT_BROKEN = frozenset({Status.SKIPPED, Status.CANCELLED})
# A longer list of names is no advice to act on.
_MOST_NAMES = 5


class FixFirst(Struct, frozen=True):
    """The tasks whose repair frees most others, and how many: one task if any frees others by
    itself, else the fewest that do so together.
    """

    tasks: tuple[str, ...]
    frees: int

    def render(self, paint: Sequence[str]) -> str:
        """In words; `paint` are the names as they are to be shown."""
        gain = f"{self.frees} {'task' if self.frees == 1 else 'tasks'}"
        if len(paint) == 1:
            return f"{paint[0]} - frees {gain}"
        shown, more = paint[:_MOST_NAMES], len(paint) - _MOST_NAMES
        names = f"{', '.join(shown)} and {more} more" if more > 0 else _listed(shown)
        return f"{names} - none frees a task by itself, together they free {gain}"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def fix_first(facts: Facts) -> FixFirst | None:
    """What to mend first, if anything is held up by something that went wrong."""
    # What was skipped or cancelled is not broken: there is nothing to mend in it.
    blocking = [cause for cause in facts.causes if cause.blocks and cause.word not in _NOT_BROKEN]
    first = min(blocking, key=lambda c: (-c.frees, -c.blocks, c.task), default=None)
    if first is None:
        return None
    return FixFirst((first.task,), first.frees) if first.frees else _together(facts, blocking)


def _together(facts: Facts, blocking: Sequence[RootCause]) -> FixFirst:
    """The smallest set of causes that holds up a task, as none is held up by one alone."""
    unmet = {entry.task: entry.unmet for cause in facts.causes for entry in cause.held}
    number = {cause.task: n for n, cause in enumerate(blocking)}
    behind: dict[str, int] = {}  # the causes behind a task, as bits
    for name in facts.tasks:  # needs come before their dependents
        if name in unmet:
            bits = 0
            for need in unmet[name]:
                bits |= behind.get(need, 0) | (1 << number[need] if need in number else 0)
            behind[name] = bits
    sets = [bits for bits in behind.values() if bits]
    if not sets:
        return FixFirst((blocking[0].task,), blocking[0].blocks)
    fewest = min(sets, key=lambda bits: (bits.bit_count(), bits))
    freed = sum(not bits & ~fewest for bits in sets)
    return FixFirst(tuple(name for name, n in number.items() if fewest >> n & 1), freed)


def after_end(facts: Facts, zf: str = "zf") -> list[str]:
    """The commands to type when the run is over: nothing when all went well."""
    ill = [task for task in facts.tasks.values() if not (task.warned or task.status in WELL)]
    if not ill:
        return []
    failed = [task.id for task in ill if not task.is_handler]
    run = in_shell(facts.run)
    if not failed:  # handlers cannot be run by themselves
        return [f"{zf} explain {run} {in_shell(task.id)}" for task in ill[:1]]
    if not facts.needs_checked:
        # Without its needs a task that reads what they kept can only fail again.
        needs = " --with-needs" if facts.tasks[failed[0]].needs else ""
        # The instances of one matrix are the task that was named.
        named = failed[0] if len(failed) == 1 else base_of(failed[0])
        return [f"{zf} run-task {in_shell(named)}{needs}"]
    return [f"{zf} rerun {run} --failed"]


def approvals(facts: Facts, zf: str = "zf") -> list[str]:
    """The commands by which what waits for approval is approved."""
    waiting = [task.id for task in facts.tasks.values() if task.unanswered is not None]
    return [
        f"{zf} approve {in_shell(facts.run)} {in_shell(name)}" for name in waiting[:_MOST_NAMES]
    ]


def no_runner(facts: Facts, *, alive: bool = False, sealed: bool = False) -> str:
    """A sentence about a run that never ended and that no zf runs any more; none about others."""
    if alive or facts.exit_code is not None:
        return ""
    if facts.suspended and not sealed:
        return f"{printable(facts.run)} waits for approval: its zf left it to be resumed"
    then = "it was sealed as it was" if sealed else "nothing runs it any more"
    return f"{printable(facts.run)} never ended: its zf was killed, and {then}"


def commands(
    facts: Facts, *, alive: bool = False, sealed: bool = False, zf: str = "zf"
) -> list[str]:
    """The commands to type: none while the run goes on, but for approvals that it waits for;
    `resume` where its zf was killed, or left it, unless it was `sealed` since.
    """
    if facts.exit_code is None and not sealed and (asked := approvals(facts, zf)):
        again = [] if alive else [f"{zf} resume {in_shell(facts.run)}"]
        return [*asked, *again]
    if alive:
        return []
    if facts.exit_code is None and not sealed:
        return [f"{zf} resume {in_shell(facts.run)}"]
    return after_end(facts, zf)


def lines(facts: Facts, *, alive: bool = False, sealed: bool = False, zf: str = "zf") -> list[str]:
    """The same as lines to print, after what there is to say of a run that no zf runs any more."""
    dead = no_runner(facts, alive=alive, sealed=sealed)
    told = commands(facts, alive=alive, sealed=sealed, zf=zf)
    return [*([dead] if dead else []), *(f"Next: {command}" for command in told)]
