"""Closing a run: its manifest, made from what its runner knows (`known.py`).

The manifest is put together from the checksum lists of the tasks, so sealing costs a small read
per task however large its artifacts are. Where the disk differs is told (`tampering.py`).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from operator import itemgetter

from zf.errors import Exit, ZfError, in_shell, printable
from zf.events import PlanExtended, RunEnded
from zf.instances import extended
from zf.lean.records import Struct, replace
from zf.proof import checksums
from zf.proof.bundle import Bundle
from zf.proof.files import write_pieces
from zf.proof.journal import Journal
from zf.proof.known import Known
from zf.proof.layout import ATTEMPTS_LIST, JOURNAL, MANIFEST, PLAN, RUN, TASK_LIST
from zf.proof.read import read_json
from zf.proof.tampering import Differences


class Sealed(Struct, frozen=True):
    """The manifest's SHA-256, and what lay on the disk that is not what zf had written: one line
    each, a path first. `manifest_sha256` is empty when the run's folder itself is another. So many
    task trees, of all there are, were `compared` file by file.
    """

    manifest_sha256: str
    differences: tuple[str, ...] = ()
    compared: tuple[int, int] = (0, 0)


class Compared(Struct, frozen=True):
    """What lay on the disk that is not what zf had written, and how many of all task trees were
    looked at file by file.
    """

    differences: tuple[str, ...]
    trees: tuple[int, int]


def compare_known(run_dir: str, known: Known, tops: Mapping[str, str], seconds: float) -> Compared:
    """Look for what in the folder of a run is not what its runner knows, before the run's end is
    written down. `tops` are files that the journal does not name yet; the journal is one of them.

    What lies at the top of the run and all task lists are compared; the files in those lists as far
    as the `seconds` go, and those of a few tasks always (all of them would cost as much as `zf
    verify`, which is what runs before a signature).
    """
    try:
        with Bundle(run_dir) as bundle:
            if not bundle.place() == _place(run_dir) == known.place:
                return Compared(_other_folder(run_dir).differences, (0, 0))
            differing = Differences(bundle, replace(known, tops={**known.tops, **tops}))
            differing.look_at_top(*bundle.top())
            differing.look_at_lists()
            differing.compare_trees(seconds)
            return Compared(tuple(differing.found), (differing.compared, len(known.trees)))
    except (FileNotFoundError, NotADirectoryError):
        return Compared(_other_folder(run_dir).differences, (0, 0))


def seal_known(
    run_dir: str, known: Known, *, loose: Collection[str] = (), after: Compared | None = None
) -> Sealed:
    """Write the manifest of a run from what its runner knows, and say where the disk differs.

    The manifest names what zf has written, so any difference is found by every later verification,
    too. `loose` are tasks that had not ended: their trees are hashed as they lie there. Where a
    comparison has just been made, only the top of the run is looked at again.
    """
    try:
        with Bundle(run_dir) as bundle:
            if known.place and not bundle.place() == _place(run_dir) == known.place:
                return _other_folder(run_dir)
            differing = Differences(bundle, known, believe_lists=after is not None)
            files, folders = bundle.top()  # before a manifest is being written there
            differing.look_at_top(files, folders, loose)
            lines = _known_lines(bundle, differing, {*loose}.intersection(folders))
            encoded = (one.encode("ascii") for one in lines)
            manifest = write_pieces(f"{run_dir}/{MANIFEST}", encoded, anyway=True)
            if after is None:
                differing.compare_trees(0.0)
            if known.place and _place(run_dir) != known.place:
                return _other_folder(run_dir)
            if after is None:
                return Sealed(
                    manifest, tuple(differing.found), (differing.compared, len(known.trees))
                )
            found = dict.fromkeys((*after.differences, *differing.found))
            return Sealed(manifest, tuple(found), after.trees)
    except (FileNotFoundError, NotADirectoryError):
        return _other_folder(run_dir)


def _place(run_dir: str) -> tuple[int, int]:
    info = os.lstat(run_dir)  # a link to the run's folder is not it
    return info.st_dev, info.st_ino


def _other_folder(run_dir: str) -> Sealed:
    return Sealed("", (f"{run_dir}: is not the folder that zf made",))


def close_killed(run_dir: str, head: str | None = None) -> str:
    """Seal a run whose runner is gone, as it is: it stays incomplete, but nothing can change any
    more without being seen. Returns the manifest's SHA-256.

    What the runner knew is gone with it: the journal that ends in `head`, which the caller has
    verified with all that it names, is what there is to trust. What it does not name is hashed as
    it lies there, without the outcomes in it. The caller holds the run's lock. Raises ZfError
    (exit 5) for a run that is sealed, and JournalDamagedError, changing nothing, for one whose
    journal is damaged.
    """
    from zf.proof import abandoned  # noqa: PLC0415 - no run that ends by itself needs it

    refuse_sealed(run_dir)
    try:
        journal, reading = Journal.reopen(f"{run_dir}/{JOURNAL}")
    except OSError as error:
        raise ZfError(
            f"{printable(run_dir)} has no journal: {error.strerror}", code="ZF620"
        ) from None
    journal.close()
    if head not in {None, reading.head}:
        raise ZfError(f"{printable(run_dir)} changed while it was looked at", code="ZF603")
    known = Known()
    for event in reading.events:
        known.take(event)
    known.delivered(read_json(run_dir, RUN))
    joined = [event for event in reading.events if isinstance(event, PlanExtended)]
    plan = extended(read_json(run_dir, PLAN), joined)
    planned = {row["id"] for row in plan["tasks"]}
    abandoned.drop_unfinished(run_dir)
    abandoned.drop_answers(run_dir)
    if not isinstance(reading.events[-1], RunEnded):
        abandoned.drop_unnamed(run_dir, planned, reading.events)
        abandoned.clear_open(run_dir, reading.events)
    known.tops[JOURNAL] = journal.sha256
    sealed = seal_known(run_dir, known, loose=planned - known.trees.keys())
    if sealed.differences:
        raise ZfError(
            f"{printable(run_dir)} was written to while it was sealed: {sealed.differences[0]}",
            exit_code=Exit.FAILED,
            code="ZF149",
            hint=f"zf verify {in_shell(run_dir)} says what is wrong with it",
        )
    return sealed.manifest_sha256


def refuse_sealed(run_dir: str) -> None:
    """Raises ZfError (exit 5) for a run that is sealed."""
    if os.path.lexists(f"{run_dir}/{MANIFEST}"):
        raise ZfError(
            f"{printable(run_dir)} is sealed already",
            exit_code=Exit.RUN_ID_TAKEN,
            code="ZF604",
            hint=f"zf verify {in_shell(run_dir)} says what it is worth",
        )


def _known_lines(bundle: Bundle, differing: Differences, loose: set[str]) -> Iterator[str]:
    """The manifest's lines in byte order of their paths, from what the runner knows; the lists of
    the trees are compared on the way.
    """
    known = differing.known
    # Ordering the entries by the prefix that they give their lines is enough: a task's own lines
    # are put in order one task at a time, so only one task's are ever in memory.
    prefixes = [*known.tops, *(f"{name}/" for name in known.trees.keys() | loose)]
    prefixes.sort(key=os.fsencode)
    for prefix in prefixes:
        name = prefix.removesuffix("/")
        if name == prefix:
            yield checksums.line(known.tops[name], name)
        elif name in known.trees:
            yield _known_tree(bundle, differing, name)
        else:
            yield checksums.listing(_hashed(bundle, bundle.inventory(name).files))


def _known_tree(bundle: Bundle, differing: Differences, task: str) -> str:
    text = differing.list_of(task)
    own = f"{task}/{TASK_LIST}"
    if text is None:
        # Its list is gone, so what its files were is not known. The list's own digest, which is,
        # keeps the rest from passing.
        paths = set()
        with suppress(OSError):
            paths = {path for path in bundle.inventory(task).files if checksums.is_safe_path(path)}
        for path, _ in bundle.hash(paths - {own}):
            paths.discard(path)
        digests = {path: bundle.digests[path] for path in paths - {own}}
        return checksums.listing(digests | {own: differing.known.trees[task].hex()})
    if ATTEMPTS_LIST not in text:
        return _lines_of_list(task, text)
    listed = checksums.told(text)
    listed |= differing.attempts_of(task, listed)
    listed[TASK_LIST] = differing.known.trees[task].hex()
    return checksums.listing({f"{task}/{path}": digest for path, digest in listed.items()})


def _lines_of_list(task: str, listed: str) -> str:
    """The lines of a task by its list alone, which is not parsed for it: that takes 30 us."""
    own = checksums.line(sha256(listed.encode("ascii")).hexdigest(), TASK_LIST)
    rows = sorted([*listed.splitlines(keepends=True), own], key=_path_of)
    return "".join(map(f"{{}}{task}/{{}}".format, map(_digest_of, rows), map(_path_of, rows)))


# A digest in hex and two spaces.
_DIGEST = 66
_digest_of, _path_of = itemgetter(slice(_DIGEST)), itemgetter(slice(_DIGEST, None))


def _hashed(bundle: Bundle, paths: Collection[str]) -> dict[str, str]:
    for path in sorted(paths):
        if not checksums.is_safe_path(path):
            raise ZfError(
                f"{path!r} has a name that checksum lists cannot hold",
                code="ZF602",
                hint="zf did not write it; move it out of the run's folder and seal again",
            )
    for path, why in bundle.hash(paths):
        raise ZfError(f"{path}: {why}", code="ZF603")
    return {path: bundle.digests[path] for path in paths}
