"""What a project's CI says already: where it is, and whether it mentions a command."""

from __future__ import annotations

from collections.abc import Iterator

from zf.adopt.looking.folder import Folder

WORKFLOWS = ".github/workflows"
GITLAB = ".gitlab-ci.yml"


def says(folder: Folder, command: str) -> bool:
    """Whether the CI of the project mentions this command."""
    top = Folder(folder.root, folder.environ)
    return any(command in top.text(path) for path in files(top))


def files(top: Folder) -> Iterator[str]:
    """The files that the project's CI is in."""
    for name in Folder(top.root, top.environ, WORKFLOWS).names():
        if name.endswith((".yml", ".yaml")):
            yield f"{WORKFLOWS}/{name}"
    if top.has(GITLAB):
        yield GITLAB


def importable(root: str) -> Iterator[tuple[str, str]]:
    """The files of the CI that `zf import` could take over, each behind its kind."""
    for path in files(Folder(root, {})):
        yield "gitlab" if path == GITLAB else "github", path
