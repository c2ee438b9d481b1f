"""A pool of Dask workers, from the runner's side: an executor whose command leads to a bridge."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from zf.errors import Exit, ZfError, printable
from zf.lean.records import Struct, replace
from zf.model import POOL, POOL_NAME, Executor
from zf.options import Setting
from zf.proof.files import remove_tree
from zf.work.worker import Shared

LOCAL = "local"
PACKAGES = "distributed cryptography"
_BRIDGE = (sys.executable, "-m", "zf.engines.dask.bridge")
_LINE = (sys.executable, "-I", "-S", os.path.join(os.path.dirname(__file__), "line.py"))
_LEAVE_S = 30.0


def is_pool(executor: Executor) -> bool:
    """Whether its command stands for a pool of Dask workers."""
    return executor.start[:1] != () and executor.start[0].startswith(POOL)


def executor(
    asked: Setting[str | None],
    declared: Mapping[str, Executor],
    max_jobs: int,
    environ: Mapping[str, str],
) -> Executor:
    """What `dask://...` stands for: as many places as the workers have that are there, or
    `max_jobs`, where they are to be started here. Raises ZfError (exit 2).
    """
    name = printable(asked.value or "")
    if importlib.util.find_spec("distributed") is None:
        raise ZfError(
            f"{asked.source} is {name!r}, which takes the package distributed",
            code="ZF779",
            hint=f"pip install {PACKAGES}",
        )
    if POOL_NAME in declared:
        raise ZfError(
            f"{asked.source} is {name!r}, and zf.yaml has an executor {POOL_NAME!r}, too",
            code="ZF780",
            hint="call that something else",
        )
    address = name.removeprefix(POOL)
    if address == LOCAL:
        if importlib.util.find_spec("cryptography") is None:
            raise ZfError(
                f"{asked.source} is {name!r}, whose certificates take the package cryptography",
                code="ZF779",
                hint=f"pip install {PACKAGES}",
            )
        return Executor((name,), max_jobs)
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ZfError(
            f"{asked.source} is {name!r}, which names no scheduler",
            code="ZF781",
            hint=f"say {POOL}HOST:PORT, or {POOL}{LOCAL} to have workers started here",
        )
    return Executor((name,), _slots(name, environ))


def _slots(name: str, environ: Mapping[str, str]) -> int:
    """How many attempts the workers of a pool take at once. Raises ZfError (exit 2)."""
    address = name.removeprefix(POOL)
    done = subprocess.run(
        (*_BRIDGE, "ask", address),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(environ),
        check=False,
    )
    told = _told(done.stdout, done.stderr)
    slots: int = told.get("slots", 0)
    if not slots:
        why = told.get("error") or "it has no workers"
        raise ZfError(
            f"no task can run on {name}: {printable(str(why))}",
            code="ZF782",
            hint=f"is `dask scheduler` there, and a `dask worker {address}`? Where they have TLS,"
            " Dask's configuration must name the certificates here, too",
        )
    return slots


def _told(out: bytes, err: bytes) -> dict[str, Any]:
    with suppress(ValueError, IndexError):
        return dict(json.loads(out.splitlines()[-1]))
    lines = err.decode("utf-8", "backslashreplace").strip().splitlines()
    return {"error": lines[-1] if lines else "its client ended without a word"}


class Bridge(Struct):
    """The process between a run and a pool, and the folder where it is met."""

    process: subprocess.Popen[bytes]
    folder: str

    def close(self) -> None:
        """End it, and what it has started here."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        remove_tree(self.folder)


def bridged(executor: Executor, shared: Shared) -> tuple[Executor, Bridge]:
    """The executor with a command that can be run, and what it leads to. Raises ZfError where the
    pool cannot be reached.
    """
    name = executor.start[0]
    folder = tempfile.mkdtemp(prefix="zf-dask-")
    at, errors = f"{folder}/bridge", f"{folder}/stderr"
    with open(errors, "xb") as stderr:
        process = subprocess.Popen(
            (
                *(*_BRIDGE, "serve", name.removeprefix(POOL), at),
                *(f"{shared.grace_s}", f"{executor.slots}"),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(shared.environ),
            process_group=0,
            bufsize=0,
        )
    bridge = Bridge(process, folder)
    assert process.stdout is not None
    out = process.stdout.readline()
    with open(errors, "rb") as stream:
        told = _told(out, stream.read())
    if "ready" not in told:
        bridge.close()
        run = shared.place.run
        raise ZfError(
            f"no task of run {run!r} can run on {name}: {printable(str(told['error']))}",
            exit_code=Exit.FAILED,
            code="ZF782",
            hint=f"when that is mended, zf resume {run} finishes the run",
        )
    return replace(executor, start=(*_LINE, at)), bridge
