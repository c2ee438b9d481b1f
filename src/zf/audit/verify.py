"""A run's folder -> what it came to, five verdicts on its proof, and every finding at once.

The auditor: it knows the files as conventions/PROOFS_CONVENTION.md describes them and nothing of
the code that made them. It opens nothing outside the folder, follows no link, and takes no name,
number or JSON value in it at its word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.audit import authentic, statement
from zf.audit.authentic import NO_TRUST, Trust
from zf.audit.conclusion import Verification, conclude
from zf.audit.evidence import Evidence, is_attest, is_seal, reason_of
from zf.audit.expected import NOTHING, Approver, Expectations, Said, unmet
from zf.audit.instances import miscounted, misnamed
from zf.audit.papers import agreement
from zf.audit.trees import match_trees
from zf.errors import ZfError
from zf.model import is_task_id
from zf.proof import checksums, forms
from zf.proof.bundle import Bundle
from zf.proof.journal import MAX_LINE_BYTES, Chain, raw_lines
from zf.proof.layout import ARTIFACTS, BLOCKED, JOURNAL, MANIFEST, PAYLOAD, PLAN, RUN, STATUS

# A wall clock is slewed by up to 500 parts in a million and stepped by a little at boot.
_DRIFT_S, _DRIFT_SHARE = 2.0, 0.0005
# What an agent says of its clock is as old as it was on its way.
_APART_S = 5.0


def verify(
    path: str,
    expectations: Expectations = NOTHING,
    trust: Trust = NO_TRUST,
    *,
    now: float | None = None,
    passed: bool = False,
    beside: str | None = None,
) -> Verification:
    """Check the run in the folder `path`, whose own name and place do not matter; with `passed`,
    demand that it succeeded. Earlier runs whose results count in it are looked for in the folder
    `beside`, if one is named.

    1. See what is there: only files and folders, no links, no devices.
    2. Read the manifest; it names exactly the files that are there.
    3. Read run.json and plan.json; these and all other JSON have the form their schemas give.
    4. Read the journal: one unbroken chain, one consistent story, of this run and this plan.
       Instances that joined the plan are those that the outputs of their needs list.
    5. Every task that ended has its tree: the checksum list that its last event names lists
       exactly the tree's files, and its status.json tells the same outcome. Hash those files.
    6. What had to be approved was, before it began. Hash every other file; all are as they are
       listed.
    7. The statements in attest/, if there are any, say the same, and trusted keys signed them.
    8. Every planned task ended, and the run was closed and sealed.
    9. It is the run the caller expects, and its clocks make sense.

    Raises ZfError (exit 2) when `path` is not the folder of a run at all, or a key to trust cannot
    be used.
    """
    trust.check_outside(path)
    try:
        bundle = Bundle(path)
    except OSError as error:
        raise ZfError(f"{path}: {error.strerror}", code="ZF620") from None
    with bundle:
        inventory = bundle.inventory()
        if inventory.files.keys().isdisjoint({RUN, JOURNAL, MANIFEST}):
            raise ZfError(
                f"{path} is not the folder of a run",
                code="ZF620",
                hint="name a run, or a folder that holds run.json and events.jsonl",
            )
        seen = Evidence(bundle, inventory)
        _look(seen)
        _read_manifest(seen)
        _read_papers(seen)
        _read_journal(seen)
        _match_papers(seen)
        _extend(seen)
        _match_journal(seen)
        match_trees(seen)
        _match_approvals(seen)
        _hash_all(seen)
        _check_attest(seen, trust)
        _check_complete(seen)
        _check_cached(seen, beside)
        at = time.time() if now is None else now
        _check_expected(seen, expectations, trust, at)
        _check_times(seen)
        return conclude(seen, expectations, trust, passed=passed)


def _look(seen: Evidence) -> None:
    for path, what in sorted(seen.there.odd.items()):
        # While a task runs behind the shield, its artifacts are elsewhere and this leads there.
        # Whether it was running is known later: see `_match_tree`.
        if seen.sealed or not path.endswith(f"/{ARTIFACTS}") or path.count("/") != 1:
            seen.tampered("odd", what, path)
    # The same few names come again and again, and hardly ever a bad one.
    there = (*seen.there.files, *seen.there.folders)
    names = {path.rpartition("/")[2] for path in there}
    bad = {name for name in names if not checksums.is_safe_name(name)}
    for path in sorted(path for path in there if bad and path.rpartition("/")[2] in bad):
        seen.tampered("name", "a name no proof has", path)


def _read_manifest(seen: Evidence) -> None:
    if not seen.sealed:
        return
    seen.expected = seen.read_list(MANIFEST)
    there, listed = seen.there.files, seen.expected
    for path in filter(is_seal, listed):
        seen.tampered("manifest", "does not belong in the manifest", path)
    for path in sorted(listed.keys() - there.keys()):
        if not is_seal(path):
            seen.tampered("missing", "is in the manifest and not there", path)
    for path in sorted(there.keys() - listed.keys()):
        if not is_seal(path):
            seen.tampered("surplus", "is there and not in the manifest", path)


def _read_papers(seen: Evidence) -> None:
    seen.run = seen.read_paper(RUN, "run")
    seen.plan = seen.read_paper(PLAN, "plan")
    for wrong in agreement.of_inputs(seen.run):
        seen.tampered("paper", wrong, RUN)
    for row in _rows(seen):
        name = row.get("id")
        if isinstance(name, str) and is_task_id(name) and name not in seen.planned:
            seen.planned[name] = row
            for wrong in misnamed(row):
                seen.tampered("paper", wrong, PLAN)
        else:
            seen.tampered("paper", f"plans a task without a good id: {name!r:.200}", PLAN)
    for wrong in miscounted(seen.plan):
        seen.tampered("paper", wrong, PLAN)
    for wrong in agreement.partly_whole(seen.plan, seen.planned.values()):
        seen.tampered("paper", wrong, PLAN)


def _rows(seen: Evidence) -> Iterator[Mapping[str, Any]]:
    """The plan's tasks; an empty mapping stands for one that is not an object."""
    tasks = seen.plan.get("tasks")
    for task in tasks if isinstance(tasks, list) else ():
        yield task if isinstance(task, dict) else {}


