"""What counts as an approval: forged, replayed and reordered ones do not, and genuine ones do."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import pytest

from zf.audit.gates.check import Answer, Given, Terms, code, examine
from zf.audit.gates.statement import NAMESPACE, Statement, digest, subject
from zf.audit.signing.ssh import SshSigner
from zf.lean.records import replace
from zf.proof.canonical import canonical

RUN, TASK = "r1", "deploy"
ASKED_AT, AT = "2026-01-01T10:00:00.000000Z", "2026-01-01T10:05:00.000000Z"
TOKEN_KEY = b"5f" * 32
SHA = "ab" * 32
NEEDS = {"build": {"run": RUN, "status": "success", "task_sha256": SHA}}


def subject_of(**more):
    started = {"run": RUN, "nonce": "n", "plan_sha256": SHA, "run_sha256": SHA} | more
    inputs, needs = started.pop("inputs", {"env": "prod"}), started.pop("needs", NEEDS)
    task, attempt = started.pop("task", TASK), started.pop("attempt", 1)
    return subject(started, task, attempt, SHA, inputs, needs)


def asked(**more):
    said = {"task": TASK, "attempt": 1, "by": ["ann", "bob", "bot"], "min": 1, "four_eyes": False}
    return said | {"sha256": digest(subject_of()), "timeout_s": None} | more


class Keys:
    """Keys made by ssh-keygen: those of ann and bob, who may approve, and that of eve, who may
    not; and one of ann's for runs alone.
    """

    def __init__(self, folder: Path) -> None:
        lines = []
        self.signers = {}
        for name in ("ann", "bob", "eve"):
            path = folder / name
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True
            )
            self.signers[name] = SshSigner(str(path), NAMESPACE)
            if name != "eve":
                lines.append(f"{name} {path.with_suffix('.pub').read_text()}")
        self.for_runs = SshSigner(str(folder / "ann"))
        self.list = "".join(lines)
        self.terms = Terms(self.list, ("bot",), key_of={"bot": TOKEN_KEY}.get)

    @cache  # noqa: B019 - the keys are those of this module, and Ed25519 signs a line one way
    def signed(self, line: bytes, by: str = "ann") -> Answer:
        made = self.signers[by].sign("approval.json", line)["approval.json.sig"]
        return Answer(line.decode(), made.decode())


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


def statement(**more):
    values = {"run": RUN, "task": TASK, "attempt": 1, "subject_sha256": digest(subject_of())}
    values |= {"decision": "approve", "approver": "ann", "how": "ssh", "source": "here", "at": AT}
    return Statement(**(values | more))


def look(answer, terms, given=None, **more):
    return examine(answer, RUN, asked(**more), terms, given or Given(), asked_at=ASKED_AT)


def test_a_genuine_one_counts_and_tells_whose_it_is(keys):
    found = look(keys.signed(statement(comment="go").encoded()), keys.terms)
    assert (found.why, found.said.approver) == ("", "ann")
    assert found.key == keys.signers["ann"].key_id


def test_one_that_says_no_counts_as_that(keys):
    said = statement(decision="reject", comment="not today")
    found = look(keys.signed(said.encoded()), keys.terms)
    assert (found.why, found.counts) == ("rejected", True)
    assert found.detail == "rejected by ann: not today"


def test_a_token_vouches_with_a_code_that_only_its_key_makes(keys):
    line = statement(approver="bot", how="token").encoded().decode()
    assert look(Answer(line, code(TOKEN_KEY, line)), keys.terms).why == ""
    assert look(Answer(line, code(b"other", line)), keys.terms).why == "bad_signature"
    assert look(Answer(line, ""), keys.terms).why == "bad_signature"
    gone = replace(keys.terms, key_of=lambda _: None)
    assert look(Answer(line, code(TOKEN_KEY, line)), gone).why == "bad_signature"


def test_a_name_with_a_key_is_not_vouched_for_by_a_token(keys):
    line = statement(how="token").encoded().decode()
    assert look(Answer(line, code(TOKEN_KEY, line)), keys.terms).why == "unknown_approver"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"run": "r2"}, "other_run"),
        ({"task": "build"}, "other_task"),
        ({"attempt": 2}, "other_attempt"),
        ({"subject_sha256": "cd" * 32}, "other_subject"),
        ({"approver": "eve"}, "unknown_approver"),
        ({"approver": "bob"}, "bad_signature"),  # signed by ann
        ({"comment": "x" * 2001}, "malformed"),
        ({"at": "yesterday"}, "malformed"),
        ({"at": "2026-01-01"}, "malformed"),
        ({"at": "2026-01-01T10:05:00.000000"}, "malformed"),
        ({"at": "2026-01-01T10:05:00.000000+00:00"}, "malformed"),
    ],
)
def test_what_is_for_something_else_is_refused_by_name(keys, more, why):
    assert look(keys.signed(statement(**more).encoded()), keys.terms).why == why


@pytest.mark.parametrize(
    "more",
    [
        {"plan_sha256": "cd" * 32},
        {"run_sha256": "cd" * 32},
        {"nonce": "another run of the same name"},
        {"inputs": {"env": "test"}},
        {"needs": {}},
        {"needs": {"build": {**NEEDS["build"], "task_sha256": "cd" * 32}}},
        {"needs": {"build": {**NEEDS["build"], "outputs_sha256": "cd" * 32}}},
        {"needs": {"build": {**NEEDS["build"], "artifacts_sha256": "cd" * 32}}},
        {"attempt": 2},
    ],
)
def test_what_is_approved_is_all_of_it(keys, more):
    said = statement(subject_sha256=digest(subject_of(**more)))
    assert look(keys.signed(said.encoded()), keys.terms).why == "other_subject"


def test_a_signature_for_something_else_than_approvals_is_none(keys):
    line = statement().encoded()
    made = keys.for_runs.sign("statement.json", line)["statement.json.sig"].decode()
    found = look(Answer(line.decode(), made), keys.terms)
    assert found.why == "bad_signature"
    assert "signed for 'zf-run-v1', not 'zf-approval-v1'" in found.detail


def test_a_key_that_may_sign_runs_alone_approves_nothing(keys):
    terms = replace(
        keys.terms, signers=keys.list.replace("ann ssh", 'ann namespaces="zf-run-v1" ssh')
    )
    assert look(keys.signed(statement().encoded()), terms).why == "bad_signature"


def test_the_one_that_started_the_run_is_refused_by_name_or_key(keys):
    answer = keys.signed(statement().encoded())
    by_name = replace(keys.terms, triggered_by=("ann",))
    by_key = replace(keys.terms, trigger_keys=(keys.signers["ann"].key_id,))
    for terms in (by_name, by_key):
        assert look(answer, terms).why == ""
        assert look(answer, terms, four_eyes=True).why == "four_eyes"
        other = keys.signed(statement(approver="bob").encoded(), "bob")
        assert look(other, terms, four_eyes=True).why == ""


def test_the_same_one_or_the_same_key_counts_once(keys):
    answer = keys.signed(statement().encoded())
    assert look(answer, keys.terms, Given({"ann"}, set())).why == "duplicate"
    same_key = Given({"another"}, {keys.signers["ann"].key_id})
    assert look(answer, keys.terms, same_key).why == "duplicate"
    no = keys.signed(statement(decision="reject").encoded())
    assert look(no, keys.terms, Given({"ann"}, set())).why == "rejected"


def test_one_that_was_made_too_late_is_refused(keys):
    answer = keys.signed(statement().encoded())
    assert look(answer, keys.terms, timeout_s=300).why == ""
    assert look(answer, keys.terms, timeout_s=299).why == "late"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}\n",
        b"null\n",
        b"[" * 10_000,
        b'{"schema":"zf/approval/v1"}\n',
        statement().encoded()[:-1],
        statement().encoded() + b"\n",
        b" " + statement().encoded(),
        statement().encoded().replace(b'"attempt":1', b'"attempt":1.0'),
        statement().encoded().replace(b'"attempt":1', b'"attempt":true'),
        statement().encoded().replace(b'"comment":""', b'"comment":"","comment":""'),
        statement().encoded().replace(b'"decision":"approve"', b'"decision":"maybe"'),
        canonical({"schema": "zf/approval/v2"}),
    ],
)
def test_what_is_no_line_of_an_approval_is_refused_before_its_signature(keys, line):
    assert look(Answer(line.decode(), "x"), keys.terms).why == "malformed"


# Forging.


def _flipped(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + chr(rng.randrange(32, 127)) + text[at + 1 :]


def _sha(rng: random.Random) -> str:
    return sha256(rng.randbytes(8)).hexdigest()


def _need(rng: random.Random, name: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"needs": {"build": {**NEEDS["build"], name: _sha(rng)}}}


# What an approval can be for, or from, that is not what was asked for: fields of its statement.
SAID = {
    "run": lambda rng: {"run": rng.choice(["", "r", "r2", "R1", "r1 ", "r1/../r2"])},
    "task": lambda rng: {"task": rng.choice(["build", "", "deploy ", "deploy/x", "Deploy"])},
    "attempt": lambda rng: {"attempt": rng.choice([-1, 0, 2, 3, 10**9])},
    "signer": lambda rng: {
        "approver": rng.choice(["bob", "eve", "", "ann ", "Ann", "*", "ann,bob"])
    },
    "token": lambda _: {"how": "token"},
    "name of a token": lambda _: {"approver": "bot", "how": "token"},
    "decision": lambda _: {"decision": "reject"},
    "digest": lambda rng: {"subject_sha256": rng.choice(["", _sha(rng), "cd" * 32])},
}
# And of the subject whose digest it names.
SUBJECTS = {
    "plan": lambda rng: {"plan_sha256": _sha(rng)},
    "settings": lambda rng: {"run_sha256": _sha(rng)},
    "nonce": lambda rng: {"nonce": rng.randbytes(4).hex()},
    "inputs": lambda rng: {"inputs": rng.choice([{}, {"env": "test"}, {"env": "prod", "x": "y"}])},
    "outputs": lambda rng: _need(rng, "outputs_sha256"),
    "artifacts": lambda rng: _need(rng, "artifacts_sha256"),
    "files of a need": lambda rng: _need(rng, "task_sha256"),
    "run of a need": lambda _: {"needs": {"build": {**NEEDS["build"], "run": "r0"}}},
    "end of a need": lambda _: {"needs": {"build": {**NEEDS["build"], "status": "failure"}}},
    "needs": lambda rng: {"needs": rng.choice([{}, {**NEEDS, "lint": NEEDS["build"]}])},
    "attempt of the subject": lambda rng: {"attempt": rng.randrange(2, 9)},
    "task of the subject": lambda _: {"task": "build"},
}
WAYS: dict[str, Callable[..., tuple[Answer, Given]]] = {}


def forges(*names):
    """The function makes forged answers of these kinds."""

    def kept(function):
        WAYS.update({name: partial(function, name) for name in names})
        return function

    return kept


@forges(*(f"unsigned {name}" for name in SAID))
def said_otherwise(name, rng, genuine):
    """With the signature over what was said."""
    more = SAID[name.removeprefix("unsigned ")](rng)
    return Answer(replace(genuine.said, **more).encoded().decode(), genuine.answer.signature)


@forges(*(f"signed {name}" for name in SAID if name != "decision"))
def signed_otherwise(name, rng, genuine):
    """By the key of the approver, who has said that of something else."""
    more = SAID[name.removeprefix("signed ")](rng)
    return genuine.keys.signed(replace(genuine.said, **more).encoded())


@forges(*SUBJECTS)
def of_another_subject(name, rng, genuine):
    other = digest(subject_of(**SUBJECTS[name](rng)))
    return genuine.keys.signed(replace(genuine.said, subject_sha256=other).encoded())


@forges("key")
def with_the_key_of_another(_, rng, genuine):
    return genuine.keys.signed(genuine.said.encoded(), rng.choice(["bob", "eve"]))


@forges("namespace")
def of_another_namespace(_, rng, genuine):
    return Answer(genuine.answer.statement, genuine.for_runs)


@forges("byte of the signature")
def with_a_byte_of_the_signature_changed(_, rng, genuine):
    return Answer(genuine.answer.statement, _flipped(genuine.answer.signature, rng))


@forges("byte of the statement")
def with_a_byte_of_the_statement_changed(_, rng, genuine):
    return Answer(_flipped(genuine.answer.statement, rng), genuine.answer.signature)


@forges("duplicated field")
def with_a_field_twice(_, rng, genuine):
    fields = list(json.loads(genuine.line).items())
    name, value = rng.choice(fields)
    fields.append((name, rng.choice([value, "other"])))
    return genuine.resigned("{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in fields))


@forges("reordered fields")
def with_its_fields_in_another_order(_, rng, genuine):
    fields = list(json.loads(genuine.line).items())
    rng.shuffle(fields)
    return genuine.resigned(json.dumps(dict(fields), separators=(",", ":"))[:-1])


@forges("reordered attempts")
def of_the_attempt_that_comes_after(_, rng, genuine):
    """Asked again, after a retry, and answered with the approval of another attempt."""
    return genuine.keys.signed(statement_of(rng.randrange(2, 9)).encoded())


@forges("exchanged signatures")
def with_the_signature_of_another_approval(_, rng, genuine):
    other = genuine.keys.signed(statement(comment=rng.randbytes(4).hex()).encoded())
    return Answer(genuine.answer.statement, other.signature)


@forges("replayed")
def once_more(_, rng, genuine):
    given = Given({"ann"}, {genuine.key})
    return genuine.answer, rng.choice([given, Given({"ann"}, set()), Given(set(), given.keys)])


@forges("duplicated under another name")
def once_more_under_another_name(_, rng, genuine):
    """By one whose key stands in the list under two names."""
    line = replace(genuine.said, approver="bob").encoded()
    return genuine.keys.signed(line), Given({"ann"}, {genuine.key})


class Genuine:
    """An approval that counts, of which forged ones are made."""

    def __init__(self, keys: Keys) -> None:
        self.keys, self.said = keys, statement()
        self.line = self.said.encoded()
        self.answer = keys.signed(self.line)
        self.key = keys.signers["ann"].key_id
        self.for_runs = keys.for_runs.sign("x", self.line)["x.sig"].decode()
        assert look(self.answer, keys.terms).why == ""

    def resigned(self, text: str) -> Answer:
        return self.keys.signed(f"{text}}}\n".encode())


def statement_of(attempt):
    return statement(attempt=attempt, subject_sha256=digest(subject_of(attempt=attempt)))


def check_forged(seed: int, genuine: Genuine) -> None:
    """Each kind has its turn, as the seed goes up."""
    kind = [*WAYS][seed % len(WAYS)]
    made = WAYS[kind](random.Random(seed), genuine)
    answer, given = made if isinstance(made, tuple) else (made, Given())
    if answer == genuine.answer and given == Given():
        return  # a byte that was exchanged for itself, or an order that is the right one
    found = look(answer, genuine.keys.terms, given)
    assert not found.counts, (seed, kind, answer)
    assert found.detail


def test_no_forged_one_counts(keys):
    genuine = Genuine(keys)
    for seed in range(5 * len(WAYS)):
        check_forged(seed, genuine)


@pytest.mark.campaign
def test_no_forged_one_of_many_counts(keys):
    genuine = Genuine(keys)
    for seed in range(1000, 101_000):
        check_forged(seed, genuine)
