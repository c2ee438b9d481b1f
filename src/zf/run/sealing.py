"""How a run ends: compared with what its runner knows, its end written down, and sealed; or, when
its runner was killed, sealed later as it lies there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from zf.errors import Exit, ZfError, printable
from zf.events import RunEnded, Status
from zf.lean.records import Struct, replace
from zf.proof.files import remove_tree, write_json
from zf.proof.known import Known
from zf.proof.layout import BLOCKED, JOURNAL, MANIFEST
from zf.proof.read import log_tail
from zf.proof.seal import (
    Compared,
    close_killed,
    compare_known,
    refuse_sealed,
    seal_known,
)
from zf.report.facts import Facts
from zf.run.host import lock
from zf.run.recorder import Recorder
from zf.run.request import RunRequest
from zf.work.supervise import leftovers

if TYPE_CHECKING:
    from zf.audit.signing.signers import Signer

# Of the time a run took, what may be spent on looking through its trees before it is sealed.
_COMPARED_SHARE = 0.005
# So many differences are told in the journal; the rest is counted.
_MOST_DIFFERENCES = 100


class Launched(Struct, frozen=True):
    """What a run came to; `head` is the SHA-256 of the journal's last line, in hex. `compared` is
    how many task trees were looked at for tampering, of how many. `odd` are the tasks of which
    something may be worth a remark, where that is known.
    """

    run: str
    run_dir: str
    exit_code: int
    facts: Facts
    head: str
    manifest_sha256: str
    compared: tuple[int, int] = (0, 0)
    odd: Collection[str] | None = None


def write_blocked(run_dir: str, facts: Facts) -> str | None:
    """Write blocked.json if tasks were held up; its SHA-256."""
    struck = facts.phase_timeout or facts.run_timeout
    if struck or facts.counts[Status.BLOCKED]:
        from zf.report import blocked  # noqa: PLC0415 - a run that goes well does without
        from zf.report.excerpt import LOOK_LINES  # noqa: PLC0415

        tails = {
            t.id: log_tail(run_dir, t.id, facts.step_number(t), lines=LOOK_LINES)
            for t in facts.failed
        }
        told = blocked.as_json(facts, tails=tails)
        return write_json(f"{run_dir}/{BLOCKED}", told, anyway=True)
    return None


def end(
    request: RunRequest,
    recorder: Recorder,
    known: Known,
    lock_fd: int,
    *,
    exit_code: int,
    took_s: float,
    blocked_sha256: str | None,
    source_changed: bool | None,
) -> Launched:
    """Compare what lies in the folder of a run with what its runner knows, write down its end, and
    seal it.
    """
    tops = {JOURNAL: recorder.sha256()}
    if blocked_sha256 is not None:
        tops[BLOCKED] = blocked_sha256
    compared = compare_known(request.run_dir, known, tops, took_s * _COMPARED_SHARE)
    if not lock.is_in_place(lock_fd, request.flow.proofs, request.run):
        compared = replace(compared, differences=(*compared.differences, _lock_gone(request.run)))
    # What was put there may be called like a secret.
    tampered = tuple(map(request.redactor.text, _capped(compared.differences)))
    if tampered:
        exit_code = exit_code or Exit.FAILED
    counts = recorder.facts.counts
    recorder.record(RunEnded(exit_code, counts, took_s, blocked_sha256, source_changed, tampered))
    return close(request, recorder, known, compared)


def suspended(request: RunRequest, recorder: Recorder) -> Launched:
    """Leave a run that waits for approval as it is, to be resumed: it is not sealed."""
    head, _ = recorder.close()
    facts = recorder.facts
    return Launched(request.run, request.run_dir, Exit.WAITING, facts, head, manifest_sha256="")


def _lock_gone(run: str) -> str:
    path = lock.lock_path("..", run)
    return f"{path}: is not the lock that this run began with, which keeps other zf from it"


def _capped(differences: tuple[str, ...]) -> tuple[str, ...]:
    """As many as a line of the journal has room for."""
    if len(differences) <= _MOST_DIFFERENCES:
        return differences
    more = len(differences) - _MOST_DIFFERENCES
    return (*differences[:_MOST_DIFFERENCES], f"and {more} more")


def close(
    request: RunRequest,
    recorder: Recorder,
    known: Known,
    compared: Compared | None = None,
) -> Launched:
    """Seal a run that has ended, from what its runner knows."""
    facts = recorder.facts
    head, known.tops[JOURNAL] = recorder.close()
    assert facts.exit_code is not None  # its last event says so
    sealed = seal_known(request.run_dir, known, after=compared)
    facts.tampered = tuple(map(request.redactor.text, sealed.differences))
    return Launched(
        request.run,
        request.run_dir,
        Exit.FAILED if facts.tampered else facts.exit_code,
        facts,
        head,
        sealed.manifest_sha256,
        sealed.compared,
        known.odd,
    )


def seal(
    proofs: str,
    run_dir: str,
    signer: AbstractContextManager[Signer] | None = None,
    approval: str | None = None,
) -> Iterator[str]:
    """Close a run that was killed, as incomplete; with a signer, sign it too, or one that is
    sealed. Gives what was done, line by line.

    Raises ZfError: exit 5 for a run that is alive, or sealed and not to be signed; NotAsLeftError.
    """
    from zf.audit.signing.attest import attest  # noqa: PLC0415 - no run needs it

    run = os.path.basename(run_dir)
    lock_fd = lock.acquire(proofs, run)
    try:
        if signer is None or not os.path.lexists(f"{run_dir}/{MANIFEST}"):
            refuse_sealed(run_dir)
            # What still runs could still write; then there would be nothing to seal.
            leftovers.end(run_dir)
            from zf.work.walls.shield import rescue  # noqa: PLC0415 - of a killed run

            rescue(lock.aside_path(proofs, run), run_dir)
            remove_tree(lock.aside_path(proofs, run))
            head, _ = _as_left(run_dir, "sealed")
            yield f"sealed {printable(run_dir)}, manifest {close_killed(run_dir, head)}"
        if signer is not None:
            sealed = _as_left(run_dir, "signed")
            with signer as chosen:
                for name in attest(run_dir, [chosen], sealed=sealed, approval=approval):
                    yield f"wrote {name}"
    finally:
        os.close(lock_fd)


def sign_sealed(done: Launched, signer: Signer, hide: Callable[[str], str]) -> Launched:
    """Sign what this process has sealed. The whole proof is verified first: where it is not what
    was sealed, nothing is signed, and the run is tampered with by what `hide` leaves of that.
    """
    from zf.audit.signing.attest import attest  # noqa: PLC0415 - only a signed run needs it
    from zf.audit.verify import verify  # noqa: PLC0415 - as above

    if done.facts.tampered:
        return done
    # No other zf signs it at the same time.
    lock_fd = lock.acquire(os.path.dirname(done.run_dir), done.run)
    try:
        found = verify(done.run_dir)
        wrong = [
            f"{f.path or 'the run'}: {f.message}" for f in found.findings if f.verdict == "INTACT"
        ]
        sealed = (done.head, done.manifest_sha256)
        if not wrong and (found.result["head"], found.result["manifest_sha256"]) != sealed:
            wrong = [f"{MANIFEST}: is not what zf wrote"]
        if not wrong:
            attest(done.run_dir, [signer], sealed=sealed)
            return done
    finally:
        lock.release(lock_fd)
    done.facts.tampered = tuple(map(hide, wrong))
    return replace(done, exit_code=done.exit_code or Exit.FAILED)


class NotAsLeftError(ZfError):
    """A seal or a signature says that the files are what the run left, and they are not: `report`
    is what verifying says of them.
    """

    def __init__(self, run_dir: str, done: str, report: str) -> None:
        message = f"{printable(run_dir)} is not what the run left; it was not {done}"
        super().__init__(message, exit_code=Exit.FAILED, code="ZF638")
        self.report = report


def _as_left(run_dir: str, done: str) -> tuple[str, str]:
    """The digests of the journal's end and of the manifest, of a run that is what it left."""
    from zf.audit.conclusion import TAMPERED  # noqa: PLC0415 - as above
    from zf.audit.verify import verify  # noqa: PLC0415 - as above

    found = verify(run_dir)
    if found.exit_code == TAMPERED:
        raise NotAsLeftError(run_dir, done, found.render())
    return found.result["head"], found.result["manifest_sha256"] or ""
