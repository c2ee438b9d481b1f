"""Loading a project in a second process, while this one gets ready to run it.

The parsers and the model checker take 30 ms to import and every task 50 us to read: about as long
as the rest of zf takes to import. On two cores this saves a run of 200 tasks 16 ms, and the
runner, which lives as long as its run, never holds the parsers in its memory.

What was loaded comes back through a pipe as a pickle, which is only good between processes that
trust each other. That is what these are.
"""

from __future__ import annotations

# The half of `pickle` that is compiled: its other half takes 1 ms to import.
import _pickle
import copyreg
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import NoReturn, cast

from zf.lean import lazy
from zf.lean.signals import signal
from zf.lean.validators import SchemaValidator  # noqa: F401 - 2 ms that both processes would pay
from zf.model import Asked, Loaded

_EVERYTHING = Asked()


@contextmanager
def loading(
    root: str, home: str, *, default_phase_timeout_s: float, asked: Asked = _EVERYTHING
) -> Iterator[Callable[[], Loaded | None]]:
    """Begin to load the project; the function given waits for the result, and is called once.

    The result is None when the other process could not be started or died: then the
    caller loads the project itself. That process never outlives this context.
    """
    try:
        pid, results = _other_process(root, home, default_phase_timeout_s, asked)
    except OSError:
        yield lambda: None
        return
    with os.fdopen(results, "rb") as stream:
        try:
            yield lambda: _unpacked(stream.read())
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _other_process(
    root: str, home: str, default_phase_timeout_s: float, asked: Asked
) -> tuple[int, int]:
    """Its process id, and the descriptor its result comes from."""
    results, theirs = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(results)
        raise
    else:
        if pid == 0:
            os.close(results)  # or it would wait for itself to read, should the other one die
            _load_and_exit(theirs, root, home, default_phase_timeout_s, asked)
        return pid, results
    finally:
        os.close(theirs)


def _load_and_exit(
    results: int, root: str, home: str, default_phase_timeout_s: float, asked: Asked
) -> NoReturn:
    """The other process; it says nothing, not even why it fails: loading again will."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with lazy.compiling():  # 7 ms for a parser in Python, which libyaml spares us
            import yaml  # noqa: F401, PLC0415
        from zf.plan import load  # noqa: PLC0415 - this is the import the other side is spared

        loaded = load.load(root, home, default_phase_timeout_s=default_phase_timeout_s, asked=asked)
        with os.fdopen(results, "wb") as stream:
            stream.write(_packed(loaded))
    finally:
        os._exit(0)


def _packed(loaded: Loaded) -> bytes:
    return _pickle.dumps(loaded, protocol=-1)


def _unpacked(data: bytes) -> Loaded | None:
    """What was packed; None when it is not all there, because the other process died."""
    try:
        return cast("Loaded", _pickle.loads(data))  # from a process of our own
    except (EOFError, _pickle.UnpicklingError):
        return None


def _read_only(items: dict[str, object]) -> MappingProxyType[str, object]:
    return MappingProxyType(items)


copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))
