"""What a task file says of an approval that cannot be meant: it would wait for ever, or for less
than it seems to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zf.model import CANCEL_RUNNING
from zf.plan.suggest import nearest

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Project, Task
    from zf.plan.drafts import Draft
    from zf.plan.gates.approvers import Approvers


def check_approvals(drafts: Iterable[Draft], project: Project, root: str) -> Iterator[Problem]:
    """Approvers that the project does not have, and terms that cannot be met."""
    asking = [draft for draft in drafts if draft.task and draft.task.approval]
    if not asking:
        return
    from zf.plan.gates.approvers import Approvers  # noqa: PLC0415 - few projects have any

    try:
        approvers = Approvers.of(root, project)
    except OSError as error:
        yield _unreadable(root, project, error)
        return
    for draft in asking:
        assert draft.task is not None
        yield from _unknown(draft, draft.task, approvers)
        yield from _terms(draft, draft.task)


def _unreadable(root: str, project: Project, error: OSError) -> Problem:
    from zf.plan.files.pointer import pointer_to  # noqa: PLC0415 - of a mistake
    from zf.plan.places import PROJECT_FILE  # noqa: PLC0415 - as above

    named = project.approvers["allowed_signers"]
    return pointer_to(f"{root}/{PROJECT_FILE}", PROJECT_FILE).problem(
        ("approvers", "allowed_signers"),
        "ZF731",
        f"the list of allowed signers, '{named}', cannot be read: {error.strerror}",
        "name the file that has the keys of those who may approve",
    )


def _unknown(draft: Draft, task: Task, approvers: Approvers) -> Iterator[Problem]:
    for index, name in enumerate(task.approval["by"]):
        if approvers.knows(name):
            continue
        where = f"{approvers.path} has no key of that name" if approvers.path else _NO_LIST
        guess = nearest(name, approvers.names())
        hint = f"did you mean '{guess}'?" if guess else _REMEDY.format(name=name)
        message = (
            f"'{name}' can approve nothing: {where}, and no token that may approve is called so"
        )
        yield draft.problem(("approval", "by", index), "ZF730", message, hint)


_NO_LIST = "there is no list of allowed signers"
_REMEDY = (
    "add the line `{name} ssh-ed25519 AAAA...` to allowed_signers in the project root, or make a"
    " token of that name"
)


def _terms(draft: Draft, task: Task) -> Iterator[Problem]:
    said = task.approval
    if said["min"] > len(said["by"]):
        yield draft.problem(
            ("approval", "min"),
            "ZF732",
            f"{said['min']} have to approve, and `by` names {len(said['by'])}",
            "name more of them, or ask for fewer",
        )
    if said["protected"] and task.on_newer == CANCEL_RUNNING:
        yield draft.problem(
            ("approval", "protected"),
            "ZF733",
            "a task that is protected from newer runs cannot be ended by one: its `concurrency`"
            " says `on_newer: cancel_running`",
            "remove one of the two",
        )
