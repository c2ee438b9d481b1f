"""Whether an answer to an approval that was asked for counts, and if not, why. The judge of a live
run and of a proof that is verified years later.

It believes nothing of an answer but what a key vouches for: an SSH signature in the namespace of
approvals, by a key that the run's own list of allowed signers has under the approver's name, or the
code that the server makes with a token.
"""

from __future__ import annotations

import hmac
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from zf.audit.gates.statement import (
    APPROVE,
    MAX_COMMENT_CHARS,
    MAX_SIGNATURE_BYTES,
    NAMESPACE,
    SSH,
    Statement,
)
from zf.audit.signing import ssh
from zf.lean import lazy
from zf.lean.records import Struct, field
from zf.model import NOTHING

REJECTED = "rejected"
_CODE = "hmac-sha256:"
# A time of day as a journal has it; nothing else is one in a proof.
_MOMENT = lazy.pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Answer(Struct, frozen=True):
    """What was handed in, as it came."""

    statement: str
    signature: str

    @property
    def sha256(self) -> str:
        """The digest of the statement, by which it is told from others."""
        return sha256(self.statement.encode("utf-8", "surrogatepass")).hexdigest()


class Terms(Struct, frozen=True):
    """Who may approve in a run, as its run.json has it: the text of its list of allowed signers,
    the names of tokens, and those names and keys by which the one that started it is known.

    `key_of` gives the key of a token, where that is known: a token that is not can approve nothing
    in a live run. When a proof is verified, there is none: `key_of` is None.
    """

    signers: str = ""
    tokens: tuple[str, ...] = ()
    triggered_by: tuple[str, ...] = ()
    trigger_keys: tuple[str, ...] = ()
    key_of: Callable[[str], bytes | None] | None = None

    @classmethod
    def recorded(
        cls, run: Mapping[str, Any], key_of: Callable[[str], bytes | None] | None
    ) -> Terms:
        """Those that a run.json has."""
        said = run.get("approvals")
        said = said if isinstance(said, dict) else NOTHING
        return cls(
            str(said.get("allowed_signers", "")),
            tuple(map(str, said.get("tokens", ()))),
            tuple(map(str, said.get("triggered_by", ()))),
            tuple(map(str, said.get("trigger_keys", ()))),
            key_of,
        )


class Verdict(Struct, frozen=True):
    """`why` is empty for an answer that approves, "rejected" for a good one that says no, and else
    the word for what is wrong with it; `detail` says that for people. `said` is what it claims.
    """

    why: str = ""
    detail: str = ""
    said: Statement | None = None
    key: str = ""

    @property
    def counts(self) -> bool:
        """Whether it decides something."""
        return self.why in {"", REJECTED}


class Given(Struct):
    """Those who have approved the attempt so far, by name, and the keys they used."""

    approvers: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


def examine(
    answer: Answer,
    run: str,
    asked: Mapping[str, Any],
    terms: Terms,
    given: Given,
    *,
    asked_at: str,
    at: str | None = None,
) -> Verdict:
    """What an answer comes to. `asked` is the event that asked, written `asked_at`; `at` is when
    the answer is known to have existed, for keys that expired since.
    """
    try:
        said = Statement.decoded(answer.statement.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        return Verdict("malformed", f"the statement is no approval: {error}")
    if wrong := _other(said, run, asked) or _unwelcome(said, asked, asked_at):
        return Verdict(*wrong, said)
    key, wrong = _vouched(answer, said, terms, at)
    if wrong:
        return Verdict(*wrong, said)
    if wrong := _same(said, key, asked, terms, given):
        return Verdict(*wrong, said, key)
    if said.decision == APPROVE:
        return Verdict(said=said, key=key)
    comment = f": {said.comment}" if said.comment else ""
    return Verdict(REJECTED, f"rejected by {said.approver}{comment}", said, key)


_Wrong = tuple[str, str] | None


def _other(said: Statement, run: str, asked: Mapping[str, Any]) -> _Wrong:
    """Whether it is for something else."""
    wanted = {"run": run, **{name: asked.get(name) for name in ("task", "attempt")}}
    for name, value in wanted.items():
        if getattr(said, name) != value:
            return f"other_{name}", f"it is for {name} {getattr(said, name)!r:.140}, not {value!r}"
    if said.subject_sha256 != asked.get("sha256"):
        return "other_subject", "it approves something else: another digest than was asked for"
    return None


def _unwelcome(said: Statement, asked: Mapping[str, Any], asked_at: str) -> _Wrong:
    by: Sequence[str] = asked.get("by", ())
    if said.approver not in by:
        return "unknown_approver", f"{said.approver!r:.220} is none of {', '.join(by)}"
    if len(said.comment) > MAX_COMMENT_CHARS:
        return "malformed", f"its comment has more than {MAX_COMMENT_CHARS} characters"
    no_time = "malformed", "its `at` is no time of day in UTC"
    if not _MOMENT.fullmatch(said.at):
        return no_time
    try:
        moment, begin = datetime.fromisoformat(said.at), datetime.fromisoformat(asked_at)
        limit_s = asked.get("timeout_s")
        if limit_s is not None and moment > begin + timedelta(seconds=limit_s):
            return "late", f"it is from {said.at}, after the {limit_s:g} s there were for it"
    except (ValueError, TypeError, OverflowError):
        return no_time
    return None


def _vouched(answer: Answer, said: Statement, terms: Terms, at: str | None) -> tuple[str, _Wrong]:
    """The key that vouches for it, or what is wrong with that."""
    if said.how == SSH:
        return _signed(answer, said, terms, at)
    if said.approver not in terms.tokens:
        return "", ("unknown_approver", f"no token {said.approver!r:.220} may approve in this run")
    if terms.key_of is None:
        return f"token {said.approver}", None
    secret = terms.key_of(said.approver)
    if secret is None or not hmac.compare_digest(code(secret, answer.statement), answer.signature):
        return "", ("bad_signature", f"token {said.approver} does not vouch for it")
    return f"token {said.approver}", None


def code(secret: bytes, statement: str) -> str:
    """What vouches for the statement of a token: a code made with its key, HMAC-SHA256."""
    return _CODE + hmac.new(secret, statement.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _signed(answer: Answer, said: Statement, terms: Terms, at: str | None) -> tuple[str, _Wrong]:
    signature = answer.signature.encode("utf-8", "replace")
    if len(signature) > MAX_SIGNATURE_BYTES:
        return "", ("bad_signature", "its signature is too long")
    try:
        key = ssh.key_id(signature, NAMESPACE)
    except ValueError as error:
        return "", ("bad_signature", f"its signature: {error}")
    with tempfile.NamedTemporaryFile("w", prefix="zf-signers-", encoding="utf-8") as file:
        file.write(terms.signers)
        file.flush()
        data, names = answer.statement.encode(), (said.approver,)
        _, wrong = ssh.check(signature, data, file.name, signers=names, at=at, namespace=NAMESPACE)
    return key, ("bad_signature", wrong) if wrong else None


def _same(
    said: Statement, key: str, asked: Mapping[str, Any], terms: Terms, given: Given
) -> _Wrong:
    """Whether it adds nothing to what was said before, or comes from where it must not."""
    if asked.get("four_eyes") and (
        said.approver in terms.triggered_by or key in terms.trigger_keys
    ):
        return "four_eyes", f"{said.approver} started the run, which another has to approve"
    if said.decision == APPROVE and (said.approver in given.approvers or key in given.keys):
        return "duplicate", f"{said.approver} has approved it already, or another with the same key"
    return None
