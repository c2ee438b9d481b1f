"""A project of no kind that is known: its scripts are checked, or there is a task to begin with."""

from __future__ import annotations

from shlex import quote

from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposed

# More names make a line that nothing can be read from.
_NAMED = 6


def look(folder: Folder, *, more: bool) -> Found:
    """Always at least a task, so that the first run has something to run; `more` of the project
    was left out.
    """
    paths = list(folder.files())
    scripts = [path for path in paths if path.endswith((".sh", ".bash"))]
    tasks = []
    if scripts:
        named = " ".join(map(quote, scripts)) if len(scripts) <= _NAMED else ""
        if folder.installed("shellcheck") and named:
            tasks.append(Proposed("lint", {"run": f"shellcheck {named}"}))
        tasks.append(Proposed("syntax", {"run": _each(named)}))
    if not more and any(path.endswith(".py") for path in paths):
        run = "python3 -m compileall -q -x '/[.]' ."
        tasks.append(Proposed("compile", {"run": run}))
    if not tasks:
        comment = "Nothing was found that zf knows how to check: put your own command here."
        if more:
            comment = "What this project has cannot be run here, for the reasons below."
        tasks.append(Proposed("hello", {"run": "echo hello"}, comment))
    return Found(tasks=tuple(tasks))


def _each(named: str) -> str:
    """`bash -n` takes one script at a time."""
    if named:
        return f'for script in {named}; do bash -n "$script"; done'
    return "find . -name '*.sh' -not -path './.*' -exec bash -n {} \\;"
