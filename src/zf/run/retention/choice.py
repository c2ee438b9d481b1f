"""Which runs are to go, by what was asked for, and why each of the others stays. Pure: what is
known of each run comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from zf.lean.records import Struct, field
from zf.model import NOTHING


class Known(Struct, frozen=True):
    """What is known of a run. `result` is that of its journal, `ended` when its last line was
    written, in seconds since the epoch; `stays` says why it cannot be removed, whatever is asked
    for, and is empty where nothing keeps it.
    """

    run: str
    result: str
    ended: float
    phases: Collection[str] = ()
    branch: str | None = None
    stays: str = ""


class Rule(Struct, frozen=True):
    """What was asked for: of the runs of a phase or a branch, if one is named, go those that are
    beyond the newest `keep` and that ended more than `older_s` seconds ago; with `named`, just
    these.
    """

    keep: int | None = None
    older_s: float | None = None
    keep_failed: bool = False
    phase: str | None = None
    branch: str | None = None
    named: tuple[str, ...] = ()
    older: str = ""

    def words(self) -> str:
        """Why a run goes, as its tombstone says it."""
        if self.named:
            return "named"
        told = [f"older than {self.older}"] if self.older_s is not None else []
        told += [f"not among the newest {self.keep}"] if self.keep is not None else []
        told += ["not failed"] if self.keep_failed else []
        told += [f"with phase {self.phase}"] if self.phase is not None else []
        told += [f"of branch {self.branch}"] if self.branch is not None else []
        return ", ".join(told)


class Choice(Struct, frozen=True):
    """The runs that go, newest first, and for each other run why it stays. `common` are those that
    stay by the rule alone, the others could not go though it says so.
    """

    go: tuple[Known, ...] = ()
    stay: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    common: Mapping[str, str] = field(default_factory=lambda: NOTHING)


def choose(
    runs: Sequence[Known],
    rule: Rule,
    now: float,
    built_on_by: Callable[[str], Iterable[tuple[str, str]]],
) -> Choice:
    """What a rule comes to among all runs, which are given newest first. `built_on_by` tells the
    runs that build on one, and how: what stays keeps what it builds on.
    """
    stay: dict[str, str] = {}
    common: dict[str, str] = {}
    go: dict[str, Known] = {}
    place = 0
    for one in runs:
        place += _is_meant(one, rule)
        if why := _by_rule(one, rule, place, now):
            common[one.run] = why
        elif one.stays:
            stay[one.run] = one.stays
        else:
            go[one.run] = one
    while kept := _needed(go, built_on_by):
        stay |= kept
        for run in kept:
            del go[run]
    return Choice(tuple(go.values()), stay, common)


def _needed(
    go: Collection[str], built_on_by: Callable[[str], Iterable[tuple[str, str]]]
) -> dict[str, str]:
    """Those of the runs that a run builds on which stays, and why."""
    return {
        run: f"run {other} {how}"
        for run in go
        for other, how in built_on_by(run)
        if other not in go
    }


def _is_meant(one: Known, rule: Rule) -> bool:
    return (rule.phase is None or rule.phase in one.phases) and (
        rule.branch is None or rule.branch == one.branch
    )


def _by_rule(one: Known, rule: Rule, place: int, now: float) -> str:
    """Why the rule alone leaves the run where it is; empty if it does not."""
    if rule.named:
        return "" if one.run in rule.named else "not named"
    if not _is_meant(one, rule):
        return "of another phase" if rule.phase is not None else "of another branch"
    if rule.keep is not None and place <= rule.keep:
        return f"among the newest {rule.keep}"
    if rule.older_s is not None and now - one.ended <= rule.older_s:
        return f"not older than {rule.older}"
    if rule.keep_failed and one.result != "success":
        return "did not succeed"
    return ""
