"""The reports of tests among a task's artifacts: which they are, and what they say.

What they say decides nothing about the task: its exit codes do. A report that cannot be read is a
note of the attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from zf.lean.records import Struct, asdict, field
from zf.proof.layout import ARTIFACTS
from zf.proof.tree.artifacts import Collected
from zf.proof.tree.store import TaskTree
from zf.work.results.confined import StoppedError, read_all
from zf.work.results.junit import Counts

MAX_FILES = 1000
# In the event; status.json has more of them.
_MOST_NAMES = 10
_MOST_NOTES = 10


class Tests(Struct):
    """What the reports of a task say, safe to show: `status` for status.json, `event` for the event
    of the attempt's end; empty when no report could be read. `notes` tells of those.
    """

    status: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_reports(
    tree: TaskTree,
    found: Collected,
    globs: Sequence[str],
    hide: Callable[[str], str],
    stop_reason: Callable[[], str],
) -> Tests:
    """What the artifacts that match `globs` report; `hide` takes secrets out of a text.

    A glob that matches only what lies in `$ARTIFACTS_DIR` is no longer told of as unmatched.
    """
    paths = _reports_among(tree, found, globs)
    tests, counts = Tests(), Counts()
    readable = 0
    try:
        answers = read_all(tree.folder(ARTIFACTS), paths[:MAX_FILES], hide, stop_reason)
        for path, answer in answers:
            if answer.counts is not None:
                readable += 1
                counts.add(answer.counts)
            else:
                tests.notes.append(f"junit report {found.shown(path)} {answer.problem}")
    except StoppedError as why:
        tests.notes.append(f"junit reports: not all were read: {why}")
    if len(paths) > MAX_FILES:
        tests.notes.append(f"junit reports: only {MAX_FILES} of {len(paths)} files were read")
    if len(tests.notes) > _MOST_NOTES:
        more = len(tests.notes) - _MOST_NOTES
        tests.notes[_MOST_NOTES:] = [f"and {more} more junit reports that cannot be read"]
    if readable:
        _tell(tests, counts)
    return tests


def _reports_among(tree: TaskTree, found: Collected, globs: Sequence[str]) -> list[str]:
    """The stored names of the artifacts that match, in order."""
    prefix = f"{ARTIFACTS}/"
    was = {row["stored"]: row.get("original", row["stored"]) for row in found.renamed}
    kept = sorted(path[len(prefix) :] for path in tree.digests if path.startswith(prefix))
    reports: dict[str, None] = {}
    for glob in globs:
        parts = [part for part in glob.split("/") if part not in {"", "."}]
        matching = [path for path in kept if matches(was.get(path, path).split("/"), parts)]
        reports |= dict.fromkeys(matching)
        shown = found.shown(glob)
        if matching and shown in found.unmatched:
            found.unmatched.remove(shown)
    return sorted(reports)


def matches(path: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a path is of what a glob names, as artifacts are: a folder stands for all in it."""
    if not parts:
        return True
    if parts[0] == "**":
        rest = parts[1:]
        return any(matches(path[start:], rest) for start in range(len(path)))
    return bool(path) and fnmatchcase(path[0], parts[0]) and matches(path[1:], parts[1:])


def _tell(tests: Tests, counts: Counts) -> None:
    said = {
        "total": counts.total,
        "failed": counts.failed,
        "errors": counts.errors,
        "skipped": counts.skipped,
    }
    cases = [asdict(case) for case in counts.cases]
    tests.status = {**said, "cases": cases}
    tests.event = {**said, "names": [name_of(case) for case in cases[:_MOST_NAMES]]}


def name_of(case: Mapping[str, Any]) -> str:
    """What a case is called in a sentence: with its class, unless the name says that already."""
    name, classname = case["name"], case["classname"]
    return name if not classname or name.startswith(classname) else f"{classname}.{name}"
