"""Report files: which are asked for, of which run, and writing them, each whole or not at all."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zf.cli.display.streams import say
from zf.cli.project import path_shown
from zf.errors import ZfError, printable
from zf.proof.layout import JOURNAL
from zf.report.formats import FORMATS, PAGE, Format

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from zf.report.formats.recorded import RecordedRun
    from zf.settings import RunOptions


def recorded(folder: str, *, alive: bool = False, page: str | None = None) -> RecordedRun:
    """The run in a folder, with what `zf verify` says of it where a format wants to know, and where
    in the repository of a CI job the project, and the page, are.
    """
    from zf.report.formats.recorded import RecordedRun

    verification = _Verification(folder)
    return RecordedRun(
        folder,
        alive=alive,
        verify=verification.result,
        begin_to_verify=verification.begin,
        project=in_repository(_root()),
        page=in_repository(page),
    )


# The journal of a run of some hundred tasks, of which the files are many.
_WORTH_A_PROCESS_BYTES = 256 * 1024


class _Verification:
    """What `zf verify` says of a run; of a large one a second process looks at the files while this
    one makes the page.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        try:
            large = os.path.getsize(f"{self._folder}/{JOURNAL}") > _WORTH_A_PROCESS_BYTES
        except OSError:
            large = False
        if large and (os.cpu_count() or 1) > 1:
            import subprocess

            # What lies in the working directory is no part of zf.
            command = (sys.executable, "-P", "-m", "zf", "verify", "--json", "--", self._folder)
            with suppress(OSError):
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )

    def result(self) -> Mapping[str, Any]:
        if self._process is not None:
            import json

            told, _ = self._process.communicate()
            with suppress(ValueError):  # it found nothing to verify: that is told here
                found: Mapping[str, Any] = json.loads(told)
                return found
        from zf.audit.verify import verify

        return verify(self._folder).as_json()


# The variables by which CI systems say where they have put the repository.
_CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


def in_repository(path: str | None) -> str:
    """The path in the repository that a CI job has checked out; empty for one outside of it."""
    tops = [os.path.realpath(top) for name in _CHECKOUTS if (top := os.environ.get(name))]
    if path is None or not tops:
        return ""
    below = os.path.relpath(os.path.realpath(path), tops[0])
    return "" if below == "." or below.startswith("..") else below


def _root() -> str | None:
    """The project at hand, if zf is in one: a run can be looked at anywhere."""
    from zf.plan.places import find_root

    try:
        return find_root(os.getcwd())[0]
    except (ZfError, OSError):
        return None


def write(run: RecordedRun, form: Format, path: str, **how: Any) -> None:
    """Write a run in one format; raises ZfError when the run cannot be read, or the file written.

    It must not lie in the run's own folder, which is sealed.
    """
    from zf.proof.files import write_pieces

    target, shown = os.path.realpath(path), printable(path_shown(path))
    if target.startswith(os.path.realpath(run.folder) + os.sep):
        raise ZfError(
            f"{shown} lies in the run's own folder",
            code="ZF660",
            hint="a proof holds what its run wrote, and nothing else; choose another place",
        )
    render = import_module(f"zf.report.formats.{form.module}").render
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            # A pipe or a device, such as /dev/stdout: nothing is put in its place.
            with open(path, "wb") as stream:
                stream.writelines(render(run, **how))
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        write_pieces(target, render(run, **how))
    except OSError as error:
        raise ZfError(
            f"{shown}: {error.strerror}",
            code="ZF660",
            hint="name a file that can be written",
        ) from None


def write_of_run(folder: str, options: RunOptions, hide: Callable[[str], str]) -> None:
    """Write what was asked for when a run began. Nothing that fails here changes what it came to:
    it is said on stderr, and `zf report` writes the same later.
    """
    run = recorded(folder, page=options.values.get(PAGE.name))
    for form in FORMATS:
        if path := options.values.get(form.name):
            told = f"wrote {printable(hide(path_shown(path)))}\n"
            say(sys.stderr, hide(done_or_told(partial(write, run, form, path)) or told))


def done_or_told(tell: Callable[[], object]) -> str:
    """What went wrong with telling of a run, which must not cost the run."""
    from zf.cli.exits import internal_error

    try:
        tell()
    except ZfError as error:
        return "".join(f"{problem.render()}\n" for problem in error.problems)
    except Exception as error:  # noqa: BLE001 - even a bug must not cost the run
        return f"zf: the run is complete, its report was not written: {internal_error(error)}\n"
    return ""
