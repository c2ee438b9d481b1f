"""Step 5 of a verification: a task that ended against its tree, its lists and status.json."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from zf.audit import statement
from zf.audit.evidence import TOP_FILES, Evidence
from zf.audit.instances import unlike
from zf.proof import forms, layout

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


def match_trees(seen: Evidence) -> None:
    _forgive_open_trees(seen)
    folders = {path for path in seen.there.folders if "/" not in path} - {layout.ATTEST}
    planned = set(seen.planned)
    for name in sorted(folders - planned):
        seen.tampered("surplus", "a folder of no planned task", name)
    for name in sorted(seen.account.tasks.keys() - planned):
        seen.tampered("mismatch", f"tells of a task that was not planned: {name!r}", layout.JOURNAL)
    for name in sorted(path for path in seen.there.files if "/" not in path):
        if name in TOP_FILES or (not seen.sealed and name.endswith(layout.UNFINISHED)):
            continue
        if seen.sealed or name not in planned - seen.ended():  # see _forgive_open_trees
            seen.tampered("surplus", "is no file of a run", name)
    _look_at_folders(seen)
    # One pass over all files, so that no task costs a look at every other task's.
    below: dict[str, list[str]] = {name: [] for name in planned}
    for path in seen.there.files:
        top, slash, _ = path.partition("/")
        if slash and top in below:
            below[top].append(path)
    for name in seen.planned:
        task = seen.account.tasks.get(name)
        if task is None or task.terminal is None:
            continue
        _match_tree(seen, name, task.terminal, set(below[name]))
        sound = {name: task.terminal}
        for attempt, event in task.ended.items():
            if event is not task.terminal:
                _match_list(seen, layout.earlier_tree(name, attempt), event)
                sound[layout.earlier_tree(name, attempt)] = event
        _check_forms(seen, below[name], sound, _declared(seen.planned[name]))
        # Now, while its folders are open and its paths in the processor's cache.
        seen.hash(below[name])


def _forgive_open_trees(seen: Evidence) -> None:
    """What lies in the tree of a task that has not ended is vouched for by nothing yet, so it
    cannot be wrong: zf clears it away before it finishes or seals the run.
    """
    if not seen.sealed:
        loose = set(seen.planned) - seen.ended()
        seen.findings = [
            f
            for f in seen.findings
            if f.kind not in {"odd", "name"} or (f.path or "").partition("/")[0] not in loose
        ]


def _look_at_folders(seen: Evidence) -> None:
    """A folder proves nothing by itself, but one that no file and no tree explains was put
    there.
    """
    holding = {path.rpartition("/")[0] for path in seen.there.files} - {""}
    known = holding | {parent for folder in holding for parent in _parents(folder)}
    roots = {path for path in known | set(seen.planned) if _is_root(path)}
    known |= roots | {f"{root}/{name}" for root in roots for name in layout.FOLDERS}
    open_tasks = () if seen.sealed else set(seen.planned) - seen.ended()
    for path in sorted(seen.there.folders.keys() - known):
        if path.partition("/")[0] not in open_tasks:
            seen.tampered("surplus", "an empty folder that belongs to nothing", path)


def _match_tree(seen: Evidence, task: str, event: Mapping[str, Any], files: set[str]) -> None:
    seen.trees += 1
    kept = f"{task}/{layout.ARTIFACTS}"
    if not seen.sealed and kept in seen.there.odd:
        seen.tampered("odd", seen.there.odd[kept], kept)
    listed = _match_list(seen, task, event)
    if listed is None:
        return
    if f"{task}/{layout.ATTEMPTS_LIST}" in listed:
        listed |= seen.read_list(f"{task}/{layout.ATTEMPTS_LIST}", f"{task}/")
    below = f"{task}/{layout.ARTIFACTS}/"
    artifacts = seen.read_list(f"{task}/{layout.ARTIFACTS_LIST}", below)
    wanted = {p: d for p, d in listed.items() if p.startswith(below)}
    if artifacts != wanted:
        message = "does not list the artifacts that task.sha256 lists"
        seen.tampered("mismatch", message, f"{task}/{layout.ARTIFACTS_LIST}")
    own = f"{task}/{layout.TASK_LIST}"
    for path in sorted(files - listed.keys() - {own}):
        seen.tampered("surplus", "is there and not in the task's checksum list", path)
    for path, digest in listed.items():
        if seen.sealed:
            if seen.expected.get(path) not in {None, digest}:
                message = "the task's checksum list and the manifest disagree"
                seen.tampered("mismatch", message, path)
        else:
            seen.expected[path] = digest
            if path not in files:
                seen.tampered("missing", "is in the task's checksum list and not there", path)
    _match_status(seen, task, event)
    found = seen.account.tasks[task].cached
    if found or event.get("cached_from") or f"{task}/{layout.CACHE}" in listed:
        from zf.audit.origins import cached  # noqa: PLC0415 - few tasks have anything to do with it

        cached.match(seen, task, event, found)


def _declared(row: Mapping[str, Any]) -> Collection[str]:
    """Which outputs a task is planned to hand on, by its row of the plan."""
    names = row.get("outputs")
    return names if isinstance(names, list) else ()


def _check_outputs(
    seen: Evidence, path: str, values: object, end: Mapping[str, Any], declared: Collection[str]
) -> None:
    """A task hands on what it is planned to, and after a success all of it."""
    names = set(values) if isinstance(values, dict) else set()
    lacking = set(declared) - names if end.get("status") == "success" else ()
    for name in sorted(names - set(declared)):
        seen.tampered("mismatch", f"has an output that was not planned: {name!r:.80}", path)
    for name in sorted(lacking):
        seen.tampered("mismatch", f"lacks the output {name!r:.80} of a success", path)


def _check_forms(
    seen: Evidence,
    files: Iterable[str],
    ends: Mapping[str, Mapping[str, Any]],
    declared: Collection[str],
) -> None:
    """Every JSON file of zf's own in these trees has its form; `ends` has how each ended."""
    for root, event in ends.items() if declared else ():
        if f"{root}/{layout.OUTPUTS}" not in seen.there.files:
            _check_outputs(seen, f"{root}/{layout.OUTPUTS}", {}, event, declared)
    for path in sorted(path for path in files if path.endswith(".json")):
        form = forms.form_of(path)
        folder = path.rpartition("/")[0]
        root = folder if form == "outputs" else folder.rpartition("/")[0]
        end = ends.get(root)
        # The task's own status.json has been read.
        if form is None or end is None or path == f"{path.partition('/')[0]}/{layout.STATUS}":
            continue
        if end.get("status") not in _CUT_SHORT and end.get("cause") not in _CUT_SHORT:
            value = seen.read_json(path, form)
            if form == "outputs":
                _check_outputs(seen, path, value, end, declared)
            if form == "recorded-task" and isinstance(value, dict):
                row = seen.planned[path.partition("/")[0]]
                for wrong in (*unlike(row, value), *_of_joined(seen, row, value)):
                    seen.tampered("mismatch", wrong, path)
            if form == "step" and isinstance(value, dict) and type(value.get("log_bytes")) is int:
                name = path.rpartition("/")[2].removesuffix(".json")
                seen.sizes[f"{root}/{layout.log(name)}"] = value["log_bytes"]


