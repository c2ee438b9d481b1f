"""Surroundings that zf inherits from its parent: shell around it, mounts of its own, no fifos."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.program import ZF, Project

NO_FIFOS = """
import os
real = os.mkfifo
def mkfifo(path, *rest, **keys):
    if ".locks" in path:
        raise PermissionError(1, os.strerror(1))
    return real(path, *rest, **keys)
os.mkfifo = mkfifo
"""


def inside(project: Project, script: str, *words: str) -> tuple[int, str, str]:
    """A line of shell that ends in `"$@"`, which is zf; the exit code and the outputs."""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *ZF, *words],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "internal error" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def in_namespace(script: str) -> str:
    """A line of shell that runs this one, which ends in `exec "$@"`, with mounts of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounts need root")
    return f"unshare -m bash -c '{script}' bash \"$@\""
