"""Step 5 of a verification: a task that ended against its tree and its lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zf.audit.evidence import TOP_FILES, Evidence
from zf.audit.papers.attempts import match_attempts
from zf.proof import layout


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
        if layout.is_phase_log(name) and _is_of_a_service(seen, name):
            continue
        if seen.sealed or name not in planned - seen.ended():  # see _forgive_open_trees
            seen.tampered("surplus", "is no file of a run", name)
    _look_at_folders(seen)
    _match_logs(seen)
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
        lists = {name: _match_tree(seen, name, task.terminal, set(below[name]))}
        ends = {name: task.terminal}
        for attempt, event in task.ended.items():
            if event is not task.terminal:
                root = layout.earlier_tree(name, attempt)
                lists[root], ends[root] = _match_list(seen, root, event) or {}, event
        match_attempts(seen, name, below[name], ends, lists)
        # Now, while its folders are open and its paths in the processor's cache.
        seen.hash(below[name])


def _is_of_a_service(seen: Evidence, name: str) -> bool:
    """Whether it is the log of a service that has ended, or went on when the runner died."""
    if name in seen.account.logs or not seen.sealed:
        return True
    going = ((phase, one) for phase, told in seen.account.beside.items() for one in told.going)
    return any(name.startswith(layout.phase_log(*one)[: -len(".log")]) for one in going)


def _match_logs(seen: Evidence) -> None:
    """The logs of services of phases are what the ends of these say."""
    for name, digest in seen.account.logs.items():
        if name not in seen.there.files:
            seen.tampered("missing", "is the log of a service, and not there", name)
        elif seen.expected.setdefault(name, digest) != digest:
            seen.tampered("mismatch", "is not the log that the end of the service names", name)
    seen.hash(seen.account.logs)


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


def _match_tree(
    seen: Evidence, task: str, event: Mapping[str, Any], files: set[str]
) -> Mapping[str, str]:
    seen.trees += 1
    kept = f"{task}/{layout.ARTIFACTS}"
    if not seen.sealed and kept in seen.there.odd:
        seen.tampered("odd", seen.there.odd[kept], kept)
    listed = _match_list(seen, task, event)
    if listed is None:
        return {}
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
    found = seen.account.tasks[task].cached
    if found or event.get("cached_from") or f"{task}/{layout.CACHE}" in listed:
        from zf.audit.origins import cached  # noqa: PLC0415 - few tasks have anything to do with it

        cached.match(seen, task, event, found)
    return listed


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


def _parents(path: str) -> Iterator[str]:
    while slash := path.rfind("/") + 1:
        path = path[: slash - 1]
        yield path


def _is_root(folder: str) -> bool:
    """Whether a tree is rooted here: a task's own, or one of its earlier attempts."""
    parts = folder.split("/")
    return len(parts) == 1 or (len(parts) == 3 and parts[1] == layout.ATTEMPTS)
