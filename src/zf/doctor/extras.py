"""What was installed with zf, and the terminal it writes to."""

from __future__ import annotations

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
    lacking: dict[str, list[str]] = {}
    try:
        asked = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return  # it runs from its source
    for text in asked:
        if found := _ASKED.match(text):
            name, extra = found.groups()
            lacking.setdefault(extra, []).extend([] if _is_installed(name) else [name])
    there = ", ".join(sorted(extra for extra, lacks in lacking.items() if not lacks)) or "none"
    if absent := sorted(extra for extra, lacks in lacking.items() if lacks):
        packages = " ".join(name for extra in absent for name in lacking[extra])
        remedy = f"to have more: pip install {packages}"
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
    """Which characters stdout takes, and what the terminal is said to be."""
    encoding = (sys.stdout.encoding or "ascii").lower()
    kind = f"TERM is {term}" if (term := here.environ.get("TERM")) else "TERM is not set"
    if encoding.replace("-", "") != "utf8":
        found = f"{kind}, and stdout takes {encoding}: other characters are shown as \\u00e9"
        yield Finding("terminal", NOTE, found, "export LC_ALL=C.UTF-8")
    else:
        yield Finding("terminal", OK, f"{kind}, and stdout takes UTF-8")