def _of_joined(seen: Evidence, row: Mapping[str, Any], value: Mapping[str, Any]) -> Iterable[str]:
    if row["id"] not in seen.joined:
        return ()
    from zf.audit.origins import extended  # noqa: PLC0415 - few plans grow

    return extended.unlike(row, value)


def _match_list(seen: Evidence, root: str, event: Mapping[str, Any]) -> dict[str, str] | None:
    path = f"{root}/{layout.TASK_LIST}"
    listed = seen.read_list(path, f"{root}/")
    digest = seen.bundle.digests.get(path)
    if digest is not None and digest != event.get("task_sha256"):
        seen.tampered("mismatch", "is not the list that the task's last event names", path)
    outputs = f"{root}/{layout.OUTPUTS}"
    if digest is not None and listed.get(outputs, "") != event.get("outputs_sha256", ""):
        seen.tampered("mismatch", "is not what the journal says of the task's outputs", outputs)
    return listed if digest is not None else None


def _match_status(seen: Evidence, task: str, event: Mapping[str, Any]) -> None:
    path = f"{task}/{layout.STATUS}"
    status = seen.read_paper(path, "status")
    if not status:
        return
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
    for key in _unlike(status.get("measures"), event.get("measures")):
        seen.tampered("mismatch", f"measures: {key} is not what the journal says", path)
    # What follows from the journal: neither a tolerated end nor a retry can be hidden.
    conclusion = "warned" if event.get("warned") is True else event.get("status")
    for key, follows in (("conclusion", conclusion), ("flaky", statement.is_flaky(event))):
        if status.get(key) != follows:
            said = f"{status.get(key)!r:.80} here, {follows!r:.80} by the journal"
            seen.tampered("mismatch", f"{key} is {said}", path)


def _unlike(told: object, measures: object) -> list[str]:
    """What of an event's measures is told otherwise. Those of steps it has not, an old one none."""
    if not isinstance(measures, dict):
        return []
    there = told if isinstance(told, dict) else {}
    return [key for key, value in measures.items() if there.get(key) != value]


def _parents(path: str) -> Iterator[str]:
    while slash := path.rfind("/") + 1:
        path = path[: slash - 1]
        yield path


def _is_root(folder: str) -> bool:
    """Whether a tree is rooted here: a task's own, or one of its earlier attempts."""
    parts = folder.split("/")
    return len(parts) == 1 or (len(parts) == 3 and parts[1] == layout.ATTEMPTS)
