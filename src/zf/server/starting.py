"""The one module which starts runs: each is an ordinary zf, a process in a session of its own.

Whatever becomes of the server, the run goes on, and is found again in the folder of proofs. What
such a process says before there is a run is kept in the server's folder: it is why there is none.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from zf import trigger
from zf.lean.records import Struct
from zf.proof.layout import JOURNAL
from zf.server.project import Served

_LOOK_S = 0.02
_MOST_SAID = 16 * 1024
_SAID_FOLDER = "starts"
# A run that could not begin says so for so long.
_SAID_KEPT_S = 7 * 86_400.0
_CODE = re.compile(r"^(?:[^\n]*: )?error\[(ZF\d+)\]: ([^\n]*)", re.MULTILINE)


class Begun(Struct, frozen=True):
    """A run that was asked for: whether its folder is there; or the exit code of its zf, and what
    it said, where that has ended without a run. Neither means that it still gets ready.
    """

    is_there: bool
    exit_code: int | None = None
    said: str = ""

    @property
    def why_not(self) -> tuple[str, str]:
        """The code and the text of the first problem it named."""
        found = _CODE.search(self.said)
        return (found[1], found[2]) if found else ("ZF826", self.said.strip() or "it said nothing")


class Starting:
    """Starts zf on one project."""

    def __init__(self, project: Served) -> None:
        self._project = project
        self._folder = f"{project.folder}/{_SAID_FOLDER}"
        os.makedirs(self._folder, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # How those ended that were started here, until something asks to forget it.
        self._codes: dict[str, int] = {}
        self._forget_old()

    def start(
        self,
        words: Sequence[str],
        run: str,
        asked: Mapping[str, str],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start `zf WORDS`, which carries out this run, for what `asked` says; with more variables
        in `environ`. Raises OSError when no process can be started.
        """
        variables = {**os.environ, **(environ or {}), trigger.VARIABLE: trigger.variable(asked)}
        with open(self._said(run), "wb") as said:
            # Not `-m zf` alone: that would look for modules in the project's folder, too.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zf", *words],
                cwd=self._project.root,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        self._running[run] = process
        threading.Thread(target=self._reap, args=(run, process), daemon=True).start()

    def _reap(self, run: str, process: subprocess.Popen[bytes]) -> None:
        self._codes[run] = process.wait()
        self._running.pop(run, None)
        if self.is_there(run):
            with suppress(OSError):
                os.unlink(self._said(run))

    def carry_out(self, words: Sequence[str], asked: Mapping[str, str]) -> Begun:
        """Carry out a zf that runs nothing, and wait for its end."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "zf", *words],
            cwd=self._project.root,
            env={**os.environ, trigger.VARIABLE: trigger.variable(asked)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        said = done.stderr[:_MOST_SAID].decode("utf-8", "replace")
        return Begun(is_there=True, exit_code=done.returncode, said=said)

    def is_there(self, run: str) -> bool:
        """Whether the run has a folder: it appears whole."""
        return os.path.lexists(f"{self._project.proofs}/{run}/{JOURNAL}")

    def wait(self, run: str, at_most_s: float) -> Begun:
        """What has come of a start, as soon as it is there or has ended."""
        until = time.monotonic() + at_most_s
        process = self._running.get(run)
        while not self.is_there(run):
            code = process.poll() if process is not None else None
            if process is None or code is not None:
                # It may have begun, and ended, between the two looks.
                return self.failed(run, code) if not self.is_there(run) else Begun(is_there=True)
            if time.monotonic() >= until:
                return Begun(is_there=False)
            time.sleep(_LOOK_S)
        return Begun(is_there=True)

    def failed(self, run: str, code: int | None = None) -> Begun:
        """What a zf said that has left no run; nothing where none was started."""
        said = ""
        with suppress(OSError), open(self._said(run), "rb") as file:
            said = file.read(_MOST_SAID).decode("utf-8", "replace")
        return Begun(is_there=False, exit_code=1 if code is None and said else code, said=said)

    def exit_code(self, run: str) -> int | None:
        """How the zf ended that was started here last for this run; None while it goes on, and
        where none was.
        """
        return None if run in self._running else self._codes.get(run)

    def forget(self, run: str) -> None:
        """What the run was started for is over."""
        self._codes.pop(run, None)

    def gets_ready(self, run: str) -> bool:
        """Whether a zf of this server is at work on it."""
        return run in self._running

    def _said(self, run: str) -> str:
        return f"{self._folder}/{run}.txt"

    def _forget_old(self) -> None:
        before = time.time() - _SAID_KEPT_S
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.stat().st_mtime < before:
                    os.unlink(entry.path)


async def verifying(root: str, run: str) -> asyncio.subprocess.Process:
    """A `zf verify --json` on a run of the project: hashing takes a processor, which streams need.
    It is part of the server, and ends with it.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "zf", "verify", "--json", "--", run),
        cwd=root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