def _read_journal(seen: Evidence) -> None:
    try:
        fd = seen.bundle.open(JOURNAL)
    except OSError as error:
        seen.tampered("missing", reason_of(error), JOURNAL)
        return
    chain, account = Chain(), seen.account
    malformed = 0
    version: str | None = None
    with os.fdopen(fd, "rb", buffering=1024 * 1024) as stream:
        for raw in raw_lines(stream):
            if not raw.endswith(b"\n"):
                seen.torn = True
                if len(raw) > MAX_LINE_BYTES:
                    seen.tampered("journal", "a line that never ends", JOURNAL)
                break
            try:
                event = chain.accept(raw[:-1])
                if chain.seq == 1:
                    said = event.get("schema")
                    version = said if isinstance(said, str) else None
                if wrong := forms.event_problems(event, version):
                    for problem in wrong[: forms.MAX_PROBLEMS - malformed]:
                        malformed += 1
                        seen.tampered("form", f"line {chain.seq}: {problem}", JOURNAL)
                    event = forms.sound_event(event, version)
                account.feed(event)
            except ValueError as error:
                seen.tampered("journal", f"line {chain.seq + 1}: {error}", JOURNAL)
                break
    seen.head = chain.head
    for problem in account.problems:
        seen.tampered("journal", problem, JOURNAL)
    if seen.torn and seen.sealed:
        seen.tampered("journal", "ends in the middle of a line", JOURNAL)


