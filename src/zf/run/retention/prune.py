"""Removing whole runs: each leaves a tombstone that lasts before it goes, and then goes at once.

Per run, under the lock on its id and alone with its journal: its tombstone is written and synced,
its folder is renamed to one that nothing reads, and what is in there is removed. Killed anywhere,
this leaves whole runs, and tombstones; the next that prunes removes what was renamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any

from zf.audit.findings import State
from zf.audit.verify import verify
from zf.errors import Exit, ZfError, printable
from zf.events import timestamp
from zf.lean.records import Struct, field, replace
from zf.model import NOTHING
from zf.proof import read
from zf.proof.files import remove_tree, sync_folder
from zf.proof.journal import decode, last_line, raw_lines
from zf.proof.layout import JOURNAL, MANIFEST, QUARANTINE
from zf.report.words import moment
from zf.run.host import lock
from zf.run.retention.choice import Choice, Known, Rule, choose
from zf.run.retention.ledger import PRUNED, Entry, Ledger, opened
from zf.run.retention.references import References

_ASIDE = ".pruned"


class Judged(Struct, frozen=True):
    """What a run's proof was found to be: what its tombstone will say `about` it, the SHA-256 of
    its journal's last line, how many bytes it has, and why it stays, if it does.
    """

    about: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    last: str = ""
    bytes: int = 0
    why: str = ""


class Prepared(Struct, frozen=True):
    """What a rule comes to now: which runs go, and what each was found to be."""

    rule: Rule
    choice: Choice
    judged: Mapping[str, Judged]

    def bytes_of(self, runs: Iterable[str]) -> int:
        """What these runs have together."""
        return sum(self.judged[run].bytes for run in runs)


class Done(Struct, frozen=True):
    """What was removed, newest first; why runs stayed that were to go, and what could not be
    removed wholly; the end of the chain and how many lines it has.
    """

    gone: tuple[str, ...]
    stayed: Mapping[str, str]
    left: tuple[str, ...]
    head: str
    lines: int


def prepare(proofs: str, rule: Rule, now: float) -> Prepared:
    """What would be removed, and what would not; nothing is changed. Each run that is to go is
    verified: one whose proof is not intact stays, unless it is named.

    Raises ZfError (exit 1) when it cannot be known which runs are held, or built on.
    """
    ledger = Ledger.read(proofs)
    ledger.refuse_damaged()
    references = References(proofs)
    references.look()
    held = ledger.held
    runs = read.list_runs(proofs)
    known = [one for run in runs if (one := _known(proofs, run, held.get(run)))]
    judged: dict[str, Judged] = {}
    while True:
        choice = choose(known, rule, now, references.to)
        judged |= {
            one.run: _judged(proofs, one, rule) for one in choice.go if one.run not in judged
        }
        wrong = {one.run: judged[one.run].why for one in choice.go if judged[one.run].why}
        if not wrong:
            return Prepared(rule, choice, judged)
        known = [replace(one, stays=wrong.get(one.run) or one.stays) for one in known]


def carry_out(proofs: str, prepared: Prepared, reason: str = "") -> Done:
    """Remove what was prepared, as far as nothing speaks against it by now, and what an earlier
    one left half removed. Raises ZfError (exit 1) when the chain of tombstones does not hold;
    OSError. Where nothing is to be removed, nothing is written: there may be no proofs yet.
    """
    if not prepared.choice.go and not unfinished(proofs):
        ledger = Ledger.read(proofs)
        return Done((), NOTHING, (), ledger.head, len(ledger.entries))
    gone: list[str] = []
    stayed: dict[str, str] = {}
    left: list[str] = []
    with opened(proofs) as ledger:
        references = References(proofs)
        references.look()
        left += _finish(proofs, ledger)
        said = {"why": prepared.rule.words()} | ({"reason": reason} if reason else {})
        for one in _in_order(prepared.choice.go, references):
            judged = prepared.judged[one.run]
            judged = replace(judged, about=dict(judged.about) | said)
            why = _remove(proofs, one.run, judged, ledger, references)
            if why:
                # Should it be half removed, then by another zf, which may be at it still.
                stayed[one.run] = why
                continue
            gone.append(one.run)
            if os.path.lexists(aside := _aside(proofs, one.run)):
                left.append(aside)
        return Done(tuple(gone), stayed, tuple(left), ledger.head, len(ledger.entries))


def prune(proofs: str, rule: Rule, now: float) -> Done:
    """Both: for programs, which ask nothing in between."""
    return carry_out(proofs, prepare(proofs, rule, now))


def _remove(proofs: str, run: str, judged: Judged, ledger: Ledger, references: References) -> str:
    """Remove a run; why it stays, if it does."""
    lock_fd = lock.acquire_if_free(proofs, run)
    if lock_fd is None:
        return "another zf has it in use"
    try:
        remove_tree(_aside(proofs, run))  # it was there before, and came back out of an archive
        try:
            alone = read.alone(f"{proofs}/{run}")
        except FileNotFoundError:
            return "another zf has removed it"
        if alone is None:
            return "another zf reads it, or builds on it"
        try:
            with ledger.locked():
                if why := _kept_meanwhile(proofs, run, judged.last, ledger, references):
                    return why
                aside = partial(os.rename, f"{proofs}/{run}", _aside(proofs, run))
                ledger.append(PRUNED, run, judged.about, then=aside)
                sync_folder(proofs)
        finally:
            os.close(alone)
        _clear(proofs, run)
    finally:
        lock.release(lock_fd)
    return ""


def _clear(proofs: str, run: str) -> None:
    """Remove what was moved aside, and before it what agents sent too late for the run: while the
    one is there, the other is looked for again.
    """
    remove_tree(f"{proofs}/{QUARANTINE}/{run}")
    remove_tree(_aside(proofs, run))


def _kept_meanwhile(
    proofs: str, run: str, last: str, ledger: Ledger, references: References
) -> str:
    """Why a run is not to go any more, which was not so when it was looked at."""
    if entry := ledger.held.get(run):
        return _held(entry)
    references.look()
    for other, how in references.to(run):
        return f"run {other} {how}"
    if _last(f"{proofs}/{run}") != last:
        return "its journal has changed since it was verified"
    return ""


def _in_order(runs: tuple[Known, ...], references: References) -> Iterator[Known]:
    """What builds on a run goes before it: what stays after all keeps what it builds on."""
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - 2 ms, for this alone

    known = {one.run: one for one in runs}
    before = {run: [other for other, _ in references.to(run) if other in known] for run in known}
    try:
        order = tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        names = ", ".join(map(printable, error.args[1]))
        raise ZfError(
            f"runs build on each other in a circle, which no zf has written: {names}",
            exit_code=Exit.FAILED,
            code="ZF615",
            hint="zf verify says what is wrong with each of them",
        ) from None
    for run in order:
        yield known[run]


# What earlier ones left.


def _aside(proofs: str, run: str) -> str:
    return f"{proofs}/.{run}{_ASIDE}"


def _finish(proofs: str, ledger: Ledger) -> Iterator[str]:
    """Remove what was renamed and is not gone; the folders that cannot be removed."""
    if not (found := unfinished(proofs)):
        return
    # Read after that, as a tombstone comes before its rename: of those that another zf has renamed
    # meanwhile, too.
    with ledger.locked():
        pruned = ledger.pruned
    for run in found:
        lock_fd = lock.acquire_if_free(proofs, run) if run in pruned else None
        if lock_fd is not None:
            _clear(proofs, run)
            lock.release(lock_fd)
        if os.path.lexists(_aside(proofs, run)) and (lock_fd is not None or run not in pruned):
            yield _aside(proofs, run)


def unfinished(proofs: str) -> list[str]:
    """The runs that are pruned, but whose files are not all removed yet."""
    names = os.listdir(proofs) if os.path.isdir(proofs) else []
    return sorted(
        name[1 : -len(_ASIDE)] for name in names if name[:1] == "." and name.endswith(_ASIDE)
    )


# What is known of a run.


def _known(proofs: str, run: str, held: Entry | None) -> Known | None:
    """None for a run that another zf has just removed."""
    run_dir = f"{proofs}/{run}"
    try:
        first, last = _ends(run_dir)
        changed = os.stat(run_dir).st_mtime
    except (ZfError, OSError):
        if os.path.isdir(run_dir):
            raise
        return None
    result = "unfinished"
    if last.get("type") == "run_ended":
        good = last.get("exit_code") == 0 and not last.get("tampered")
        result = "success" if good else "failure"
    return Known(
        run,
        result,
        _seconds(last.get("wall")) or changed,
        tuple(first.get("phases") or ()),
        _branch(run_dir),
        _stays(proofs, run, held),
    )


def _ends(run_dir: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last line of a journal; empty where they cannot be read."""
    found = []
    with read.open_file(run_dir, JOURNAL) as stream:
        lines = (next(raw_lines(stream), b"").rstrip(b"\n"), last_line(f"{run_dir}/{JOURNAL}"))
    for line in lines:
        try:
            said = decode(line or b"")
        except ValueError:
            said = None
        found.append(said if isinstance(said, dict) else {})
    return found[0], found[1]


