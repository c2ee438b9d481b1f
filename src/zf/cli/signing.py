"""Signing from the command line: with which key, and at the end of a run that is to be signed."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from zf.errors import Exit, Problem, ZfError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zf.cli.progress import Watcher
    from zf.proof.seal import Signer
    from zf.run.launch import Launched


@contextmanager
def signer(key: str | None) -> Iterator[Signer]:
    """Who signs: the key named, or the one that the environment or git names.

    Raises ZfError when there is none, or it cannot be used.
    """
    from zf.proof.attest import default_key, signer_for

    chosen = key or default_key(os.getcwd(), os.environ)
    if chosen is None:
        raise ZfError(
            "no key to sign with",
            code="ZF639",
            hint="name one with --key or ZF_SIGNING_KEY, or set git's user.signingkey",
        )
    with ExitStack() as opened:
        yield signer_for(chosen, opened)


def conclude(
    carry_out: Callable[[], Launched], watcher: Watcher, *, sign: bool, key: str | None
) -> int:
    """Carry out a run, sign its proof where that is wanted, and show what came of it.

    The key is looked for first: a run that takes an hour is not to find at its end that there is
    none. A run that then cannot be signed stays sealed, and does not exit with 0.
    """
    if not sign:
        if key is not None:
            raise ZfError("--key goes with --sign")
        return watcher.finish(carry_out(), None)
    with signer(key) as chosen:
        done = carry_out()
        try:
            _sign(done, chosen)
        except ZfError as error:
            watcher.finish(done, None)
            raise _unsigned(done, error) from None
        except KeyboardInterrupt:
            # Ctrl-C where a passphrase was asked for: the run itself is over, and is told.
            watcher.finish(done, None)
            raise
        return watcher.finish(done, chosen.key_id)


def _sign(done: Launched, chosen: Signer) -> None:
    from zf.proof.attest import attest
    from zf.run import lock

    # Nobody else signs it at the same time.
    lock_fd = lock.acquire(os.path.dirname(done.run_dir), done.run)
    try:
        attest(done.run_dir, [chosen])
    finally:
        lock.release(lock_fd)


def _unsigned(done: Launched, error: ZfError) -> ZfError:
    said = Problem(
        code="ZF644",
        message=f"run {done.run} is sealed, but could not be signed",
        hint=f"to sign it: zf seal {done.run} --sign",
    )
    code = done.exit_code or Exit.FAILED
    return ZfError(str(error), exit_code=code, problems=(*error.problems, said))
