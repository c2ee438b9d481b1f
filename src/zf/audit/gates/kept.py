"""The approvals in a proof: whether each attempt that had to be approved was, before it began, by
those who may, for just what it then was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from zf.audit.evidence import Evidence, reason_of
from zf.audit.expected import Approver
from zf.audit.gates.check import REJECTED, Answer, Given, Terms, examine
from zf.audit.gates.statement import (
    MAX_STATEMENT_BYTES,
    NAMESPACE,
    SSH,
    digest,
    need_of,
    subject,
)
from zf.audit.signing import ssh
from zf.lean.records import Struct, field
from zf.proof import layout

_Event = Mapping[str, Any]
# What an event says once more of the statement in it.
_SAID_TWICE = ("task", "attempt", "approver", "how", "source", "at")


class Kept(Struct):
    """What was answered about one attempt of a task."""

    task: str
    attempt: int
    asked: _Event
    given: list[_Event] = field(default_factory=list)
    rejected: _Event | None = None

    @property
    def waits(self) -> bool:
        """Whether an answer is still needed."""
        return self.rejected is None and len(self.given) < _least(self.asked)


def match(seen: Evidence) -> None:
    """Hold every approval against the plan, the journal, what the needs left, and its own key."""
    terms = Terms.recorded(seen.run, None)
    wanted = {name: row["approval"] for name, row in seen.planned.items() if _is_gate(row)}
    for name in sorted({*wanted, *seen.account.gates}):
        if name not in wanted:
            _wrong(seen, name, "was to be approved, though its plan says nothing of that")
            continue
        for told in _of_task(seen, name, wanted[name], terms):
            _wrong(seen, name, told)


def _is_gate(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("approval"), dict)


def _wrong(seen: Evidence, task: str, told: str) -> None:
    seen.tampered("approval", f"{task}: {told}", layout.JOURNAL)


def _of_task(seen: Evidence, name: str, said: Mapping[str, Any], terms: Terms) -> Iterator[str]:
    kept: Kept | None = None
    began = 0
    for event in seen.account.gates.get(name, ()):
        match event.get("type"):
            case "approval_asked":
                kept = Kept(name, int(event["attempt"]), event)
                yield from _asked(seen, kept, said)
                seen.approvals.append(kept)
            case "approval_given" | "approval_refused":
                if kept is None or event.get("attempt") != kept.attempt:
                    yield "is answered without being asked"
                else:
                    yield from _answered(seen, kept, event, terms)
            case "attempt_started":
                began += 1
                yield from _began(seen, kept, int(event["attempt"]))
            case "task_not_run":
                yield from _not_run(kept, event)
                yield from _files(seen, kept, name)
    account = seen.account.tasks.get(name)
    if account is not None and account.began > began:
        yield f"attempt {account.began} began without approval"


def _least(asked: _Event) -> int:
    least = asked.get("min")
    return least if type(least) is int and least > 0 else 1


def _asked(seen: Evidence, kept: Kept, said: Mapping[str, Any]) -> Iterator[str]:
    """Whether the question is the one that the plan has, about what there then was."""
    event = kept.asked
    wanted = {
        "by": said.get("by"),
        "min": said.get("min"),
        "timeout_s": said.get("timeout_sec"),
        "four_eyes": said.get("four_eyes"),
    }
    prompt = event.get("prompt")
    if prompt != said.get("prompt", "") and "***" not in repr((prompt, said)):
        yield f"was asked for with {prompt!r:.80}, planned is {said.get('prompt')!r:.80}"
    for key, value in wanted.items():
        if event.get(key) != value:
            yield f"was asked for with {key} {event.get(key)!r:.80}, planned is {value!r:.80}"
    row = seen.planned[kept.task]
    needs = {need: _need(seen, need) for need in _needs(seen, row)}
    inputs = seen.run.get("inputs")
    true = subject(
        {key: (seen.account.started or {}).get(key) for key in _OF_THE_RUN},
        kept.task,
        kept.attempt,
        str(row.get("sha256")),
        inputs if isinstance(inputs, dict) else {},
        needs,
    )
    if event.get("subject") != true:
        yield "what was to be approved is not what the run, its plan and its needs were"
    elif event.get("sha256") != digest(true):
        yield "the digest of what was to be approved is another"


_OF_THE_RUN = ("run", "nonce", "plan_sha256", "run_sha256")


def _needs(seen: Evidence, row: Mapping[str, Any]) -> Iterator[str]:
    upstream = seen.plan.get("upstream")
    upstream = upstream if isinstance(upstream, dict) else {}
    for need in row.get("needs", ()):
        name = need.get("task") if isinstance(need, dict) else None
        if name in upstream:
            yield str(name)
            continue
        instances = [one for one, of in seen.planned.items() if of.get("base") == name]
        for one in [name] if name in seen.planned else instances:
            if one in seen.ended():
                yield str(one)


def _need(seen: Evidence, need: str) -> dict[str, str]:
    upstream = seen.plan.get("upstream")
    met = upstream.get(need) if isinstance(upstream, dict) else None
    if isinstance(met, dict):
        return need_of(str(met.get("run")), "success", str(met.get("task_sha256")), "", "")
    end = seen.account.tasks[need].terminal or {}
    return need_of(
        str((seen.account.started or {}).get("run")),
        str(end.get("status")),
        str(end.get("task_sha256")),
        seen.expected.get(f"{need}/{layout.OUTPUTS}", ""),
        seen.bundle.digests.get(f"{need}/{layout.ARTIFACTS_LIST}", ""),
    )


def _answered(seen: Evidence, kept: Kept, event: _Event, terms: Terms) -> Iterator[str]:
    """Whether an answer that counted does count."""
    rejects = event.get("type") == "approval_refused"
    if rejects and event.get("why") != REJECTED:
        return  # it changed nothing
    if not kept.waits:
        yield "is answered again though it was decided"
        return
    answer = Answer(str(event.get("statement")), str(event.get("signature")))
    given = Given(
        {str(one.get("approver")) for one in kept.given},
        {str(one.get("key")) for one in kept.given},
    )
    found = examine(
        *(answer, str((seen.account.started or {}).get("run")), kept.asked, terms, given),
        asked_at=str(kept.asked.get("wall")),
        at=_stamp(event),
    )
    if not found.counts or (found.why == REJECTED) is not rejects:
        yield f"an answer that counted does not: {found.detail or 'it says something else'}"
    elif any(event.get(key) != getattr(found.said, key) for key in _SAID_TWICE) or (
        rejects and event.get("statement_sha256") != answer.sha256
    ):
        yield "an answer says something else than the journal tells of it"
    elif event.get("how") == SSH and event.get("key") != found.key:
        yield "an answer is signed by another key than the journal tells of it"
    if rejects:
        kept.rejected = event
    else:
        kept.given.append(event)


def _stamp(event: _Event) -> str | None:
    """When the journal has it, as ssh-keygen takes a time."""
    try:
        return f"{datetime.fromisoformat(str(event.get('wall'))):%Y%m%d%H%M%SZ}"
    except ValueError:
        return None


def _began(seen: Evidence, kept: Kept | None, attempt: int) -> Iterator[str]:
    if kept is None or kept.attempt != attempt or kept.waits or kept.rejected is not None:
        yield f"attempt {attempt} began without approval"
        return
    account = seen.account.tasks[kept.task]
    end = account.ended.get(attempt)
    if end is None or end.get("status") == "lost" or end.get("cause") == "storage":
        return  # what its worker has left is not vouched for
    is_last = end is account.terminal
    root = kept.task if is_last else layout.earlier_tree(kept.task, attempt)
    yield from _files(seen, kept, root)


def _files(seen: Evidence, kept: Kept | None, root: str) -> Iterator[str]:
    """Whether the tree has the answers as the journal has them."""
    answers = [] if kept is None else kept.given + [e for e in (kept.rejected,) if e is not None]
    for number, event in enumerate(answers, 1):
        path = f"{root}/{layout.approval(number)}"
        for name, key in ((path, "statement"), (layout.signature(path), "signature")):
            if event.get(key) and _read(seen, name) != event[key]:
                yield f"{name} is not what the journal has"


def _read(seen: Evidence, path: str) -> str | None:
    try:
        return seen.bundle.read(path, MAX_STATEMENT_BYTES).decode("utf-8", "surrogatepass")
    except OSError as error:
        seen.tampered("missing", reason_of(error), path)
    except ValueError:
        pass
    return None


def _not_run(kept: Kept | None, event: _Event) -> Iterator[str]:
    cause = event.get("cause")
    if cause == "approval_rejected" and (kept is None or kept.rejected is None):
        yield "is said to be rejected, which it was not"
    if cause == "approval_timeout" and (kept is None or kept.asked.get("timeout_s") is None):
        yield "is said to be out of time for an approval that had no limit"


def approvers(seen: Evidence, own_list: str | None) -> dict[str, list[Approver]]:
    """Who has approved the attempt of each task that counts; with the path of a list of allowed
    signers, those alone whose signature that list vouches for, too.
    """
    found = {}
    terms = Terms.recorded(seen.run, None)
    for kept in seen.approvals:
        account = seen.account.tasks.get(kept.task)
        if kept.waits or account is None or account.began != kept.attempt:
            continue
        found[kept.task] = [
            Approver(str(one.get("approver")), _started_it(one, terms))
            for one in kept.given
            if own_list is None or _is_vouched(one, own_list)
        ]
    return found


def _started_it(event: _Event, terms: Terms) -> bool | None:
    if not terms.triggered_by:
        return None
    return event.get("approver") in terms.triggered_by or event.get("key") in terms.trigger_keys


def _is_vouched(event: _Event, own_list: str) -> bool:
    signature, statement = (str(event.get(key)).encode() for key in ("signature", "statement"))
    names, at = (str(event.get("approver")),), _stamp(event)
    if event.get("how") != SSH:
        return False
    return (
        ssh.check(signature, statement, own_list, signers=names, at=at, namespace=NAMESPACE)[1]
        is None
    )


def by_whom(kept: Kept) -> str:
    """Those who may approve, in words."""
    names = [str(name) for name in kept.asked.get("by", ())]
    few = ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else "".join(names)
    return few if _least(kept.asked) == 1 else f"{_least(kept.asked)} of {', '.join(names)}"
