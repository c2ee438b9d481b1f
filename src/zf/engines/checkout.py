"""What of a project goes to another machine: the files of its work tree as they are when the run
begins, as one archive, by its SHA-256.

With git that is the commit with what was changed since, and the files that git would offer for a
commit; nothing that is ignored, and no history. Without git it is all that lies there, but for
the proofs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from hashlib import sha256

from zf.proof.source import git
from zf.proof.source.top import find_top
from zf.work.agent.archive import files_below, pack

_LISTED = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")


def make(root: str, proofs: str, environ: Mapping[str, str], target: str) -> str:
    """Write the archive; its SHA-256. Raises OSError."""
    digest = sha256()
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "xb") as stream:
        for piece in pack(root, files_of(root, proofs, environ)):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def files_of(root: str, proofs: str, environ: Mapping[str, str]) -> list[str]:
    """The files, relative to the root and sorted; folders only where they say more than the files
    in them. Raises OSError.
    """
    inside = os.path.relpath(proofs, root)
    if find_top(root, environ) is not None:
        try:
            return sorted(_of_git(root, environ, inside))
        except git.GitError:
            pass  # it refuses to answer here, so that what lies there is all that is known
    return files_below(root, but={inside, ".git"})


def _of_git(root: str, environ: Mapping[str, str], proofs: str) -> Iterator[str]:
    with (
        git.scratch_folder(environ) as scratch,
        git.Asking(git.environment(environ), root, scratch) as asking,
    ):
        said = asking.ask(*_LISTED)
    for listed in map(os.fsdecode, said.split(b"\0")):
        path = listed.rstrip("/")
        if not path or path == proofs or path.startswith(f"{proofs}/"):
            continue
        yield path
        if os.path.isdir(f"{root}/{path}") and not os.path.islink(f"{root}/{path}"):
            # A submodule, or a work tree in this one, of which git names the folder alone.
            for below in files_below(f"{root}/{path}", but={".git"}):
                yield f"{path}/{below}"
