"""Verbs about the place zf is used in: doctor."""

from __future__ import annotations

import json
import os
import sys

import typer

from zf.cli.options import AsJson, Directory


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(doctor)


def doctor(as_json: AsJson = False, _directory: Directory = None) -> int:
    """Look at what zf needs here (programs, disk, clock, limits, the project), and say what to do.

    Exits with 1 if something stands in the way of a run, or of what it would prove.
    """
    from zf.cli.display.progress import style_of
    from zf.cli.project import as_typed
    from zf.doctor import look
    from zf.doctor.finding import text

    findings = look.examine(os.environ)
    if as_json:
        print(json.dumps(look.as_json(findings), indent=2))
    else:
        sys.stdout.write(as_typed(text(findings, style_of(sys.stdout))))
    return look.exit_code(findings)
