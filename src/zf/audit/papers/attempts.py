"""The attempts at a task: what zf's own files of each say, held against their forms, the journal
and each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from zf.audit import statement
from zf.audit.account import TaskAccount
from zf.audit.evidence import Evidence, reason_of
from zf.audit.papers import agreement, services
from zf.proof import forms, layout
from zf.proof.read import MAX_JSON_BYTES

# What a terminal event and the task's status.json both say.
_SAID_TWICE = {
    "attempt_ended": (
        *("status", "exit_code", "signal", "attempt", "cause", "detail", "step"),
        *("started_at", "completed_at", "duration_s"),
    ),
    "task_not_run": ("status", "cause", "detail", "needs"),
}
# Files of a tree that a worker's death, or a disk's, may have left half written: their bytes are
# sealed as they are, and say no more than that.
_CUT_SHORT = ("lost", "storage")

Event = Mapping[str, Any]
_NO_SERVICES = services.ServiceAccount()


def match_attempts(
    seen: Evidence,
    task: str,
    files: Iterable[str],
    ends: Mapping[str, Event],
    lists: Mapping[str, Mapping[str, str]],
) -> None:
    """Every JSON file of zf's own in these trees has its form, and says what other files say as
    well; `ends` has how each attempt ended, `lists` the SHA-256 of its files, by its tree.
    """
    row = seen.planned[task]
    named = row.get("outputs")
    declared = named if isinstance(named, list) else ()
    whole: dict[str, agreement.Tree] = {}
    for root, event in ends.items():
        if declared and f"{root}/{layout.OUTPUTS}" not in seen.there.files:
            _check_outputs(seen, f"{root}/{layout.OUTPUTS}", {}, event, declared)
        is_whole = event.get("status") not in _CUT_SHORT and event.get("cause") not in _CUT_SHORT
        status = _match_status(seen, task, root, event) if is_whole or root == task else {}
        if is_whole:
            whole[root] = _tree(root, lists[root], status)
    for path in sorted(path for path in files if path.endswith((".json", ".sh"))):
        form = forms.form_of(path)
        folder = path.rpartition("/")[0]
        root = folder if form == "outputs" else folder.rpartition("/")[0]
        if root in whole:
            _read(seen, whole[root], root, path, form)
            if form == "outputs":
                _check_outputs(seen, path, whole[root].outputs, ends[root], declared)
    if task in whole:
        seen.outputs[task] = whole[task].outputs
    run = agreement.Papers(seen.run, seen.account.resumed, seen.outputs, seen.joined)
    for root, tree in whole.items():
        for path, told in agreement.of_tree(tree, row, run, ends[root]):
            seen.tampered("mismatch", told, f"{root}/{path}")
        placed = seen.account.tasks[task].placed.get(ends[root].get("attempt", 0))
        for path, told in agreement.of_place(tree, placed) if placed else ():
            seen.tampered("mismatch", told, f"{root}/{path}")
        for told in _unrecorded(tree.task or {}, seen.account.tasks[task], ends[root]):
            seen.tampered("mismatch", told, layout.JOURNAL)
        told_of = seen.account.tasks[task].services.get(ends[root].get("attempt", 0), _NO_SERVICES)
        for path, told in services.of_tree(told_of, tree.status, tree.digests):
            seen.tampered("mismatch", told, f"{root}/{path}")
        if task in seen.joined and tree.task is not None:
            from zf.audit.origins import extended  # noqa: PLC0415 - few plans grow

            for told in extended.unlike(row, tree.task):
                seen.tampered("mismatch", told, f"{root}/{layout.TASK}")


def _unrecorded(said: Event, account: TaskAccount, event: Event) -> Iterator[str]:
    """What the journal has to have of an attempt at a handler or a monitor, and has not."""
    if event.get("type") != "attempt_ended":
        return
    if ("on_end" in said) is not account.claimed and said:
        kind = "handler that began was not" if "on_end" in said else "task is no handler and was"
        yield f"{said.get('id')}: this {kind} claimed"
    is_success = event is account.terminal and event.get("status") == "success"
    if is_success and "repeat" in said and not account.probes:
        yield f"{said.get('id')}: this monitor succeeded without a probe"


def _tree(root: str, listed: Mapping[str, str], status: Mapping[str, Any]) -> agreement.Tree:
    digests = {path.removeprefix(f"{root}/"): digest for path, digest in listed.items()}
    artifacts = sum(path.startswith(f"{layout.ARTIFACTS}/") for path in digests)
    return agreement.Tree(status=status, digests=digests, artifacts=artifacts)


def _read(seen: Evidence, tree: agreement.Tree, root: str, path: str, form: str | None) -> None:
    """Take in what one of zf's own files says."""
    name = path.rpartition("/")[2].removesuffix(".json")
    if path == f"{root}/{layout.ENV}":
        try:
            tree.env = agreement.exports(seen.bundle.read(path, MAX_JSON_BYTES))
        except OSError as error:
            seen.tampered("missing", reason_of(error), path)
        return
    if form in {None, "status"}:  # the latter has been read
        return
    value = seen.read_json(path, form)
    if form == "commands":
        tree.commands = value
    elif not isinstance(value, dict):
        return
    elif form == "recorded-task":
        tree.task = value
    elif form == "outputs":
        tree.outputs = value
    elif form == "step":
        tree.steps[name] = value
        if type(value.get("log_bytes")) is int:
            seen.sizes[f"{root}/{layout.log(name)}"] = value["log_bytes"]


def _check_outputs(
    seen: Evidence, path: str, values: Mapping[str, Any], end: Event, declared: Collection[str]
) -> None:
    """A task hands on what it is planned to, and after a success all of it."""
    lacking = set(declared) - set(values) if end.get("status") == "success" else ()
    for name in sorted(set(values) - set(declared)):
        seen.tampered("mismatch", f"has an output that was not planned: {name!r:.80}", path)
    for name in sorted(lacking):
        seen.tampered("mismatch", f"lacks the output {name!r:.80} of a success", path)


def _match_status(seen: Evidence, task: str, root: str, event: Event) -> Mapping[str, Any]:
    """What an attempt's status.json says, held against the event that ended it."""
    path = f"{root}/{layout.STATUS}"
    if root != task and path not in seen.there.files:
        return {}
    status = seen.read_paper(path, "status")
    if not status:
        return {}
    if root == task:
        seen.statuses.append(status)
    if status.get("task_id") != task:
        seen.tampered("mismatch", "belongs to another task", path)
    if seen.account.started and status.get("run_id") != seen.account.started.get("run"):
        seen.tampered("mismatch", "belongs to another run", path)
    for key in _SAID_TWICE.get(str(event.get("type")), ()):
        if status.get(key) != event.get(key):
            said = f"{status.get(key)!r:.80} here, {event.get(key)!r:.80} in the journal"
            seen.tampered("mismatch", f"{key} is {said}", path)
    if status.get("cached_from", {}) != event.get("cached_from", {}):
        seen.tampered("mismatch", "cached_from is not what the journal says", path)
    if status.get("outputs_sha256", "") != event.get("outputs_sha256", ""):
        seen.tampered("mismatch", "outputs_sha256 is not what the journal says", path)
    # What follows from the journal: neither a tolerated end nor a retry can be hidden.
    conclusion = "warned" if event.get("warned") is True else event.get("status")
    for key, follows in (("conclusion", conclusion), ("flaky", statement.is_flaky(event))):
        if status.get(key) != follows:
            said = f"{status.get(key)!r:.80} here, {follows!r:.80} by the journal"
            seen.tampered("mismatch", f"{key} is {said}", path)
    return status
