"""The system's word that something happened in some folders: where to look, no more than that.

watchfiles tells of it in a thread; what it says is taken when the descriptor is readable.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import ZfError, printable

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# Of a burst the first word comes at once; bursts as such are the watcher's business.
_GATHER_MS, _STEP_MS, _STOP_LOOK_MS = 50, 10, 500
_POLL_MS = 500
_LIMITS = {errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_OF_LIMITS = ("limit reached", "Too many open files", "No space left")


def refuse_missing() -> None:
    """Raises ZfError (exit 2) where watchfiles is not installed."""
    try:
        import watchfiles  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ZfError(
            "files can be watched only with the package watchfiles",
            code="ZF171",
            hint="pip install watchfiles",
        ) from None


class Notices:
    """What was told of the folders that are watched; `polling` asks file systems that tell nothing,
    such as those of a network.
    """

    def __init__(self, *, polling: bool) -> None:
        self._polling = polling
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._failed: Exception | None = None
        self._now: _Listening | None = None

    def fileno(self) -> int:
        """What becomes readable when something was told."""
        return self._read_fd

    def watch(self, folders: Collection[str]) -> None:
        """Watch these folders from now on, and no others. Until this returns, what was watched
        before is still told of. Raises ZfError (exit 2) where the system does not let us.
        """
        before, self._now = self._now, _Listening(self._listen_to(folders), self)
        if before is not None:
            before.stop()

    def take(self) -> set[str]:
        """The places told of since the last call. Raises ZfError when nothing is told any more."""
        with suppress(BlockingIOError):
            while os.read(self._read_fd, 4096):
                pass
        with self._lock:
            told, self._told = self._told, set()
            if self._failed is not None:
                raise _refusal(self._failed)
        return told

    def close(self) -> None:
        """Watch nothing any more."""
        if self._now is not None:
            self._now.stop()
        os.close(self._read_fd)
        os.close(self._write_fd)

    def tell(self, places: Collection[str], failed: Exception | None = None) -> None:
        """Called in the thread that listens."""
        with self._lock:
            self._told.update(places)
            self._failed = failed or self._failed
            with suppress(OSError):
                os.write(self._write_fd, b".")

    def _listen_to(self, folders: Collection[str]) -> RustNotify:
        from watchfiles._rust_notify import RustNotify  # noqa: PLC0415 - an extra

        while True:
            there = sorted(folder for folder in folders if _can_be_watched(folder))
            try:
                # Told to pass over what is not permitted, it passes over limits, too.
                return RustNotify(there, False, self._polling, _POLL_MS, False, False)
            except FileNotFoundError:
                if all(map(_can_be_watched, there)):
                    raise
            except (OSError, RuntimeError) as error:
                raise _refusal(error, len(there)) from None


def _can_be_watched(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)


class _Listening:
    """A thread that hands on what one set of folders tells."""

    def __init__(self, source: RustNotify, notices: Notices) -> None:
        self._source = source
        self._notices = notices
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="zf-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What it had heard by now is handed on."""
        self._stopping.set()
        self._thread.join()
        self._source.close()

    def _listen(self) -> None:
        try:
            while not self._stopping.is_set():
                told = self._source.watch(_GATHER_MS, _STEP_MS, _STOP_LOOK_MS, self._stopping)
                if isinstance(told, set):
                    self._notices.tell({path for _, path in told})
        except Exception as error:  # noqa: BLE001 # of compiled code; told in the other thread
            self._notices.tell((), error)


def _refusal(error: Exception, folders: int = 0) -> ZfError:
    number = error.errno if isinstance(error, OSError) else None
    if number in _LIMITS or any(words in str(error) for words in _OF_LIMITS):
        many = f"the {folders} folders of the project" if folders else "the project's folders"
        return ZfError(
            f"the system's limit of watches is too small for {many}",
            code="ZF172",
            hint="raise its limit, sudo sysctl fs.inotify.max_user_watches=524288 (and"
            " max_user_instances=512); or type --poll",
        )
    return ZfError(
        f"the project's folders cannot be watched: {printable(str(error))}",
        code="ZF172",
        hint="type --poll",
    )
