"""What a caller demands of a run besides its being whole, and which demands are not met. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.audit.account import Account
from zf.audit.findings import Finding
from zf.audit.result import passed
from zf.errors import printable
from zf.inputs import differs, is_hidden
from zf.lean.records import Struct, field

# Clocks of different machines, when an age is asked for.
_SKEW_S = 300.0
# Of what a run.json says, which may be anything.
_NOTE_CHARS = 500


class Approved(Struct, frozen=True):
    """The approvers that a task must have: `min` of these, or of any; with `four_eyes`, none that
    started the run.
    """

    approved_by: tuple[str, ...] = ()
    min: int = 1
    four_eyes: bool = False


class Expectations(Struct, frozen=True):
    """What the caller wants to be true besides; None and empty mean no matter.

    `commit` may be shortened to seven digits; `plan` is the SHA-256 of plan.json, `head` the
    hash of the journal's last line as printed when the run ended. `tasks` has the statuses allowed
    to each of them; a phase counts only when all of its tasks were in the run and their needs were
    looked at, and of `successful_phases` every task must have passed; no task may have taken more
    than `max_attempts`; with `no_cached` none may have the result of an earlier run, with
    `no_interactive` at none a person may have typed. `result` is what the whole run must have come
    to.
    """

    run: str | None = None
    commit: str | None = None
    plan: str | None = None
    phases: tuple[str, ...] = ()
    clean_tree: bool = False
    unchanged_tree: bool = False
    max_age_s: float | None = None
    head: str | None = None
    successful_phases: tuple[str, ...] = ()
    tasks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    max_attempts: int | None = None
    shield: bool = False
    # The wall that tasks must have run behind, by task or phase; by "" that of all.
    isolation: Mapping[str, str] = field(default_factory=dict)
    no_cached: bool = False
    no_interactive: bool = False
    result: str | None = None
    # What inputs of the run were: a text, or the entries of a list.
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # The approvers that tasks must have.
    approvals: Mapping[str, Approved] = field(default_factory=dict)

    def asked(self) -> list[str]:
        """The names of what matters."""
        return [
            name for name in self.__struct_fields__ if getattr(self, name) != getattr(NOTHING, name)
        ]


NOTHING = Expectations()


class Approver(Struct, frozen=True):
    """One that has approved a task, and whether it is the one that started the run: None where
    that is not known.
    """

    name: str
    started_it: bool | None


class Said(Struct, frozen=True):
    """What the files of a run say of it: run.json, plan.json and its SHA-256, the hash of the
    journal's last line, the journal's account, what it comes to, and the tasks' status.json files.
    """

    run: Mapping[str, Any]
    plan: Mapping[str, Any]
    plan_sha256: str | None
    head: str
    account: Account
    result: str
    statuses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Who has approved the attempt of a task that counts, as (name, key, of the trigger or not), by
    # task: those that the caller's own list of keys vouches for, where it has one.
    approved: Mapping[str, Sequence[Approver]] = field(default_factory=dict)

    @property
    def planned(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of the plan."""
        return tuple(row for row in self.plan.get("tasks", ()) if isinstance(row, dict))

    def interactive(self) -> set[str]:
        """The tasks at which a person could type."""
        told = {n for n, status in self.statuses.items() if status.get("interactive")}
        return told | ({str(self.run["interactive"])} if self.run.get("interactive") else set())

    def end_of(self, task: str) -> Mapping[str, Any]:
        """The event with which the task came to its end; empty if none did."""
        account = self.account.tasks.get(task)
        return (account.terminal if account else None) or {}


def unmet(expected: Expectations, said: Said, now: float) -> Iterator[Finding]:
    """Every expectation that the run does not meet; `now` is in seconds since 1970."""
    yield from _of_the_run(expected, said)
    yield from _of_its_source(expected, said.run.get("source"))
    changed = (said.account.ended or {}).get("source_changed")
    if expected.unchanged_tree and changed is not False:
        was = "changed" if changed is True else "may have changed"
        yield _finding("unchanged_tree", f"the work tree {was} while the run went on")
    if expected.max_age_s is not None:
        age_s = now - said.account.clocks.last
        if not -_SKEW_S <= age_s <= expected.max_age_s:
            message = f"ended {age_s:.0f} s ago, at most {expected.max_age_s:.0f} s expected"
            yield _finding("max_age", message)
    yield from _of_its_tasks(expected, said)


def _of_the_run(expected: Expectations, said: Said) -> Iterator[Finding]:
    started = said.account.started or {}
    for what, wanted, found in (
        ("run", expected.run, started.get("run")),
        ("plan", expected.plan, said.plan_sha256),
        ("head", expected.head, said.head),
        ("result", expected.result, said.result),
    ):
        if wanted is not None and wanted != found:
            yield _finding(what, f"expected {wanted}, found {found!r:.200}")
    recorded = said.run.get("inputs")
    for name, texts in expected.inputs.items():
        one = recorded.get(name) if isinstance(recorded, dict) else None
        if why := differs(one, texts):
            shown = "the value given" if is_hidden(one) else " and ".join(map(repr, texts))
            yield _finding("input", f"expected {shown}, found {why}", name)
    phases = started.get("phases")
    for phase in dict.fromkeys((*expected.phases, *expected.successful_phases)):
        if not isinstance(phases, list) or phase not in phases:
            yield _finding("phase", f"phase {phase} was not run")
        elif why := part_of(phase, said.run, said.plan):
            yield _finding("phase", f"phase {phase} {why}")


