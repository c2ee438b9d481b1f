"""A run's folder -> what it came to, five verdicts on its proof, and every finding at once.

The auditor: it knows the files as conventions/PROOFS_CONVENTION.md describes them and nothing of
the code that made them. It opens nothing outside the folder, follows no link, and takes no name,
number or JSON value in it at its word.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zf.audit import authentic, outcome, statement
from zf.audit.account import Account
from zf.audit.authentic import NOBODY, Trust
from zf.audit.expected import NOTHING, Expectations, Said, is_shielded, unmet
from zf.audit.findings import Finding, State, Verdict
from zf.audit.outcome import Outcome
from zf.errors import ZfError
from zf.lean.record import field, record
from zf.model import is_valid_id
from zf.proof import checksums, forms
from zf.proof.bundle import Bundle, Inventory
from zf.proof.checksums import MAX_LIST_BYTES
from zf.proof.journal import MAX_LINE_BYTES, Chain, decode, raw_lines
from zf.proof.layout import (
    ARTIFACTS,
    ARTIFACTS_LIST,
    ATTEMPTS,
    ATTEMPTS_LIST,
    ATTEST,
    BLOCKED,
    FOLDERS,
    JOURNAL,
    MANIFEST,
    PLAN,
    RUN,
    STATUS,
    TASK_LIST,
    UNFINISHED,
    earlier_tree,
)
from zf.proof.read import MAX_JSON_BYTES

VERIFIED, TAMPERED, INCOMPLETE, UNTRUSTED = 0, 1, 3, 4
NOT_PASSED = 1

# What a run may have at its top besides the folders of its tasks.
_TOP_FILES = frozenset({JOURNAL, RUN, PLAN, BLOCKED, MANIFEST})
# What a terminal event and the task's status.json both say.
_SAID_TWICE = {
    "attempt_ended": (
        *("status", "exit_code", "signal", "attempt", "cause", "detail", "step"),
        *("started_at", "completed_at", "duration_s"),
    ),
    "task_not_run": ("status", "cause", "detail", "needs"),
}
# A wall clock is slewed by up to 500 parts in a million and stepped by a little at boot.
_DRIFT_S, _DRIFT_SHARE = 2.0, 0.0005


# Files of a tree that a worker's death, or a disk's, may have left half written: their bytes are
# sealed as they are, and say no more than that.
_CUT_SHORT = ("lost", "storage")


@record
class Verification:
    """What the run came to, all five verdicts, every finding, and the exit code they come to."""

    run: str | None
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    exit_code: int
    result: Mapping[str, Any]
    # Of every task that ended: the digest of its checksum list.
    tasks: Mapping[str, str] = field(default_factory=dict)

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


def verify(
    path: str,
    expectations: Expectations = NOTHING,
    trust: Trust = NOBODY,
    *,
    now: float | None = None,
    passed: bool = False,
) -> Verification:
    """Check the run in the folder `path`, whose own name and place do not matter; with `passed`,
    demand that it succeeded.

    1. See what is there: only files and folders, no links, no devices.
    2. Read the manifest; it names exactly the files that are there.
    3. Read run.json and plan.json; these and all other JSON have the form their schemas give.
    4. Read the journal: one unbroken chain, one consistent story, of this run and this plan.
    5. Every task that ended has its tree: the checksum list that its last event names lists
       exactly the tree's files, and its status.json tells the same outcome. Hash those files.
    6. Hash every other file; all are as they are listed.
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
        audit = _Audit(bundle, inventory)
        audit.look()
        audit.read_manifest()
        audit.read_papers()
        audit.read_journal()
        audit.match_papers()
        audit.match_trees()
        audit.hash_all()
        audit.check_attest(trust)
        audit.check_complete()
        audit.check_expected(expectations, time.time() if now is None else now)
        audit.check_times()
        return audit.conclude(expectations, trust, passed=passed)