def _match_papers(seen: Evidence) -> None:
    started = seen.account.started
    if started is None:
        return
    if seen.run and seen.run.get("run_id") != started.get("run"):
        seen.tampered("mismatch", "names another run than the journal", RUN)
    source = seen.run.get("source")
    commit = source.get("commit") if isinstance(source, dict) else None
    if seen.run and commit != started.get("commit"):
        seen.tampered("mismatch", "names another commit than the journal", RUN)
    _match_digest(seen, PLAN, started.get("plan_sha256"))
    _match_digest(seen, RUN, started.get("run_sha256"))
    _match_payload(seen)
    if seen.account.ended is not None:
        _match_blocked(seen, seen.account.ended.get("blocked_sha256"))
    if seen.plan and started.get("tasks") != len(seen.planned):
        seen.tampered("mismatch", "has not as many tasks as the journal says", PLAN)


def _match_journal(seen: Evidence) -> None:
    """What the journal says of phases, groups and ends, against the plan with its instances."""
    account = seen.account
    told = [*agreement.of_journal(seen.plan, account.of_the_plan, seen.planned)]
    if account.ended is not None:
        ends = [task.terminal for task in account.tasks.values() if task.terminal]
        statuses = [str(end.get("status")) for end in ends]
        told += agreement.miscounted(account.ended, statuses, len(seen.planned))
    for wrong in told if seen.plan else ():
        seen.tampered("mismatch", wrong, JOURNAL)


def _extend(seen: Evidence) -> None:
    """Instances that joined the plan while the run went on are in it from here on."""
    if seen.account.extended or any("matrix_from" in row for row in seen.planned.values()):
        from zf.audit.origins import extended  # noqa: PLC0415 - few plans grow

        extended.take_in(seen)


def _match_approvals(seen: Evidence) -> None:
    """What had to be approved was, before it began."""
    if seen.account.gates or any("approval" in row for row in seen.planned.values()):
        from zf.audit.gates import kept  # noqa: PLC0415 - few runs have anything to approve

        kept.match(seen)


def _match_digest(seen: Evidence, path: str, digest: object) -> None:
    if path in seen.bundle.digests and seen.bundle.digests[path] != digest:
        seen.tampered("mismatch", "is not the file that the journal names", path)


def _match_payload(seen: Evidence) -> None:
    """What was delivered for the run, against what run.json says of it."""
    trigger = seen.run.get("trigger")
    digest = trigger.get("payload_sha256") if isinstance(trigger, Mapping) else None
    if PAYLOAD in seen.there.files and digest is None:
        seen.tampered("mismatch", "is a file that run.json does not know", PAYLOAD)
    elif PAYLOAD not in seen.there.files and digest is not None:
        seen.tampered("missing", "is named by run.json", PAYLOAD)
    elif digest is not None:
        seen.hash([PAYLOAD])
        _match_digest(seen, PAYLOAD, digest)


def _match_blocked(seen: Evidence, digest: object) -> None:
    if digest is None and BLOCKED in seen.there.files:
        seen.tampered("mismatch", "is a file that the journal does not know", BLOCKED)
    if digest is not None:
        seen.read_paper(BLOCKED, "blocked")
        _match_digest(seen, BLOCKED, digest)


def _hash_all(seen: Evidence) -> None:
    seen.hash(seen.there.files)
    found = seen.bundle.digests
    changed = [p for p, digest in seen.expected.items() if found.get(p, digest) != digest]
    for path in sorted(changed):
        message = f"expected {seen.expected[path]}, found {found[path]}"
        seen.tampered("changed", message, path)


def _check_attest(seen: Evidence, trust: Trust) -> None:
    files = {}
    for path in sorted(filter(is_attest, seen.there.files)):
        name = path.partition("/")[2]
        if name not in authentic.KNOWN:
            seen.tampered("surplus", "is no part of an attestation", path)
            continue
        try:
            files[name] = seen.bundle.read(path, authentic.MAX_STATEMENT_BYTES)
        except OSError as error:
            seen.tampered("unreadable", reason_of(error), path)
    facts = statement.Facts(
        seen.run,
        seen.plan,
        seen.account,
        seen.head,
        seen.bundle.digests,
        statement.redactions(seen.statuses),
        statement.shields(seen.statuses),
        statement.isolations(seen.statuses),
    )
    check = authentic.Check(files, facts, trust)
    seen.authentic = check.run()
    seen.findings += check.findings
    if check.stamped_at is not None:
        seen.stamped = f"; existed on {check.stamped_at:%Y-%m-%dT%H:%M:%SZ}"


