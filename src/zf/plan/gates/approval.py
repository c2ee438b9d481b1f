"""The keys about approvals: of a task, and of zf.yaml about those who may approve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.plan.files.patterns import APPROVER, INSIDE, MAX_APPROVER_CHARS, NOT_BLANK
from zf.plan.form import BOOL, Key, list_of, mapping, number, text, whole
from zf.typed import MAX_SECONDS

# More than any committee has; a mistyped number is noticed.
MOST_APPROVERS = 100
_APPROVER = text(APPROVER, MAX_APPROVER_CHARS)

APPROVAL: Mapping[str, Key] = {
    "by": Key(
        list_of(_APPROVER, min_length=1),
        "Who may approve: names of `allowed_signers`, or of tokens of the server.",
        required=True,
        example="by: [ann@example.org]",
    ),
    "prompt": Key(text(NOT_BLANK), "What is asked, in a sentence for people."),
    "min": Key(
        whole(1, MOST_APPROVERS),
        "How many of them have to approve, each with a key of their own.",
        default=1,
    ),
    "timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds after which a task that is not approved ends as `blocked`. Default: none.",
    ),
    "four_eyes": Key(
        BOOL, "Whether the one that started the run is refused as an approver.", default=False
    ),
    "protected": Key(
        BOOL,
        "Whether a newer run leaves the task alone that waits for approval, or was approved, where"
        " it would end it (`on_newer`).",
        default=False,
    ),
}

APPROVING: Mapping[str, Key] = {
    "approval": Key(
        mapping(APPROVAL),
        "The task begins only once it is approved, each attempt of it: it waits without a slot,"
        " after its needs and its condition, and before any step.",
        keys=APPROVAL,
    ),
}

APPROVERS: Mapping[str, Key] = {
    "allowed_signers": Key(
        text(INSIDE),
        "The file with the SSH keys of those who may approve (ssh-keygen's allowed signers),"
        " relative to the project root. Default: `allowed_signers` there, or in `.zenflow`.",
    ),
    "tokens": Key(
        list_of(_APPROVER),
        "Names of tokens of the server that may approve, for places that do not have them.",
    ),
}

OF_APPROVERS: Mapping[str, Key] = {
    "approvers": Key(
        mapping(APPROVERS),
        "Those who may approve: where their keys are, and the names of tokens.",
        default={},
        keys=APPROVERS,
    ),
}


def converted(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the model has of an `approval`: all that decides, also where the file is silent."""
    return {
        "min": 1,
        "four_eyes": False,
        "protected": False,
        **said,
        "by": list(dict.fromkeys(said["by"])),
    }
