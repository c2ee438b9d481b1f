"""The project at hand: its folders and its checked task files."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from zf.errors import ZfError

if TYPE_CHECKING:
    from zf.model import Flow


def open_project(*, phase_timeout_s: float | None = None, quiet: bool = False) -> Flow:
    """Every task file of the project, checked. Warnings go to stderr unless `quiet`.

    Raises ZfError (exit 2) with all problems of all files.
    """
    from zf.plan import load
    from zf.settings import DEFAULT_PHASE_TIMEOUT_S

    root, home = load.find_root(os.getcwd())
    timeout_s = DEFAULT_PHASE_TIMEOUT_S if phase_timeout_s is None else phase_timeout_s
    loaded = load.load(root, home, default_phase_timeout_s=timeout_s)
    if loaded.flow is None:
        count = sum(problem.severity == "error" for problem in loaded.problems)
        raise ZfError(f"{count} errors in the task files", problems=loaded.problems)
    if not quiet:
        for problem in loaded.problems:
            print(problem.render(), file=sys.stderr)
    return loaded.flow


def proofs_folder() -> str:
    """Where the runs of the project at hand are; its task files need not be valid."""
    from zf.plan import load

    return f"{load.find_root(os.getcwd())[1]}/proofs"
