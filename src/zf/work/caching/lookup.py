"""Whether an earlier run's result counts: a sealed run, whose proof is verified now, in which the
task succeeded with the same key, and whose files are there or can be brought back.

Proofs are all that is asked: there is no other store that could say something else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from zf.errors import ZfError
from zf.events import Status
from zf.lean.records import Struct, field
from zf.model import is_valid_id
from zf.proof import checksums, read
from zf.proof.layout import ARTIFACTS, CACHE, MANIFEST, PLAN, TASK_LIST
from zf.work.caching import parts
from zf.work.caching.beforehand import Verifying
from zf.work.caching.parts import Change, Parts

if TYPE_CHECKING:
    from zf.audit.authentic import Trust

# The plan.json of a run that is verified before anything asks for it: a larger one would cost more
# than it can save where nothing does.
_SMALL_BYTES = 64 * 1024


class Origin(Struct, frozen=True):
    """The result that counts: whose it is, its record, and its files with their SHA-256, which a
    list with the digest `task_sha256` has.
    """

    run: str
    task: str
    head: str
    folder: str
    record: Mapping[str, Any]
    listed: Mapping[str, str]
    task_sha256: str

    def as_json(self) -> dict[str, str]:
        """What an event and status.json say of it."""
        return {"run": self.run, "task": self.task, "head": self.head}

    def told(self) -> bytes:
        """What the log of a task says whose steps were not run."""
        told = f"nothing was run: the result is that of task {self.task} in run {self.run}"
        return f"[zf: {told} (head {self.head})]\n".encode()

    def artifacts(self) -> dict[str, str]:
        """Its artifacts, by their names in the proof."""
        prefix = f"{ARTIFACTS}/"
        return {
            path.removeprefix(prefix): digest
            for path, digest in self.listed.items()
            if path.startswith(prefix)
        }


class Missed(Struct, frozen=True):
    """No result counts, for this reason; what changed since the newest run that says something."""

    reason: str
    run: str = ""
    changed: tuple[Change, ...] = ()


class _Verified(Struct, frozen=True):
    """A run that was verified: the end of its journal, what the tasks came to that were run in it,
    and the digests of their lists. `why` says why it does not count at all.
    """

    why: str = ""
    head: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)


class Lookup:
    """Looks into the sealed runs of a project; each is verified once for all tasks that one process
    looks up. With `trust`, only what a trusted key has signed counts.
    """

    def __init__(
        self, proofs: str, trust: Trust | None = None, verifying: Verifying | None = None
    ) -> None:
        self._proofs = proofs
        self._trust = trust
        self._verifying = verifying
        self._verified: dict[str, _Verified] = {}

    def newest(self, task: str) -> dict[str, Any]:
        """The record of the task in the newest sealed run that has one which is stored; as it lies
        there, for a guess. Empty without any.
        """
        for run in read.list_runs(self._proofs):
            record = _record(f"{self._proofs}/{run}", task)
            if record is not None and record.get("stored") is True:
                return record
        return {}

    def find(
        self,
        task: str,
        now: Parts,
        secret: Mapping[str, str],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Iterator[Origin | Missed]:
        """Results with the same key, from the newest on; in the end why there are no more. Where
        another process still verifies one, that is done `meanwhile`.
        """
        nearest: Missed | None = None
        why = first = ""
        runs = read.list_runs(self._proofs)
        named = _named_by_newest(self._proofs, task, runs)
        guess = _record(f"{self._proofs}/{named}", task) if named else None
        if guess and guess.get("stored") is True and parts.is_same(now, secret, guess):
            # Where results come from one run again and again, there may be hundreds after it.
            first = named
        for run in sorted(runs, key=lambda run: run != first):
            record = guess if run == named else _record(f"{self._proofs}/{run}", task)
            if record is None or record.get("stored") is not True:
                continue
            if not parts.is_same(now, secret, record):
                if nearest is None:
                    changed = tuple(parts.changes(now, secret, record))
                    nearest = Missed(_told(changed), run, changed)
                continue
            found = self._origin(run, task, record, meanwhile)
            if isinstance(found, Origin):
                yield found
            else:
                why = why or f"run {run} had the same key, but {found}"
        yield Missed(why) if why else nearest or Missed("no sealed run has a result of it")

    def _origin(
        self, run: str, task: str, record: Mapping[str, Any], meanwhile: Callable[[], None]
    ) -> Origin | str:
        """The result, or why it does not count."""
        verified = self._verified.get(run)
        if verified is None:
            verified = self._verified[run] = self._verify(run, meanwhile)
        if verified.why:
            return verified.why
        if verified.own.get(task) != Status.SUCCESS:
            return "the task did not succeed in it by its own steps"
        from zf.proof.tree.contents import checked_artifacts  # noqa: PLC0415 - not in the runner

        folder, task_sha256 = f"{self._proofs}/{run}/{task}", verified.lists[task]
        try:
            names = listed(folder, task_sha256)
            again, digest = read.object_and_digest(f"{self._proofs}/{run}", f"{task}/{CACHE}")
            checked_artifacts(folder, task_sha256)
        except (OSError, ValueError, ZfError) as error:
            return f"its files are not what they were ({error})"
        if names.get(CACHE) != digest or again != record:
            return "its record is not what it was"
        return Origin(run, task, verified.head, folder, record, names, task_sha256)

    def _verify(self, run: str, meanwhile: Callable[[], None]) -> _Verified:
        run_dir = f"{self._proofs}/{run}"
        wanted = {"INTACT", "COMPLETE"} | ({"AUTHENTIC"} if self._trust else set())
        try:
            read.keep(run_dir)
            begun = self._verifying
            if begun is not None and begun.run_dir == run_dir:
                meanwhile()
                self._verifying, sound = None, begun.sound()
                if sound is not None and wanted <= {*sound.passed}:
                    return _Verified("", sound.head, sound.own, sound.tasks)
            from zf.audit.authentic import NO_TRUST  # noqa: PLC0415 - 20 ms, for a candidate
            from zf.audit.findings import State  # noqa: PLC0415 - likewise
            from zf.audit.verify import verify  # noqa: PLC0415 - likewise

            found = verify(run_dir, trust=self._trust or NO_TRUST)
        except FileNotFoundError:
            return _Verified("another zf has just removed it")
        except ZfError as error:
            return _Verified(f"it cannot be verified ({error})")
        for verdict in found.verdicts:
            if verdict.name in wanted and verdict.state != State.PASSED:
                told = next((f for f in found.findings if f.verdict == verdict.name), None)
                why = told.render() if told else verdict.summary
                return _Verified(f"its proof does not verify now: {why}")
        return _Verified("", found.result["head"], found.own, found.tasks)


class Caching(Struct):
    """What the tasks of a run that say `cache` do: whether results are looked up, and which keys
    must have signed them.
    """

    look_up: bool = False
    trust: Trust | None = None
    lookups: dict[str, Lookup] = field(default_factory=dict)
    # Of the run that is most likely asked for first.
    verifying: Verifying | None = None

    def begin(self, proofs: str, task: str) -> None:
        """Begin to verify the run whose result the task most likely has."""
        if run := _likely(proofs, task):
            self.verifying = Verifying.begin(f"{proofs}/{run}", self.trust)

    def get_ready(self, *, early: bool) -> None:
        """In a worker: what was begun is for one that is there from the start."""
        if early:
            import zf.work.caching.attempt  # noqa: F401, PLC0415 - an attempt will ask for it
        else:
            self.verifying = None

    def close(self) -> None:
        """End what was begun."""
        if self.verifying is not None:
            self.verifying.close()

    def lookup(self, proofs: str) -> Lookup:
        """One for each process, as a run is verified once for all that it looks up."""
        if proofs not in self.lookups:
            self.lookups[proofs] = Lookup(proofs, self.trust, self.verifying)
        return self.lookups[proofs]


def _likely(proofs: str, task: str) -> str:
    """The run of the task's newest result, if it is soon verified."""
    run = _named_by_newest(proofs, task, read.list_runs(proofs))
    with suppress(OSError):
        if run and os.stat(f"{proofs}/{run}/{PLAN}").st_size <= _SMALL_BYTES:
            return run
    return ""


