"""The gate of a live run: puts the questions that the scheduler orders, and judges the answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zf.audit.gates.check import REJECTED, Answer, Given, Terms, Verdict, examine
from zf.audit.gates.statement import Statement, digest, need_of, subject
from zf.errors import ZfError, error_text
from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptEnded,
    Event,
    PlanExtended,
    RunStarted,
    Status,
    TaskNotRun,
)
from zf.lean.records import Struct, asdict, field
from zf.model import Task, definition_sha256
from zf.outlet import say_if_possible
from zf.proof.journal import Line
from zf.proof.layout import ARTIFACTS_LIST, OUTPUTS
from zf.proof.tree.contents import checked_list
from zf.run.gates import box
from zf.run.gates.terms import token_key
from zf.run.request import RunRequest
from zf.run.schedule.orders import AskApproval, NotAsked
from zf.work.context import needed

# So many answers that do not count are told of each question; of more nothing is kept.
_MOST_REFUSED = 50
# Of a claim by a stranger, and of a sentence about it.
_CLAIM_CHARS, _DETAIL_CHARS = 200, 1000


class _Asked(Struct):
    """A question that is out, when it was put, and what was answered."""

    event: ApprovalAsked
    at: str
    given: list[ApprovalGiven] = field(default_factory=list)
    rejected: ApprovalRefused | None = None
    refused: int = 0

    def is_open(self) -> bool:
        return self.rejected is None and len(self.given) < self.event.min


class Gate:
    """`about` is run.json, `started` the first event of the run; `tasks` are those of its plan, as
    they are by now.
    """

    def __init__(
        self,
        request: RunRequest,
        about: Mapping[str, Any],
        started: RunStarted,
        tasks: Mapping[str, Task],
        key_of: Callable[[str], bytes | None],
    ) -> None:
        self._request = request
        self._inputs = about.get("inputs") or {}
        self._started = started
        self._tasks = tasks
        # The instances that joined the plan, by their base.
        self._joined: dict[str, list[str]] = {}
        self._terms = Terms.recorded(about, key_of)
        # How each task ended last: its status, and the digest of its list.
        self._ends: dict[str, tuple[Status, str]] = {}
        self._asked: dict[str, _Asked] = {}
        self._folders: tuple[str, ...] = (box.beside(request.flow.proofs, request.run),)
        self._seen: set[str] = set()
        # Why an answer could not be judged, as it was told last.
        self._hindered = ""

    def take(self, event: Event, wall: str) -> None:
        """Take in what is in the journal, or comes to be."""
        match event:
            case AttemptEnded() | TaskNotRun():
                self._ends[event.task] = (event.status, event.task_sha256)
            case PlanExtended(base, instances):
                self._joined[base] = [str(one["id"]) for one in instances]
            case ApprovalAsked(task):
                self._asked[task] = _Asked(event, wall)
            case ApprovalGiven(task) | ApprovalRefused(task):
                self._answered(self._asked.get(task), event)

    def _answered(self, asked: _Asked | None, event: ApprovalGiven | ApprovalRefused) -> None:
        if asked is None or asked.event.attempt != event.attempt:
            return
        if isinstance(event, ApprovalGiven):
            asked.given.append(event)
            self._seen.add(Answer(event.statement, "").sha256)
            return
        self._seen.add(event.statement_sha256)
        if event.why == REJECTED:
            asked.rejected = event
        else:
            asked.refused += 1

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is waited for."""
        return any(asked.is_open() for asked in self._asked.values())

    # Asking.

    def ask(self, order: AskApproval) -> ApprovalAsked | NotAsked:
        """The question of this attempt, or why it cannot be put."""
        task = self._tasks[order.task]
        try:
            needs = {need: self._need(need) for need in self._needs_of(task)}
        except (OSError, ValueError) as error:
            return NotAsked(task.id, f"what would be approved cannot be said: {error}")
        hidden, said = self._request.redactor, task.approval
        what = subject(
            asdict(self._started),
            task.id,
            order.attempt,
            definition_sha256(hidden.defined(task)),
            self._inputs,
            needs,
        )
        return ApprovalAsked(
            task.id,
            order.attempt,
            tuple(said["by"]),
            said["min"],
            digest(what),
            what,
            hidden.text(said.get("prompt", "")),
            said.get("timeout_sec"),
            said["four_eyes"],
        )

    def _needs_of(self, task: Task) -> Iterator[str]:
        plan = self._request.plan
        for need in needed(task, self._joined):
            if need.task in self._ends or need.task in plan.upstream:
                yield need.task

    def _need(self, need: str) -> dict[str, str]:
        if (met := self._request.plan.upstream.get(need)) is not None:
            return need_of(met.run, Status.SUCCESS.value, met.task_sha256 or "", "", "")
        status, task_sha256 = self._ends[need]
        try:
            listed = checked_list(f"{self._request.run_dir}/{need}", task_sha256)
        except ValueError as error:
            raise ValueError(f"the files of need '{need}': {error}") from None
        outputs, artifacts = listed.get(OUTPUTS, ""), listed.get(ARTIFACTS_LIST, "")
        return need_of(self._request.run, status.value, task_sha256, outputs, artifacts)

    # Answers.

    def also_in(self, folder: str) -> None:
        """Answers may lie here, too."""
        self._folders = (*self._folders, folder)

    def look(self) -> Iterator[tuple[ApprovalGiven | ApprovalRefused | None, str]]:
        """What has been handed in, each with the path to forget once it lasts; None for what is no
        news: said before, or too much to be told. One that cannot be judged now stays where it is.
        """
        for path in box.waiting(*self._folders):
            answer = box.read(path)
            try:
                judged = None if answer is None else self._judged(answer)
            except (OSError, ZfError) as error:
                self._tell(error_text(error) if isinstance(error, OSError) else str(error))
                continue
            yield judged, path

    def _tell(self, hindrance: str) -> None:
        if hindrance != self._hindered:
            self._hindered = hindrance
            say_if_possible(f"zf: an answer cannot be judged: {hindrance}; it is tried again\n")

    def _judged(self, answer: Answer) -> ApprovalGiven | ApprovalRefused | None:
        if answer.sha256 in self._seen:
            return None
        verdict, asked = self._verdict(answer)
        if asked is None or (not verdict.counts and asked.refused >= _MOST_REFUSED):
            return None  # there is no question that it could be about
        told = asked.event.task, asked.event.attempt
        if verdict.why:
            return self._refused(*told, answer, verdict)
        assert verdict.said is not None
        said = verdict.said
        claims = said.approver, said.how, verdict.key, said.source, said.at
        return ApprovalGiven(*told, *claims, answer.statement, answer.signature)

    def _verdict(self, answer: Answer) -> tuple[Verdict, _Asked | None]:
        task = _claimed_task(answer)
        asked = self._asked.get(task)
        if asked is None:
            # It names no task that waits: told of the one question there is, if it is the only one.
            asked = next((one for one in self._asked.values() if one.is_open()), None)
        if asked is None:
            return Verdict("not_asked", "nothing waits for approval"), None
        given = Given({g.approver for g in asked.given}, {g.key for g in asked.given})
        event = asdict(asked.event)
        found = examine(
            answer, self._request.run, event, self._terms, given, asked_at=asked.at, at=_stamp()
        )
        if found.counts and not asked.is_open():
            return Verdict("decided", "it was decided before", found.said, found.key), asked
        return found, asked

    def _refused(
        self, task: str, attempt: int, answer: Answer, verdict: Verdict
    ) -> ApprovalRefused:
        hide, said = self._request.redactor.text, verdict.said
        detail = hide(verdict.detail)[:_DETAIL_CHARS]
        if said is None:
            return ApprovalRefused(task, attempt, verdict.why, detail, answer.sha256)
        is_kept = verdict.why == REJECTED

        def shown(claim: str) -> str:
            return hide(claim)[:_CLAIM_CHARS]

        return ApprovalRefused(
            *(task, attempt, verdict.why, detail, answer.sha256),
            approver=shown(said.approver),
            how=said.how,
            key=verdict.key,
            source=shown(said.source),
            at=shown(said.at),
            statement=answer.statement if is_kept else "",
            signature=answer.signature if is_kept else "",
        )

    def forget(self, paths: Iterable[str]) -> None:
        """What these files said lasts in the journal."""
        for path in paths:
            box.forget(path)

    def answers_for(self, task: str, attempt: int) -> list[tuple[str, str]]:
        """The statements and signatures that a tree of this attempt keeps; with 0 for `attempt`,
        that of the task which is not run.
        """
        asked = self._asked.get(task)
        if asked is None or attempt not in {0, asked.event.attempt}:
            return []
        answers: Iterable[ApprovalGiven | ApprovalRefused] = asked.given
        if asked.rejected is not None:
            answers = [*asked.given, asked.rejected]
        return [(one.statement, one.signature) for one in answers]


def opened(
    request: RunRequest,
    about: Mapping[str, Any],
    started: RunStarted,
    tasks: Mapping[str, Task],
    lines: Iterable[Line],
) -> Gate:
    """The gate of a run, brought to where its journal is."""
    gate = Gate(request, about, started, tasks, token_key(request.flow.root))
    for line in lines:
        gate.take(line.event, line.wall)
    return gate


def _claimed_task(answer: Answer) -> str:
    try:
        return Statement.decoded(answer.statement.encode("utf-8", "surrogatepass")).task
    except ValueError:
        return ""


def _stamp() -> str:
    """Now, as ssh-keygen takes it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime())
