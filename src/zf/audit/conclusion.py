"""From findings to five verdicts, one sentence each, and the exit code they come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.audit import statement
from zf.audit.authentic import Trust
from zf.audit.evidence import TOP_FILES, Evidence, Source, is_attest
from zf.audit.expected import Expectations, is_shielded
from zf.audit.findings import Finding, State, Verdict
from zf.audit.result import Outcome, Result
from zf.errors import Exit, printable
from zf.lean.records import Struct, field
from zf.proof.layout import MANIFEST

VERIFIED, TAMPERED, INCOMPLETE, UNTRUSTED = Exit.OK, Exit.FAILED, Exit.INCOMPLETE, Exit.UNTRUSTED

# Of images this many are named.
_MOST_IMAGES = 3


class Verification(Struct, frozen=True):
    """What the run came to, all five verdicts, every finding, and the exit code they come to."""

    run: str | None
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    exit_code: int
    result: Mapping[str, Any]
    # Of every task that ended: the digest of its checksum list.
    tasks: Mapping[str, str] = field(default_factory=dict)
    # What those came to that were run in it, so that no earlier run's result counted.
    own: Mapping[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """What the run came to, then one line per finding, then one line per verdict.

        A whole proof of a failed run is a true record of a failure, so its result comes first.
        """
        lines = [self.outcome.render(), *(finding.render() for finding in self.findings)]
        return "\n".join(lines + [verdict.render() for verdict in self.verdicts])

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": "zf/verification/v1",
            "run_id": self.run,
            "exit_code": self.exit_code,
            "outcome": {"state": self.outcome.state.value, "summary": self.outcome.summary},
            "verdicts": {
                v.name: {"state": v.state.value, "summary": v.summary} for v in self.verdicts
            },
            "findings": [
                {"verdict": f.verdict, "kind": f.kind, "path": f.path, "message": f.message}
                for f in self.findings
            ],
            "result": dict(self.result),
        }


def conclude(
    seen: Evidence, expected: Expectations, trust: Trust, *, passed: bool = False
) -> Verification:
    """The verdicts in order; the first that failed decides the exit code, and with `passed` a
    run that did not succeed comes right after one that is not intact.

    Clocks that part are doubted, not failed: a suspended laptop does that. A time stamp that
    was asked for is another matter.
    """
    _explain_hidden(seen)
    intact = all(finding.verdict != "INTACT" for finding in seen.findings)
    came_to = seen.outcome(intact=intact)
    if passed and came_to.state != Result.SUCCESS:
        message = "the run did not succeed, and --passed demands that it did"
        seen.found("RESULT", "not_passed", message)
    failed = {finding.verdict for finding in seen.findings}
    timed = State.DOUBTFUL if "TIMED" in failed else State.PASSED
    if trust.timestamp_ca and any(finding.kind == "timestamp" for finding in seen.findings):
        timed = State.FAILED
    verdicts = (
        Verdict("INTACT", _state("INTACT" not in failed), _intact(seen)),
        Verdict("COMPLETE", _state("COMPLETE" not in failed), _complete(seen)),
        seen.authentic,
        _expected(expected, "EXPECTED" in failed),
        _timed(seen, timed),
    )
    codes = (TAMPERED, INCOMPLETE, UNTRUSTED, UNTRUSTED, UNTRUSTED)
    exit_code = next(
        (c for v, c in zip(verdicts, codes, strict=True) if v.state == State.FAILED), VERIFIED
    )
    if "RESULT" in failed:
        exit_code = Exit.FAILED
    started, ended = seen.account.started or {}, seen.account.ended or {}
    run = started.get("run")
    return Verification(
        run if isinstance(run, str) else None,
        came_to,
        verdicts,
        tuple(seen.findings),
        exit_code,
        {key: ended.get(key) for key in ("exit_code", "counts", "duration_s")}
        | {
            "head": seen.head,
            "manifest_sha256": seen.bundle.digests.get(MANIFEST),
            **({"approvals": _told_approvals(seen)} if seen.approvals else {}),
            "attestations": {
                path.partition("/")[2]: digest
                for path, digest in seen.bundle.digests.items()
                if is_attest(path)
            },
        },
        {
            name: digest
            for name, task in seen.account.tasks.items()
            if isinstance(digest := (task.terminal or {}).get("task_sha256"), str)
        },
        {
            name: str(task.terminal.get("status"))
            for name, task in seen.account.tasks.items()
            if task.terminal is not None and not task.terminal.get("cached_from")
        },
    )


def _explain_hidden(seen: Evidence) -> None:
    """Name the cause where nothing is wrong but that files with a leading dot are missing.

    zf itself writes one of these, `.timeout_killed`, and uploads of CI systems leave them out.
    """
    wrong = [finding for finding in seen.findings if finding.verdict == "INTACT"]
    if wrong and all(f.kind == "missing" and _is_hidden(f.path or "") for f in wrong):
        seen.tampered(
            "hidden",
            "only files with a leading dot are missing: a copy or upload left hidden files out "
            "(actions/upload-artifact does, unless it has include-hidden-files: true); hand "
            "over the archive that zf export writes instead",
        )


def _intact(seen: Evidence) -> str:
    size = _size(seen.bundle.hashed_bytes)
    chained = _count(seen.account.lines, "chained event")
    files = f"{_count(len(seen.expected), 'file')} ({size})"
    if seen.sealed:
        return f"{files}, {_count(seen.trees, 'task list')}, {chained}"
    loose = len(seen.there.files.keys() - seen.expected.keys() - TOP_FILES)
    return (
        f"{files} of {_count(seen.trees, 'task')} that ended, {chained}; "
        f"{_count(loose, 'other file')} {'is' if loose == 1 else 'are'} in no checksum list"
    )


def _complete(seen: Evidence) -> str:
    ended = len(seen.ended() & set(seen.planned))
    closed = "closed" if seen.account.ended else "not closed"
    sealed = "sealed" if seen.sealed else "not sealed"
    accounts = (seen.account.tasks.get(name) for name in seen.planned)
    ends = [account.terminal or {} for account in accounts if account is not None]
    warned = sum(end.get("warned") is True for end in ends)
    flaky = sum(map(statement.is_flaky, ends))
    told = f" ({warned} warned)" if warned else ""
    told += f" ({flaky} flaky)" if flaky else ""
    shielded = sum(is_shielded(status) for status in seen.statuses)
    told += f" ({shielded} shielded)" if shielded else ""
    sandboxed = sum(status.get("isolation") == "sandbox" for status in seen.statuses)
    told += f" ({sandboxed} sandboxed)" if sandboxed else ""
    told += _contained(seen)
    told += _approved(seen)
    if task := seen.run.get("interactive"):
        told += f"; a person could type in {str(task)[:200]}"
    told = f"{ended} of {len(seen.planned)} planned tasks ended{told}; {closed}, {sealed}"
    return told + _from_elsewhere(seen.cached)


def _contained(seen: Evidence) -> str:
    """How many tasks ran in containers, and of which images."""
    count = sum(status.get("isolation") == "container" for status in seen.statuses)
    if not count:
        return ""
    images = [f"{name} {digest}" for name, digest in statement.images(seen.run).items()]
    told = ", ".join(f"{one:.200}" for one in images[:_MOST_IMAGES])
    more = f" and {len(images) - _MOST_IMAGES} more" if len(images) > _MOST_IMAGES else ""
    return f" ({count} in containers: {told}{more})" if told else f" ({count} in containers)"


def _told_approvals(seen: Evidence) -> list[dict[str, Any]]:
    """The same for programs, with those that wait."""
    return [
        {
            "task": kept.task,
            "attempt": kept.attempt,
            "sha256": kept.asked.get("sha256"),
            "state": "rejected" if kept.rejected else "waiting" if kept.waits else "approved",
            "by": [
                {name: one.get(name) for name in ("approver", "how", "key", "source", "at")}
                for one in [*kept.given, *([kept.rejected] if kept.rejected else [])]
            ],
        }
        for kept in seen.approvals
    ]


def _approved(seen: Evidence) -> str:
    """Which tasks were approved, and by which approvers."""
    told = (
        f"{kept.task} by {' and '.join(str(one.get('approver')) for one in kept.given)}"
        for kept in seen.approvals
        if kept.given and not kept.waits
    )
    given = [*dict.fromkeys(told)]  # each attempt was approved by itself
    more = f" and {len(given) - _MOST_NAMED} more" if len(given) > _MOST_NAMED else ""
    return f" (approved: {printable(', '.join(given[:_MOST_NAMED]))}{more})" if given else ""


_MOST_NAMED = 5


def _from_elsewhere(found: list[Source]) -> str:
    """How many results are those of earlier runs, and which of these were not checked."""
    unchecked = [source for source in found if source.why]
    count = sum(len(source.tasks) for source in found)
    if not count:
        return ""
    noun = "result is" if count == 1 else "results are"
    text = f"; {count} {noun} from earlier runs"
    if unchecked:
        names = ", ".join(f"{one.run} ({one.why})" for one in unchecked[:5])
        more = f" and {len(unchecked) - 5} more" if len(unchecked) > 5 else ""
        text += f", not checked: {names}{more}"
    return text


def _expected(expected: Expectations, failed: bool) -> Verdict:
    asked = expected.asked()
    if not asked:
        return Verdict("EXPECTED", State.NOT_CHECKED, "nothing was expected")
    return Verdict("EXPECTED", _state(not failed), ", ".join(asked))


def _timed(seen: Evidence, state: State) -> Verdict:
    clocks = seen.account.clocks
    if clocks.first is None:
        return Verdict("TIMED", State.NOT_CHECKED, "no event has a time")
    summary = f"{seen.account.lines} events, clocks agree within {clocks.drift_s:.3f} s"
    if clocks.apart_s is not None:
        summary += f", those of agents and of the runner within {clocks.apart_s:.3f} s"
    return Verdict("TIMED", state, summary + seen.stamped)


def _is_hidden(path: str) -> bool:
    """Whether it has a leading dot, or lies in a folder that has."""
    return any(name.startswith(".") for name in path.split("/"))


def _state(passed: bool) -> State:
    return State.PASSED if passed else State.FAILED


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    number = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024 or unit == "GiB":
            break
    return f"{number:.1f} {unit}"
