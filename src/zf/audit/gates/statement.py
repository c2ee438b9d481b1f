"""What is approved, and what an approval says: two JSON objects, each in its canonical bytes.

The subject is made by the runner when it asks, and made again by each verifier; its SHA-256 is
what every approval names. The statement of an approval is one line, which is signed as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from zf.lean.records import Struct
from zf.proof.canonical import canonical

SUBJECT_SCHEMA, SCHEMA = "zf/approval-subject/v1", "zf/approval/v1"
# By which SSH signatures over approvals are told from those over anything else.
NAMESPACE = "zf-approval-v1"
APPROVE, REJECT = "approve", "reject"
# How the one that decides has shown who it is.
SSH, TOKEN = "ssh", "token"
MAX_STATEMENT_BYTES = 16_384
MAX_SIGNATURE_BYTES = 16_384
MAX_COMMENT_CHARS = 2000


def subject(
    started: Mapping[str, Any],
    task: str,
    attempt: int,
    definition_sha256: str,
    inputs: Mapping[str, Any],
    needs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What is approved: this attempt of this task, in this run of this plan with these inputs,
    after needs that left just this. `started` is the first event of the run, `inputs` are those of
    run.json, `needs` as `need_of` says of each.
    """
    return {
        "schema": SUBJECT_SCHEMA,
        "run": started["run"],
        "nonce": started["nonce"],
        "plan_sha256": started["plan_sha256"],
        "run_sha256": started["run_sha256"],
        "task": task,
        "attempt": attempt,
        "definition_sha256": definition_sha256,
        "inputs": dict(inputs),
        "needs": {name: dict(needs[name]) for name in sorted(needs)},
    }


def need_of(
    run: str, status: str, task_sha256: str, outputs_sha256: str, artifacts_sha256: str
) -> dict[str, str]:
    """What a subject says of a need: the digests of its list of files, of its outputs, and of the
    list of its artifacts; empty for what there is none of.
    """
    return {
        "run": run,
        "status": status,
        "task_sha256": task_sha256,
        "outputs_sha256": outputs_sha256,
        "artifacts_sha256": artifacts_sha256,
    }


def digest(value: Mapping[str, Any]) -> str:
    """The SHA-256 of its canonical bytes, in hex."""
    return sha256(canonical(value)).hexdigest()


class Statement(Struct, frozen=True):
    """What one says of a subject; `source` is from where, `at` when, in UTC as in a journal."""

    run: str
    task: str
    attempt: int
    subject_sha256: str
    decision: str
    approver: str
    how: str
    source: str
    at: str
    comment: str = ""

    def encoded(self) -> bytes:
        """The line that is signed."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return canonical({"schema": SCHEMA, **values})

    @classmethod
    def decoded(cls, data: bytes) -> Statement:
        """What a line says. ValueError for one that `encoded` would not have written."""
        from zf.proof.journal import decode  # noqa: PLC0415 - where one is read

        if len(data) > MAX_STATEMENT_BYTES:
            raise ValueError("it is too long")
        try:
            said = decode(data)
        except (ValueError, RecursionError):
            raise ValueError("it is not JSON") from None
        if not isinstance(said, dict) or said.pop("schema", None) != SCHEMA:
            raise ValueError(f"it is not of the form {SCHEMA}")
        if said.keys() != {*cls.__struct_fields__}:
            raise ValueError("it has not the fields of an approval")
        kinds = {"attempt": int}
        if any(type(value) is not kinds.get(name, str) for name, value in said.items()):
            raise ValueError("a field of it is of another type")
        if said["decision"] not in {APPROVE, REJECT} or said["how"] not in {SSH, TOKEN}:
            raise ValueError("it decides nothing")
        found = cls(**said)
        if found.encoded() != data:
            raise ValueError("it is not one line of canonical JSON")
        return found