def _branch(run_dir: str) -> str | None:
    try:
        branch = read.run_json(run_dir)["source"]["branch"]
    except (ZfError, KeyError, TypeError):
        return None
    return branch if isinstance(branch, str) else None


def _seconds(wall: object) -> float | None:
    try:
        return datetime.fromisoformat(str(wall)).timestamp()
    except ValueError:
        return None


def _stays(proofs: str, run: str, held: Entry | None) -> str:
    if not os.path.lexists(f"{proofs}/{run}/{MANIFEST}"):
        if lock.has_runner(proofs, run):
            return "it is running"
        return f"it is not sealed: zf resume {run} finishes it, zf seal {run} closes it as it is"
    return _held(held) if held is not None else ""


def _held(entry: Entry) -> str:
    reason = entry.text("reason")
    return f"held by {entry.by} since {moment(entry.wall)}" + (f": {reason}" if reason else "")


def _judged(proofs: str, one: Known, rule: Rule) -> Judged:
    run_dir, name = f"{proofs}/{one.run}", printable(one.run)
    try:
        with read.kept(run_dir):
            found, last, size = verify(run_dir), _last(run_dir), _bytes(run_dir)
            verdicts = {v.name: v.state.value for v in found.verdicts if v.name != "EXPECTED"}
            about = {
                "head": found.result["head"],
                "manifest_sha256": found.result["manifest_sha256"],
                "result": found.outcome.state.value,
                "verdicts": verdicts,
                "ended_at": timestamp(one.ended),
            }
            if verdicts["INTACT"] == State.PASSED:
                recorded = read.run_json(run_dir)
                about["started_at"] = recorded["started_at"]
                about["commit"] = recorded["source"]["commit"]
            elif not rule.named:
                told = f"its proof is not intact, as zf verify {name} tells; zf prune {name}"
                return Judged(about, last, size, f"{told} removes it all the same")
            return Judged(about, last, size)
    except FileNotFoundError:
        return Judged(why="another zf has just removed it")


def _last(run_dir: str) -> str:
    return sha256(last_line(f"{run_dir}/{JOURNAL}") or b"").hexdigest()


def _bytes(folder: str) -> int:
    """What the files below a folder have together."""
    total, folders = 0, [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
