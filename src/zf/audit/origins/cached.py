"""Results of earlier runs in a bundle: that its files agree on whose they are, and, where the
earlier runs lie beside it, that they have them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.audit.evidence import Source
from zf.audit.findings import State
from zf.errors import ZfError
from zf.model import is_valid_id
from zf.proof import checksums, forms, layout
from zf.proof.canonical import canonical

if TYPE_CHECKING:
    from zf.audit.conclusion import Verification
    from zf.audit.evidence import Evidence

Event = Mapping[str, Any]
_LEFT = (f"{layout.ARTIFACTS}/", layout.RENAMED)


def match(seen: Evidence, task: str, event: Event, found: Event | None) -> None:
    """The record of a task's key against itself, against its last event, and against what the
    journal says was `found` for that attempt.
    """
    path = f"{task}/{layout.CACHE}"
    said = event.get("cached_from")
    source: Mapping[str, Any] = said if isinstance(said, dict) else {}
    if source:
        _match_source(seen, task, event, source)
    told = {}
    if found and event.get("status") == "success":  # its worker may have died after that
        told = {"run": found.get("origin"), "task": task, "head": found.get("head")}
    if told != source:
        message = "tells otherwise what came of looking for an earlier result"
        seen.tampered("mismatch", f"{message}: {task}", layout.JOURNAL)
    if path not in seen.there.files:
        if source:
            seen.tampered("missing", "is not there, though an earlier result counts", path)
        return
    record = seen.read_paper(path, "cache")
    if not record:
        return
    if record.get("task") != task:
        seen.tampered("mismatch", "belongs to another task", path)
    if record.get("cached_from") != source:
        seen.tampered("mismatch", "cached_from is not what the journal says", path)
    if source and (record.get("stored") is not False or record.get("generates")):
        seen.tampered("mismatch", "says that an earlier result is the task's own", path)
    if record.get("why_not") and (source or record.get("stored")):
        seen.tampered("mismatch", "says why a result may not count that does", path)
    if not (record.get("stored") or record.get("why_not") or source):
        seen.tampered("mismatch", "does not say why its result may not count", path)
    if found is not None and found.get("key") != record.get("key"):
        seen.tampered("mismatch", "its key is not what the journal says", path)
    for wrong in _flaws(record):
        seen.tampered("mismatch", wrong, path)


def _match_source(seen: Evidence, task: str, event: Event, source: Event) -> None:
    run = source.get("run")
    if not (isinstance(run, str) and is_valid_id(run) and source.get("task") == task):
        seen.tampered("mismatch", "names no earlier result of the task", f"{task}/{layout.STATUS}")
    started = seen.account.started or {}
    if run == started.get("run"):
        message = "names the run itself as the earlier one"
        seen.tampered("mismatch", message, f"{task}/{layout.STATUS}")
    if event.get("status") != "success" or event.get("measures"):
        message = "an earlier result counts, and yet its own steps came to something"
        seen.tampered("mismatch", f"{message}: {task}", layout.JOURNAL)
    scripts = f"{task}/{layout.COMMANDS}/"
    for path in sorted(seen.there.files):
        is_record = path.startswith(scripts) and forms.form_of(path) == "step"
        if is_record and seen.read_paper(path, "step").get("status") not in {None, "not_run"}:
            seen.tampered("mismatch", "was run, though an earlier result counts", path)


def _flaws(record: Event) -> list[str]:
    """Where a record's digests are not those of what it says."""
    parts, hidden = record.get("parts"), record.get("hidden")
    if not isinstance(parts, dict) or not isinstance(hidden, dict):
        return []
    rows = {name: part for name, part in parts.items() if isinstance(part, dict)}
    wrong = [f"its part {name} has no digest" for name in parts if name not in rows]
    wrong += [
        f"the digest of its part {name} is another"
        for name, part in rows.items()
        if "value" in part and part.get("sha256") != _digest(part["value"])
    ]
    # Where one of them may not be shown, none is.
    silent = [name for name, part in rows.items() if "value" not in part]
    if len(silent) < len(rows):
        wrong += [f"its part {name} has no value" for name in silent if "count" not in rows[name]]
    digests = {name: part.get("sha256") for name, part in rows.items()}
    if record.get("key") != _digest({"parts": digests, "hidden": sorted(hidden)}):
        wrong.append("its key is not that of its parts")
    generates = record.get("generates")
    folders = generates.get("folders") if isinstance(generates, dict) else None
    for name, folder in folders.items() if isinstance(folders, dict) else ():
        entries = folder.get("entries") if isinstance(folder, dict) else None
        if isinstance(entries, dict) and folder.get("sha256") != _digest(entries):
            wrong.append(f"the digest of the folder {name} is another")
    return wrong