def _check_complete(seen: Evidence) -> None:
    waiting = _waiting(seen)
    for name in seen.planned:
        task = seen.account.tasks.get(name)
        if name in waiting:
            seen.found("COMPLETE", "waiting", f"waits for approval by {waiting[name]}", name)
        elif task is None:
            seen.found("COMPLETE", "no_outcome", "was never decided", name)
        elif task.terminal is None:
            seen.found("COMPLETE", "no_outcome", "was still running", name)
        elif f"{name}/{STATUS}" not in seen.there.files:
            seen.found("COMPLETE", "no_outcome", "has no status.json", name)
    if not seen.plan:
        message = "plan.json is missing, so completeness cannot be checked"
        seen.found("COMPLETE", "unknown", message, PLAN)
    if seen.account.ended is None:
        told = "the run is suspended" if seen.account.suspended else "the run never ended"
        seen.found("COMPLETE", "open", told, JOURNAL)
    if not seen.sealed:
        seen.found("COMPLETE", "unsealed", "is not there: the run was not sealed", MANIFEST)


def _waiting(seen: Evidence) -> Mapping[str, str]:
    """The tasks that wait for approval, each with its approvers."""
    if not seen.approvals:
        return {}
    from zf.audit.gates.kept import Kept, by_whom  # noqa: PLC0415 - as above

    account, open_tasks = seen.account, seen.planned.keys() - seen.ended()

    def waits(kept: Kept) -> bool:
        """A task whose attempt was lost, or is tried again, may be asked for anew."""
        task = account.tasks.get(kept.task)
        is_next = account.ended is None and task is not None and kept.attempt > task.began
        return kept.waits and (kept.task in open_tasks or is_next)

    return {kept.task: by_whom(kept) for kept in seen.approvals if waits(kept)}


def _check_cached(seen: Evidence, beside: str | None) -> None:
    tasks = seen.account.tasks.values()
    if any((task.terminal or {}).get("cached_from") for task in tasks):
        from zf.audit.origins import cached  # noqa: PLC0415 - few runs have such results

        cached.sources(seen, beside, verify)


def _check_expected(seen: Evidence, expected: Expectations, trust: Trust, now: float) -> None:
    came_to = seen.outcome(intact=all(f.verdict != "INTACT" for f in seen.findings))
    said = Said(
        *(seen.run, seen.plan, seen.bundle.digests.get(PLAN), seen.head, seen.account),
        came_to.state.value,
        {str(status.get("task_id")): status for status in seen.statuses},
        _approvers(seen, trust),
    )
    seen.findings += unmet(expected, said, now)


def _approvers(seen: Evidence, trust: Trust) -> Mapping[str, Sequence[Approver]]:
    """Who has approved which task."""
    if not seen.approvals:
        return {}
    from zf.audit.gates.kept import approvers  # noqa: PLC0415 - few runs have any

    return approvers(seen, trust.keys.get("allowed_signers"))


def _check_times(seen: Evidence) -> None:
    clocks = seen.account.clocks
    if clocks.first is None:
        return
    allowed = _DRIFT_S + _DRIFT_SHARE * abs(clocks.last - clocks.first)
    if clocks.drift_s > allowed:
        message = f"wall and monotonic clock part by {clocks.drift_s:.3f} s"
        seen.found("TIMED", "drift", message, JOURNAL)
    if clocks.back_s > allowed:
        seen.found("TIMED", "back", f"a clock goes back {clocks.back_s:.3f} s", JOURNAL)
    if clocks.apart_s is not None and clocks.apart_s > _APART_S:
        message = f"the clock of an agent is {clocks.apart_s:.3f} s apart from the runner's"
        seen.found("TIMED", "offset", message, JOURNAL)
    for doubt in clocks.doubts:
        seen.found("TIMED", "order", doubt, JOURNAL)
