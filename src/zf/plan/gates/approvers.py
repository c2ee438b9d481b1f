"""Who may approve in a project: the names of its allowed signers, and of its server's tokens.

The list of allowed signers has the form of ssh-keygen(1), ALLOWED SIGNERS: a line has patterns of
names, options, and a key. Which key made a signature is for ssh-keygen to say; only the names are
read here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from zf.lean.records import Struct
from zf.model import Project
from zf.plan.places import SERVER_FOLDER

ALLOWED_SIGNERS = "allowed_signers"
# Where the server keeps its tokens, below the root of the project; and the roles that may approve.
TOKENS = f"{SERVER_FOLDER}/tokens.json"
_MAY_APPROVE = frozenset({"approver", "admin"})
_MOST_BYTES = 1024 * 1024


class Approvers(Struct, frozen=True):
    """`signers` is the text of the list of allowed signers, which lies at `path`; empty for none.
    `tokens` are the names of the server's.
    """

    path: str = ""
    signers: str = ""
    tokens: frozenset[str] = frozenset()

    @classmethod
    def of(cls, root: str, project: Project) -> Approvers:
        """Those of this project, as its files are now. OSError where a list that zf.yaml names
        cannot be read.
        """
        named = project.approvers.get("allowed_signers")
        places = [named] if named else [ALLOWED_SIGNERS, ".zenflow/" + ALLOWED_SIGNERS]
        path, text = "", ""
        for place in places:
            if named or os.path.lexists(f"{root}/{place}"):
                path, text = place, _read(f"{root}/{place}")
                break
        declared = project.approvers.get("tokens", ())
        return cls(path, text, frozenset(declared) | {*_tokens(root)})

    def has_key(self, name: str) -> bool:
        """Whether a key of the list may sign in this name."""
        return any(_matches(patterns, name) for patterns in _patterns(self.signers))

    def knows(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self.tokens or self.has_key(name)

    def lines_for(self, names: Collection[str]) -> str:
        """The lines of the list with keys that may sign in one of these names."""
        lines = self.signers.splitlines()
        return "".join(
            f"{line}\n"
            for line in lines
            if any(_matches(found, name) for found in _patterns(line) for name in names)
        )

    def names(self) -> list[str]:
        """Those that are no patterns, for suggestions."""
        found = {one for patterns in _patterns(self.signers) for one in patterns}
        return sorted({*self.tokens, *(one for one in found if not {*one} & {*"*?!"})})


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read(_MOST_BYTES)


def _patterns(signers: str) -> Iterator[list[str]]:
    for line in signers.splitlines():
        words = line.split(maxsplit=1)
        if len(words) == 2 and not words[0].startswith("#"):
            yield words[0].strip('"').split(",")


def _matches(patterns: list[str], name: str) -> bool:
    """As OpenSSH matches a list of patterns: one with `!` that fits takes the name out."""
    if any(fnmatchcase(name, _glob(one[1:])) for one in patterns if one.startswith("!")):
        return False
    return any(fnmatchcase(name, _glob(one)) for one in patterns if not one.startswith("!"))


def _glob(pattern: str) -> str:
    return pattern.replace("[", "[[]")  # which OpenSSH takes as it is


def _tokens(root: str) -> Iterator[str]:
    """The names of the tokens that the server of this project has, as far as they can be read."""
    try:
        with open(f"{root}/{TOKENS}", "rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return
    rows = said.get("tokens") if isinstance(said, dict) else said
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("revoked_at") is not None:
            continue
        if isinstance(row.get("name"), str) and row.get("role") in _MAY_APPROVE:
            yield row["name"]
