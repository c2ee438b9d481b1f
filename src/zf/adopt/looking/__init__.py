"""A look at a project that has no task files: which tasks it could have, of what lies there.

`look` asks each of `KINDS`, which are a row each: a new kind is a module and its row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping

from zf.adopt.looking import golang, node, python, runners, rust, small
from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposal, Proposed
from zf.model import is_task_id

Looker = Callable[[Folder], Found | None]

# What has tests and tools of its own, with the word that tells two of them apart.
KINDS: Mapping[str, Looker] = {
    "py": python.look,
    "js": node.look,
    "go": golang.look,
    "rust": rust.look,
}
SUBMODULES = Proposed("submodules", {"run": "git submodule update --init --recursive"})
# More folders than that are no project with a few parts.
_PARTS = 8


def look(root: str, environ: Mapping[str, str]) -> Proposal:
    """What `zf.yaml` could say of the project in this folder. Nothing of it is run."""
    top = Folder(root, environ)
    found = {kind: one for kind, looker in KINDS.items() if (one := looker(top))}
    if not found:
        for part in _parts(top):
            found |= {
                f"{part.prefix}{kind}": one
                for kind, looker in KINDS.items()
                if (one := looker(part))
            }
    proposal = Proposal.of(found)
    proposal = proposal.beside(runners.look(top, proposal))
    if proposal.tasks:
        return proposal.after(SUBMODULES) if _lacks_submodules(top) else proposal
    return proposal.beside(small.look(top, more=bool(proposal.left_out)))


def _lacks_submodules(top: Folder) -> bool:
    """Whether a clone has not got its submodules yet."""
    paths = re.findall(r"(?m)^\s*path *= *(.+?) *$", top.text(".gitmodules"))
    return any(not Folder(top.root, top.environ, path).names() for path in paths)


def _parts(top: Folder) -> Iterator[Folder]:
    names = [name for name in top.names() if name[0] != "." and is_task_id(name)]
    folders = [name for name in names if os.path.isdir(top.path(name)) and not top.is_link(name)]
    for name in folders[:_PARTS]:
        yield top.inside(name)
