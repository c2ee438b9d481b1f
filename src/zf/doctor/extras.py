"""What was installed with zf, and the terminal it writes to."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from zf.doctor.finding import NOTE, OK, Finding
from zf.doctor.here import Here

_PACKAGE = "zenflow-runner"
# `cryptography>=42; extra == "sign"`: a name and the extra that asks for it (PEP 508).
_ASKED = re.compile(r"""([A-Za-z0-9._-]+)[^;]*;.*\bextra\s*==\s*["']([A-Za-z0-9._-]+)["']""")


def extras(_here: Here) -> Iterator[Finding]:
    """Which of the extras are there; each is for what it is named after, and nothing else."""
    lacking: dict[str, bool] = {}
    try:
        asked = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return  # it runs from its source
    for text in asked:
        if found := _ASKED.match(text):
            name, extra = found.groups()
            lacking[extra] = lacking.get(extra, False) or not _is_installed(name)
    there = ", ".join(sorted(extra for extra, lacks in lacking.items() if not lacks)) or "none"
    if absent := sorted(extra for extra, lacks in lacking.items() if lacks):
        remedy = f"to have more: pip install '{_PACKAGE}[{','.join(absent)}]'"
        yield Finding("extras", OK, f"installed: {there}; not: {', '.join(absent)}", remedy)
    else:
        yield Finding("extras", OK, f"installed: {there}")


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def terminal(here: Here) -> Iterator[Finding]:
    """Whether stdout is one, and which characters it takes."""
    encoding = (sys.stdout.encoding or "ascii").lower()
    kind = "no terminal"
    if os.isatty(1):
        kind = f"a terminal ({here.environ.get('TERM') or 'TERM is not set'})"
    if encoding.replace("-", "") != "utf8":
        found = f"stdout is {kind}, and takes {encoding}: other characters are shown as \\u00e9"
        yield Finding("terminal", NOTE, found, "export LC_ALL=C.UTF-8")
    else:
        yield Finding("terminal", OK, f"stdout is {kind}, and takes UTF-8")
