"""What a project's CI says already: where it is, and whether it mentions a command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zf.adopt.looking.folder import Folder

WORKFLOWS = ".github/workflows"
GITLAB = ".gitlab-ci.yml"
# Names that workflows which test have: ci.yml, tests.yaml, CICD.yml, main.yml.
_TESTS = re.compile(r"/(ci(cd)?|tests?|checks?|build|main)(\.|-?tests?\.)", re.IGNORECASE)


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
    """The files of the CI that `zf import` could take over, each behind its kind; workflows that
    are called as those that test mostly are come before others (a release, a stale bot).
    """
    for path in sorted(files(Folder(root, {})), key=lambda path: not _TESTS.search(path)):
        yield "gitlab" if path == GITLAB else "github", path
