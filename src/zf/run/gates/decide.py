"""To approve or to reject: the one door for `zf approve`, `zf reject` and the server.

The answer is made, signed and handed in. What came of it is read from the journal where a runner
takes it in; where there is none, it waits in the run's folder, and what a runner will say of it is
told already.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from zf.audit.gates.check import REJECTED, Answer, Given, Terms, code, examine
from zf.audit.gates.statement import APPROVE, MAX_COMMENT_CHARS, NAMESPACE, SSH, TOKEN, Statement
from zf.errors import Exit, ZfError, printable
from zf.events import (
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRefused,
    AttemptStarted,
    Event,
    RunEnded,
    TaskNotRun,
    timestamp,
)
from zf.lean.records import Struct, asdict, field
from zf.proof.layout import JOURNAL, MANIFEST
from zf.proof.read import journal, run_json
from zf.run.gates import box
from zf.run.gates.terms import token_key

if TYPE_CHECKING:
    from zf.audit.signing.ssh import SshSigner

# Answers that are refused as there is one that counts, which another gave at the same moment.
_NO_NEWS = frozenset({REJECTED, "decided", "duplicate"})
# How long a runner has to say what it makes of an answer, and how often its journal is looked at.
_PATIENCE_S = 20.0
_LOOK_S = 0.02


class Decider(Protocol):
    """The one that decides: what it is called among the approvers, how it shows that, and what
    vouches for a statement of it.
    """

    how: str

    def name(self, by: tuple[str, ...], signers: str) -> str:
        """Its name among these, by the list of allowed signers; any other where it is none."""
        ...

    def vouch(self, statement: bytes) -> str:
        """What shows that the statement is its own."""
        ...


class Key:
    """A person with an SSH key, by a private one, or a public one whose owner is the agent."""

    how = SSH

    def __init__(self, key: str, opened: ExitStack, called: str = "") -> None:
        """`called` is the name to decide in; without, the list of allowed signers tells it. Raises
        ZfError for a key that cannot be used.
        """
        from zf.audit.signing import ssh  # noqa: PLC0415 - not for tokens

        path = opened.enter_context(ssh.literal_key(key)) if ssh.is_text(key) else key
        self._signer: SshSigner = ssh.SshSigner(os.path.expanduser(path), NAMESPACE)
        self._called = called

    def name(self, by: tuple[str, ...], signers: str) -> str:
        from zf.plan.gates.approvers import Approvers  # noqa: PLC0415 - not for tokens

        if self._called:
            return self._called
        public = self._signer.public()[1].split()[-2:]
        own = [line for line in signers.splitlines() if b" ".join(public).decode() in line]
        listed = Approvers(signers="".join(f"{line}\n" for line in own))
        return next((name for name in by if listed.has_key(name)), self._signer.key_id)

    def vouch(self, statement: bytes) -> str:
        signed = self._signer.sign("approval.json", statement)
        return signed["approval.json.sig"].decode("ascii")


class Token:
    """The owner of a token of the server: its name, and the SHA-256 of its secret, in hex."""

    how = TOKEN

    def __init__(self, name: str, sha256: str) -> None:
        self._name = name
        self._secret = sha256.encode()

    def name(self, _by: tuple[str, ...], _signers: str) -> str:
        return self._name

    def vouch(self, statement: bytes) -> str:
        return code(self._secret, statement.decode("utf-8"))


class Told(Struct, frozen=True):
    """What came of it: the task, and `state`: "given" (more are needed), "approved", "rejected",
    "refused" or "kept" (for the next runner); for people, `text`. `again` says that it was decided
    before, so that nothing was done.
    """

    task: str
    state: str
    text: str
    again: bool = False

    @property
    def exit_code(self) -> int:
        return Exit.FAILED if self.state == "refused" else Exit.OK


class _Question(Struct):
    """What a journal has of the last approval that a task was asked for."""

    asked: ApprovalAsked
    at: str
    given: list[ApprovalGiven] = field(default_factory=list)
    rejected: ApprovalRefused | None = None
    # How it ended otherwise: it was not answered in time, or the run ended.
    closed: str = ""

    @property
    def is_open(self) -> bool:
        return not self.closed and self.rejected is None and len(self.given) < self.asked.min


def decide(
    run_dir: str,
    root: str,
    task: str,
    decision: str,
    decider: Decider,
    *,
    source: str,
    comment: str = "",
) -> Told:
    """Approve the task, or reject it (`decision` is "approve" or "reject"), in the run that lies
    there, of the project with this root. `source` says from where: a host or an address.

    Raises ZfError: exit 2 for a comment that is too long, 1 where the task does not wait for
    approval, or the answer cannot be handed in.
    """
    if len(comment) > MAX_COMMENT_CHARS:
        raise ZfError(f"the comment has more than {MAX_COMMENT_CHARS} characters", code="ZF741")
    run = os.path.basename(run_dir)
    question = _question(run_dir, run, task)
    terms = Terms.recorded(run_json(run_dir), token_key(root))
    if not question.is_open:
        return _told_before(question)
    name = decider.name(question.asked.by, terms.signers)
    if decision == APPROVE and any(one.approver == name for one in question.given):
        return _again(_state(question))
    if (kept := _kept(run_dir, task, name, decision, question.asked.min)) is not None:
        return kept
    said = Statement(
        run=run,
        task=task,
        attempt=question.asked.attempt,
        subject_sha256=question.asked.sha256,
        decision=decision,
        approver=name,
        how=decider.how,
        source=source,
        at=timestamp(time.time()),
        comment=comment,
    )
    line = said.encoded()
    answer = Answer(line.decode("ascii"), decider.vouch(line))
    proofs = os.path.dirname(run_dir)
    if box.hand_in(proofs, run_dir, answer):
        return _awaited(run_dir, run, task, answer)
    return _forecast(run, question, terms, answer, decision)


def _kept(run_dir: str, task: str, name: str, decision: str, least: int) -> Told | None:
    """What was said before, where the same one has said the same and it waits to be read."""
    for path in box.waiting(run_dir):
        answer = box.read(path)
        try:
            said = Statement.decoded(answer.statement.encode()) if answer else None
        except ValueError:
            continue
        if said and (said.task, said.approver, said.decision) == (task, name, decision):
            return _again(_told_kept(os.path.basename(run_dir), task, decision, least))
    return None


def _told_kept(run: str, task: str, decision: str, least: int) -> Told:
    did = "approved" if decision == APPROVE else "rejected"
    if decision == APPROVE and least > 1:
        did = f"approved by one of the {least} it takes"
    told = f"{printable(task)} is {did}, once the run goes on: zf resume {run}"
    return Told(task, "kept", told)


def _question(run_dir: str, run: str, task: str) -> _Question:
    question = None
    for event, wall in _events(run_dir):
        question = _fold(question, task, event, wall)
    if question is None:
        hint = f"zf status {run} says what it waits for"
        if os.path.lexists(f"{run_dir}/{MANIFEST}"):
            hint = "the run is over"
        raise ZfError(
            f"{printable(task)} of run {run} does not wait for approval",
            exit_code=Exit.FAILED,
            code="ZF740",
            hint=hint,
        )
    return question


def _events(run_dir: str) -> Iterator[tuple[Event, str]]:
    for line in journal(run_dir).lines:
        yield line.event, line.wall


def _fold(question: _Question | None, task: str, event: Event, wall: str) -> _Question | None:
    if isinstance(event, ApprovalAsked) and event.task == task:
        return _Question(event, wall)
    if question is None:
        return None
    if isinstance(event, RunEnded):
        question.closed = question.closed or "the run is over"
    elif getattr(event, "task", None) == task:
        _answered(question, event)
    return question


def _answered(question: _Question, event: Event) -> None:
    match event:
        case ApprovalGiven():
            question.given.append(event)
        case ApprovalRefused(why=why) if why == REJECTED:
            question.rejected = event
        case TaskNotRun(status=status, detail=detail):
            question.closed = question.closed or f"it ended as {status}: {detail}"
        case AttemptStarted():
            question.closed = question.closed or "it has begun"


def _state(question: _Question) -> Told:
    """Where it stands, in words."""
    task, given = question.asked.task, question.given
    names = " and ".join(printable(one.approver) for one in given)
    if question.rejected is not None:
        return Told(task, "rejected", f"{printable(task)} was {_rejection(question.rejected)}")
    if len(given) >= question.asked.min:
        return Told(task, "approved", f"{printable(task)} is approved by {names}")
    left = question.asked.min - len(given)
    told = f"{printable(task)} is approved by {names}, and needs {left} more"
    return Told(task, "given", told)


def _rejection(event: ApprovalRefused) -> str:
    return printable(event.detail)


def _told_before(question: _Question) -> Told:
    """What was decided stays: nothing is done."""
    if question.rejected is not None or len(question.given) >= question.asked.min:
        return _again(_state(question))
    task = question.asked.task
    told = f"{printable(task)} does not wait any more: {printable(question.closed)}"
    return Told(task, "closed", told, again=True)


def _again(told: Told) -> Told:
    """The same, as it was before."""
    return Told(told.task, told.state, told.text, again=True)


def _awaited(run_dir: str, run: str, task: str, answer: Answer) -> Told:
    """What the runner makes of it, by its journal."""
    until, seen = time.monotonic() + _PATIENCE_S, -1
    while time.monotonic() < until:
        size = os.stat(f"{run_dir}/{JOURNAL}").st_size
        if size == seen:
            time.sleep(_LOOK_S)
            continue
        question, refused, seen = None, None, size
        for event, wall in _events(run_dir):
            question = _fold(question, task, event, wall)
            if isinstance(event, ApprovalRefused) and event.statement_sha256 == answer.sha256:
                refused = event
        assert question is not None  # it was there before
        if refused is not None and refused.why not in _NO_NEWS:
            return _refused(task, refused.detail)
        is_in = any(one.statement == answer.statement for one in question.given)
        if is_in or refused is not None or question.rejected is not None:
            return _state(question)
        if question.closed:
            return _told_before(question)
    raise ZfError(
        f"run {run} has not said what it makes of the answer",
        exit_code=Exit.FAILED,
        code="ZF743",
        hint=f"the answer was handed in; zf status {run} says what the run does",
    )


def _forecast(run: str, question: _Question, terms: Terms, answer: Answer, decision: str) -> Told:
    """What the next runner will make of it."""
    given = Given({one.approver for one in question.given}, {one.key for one in question.given})
    asked: Mapping[str, Any] = asdict(question.asked)
    task = question.asked.task
    try:
        found = examine(answer, run, asked, terms, given, asked_at=question.at)
    except OSError:  # nothing can be written to look at it with; it was handed in all the same
        return _told_kept(run, task, decision, question.asked.min)
    if not found.counts:
        return _refused(task, found.detail)
    return _told_kept(run, task, decision, question.asked.min)


def _refused(task: str, detail: str) -> Told:
    return Told(task, "refused", f"the answer about {printable(task)} is refused: {detail}")