class _Audit:
    """The steps of one verification and what they share."""

    def __init__(self, bundle: Bundle, inventory: Inventory) -> None:
        self.bundle = bundle
        self.there = inventory
        self.findings: list[Finding] = []
        self.sealed = MANIFEST in inventory.files
        # Path -> SHA-256 of every file listed in a manifest or a task's checksum list.
        self.expected: dict[str, str] = {}
        self.run: Mapping[str, Any] = {}
        self.plan: Mapping[str, Any] = {}
        self.planned: dict[str, None] = {}  # in plan order, and found at once
        self.account = Account()
        self.head = ""
        self.torn = False
        self.trees = 0
        self.statuses: list[Mapping[str, Any]] = []
        self.authentic = Verdict("AUTHENTIC", State.UNSIGNED, "")
        self.stamped = ""

    def found(self, verdict: str, kind: str, message: str, path: str | None = None) -> None:
        self.findings.append(Finding(verdict, kind, message, path))

    def tampered(self, kind: str, message: str, path: str | None = None) -> None:
        self.found("INTACT", kind, message, path)

    # 1

    def look(self) -> None:
        for path, what in sorted(self.there.odd.items()):
            # While a task runs behind the shield, its artifacts are elsewhere and this leads there.
            # Whether it was running is known later: see `_match_tree`.
            if self.sealed or not path.endswith(f"/{ARTIFACTS}") or path.count("/") != 1:
                self.tampered("odd", what, path)
        # The same few names come again and again, and hardly ever a bad one.
        there = (*self.there.files, *self.there.folders)
        names = {path.rpartition("/")[2] for path in there}
        bad = {name for name in names if not checksums.is_safe_name(name)}
        for path in sorted(path for path in there if bad and path.rpartition("/")[2] in bad):
            self.tampered("name", "a name no proof has", path)

    # 2

    def read_manifest(self) -> None:
        if not self.sealed:
            return
        self.expected = self._list(MANIFEST)
        there, listed = self.there.files, self.expected
        for path in filter(_seals, listed):
            self.tampered("manifest", "does not belong in the manifest", path)
        for path in sorted(listed.keys() - there.keys()):
            if not _seals(path):
                self.tampered("missing", "is in the manifest and not there", path)
        for path in sorted(there.keys() - listed.keys()):
            if not _seals(path):
                self.tampered("surplus", "is there and not in the manifest", path)

    # 3

    def read_papers(self) -> None:
        self.run = self._paper(RUN, "run")
        self.plan = self._paper(PLAN, "plan")
        for row in self._rows():
            name = row.get("id")
            if isinstance(name, str) and is_valid_id(name) and name not in self.planned:
                self.planned[name] = None
            else:
                self.tampered("paper", f"plans a task without a good id: {name!r:.200}", PLAN)

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        """The plan's tasks; an empty mapping stands for what is none."""
        tasks = self.plan.get("tasks")
        for task in tasks if isinstance(tasks, list) else ():
            yield task if isinstance(task, dict) else {}

    # 4

    def read_journal(self) -> None:
        try:
            fd = self.bundle.open(JOURNAL)
        except OSError as error:
            self.tampered("missing", _reason(error), JOURNAL)
            return
        chain, account = Chain(), self.account
        malformed = 0
        version: str | None = None
        with os.fdopen(fd, "rb", buffering=1024 * 1024) as stream:
            for raw in raw_lines(stream):
                if not raw.endswith(b"\n"):
                    self.torn = True
                    if len(raw) > MAX_LINE_BYTES:
                        self.tampered("journal", "a line that never ends", JOURNAL)
                    break
                try:
                    event = chain.accept(raw[:-1])
                    if chain.seq == 1:
                        said = event.get("schema")
                        version = said if isinstance(said, str) else None
                    if wrong := forms.event_problems(event, version):
                        for problem in wrong[: forms.MAX_PROBLEMS - malformed]:
                            malformed += 1
                            self.tampered("form", f"line {chain.seq}: {problem}", JOURNAL)
                        event = forms.sound_event(event, version)
                    account.feed(event)
                except ValueError as error:
                    self.tampered("journal", f"line {chain.seq + 1}: {error}", JOURNAL)
                    break
        self.head = chain.head
        for problem in account.problems:
            self.tampered("journal", problem, JOURNAL)
        if self.torn and self.sealed:
            self.tampered("journal", "ends in the middle of a line", JOURNAL)

    def match_papers(self) -> None:
        started = self.account.started
        if started is None:
            return
        if self.run and self.run.get("run_id") != started.get("run"):
            self.tampered("mismatch", "names another run than the journal", RUN)
        source = self.run.get("source")
        commit = source.get("commit") if isinstance(source, dict) else None
        if self.run and commit != started.get("commit"):
            self.tampered("mismatch", "names another commit than the journal", RUN)
        self._match_digest(PLAN, started.get("plan_sha256"))
        self._match_digest(RUN, started.get("run_sha256"))
        if self.account.ended is not None:
            self._match_blocked(self.account.ended.get("blocked_sha256"))
        if self.plan and started.get("tasks") != len(self.planned):
            self.tampered("mismatch", "has not as many tasks as the journal says", PLAN)

    def _match_digest(self, path: str, digest: object) -> None:
        if path in self.bundle.digests and self.bundle.digests[path] != digest:
            self.tampered("mismatch", "is not the file that the journal names", path)

    def _match_blocked(self, digest: object) -> None:
        if digest is None and BLOCKED in self.there.files:
            self.tampered("mismatch", "is a file that the journal does not know", BLOCKED)
        if digest is not None:
            self._paper(BLOCKED, "blocked")
            self._match_digest(BLOCKED, digest)

    # 5

    def _forgive_open_trees(self) -> None:
        """What lies in the tree of a task that has not ended is vouched for by nothing yet, so it
        cannot be wrong: zf clears it away before it finishes or seals the run.
        """
        if not self.sealed:
            loose = set(self.planned) - self._ended()
            self.findings = [
                f
                for f in self.findings
                if f.kind not in {"odd", "name"} or (f.path or "").partition("/")[0] not in loose
            ]

    def match_trees(self) -> None:
        self._forgive_open_trees()
        folders = {path for path in self.there.folders if "/" not in path} - {ATTEST}
        planned = set(self.planned)
        for name in sorted(folders - planned):
            self.tampered("surplus", "a folder of no planned task", name)
        for name in sorted(self.account.tasks.keys() - planned):
            self.tampered("mismatch", f"tells of a task that was not planned: {name!r}", JOURNAL)
        for name in sorted(path for path in self.there.files if "/" not in path):
            if name in _TOP_FILES or (not self.sealed and name.endswith(UNFINISHED)):
                continue
            if self.sealed or name not in planned - self._ended():  # see _forgive_open_trees
                self.tampered("surplus", "is no file of a run", name)
        self._look_at_folders()
        # One pass over all files, so that no task costs a look at every other task's.
        below: dict[str, list[str]] = {name: [] for name in planned}
        for path in self.there.files:
            top, slash, _ = path.partition("/")
            if slash and top in below:
                below[top].append(path)
        for name in self.planned:
            task = self.account.tasks.get(name)
            if task is None or task.terminal is None:
                continue
            self._match_tree(name, task.terminal, set(below[name]))
            sound = {name: task.terminal}
            for attempt, event in task.ended.items():
                if event is not task.terminal:
                    self._match_list(earlier_tree(name, attempt), event)
                    sound[earlier_tree(name, attempt)] = event
            self._check_forms(below[name], sound)
            # Now, while its folders are open and its paths in the processor's cache.
            self._hash(below[name])

    def _look_at_folders(self) -> None:
        """A folder proves nothing by itself, but one that no file and no tree explains was put
        there.
        """
        holding = {path.rpartition("/")[0] for path in self.there.files} - {""}
        known = holding | {parent for folder in holding for parent in _parents(folder)}
        roots = {path for path in known | set(self.planned) if _is_root(path)}
        known |= roots | {f"{root}/{name}" for root in roots for name in FOLDERS}
        open_tasks = () if self.sealed else set(self.planned) - self._ended()
        for path in sorted(self.there.folders.keys() - known):
            if path.partition("/")[0] not in open_tasks:
                self.tampered("surplus", "an empty folder that belongs to nothing", path)

    def _ended(self) -> set[str]:
        return {name for name, task in self.account.tasks.items() if task.terminal is not None}

    def _match_tree(self, task: str, event: Mapping[str, Any], files: set[str]) -> None:
        self.trees += 1
        kept = f"{task}/{ARTIFACTS}"
        if not self.sealed and kept in self.there.odd:
            self.tampered("odd", self.there.odd[kept], kept)
        listed = self._match_list(task, event)
        if listed is None:
            return
        if f"{task}/{ATTEMPTS_LIST}" in listed:
            listed |= self._list(f"{task}/{ATTEMPTS_LIST}", f"{task}/")
        below = f"{task}/{ARTIFACTS}/"
        artifacts = self._list(f"{task}/{ARTIFACTS_LIST}", below)
        wanted = {p: d for p, d in listed.items() if p.startswith(below)}
        if artifacts != wanted:
            message = "does not list the artifacts that task.sha256 lists"
            self.tampered("mismatch", message, f"{task}/{ARTIFACTS_LIST}")
        own = f"{task}/{TASK_LIST}"
        for path in sorted(files - listed.keys() - {own}):
            self.tampered("surplus", "is there and not in the task's checksum list", path)
        for path, digest in listed.items():
            if self.sealed:
                if self.expected.get(path) not in {None, digest}:
                    message = "the task's checksum list and the manifest disagree"
                    self.tampered("mismatch", message, path)
            else:
                self.expected[path] = digest
                if path not in files:
                    self.tampered("missing", "is in the task's checksum list and not there", path)
        self._match_status(task, event)

    def _check_forms(self, files: Iterable[str], ends: Mapping[str, Mapping[str, Any]]) -> None:
        """Every JSON file of zf's own in these trees has its form; `ends` has how each ended."""
        for path in sorted(path for path in files if path.endswith(".json")):
            form = forms.form_of(path)
            root = path.rpartition("/")[0].rpartition("/")[0]
            end = ends.get(root)
            # The task's own status.json has been read.
            if form is None or end is None or path == f"{path.partition('/')[0]}/{STATUS}":
                continue
            if end.get("status") not in _CUT_SHORT and end.get("cause") not in _CUT_SHORT:
                self._value(path, form)

    def _match_list(self, root: str, event: Mapping[str, Any]) -> dict[str, str] | None:
        path = f"{root}/{TASK_LIST}"
        listed = self._list(path, f"{root}/")
        digest = self.bundle.digests.get(path)
        if digest is not None and digest != event.get("task_sha256"):
            self.tampered("mismatch", "is not the list that the task's last event names", path)
        return listed if digest is not None else None

    def _match_status(self, task: str, event: Mapping[str, Any]) -> None:
        path = f"{task}/{STATUS}"
        status = self._paper(path, "status")
        if not status:
            return
        self.statuses.append(status)
        if status.get("task_id") != task:
            self.tampered("mismatch", "belongs to another task", path)
        if self.account.started and status.get("run_id") != self.account.started.get("run"):
            self.tampered("mismatch", "belongs to another run", path)
        for key in _SAID_TWICE.get(str(event.get("type")), ()):
            if status.get(key) != event.get(key):
                said = f"{status.get(key)!r:.80} here, {event.get(key)!r:.80} in the journal"
                self.tampered("mismatch", f"{key} is {said}", path)
        # What follows from the journal: neither a tolerated end nor a retry can be hidden.
        conclusion = "warned" if event.get("warned") is True else event.get("status")
        for key, follows in (("conclusion", conclusion), ("flaky", statement.is_flaky(event))):
            if status.get(key) != follows:
                said = f"{status.get(key)!r:.80} here, {follows!r:.80} by the journal"
                self.tampered("mismatch", f"{key} is {said}", path)

    # 6

    def hash_all(self) -> None:
        self._hash(self.there.files)
        found = self.bundle.digests
        changed = [p for p, digest in self.expected.items() if found.get(p, digest) != digest]
        for path in sorted(changed):
            message = f"expected {self.expected[path]}, found {found[path]}"
            self.tampered("changed", message, path)

    def _hash(self, there: Iterable[str]) -> None:
        """Of these files, all that are listed and were not hashed yet."""
        for path, why in self.bundle.hash(path for path in there if path in self.expected):
            self.tampered("unreadable", why, path)

    # 7

    def check_attest(self, trust: Trust) -> None:
        files = {}
        for path in sorted(filter(_is_attest, self.there.files)):
            name = path.partition("/")[2]
            if name not in authentic.KNOWN:
                self.tampered("surplus", "is no part of an attestation", path)
                continue
            try:
                files[name] = self.bundle.read(path, authentic.MAX_STATEMENT_BYTES)
            except OSError as error:
                self.tampered("unreadable", _reason(error), path)
        facts = statement.Facts(
            self.run,
            self.plan,
            self.account,
            self.head,
            self.bundle.digests,
            statement.redactions(self.statuses),
            statement.shields(self.statuses),
        )
        check = authentic.Check(files, facts, trust)
        self.authentic = check.run()
        self.findings += check.findings
        if check.stamped_at is not None:
            self.stamped = f"; existed on {check.stamped_at:%Y-%m-%dT%H:%M:%SZ}"

    # 8

    def check_complete(self) -> None:
        for name in self.planned:
            task = self.account.tasks.get(name)
            if task is None:
                self.found("COMPLETE", "no_outcome", "was never decided", name)
            elif task.terminal is None:
                self.found("COMPLETE", "no_outcome", "was still running", name)
            elif f"{name}/{STATUS}" not in self.there.files:
                self.found("COMPLETE", "no_outcome", "has no status.json", name)
        if not self.plan:
            message = "plan.json is missing, so completeness cannot be checked"
            self.found("COMPLETE", "unknown", message, PLAN)
        if self.account.ended is None:
            self.found("COMPLETE", "open", "the run never ended", JOURNAL)
        if not self.sealed:
            self.found("COMPLETE", "unsealed", "is not there: the run was not sealed", MANIFEST)

    # 9

    def check_expected(self, expected: Expectations, now: float) -> None:
        came_to = self.outcome(intact=all(f.verdict != "INTACT" for f in self.findings))
        said = Said(
            *(self.run, self.plan, self.bundle.digests.get(PLAN), self.head, self.account),
            came_to.state.value,
            {str(status.get("task_id")): status for status in self.statuses},
        )
        self.findings += unmet(expected, said, now)

    def check_times(self) -> None:
        clocks = self.account.clocks
        if clocks.first is None:
            return
        allowed = _DRIFT_S + _DRIFT_SHARE * abs(clocks.last - clocks.first)
        if clocks.drift_s > allowed:
            message = f"wall and monotonic clock part by {clocks.drift_s:.3f} s"
            self.found("TIMED", "drift", message, JOURNAL)
        if clocks.back_s > allowed:
            self.found("TIMED", "back", f"a clock goes back {clocks.back_s:.3f} s", JOURNAL)
        for doubt in clocks.doubts:
            self.found("TIMED", "order", doubt, JOURNAL)

    def conclude(
        self, expected: Expectations, trust: Trust, *, passed: bool = False
    ) -> Verification:
        """The verdicts in order; the first that failed decides the exit code, and with `passed` a
        run that did not succeed comes right after one that is not intact.

        Clocks that part are doubted, not failed: a suspended laptop does that. A time stamp that
        was asked for is another matter.
        """
        self._explain_hidden()
        intact = all(finding.verdict != "INTACT" for finding in self.findings)
        came_to = self.outcome(intact=intact)
        if passed and came_to.state != outcome.Result.SUCCESS:
            message = "the run did not succeed, and --passed demands that it did"
            self.found("RESULT", "not_passed", message)
        failed = {finding.verdict for finding in self.findings}
        timed = State.DOUBTFUL if "TIMED" in failed else State.PASSED
        if trust.timestamp_ca and any(finding.kind == "timestamp" for finding in self.findings):
            timed = State.FAILED
        verdicts = (
            Verdict("INTACT", _state("INTACT" not in failed), self._intact()),
            Verdict("COMPLETE", _state("COMPLETE" not in failed), self._complete()),
            self.authentic,
            self._expected(expected, "EXPECTED" in failed),
            self._timed(timed),
        )
        codes = (TAMPERED, INCOMPLETE, UNTRUSTED, UNTRUSTED, UNTRUSTED)
        exit_code = next(
            (c for v, c in zip(verdicts, codes, strict=True) if v.state == State.FAILED), VERIFIED
        )
        if "RESULT" in failed:
            exit_code = NOT_PASSED
        started, ended = self.account.started or {}, self.account.ended or {}
        run = started.get("run")
        return Verification(
            run if isinstance(run, str) else None,
            came_to,
            verdicts,
            tuple(self.findings),
            exit_code,
            {key: ended.get(key) for key in ("exit_code", "counts", "duration_s")}
            | {
                "head": self.head,
                "manifest_sha256": self.bundle.digests.get(MANIFEST),
                "attestations": {
                    path.partition("/")[2]: digest
                    for path, digest in self.bundle.digests.items()
                    if _is_attest(path)
                },
            },
            {
                name: digest
                for name, task in self.account.tasks.items()
                if isinstance(digest := (task.terminal or {}).get("task_sha256"), str)
            },
        )

    def _explain_hidden(self) -> None:
        """Name the cause where nothing is wrong but that files with a leading dot are missing.

        zf itself writes one of these, `.timeout_killed`, and uploads of CI systems leave them out.
        """
        wrong = [finding for finding in self.findings if finding.verdict == "INTACT"]
        if wrong and all(f.kind == "missing" and _is_hidden(f.path or "") for f in wrong):
            self.tampered(
                "hidden",
                "only files with a leading dot are missing: a copy or upload left hidden files out "
                "(actions/upload-artifact does, unless it has include-hidden-files: true); hand "
                "over the archive that zf export writes instead",
            )

    def outcome(self, *, intact: bool) -> Outcome:
        """What the run came to, by the journal."""
        return outcome.of(self.account, list(self.planned), intact=intact)

    def _intact(self) -> str:
        size = _size(self.bundle.hashed_bytes)
        chained = _count(self.account.lines, "chained event")
        files = f"{_count(len(self.expected), 'file')} ({size})"
        if self.sealed:
            return f"{files}, {_count(self.trees, 'task list')}, {chained}"
        loose = len(self.there.files.keys() - self.expected.keys() - _TOP_FILES)
        return (
            f"{files} of {_count(self.trees, 'task')} that ended, {chained}; "
            f"{_count(loose, 'other file')} {'is' if loose == 1 else 'are'} in no checksum list"
        )

    def _complete(self) -> str:
        ended = len(self._ended() & set(self.planned))
        closed = "closed" if self.account.ended else "not closed"
        sealed = "sealed" if self.sealed else "not sealed"
        accounts = (self.account.tasks.get(name) for name in self.planned)
        ends = [account.terminal or {} for account in accounts if account is not None]
        warned = sum(end.get("warned") is True for end in ends)
        flaky = sum(map(statement.is_flaky, ends))
        told = f" ({warned} warned)" if warned else ""
        told += f" ({flaky} flaky)" if flaky else ""
        shielded = sum(is_shielded(status) for status in self.statuses)
        told += f" ({shielded} shielded)" if shielded else ""
        return f"{ended} of {len(self.planned)} planned tasks ended{told}; {closed}, {sealed}"

    def _expected(self, expected: Expectations, failed: bool) -> Verdict:
        asked = expected.asked()
        if not asked:
            return Verdict("EXPECTED", State.NOT_CHECKED, "nothing was expected")
        return Verdict("EXPECTED", _state(not failed), ", ".join(asked))

    def _timed(self, state: State) -> Verdict:
        clocks = self.account.clocks
        if clocks.first is None:
            return Verdict("TIMED", State.NOT_CHECKED, "no event has a time")
        summary = f"{self.account.lines} events, clocks agree within {clocks.drift_s:.3f} s"
        return Verdict("TIMED", state, summary + self.stamped)

    # Reading

    def _list(self, path: str, prefix: str = "") -> dict[str, str]:
        """A checksum list as path -> SHA-256, the paths with `prefix` before them."""
        try:
            listed = checksums.parse(self.bundle.read(path, MAX_LIST_BYTES))
        except OSError as error:
            self.tampered("missing", _reason(error), path)
        except ValueError as error:
            self.tampered("manifest", f"not a checksum list: {error}", path)
        else:
            return {prefix + p: digest for p, digest in listed.items()} if prefix else listed
        return {}

    def _paper(self, path: str, form: str) -> Mapping[str, Any]:
        """A JSON object as far as it has its form, so that what follows may rely on types."""
        value = self._value(path, form)
        if isinstance(value, dict):
            return value
        return {}

    def _value(self, path: str, form: str) -> Any:
        try:
            value = decode(self.bundle.read(path, MAX_JSON_BYTES))
        except OSError as error:
            self.tampered("missing", _reason(error), path)
            return None
        except ValueError as error:
            self.tampered("paper", f"not JSON as a proof has it: {error}", path)
            return None
        if not isinstance(value, dict) and form != "commands":
            self.tampered("paper", "not a JSON object", path)
            return None
        if wrong := forms.problems(form, value):
            for problem in wrong:
                self.tampered("form", problem, path)
            return forms.sound(form, value)
        return value


_BELOW_ATTEST = f"{ATTEST}/"


def _is_attest(path: str) -> bool:
    return path.startswith(_BELOW_ATTEST)


def _seals(path: str) -> bool:
    """Whether it is the manifest or about it, and so not in it."""
    return _is_attest(path) or path == MANIFEST


def _is_hidden(path: str) -> bool:
    """Whether it has a leading dot, or lies in a folder that has."""
    return any(name.startswith(".") for name in path.split("/"))


def _parents(path: str) -> Iterator[str]:
    while slash := path.rfind("/") + 1:
        path = path[: slash - 1]
        yield path


def _is_root(folder: str) -> bool:
    """Whether a tree is rooted here: a task's own, or one of its earlier attempts."""
    parts = folder.split("/")
    return len(parts) == 1 or (len(parts) == 3 and parts[1] == ATTEMPTS)


def _state(passed: bool) -> State:
    return State.PASSED if passed else State.FAILED


def _reason(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()


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