def _of_its_source(expected: Expectations, source: object) -> Iterator[Finding]:
    source = source if isinstance(source, dict) else {}
    commit = str(source.get("commit"))
    if expected.commit is not None and (
        len(expected.commit) < 7 or not commit.startswith(expected.commit)
    ):
        yield _finding("commit", f"expected {expected.commit}, found {commit:.200}")
    said_by = source.get("from")
    if expected.commit is not None and isinstance(said_by, dict) and said_by.get("commit") != "git":
        variable = said_by.get("commit")
        yield _finding("commit", f"was named by {variable!r:.80}, and git could not confirm it")
    if expected.clean_tree and source.get("dirty") is not False:
        note = source.get("note")
        why = f": {printable(note[:_NOTE_CHARS])}" if isinstance(note, str) and note else ""
        yield _finding("clean_tree", f"the work tree was not clean{why}")


def _of_its_tasks(expected: Expectations, said: Said) -> Iterator[Finding]:
    for task in expected.tasks:
        if (whole := _instances(said, task)) is not None and whole[0] < whole[1]:
            message = f"was run in part: {whole[0]} of its {whole[1]} instances"
            yield _finding("task", message, task)
    for task, allowed in _each(expected.tasks, said):
        status = said.end_of(task).get("status")
        if status not in allowed:
            message = f"ended as {status!r:.80}, expected {' or '.join(sorted(allowed))}"
            yield _finding("task", message, task)
    for phase in expected.successful_phases:
        tasks = [str(row.get("id")) for row in said.planned if row.get("phase") == phase]
        for task in tasks:
            end = said.end_of(task)
            if not passed(end):
                yield _finding(
                    "phase", f"of phase {phase} ended as {end.get('status')!r:.80}", task
                )
    if expected.shield:
        for name, account in said.account.tasks.items():
            if account.began and not is_shielded(said.statuses.get(name, {})):
                shield = said.statuses.get(name, {}).get("shield", "none")
                yield _finding("shield", f"ran without the shield: {shield!r:.200}", name)
    if expected.no_interactive:
        for name in sorted(said.interactive()):
            yield _finding("interactive", "had the terminal: a person could type", name)
    yield from _unapproved(expected.approvals, said)
    if expected.isolation:
        yield from _unwalled(expected.isolation, said)
    for name, account in said.account.tasks.items():
        source = (account.terminal or {}).get("cached_from")
        if expected.no_cached and source:
            run = source.get("run") if isinstance(source, dict) else source
            yield _finding("cached", f"has the result of run {run!r:.200}", name)
        if expected.max_attempts is not None and account.began > expected.max_attempts:
            yield _finding("attempts", f"took {account.began} attempts", name)


def _unapproved(wanted: Mapping[str, Approved], said: Said) -> Iterator[Finding]:
    """The tasks that were not approved as it is wanted of them."""
    for task, terms in wanted.items():
        instances = [str(row.get("id")) for row in said.planned if row.get("base") == task]
        for name in instances or [task]:
            good = [
                one.name
                for one in said.approved.get(name, ())
                if (not terms.approved_by or one.name in terms.approved_by)
                and not (terms.four_eyes and one.started_it is not False)
            ]
            if len(good) < terms.min:
                by = f" by {' or '.join(terms.approved_by)}" if terms.approved_by else ""
                but = ", not by the one that started it" if terms.four_eyes else ""
                message = f"{len(good)} of {terms.min} approvals{by}{but}"
                yield _finding("approval", message, name)


def _unwalled(wanted: Mapping[str, str], said: Said) -> Iterator[Finding]:
    """The tasks that were run without the wall that is wanted of them."""
    rows = {str(row.get("id")): row for row in said.planned}
    for name, account in said.account.tasks.items():
        row = rows.get(name, {})
        named = (wanted.get(str(key)) for key in (name, row.get("base"), row.get("phase"), ""))
        wall = next((one for one in named if one), None)
        if wall is None or not account.began:
            continue
        had = said.statuses.get(name, {}).get("isolation", "none")
        if had != wall:
            yield _finding("isolation", f"ran without the {wall}: {had!r:.200}", name)


def _each(tasks: Mapping[str, frozenset[str]], said: Said) -> Iterator[tuple[str, frozenset[str]]]:
    """Each of them, a task with a matrix as its instances in the plan."""
    for task, allowed in tasks.items():
        ids = [str(row.get("id")) for row in said.planned if row.get("base") == task]
        yield from ((name, allowed) for name in ids or [task])


def _instances(said: Said, task: str) -> tuple[int, int] | None:
    """How many instances of this matrix were in the plan, and how many it has; None for a task
    without one.
    """
    sizes = said.plan.get("instances")
    size = sizes.get(task) if isinstance(sizes, dict) else None
    if type(size) is not int:
        return None
    return sum(row.get("base") == task for row in said.planned), size


def is_shielded(status: Mapping[str, Any]) -> bool:
    """Whether a status.json says that its steps were kept away from the proof while they ran."""
    return str(status.get("shield")).partition("+")[0] == "mount"


def part_of(phase: str, run: Mapping[str, Any], plan: Mapping[str, Any]) -> str | None:
    """Why a run of some of a phase's tasks is not one of the phase; None when it is.

    zf 0.1 did not record it. There, a run had the whole of its phases unless it was that of one
    task, or a part of an earlier run, and both of these are recorded.
    """
    rows = plan.get("phases")
    named = [r for r in rows if r.get("name") == phase] if isinstance(rows, list) else []
    whole = bool(named) and named[0].get("whole")
    if whole is None:
        limits = run.get("limits")
        only = limits.get("only", "") if isinstance(limits, dict) else ""
        whole = only is None and run.get("rerun_of", "") is None
    if whole is not True:
        return "was run in part: not all of its tasks were in this run"
    if plan.get("needs") != "checked":
        return "was run without looking at what its tasks need"
    return None


def _finding(kind: str, message: str, path: str | None = None) -> Finding:
    return Finding("EXPECTED", kind, message, path)
