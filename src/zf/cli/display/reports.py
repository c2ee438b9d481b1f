"""Report files: which are asked for, of which run, and writing them, each whole or not at all."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from zf.cli.display.streams import say
from zf.cli.project import path_shown
from zf.errors import ZfError, printable
from zf.report.formats import FORMATS, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zf.report.formats.recorded import RecordedRun
    from zf.settings import RunOptions


def recorded(folder: str, *, alive: bool = False) -> RecordedRun:
    """The run in a folder, with what `zf verify` says of it where a format wants to know."""
    from zf.report.formats.recorded import RecordedRun

    def verify() -> Mapping[str, Any]:
        from zf.audit.verify import verify as check

        return check(folder).as_json()

    return RecordedRun(folder, alive=alive, verify=verify)


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
    from zf.cli.exits import internal_error

    run = recorded(folder)
    for form in FORMATS:
        path = options.values.get(form.name)
        if not path:
            continue
        told = f"wrote {printable(hide(path_shown(path)))}\n"
        try:
            write(run, form, path)
        except ZfError as error:
            told = "".join(f"{problem.render()}\n" for problem in error.problems)
        except Exception as error:  # noqa: BLE001 - a picture of the run must not cost the run
            told = f"zf: the run is complete, its report was not written: {internal_error(error)}\n"
        say(sys.stderr, hide(told))