def _digest(value: Any) -> str:
    return sha256(canonical(value)).hexdigest()


def sources(seen: Evidence, beside: str | None, check: Callable[[str], Verification]) -> None:
    """Hold every earlier result against the run it is of, where that lies in the folder `beside`;
    of the others it is noted that nothing of them could be checked.
    """
    found: dict[str, Source] = {}
    verified: dict[str, Verification | None] = {}
    for task in seen.planned:
        account = seen.account.tasks.get(task)
        said = (account.terminal or {}).get("cached_from") if account else None
        if not isinstance(said, dict) or not isinstance(run := said.get("run"), str):
            continue
        source = found.setdefault(run, Source(run))
        source.tasks.append(task)
        if beside is None or not is_valid_id(run) or not os.path.isdir(f"{beside}/{run}"):
            source.why = "it is not here"
            continue
        if run not in verified:
            verified[run] = _verified(f"{beside}/{run}", check)
        origin = verified[run]
        if origin is None:
            source.why = "it cannot be read"
            continue
        if why := _contradiction(seen, task, said, f"{beside}/{run}", origin):
            path = f"{task}/{layout.STATUS}"
            seen.tampered("cached", f"is cached from run {run}, {why}", path)
    seen.cached = list(found.values())


def _verified(path: str, check: Callable[[str], Verification]) -> Verification | None:
    try:
        return check(path)
    except ZfError:
        return None


def _contradiction(
    seen: Evidence, task: str, said: Event, folder: str, origin: Verification
) -> str:
    """Why the run in this folder does not have the result that is said to be its; nothing if it
    has.
    """
    if any(v.name == "INTACT" and v.state != State.PASSED for v in origin.verdicts):
        return "whose own proof is not intact"
    if origin.result.get("head") != said.get("head"):
        return "whose journal ends otherwise"
    if origin.own.get(task) != "success":
        return "in which the task did not succeed by its own steps"
    try:
        with open(f"{folder}/{task}/{layout.TASK_LIST}", "rb") as stream:
            data = stream.read(checksums.MAX_LIST_BYTES)
        if sha256(data).hexdigest() != origin.tasks.get(task):
            return "whose files changed meanwhile"
        listed = checksums.parse(data)
        with open(f"{folder}/{task}/{layout.CACHE}", "rb") as stream:
            record = stream.read()
    except (OSError, ValueError):
        return "which has no record of it"
    own = seen.read_paper(f"{task}/{layout.CACHE}", "cache")
    if sha256(record).hexdigest() != listed.get(layout.CACHE) or not _has_key(record, own):
        return "which has it with another key"
    prefix = f"{task}/"
    here = {
        path.removeprefix(prefix): digest
        for path, digest in seen.expected.items()
        if path.startswith(prefix)
    }
    left = [{p: d for p, d in one.items() if p.startswith(_LEFT)} for one in (here, listed)]
    return "" if left[0] == left[1] else "whose artifacts are others"


def _has_key(record: bytes, own: Event) -> bool:
    from zf.proof.journal import decode  # noqa: PLC0415 - few runs have such results

    try:
        value = decode(record)
    except ValueError:
        return False
    is_one = isinstance(value, dict) and value.get("stored") is True
    return is_one and isinstance(own.get("key"), str) and value.get("key") == own.get("key")
