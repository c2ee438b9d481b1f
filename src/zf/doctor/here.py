"""Where the examination takes place: the folder, the project around it, and its settings, as far as
there are any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from zf.errors import ZfError
from zf.lean.records import Struct
from zf.plan import load
from zf.plan.places import find_root
from zf.settings import DEFAULT_PHASE_TIMEOUT_S, Settings, resolve

if TYPE_CHECKING:
    from zf.errors import Problem
    from zf.model import Flow


class Here(Struct, frozen=True):
    """What every look may ask. `folder` is empty where the working directory is gone; without a
    project `root` is empty, and `no_project` says why; a project of which the files are not valid
    has no `flow`.
    """

    environ: Mapping[str, str]
    folder: str
    root: str = ""
    home: str = ""
    no_project: ZfError | None = None
    flow: Flow | None = None
    problems: tuple[Problem, ...] = ()
    settings: Settings | None = None
    bad_setting: ZfError | None = None

    @property
    def proofs(self) -> str:
        """Where the runs of the project are, or will be; empty without a project."""
        return f"{self.home}/proofs" if self.home else ""


def look_around(environ: Mapping[str, str]) -> Here:
    """Find the project, read its files and its settings; nothing is refused."""
    folder = root = home = ""
    no_project = bad_setting = settings = None
    with suppress(OSError):
        folder = os.getcwd()
    if folder:
        try:
            root, home = find_root(folder)
        except ZfError as error:
            no_project = error
    loaded = load.load(root, home, default_phase_timeout_s=_PHASE_S) if root else None
    flow, problems = (loaded.flow, tuple(loaded.problems)) if loaded else (None, ())
    try:
        settings = resolve(environ, default_run_id=_RUN, project=flow.project if flow else None)
    except ZfError as error:
        bad_setting = error
    return Here(environ, folder, root, home, no_project, flow, problems, settings, bad_setting)


_PHASE_S = DEFAULT_PHASE_TIMEOUT_S
_RUN = "doctor"