def _named_by_newest(proofs: str, task: str, runs: Sequence[str]) -> str:
    """The run that the task's newest record has its result from: a guess by what lies there."""
    for run in runs:
        if (record := _record(f"{proofs}/{run}", task)) is not None:
            origin = record.get("cached_from")
            named = str(origin.get("run")) if isinstance(origin, dict) else ""
            found = run if record.get("stored") is True else named
            return found if is_valid_id(found) else ""
    return ""


def _record(run_dir: str, task: str) -> dict[str, Any] | None:
    """What a sealed run recorded of the task's key, not trusted yet."""
    if not os.path.lexists(f"{run_dir}/{task}/{CACHE}"):
        return None  # what most runs and tasks have
    if not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        return None
    with suppress(ZfError):
        return read.read_json(run_dir, f"{task}/{CACHE}")
    return None


def listed(folder: str, task_sha256: str) -> dict[str, str]:
    """The files of a tree, by the list whose digest is known. Raises OSError and ValueError."""
    with open(f"{folder}/{TASK_LIST}", "rb") as stream:
        data = stream.read(checksums.MAX_LIST_BYTES)
    if sha256(data).hexdigest() != task_sha256:
        raise ValueError("their list is another")
    return checksums.parse(data)


def _told(changed: tuple[Change, ...]) -> str:
    """Which parts changed, in a few words."""
    names = list(dict.fromkeys(change.part for change in changed))
    return f"{', '.join(names)} changed" if names else "its key is another"
