"""Where a run came from, for run.json: program, machine, person, source and settings.

Asks git and the operating system, believes neither more than it must, and never fails: what cannot
be found out is null, and `source.note` says why.
"""

from __future__ import annotations

import os
import pwd
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import zf
from zf.errors import printable
from zf.events import timestamp
from zf.lean import lazy
from zf.lean.records import Struct
from zf.proof.source import ci
from zf.proof.source.top import NO_WORK_TREE, find_top

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from zf.proof.source import git, worktree
    from zf.proof.source.early_look import Looking
else:
    git = lazy.module("zf.proof.source.git")
    worktree = lazy.module("zf.proof.source.worktree")

SCHEMA = "zf/run/v2"
# Of the files that make a tree dirty, so many are named in a note.
_FEW = 3
# What `from` says of what git said; else it is the name of a variable.
_GIT_SAYS = "git"


def collect(
    argv: Sequence[str],
    *,
    run_id: str,
    settings: Mapping[str, Mapping[str, Any]],
    environ: Mapping[str, str],
    source: Mapping[str, Any],
    redact: Callable[[str], str],
) -> dict[str, Any]:
    """What run.json holds.

    `settings` maps each name to its value and source; `source` is what a look at the work tree
    found; `redact` sees every text a user could have put a secret into.
    """
    uname = os.uname()
    told = ci.told(environ)
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "zf_version": zf.__version__,
        "python_version": ".".join(map(str, sys.version_info[:3])),
        "platform": f"{uname.sysname} {uname.release} {uname.machine}",
        "host": uname.nodename,
        "user": user_name(),
        "ci": told and _hidden(told.about, redact),
        "command": [redact(word) for word in argv],
        "started_at": timestamp(time.time()),
        "source": _hidden(source, redact),
        "settings": {name: dict(setting) for name, setting in settings.items()},
    }


def _hidden(facts: Mapping[str, Any], redact: Callable[[str], str]) -> dict[str, Any]:
    """The facts without the secrets in their texts; digests hold none, and stay as they are."""
    return {
        name: redact(value) if isinstance(value, str) and name not in _DIGESTS else value
        for name, value in facts.items()
    }


_DIGESTS = {"commit", "tree", "diff_sha256"}


def user_name() -> str:
    """The account's name, or its number where it has none (a container's usual case)."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def commit(root: str, environ: Mapping[str, str]) -> str | None:
    """The commit that a work tree is at, for which no file is looked at."""
    facts: dict[str, Any] = dict.fromkeys(_NAMED) | {"from": {}}
    with suppress(git.GitError, OSError):
        facts["commit"] = worktree.commit_of(root, environ)
    _ask_ci(facts, ci.told(environ), [])
    return facts["commit"] and str(facts["commit"])


class Source(Struct, frozen=True):
    """Where the code of a run came from: `facts` is the `source` of run.json, `seen` what git had
    to show.

    `diff_sha256` is null for a clean tree; otherwise it is the SHA-256 over the binary diff
    against the commit, followed by status lines in git's form (which name the untracked files).
    """

    root: str
    exclude: tuple[str, ...]
    environ: Mapping[str, str]
    facts: dict[str, Any]
    seen: worktree.Seen | None

    @classmethod
    def look(
        cls,
        root: str,
        *,
        exclude: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        cache: str | None = None,
        ear: git.Ear | None = None,
        looking: Looking | None = None,
    ) -> Source:
        """Ask git, and for what it does not know the CI system; git only until `ear` hears that the
        run is to end. What is seen may be `looking` that was begun.
        """
        environ = os.environ if environ is None else environ
        facts: dict[str, Any] = dict.fromkeys(_SOURCE)
        facts["from"] = dict.fromkeys(_NAMED)
        seen = None
        notes = []
        try:
            if find_top(root, environ) is None:
                notes.append(NO_WORK_TREE)
            else:
                seen = looking.seen(ear) if looking is not None else None
                if seen is None:
                    seen = worktree.look(root, environ, exclude, cache, ear)
        except git.GitError as error:
            notes.append(str(error))
        except OSError as error:
            notes.append(f"git could not be started: {error.strerror}")
        if seen is not None:
            facts |= _of_the_tree(seen)
            facts["from"] |= {name: _GIT_SAYS for name in _NAMED if facts[name]}
            notes += _of_new_files(seen)
        _ask_ci(facts, ci.told(environ), notes)
        facts["note"] = "; ".join(notes) or None
        return cls(root, tuple(exclude), environ, facts, seen)

    @contextmanager
    def looking_again(self, ear: git.Ear | None = None) -> Iterator[Callable[[], bool | None]]:
        """Begin to look whether the commit or anything that counts for `dirty` is another by now;
        what is given waits for the answer, which is None when that cannot be said, or when `ear`
        has heard that the run is to end.
        """
        if self.seen is None:
            yield lambda: None
            return
        with ExitStack() as opened:
            answer = None
            with suppress(git.GitError, OSError):
                answer = opened.enter_context(
                    worktree.looking_again(self.seen, self.root, self.environ, self.exclude, ear)
                )
            yield lambda: self._has_changed(answer)

    def _has_changed(self, answer: Callable[[], worktree.Seen] | None) -> bool | None:
        assert self.seen is not None
        now = None
        if answer is not None:
            with suppress(git.GitError, OSError):
                now = answer()
        worktree.keep(self.seen, now)
        return None if now is None else not now.is_as(self.seen)

    def withdraw(self) -> None:
        """Before any step runs: take out of its reach what makes the next look quick."""
        if self.seen is not None:
            worktree.withdraw(self.seen)

    def keep(self) -> None:
        """Keep what makes the next look quick, where there will be no second one."""
        if self.seen is not None:
            worktree.keep(self.seen)


def changed_since(facts: Mapping[str, Any], again: Mapping[str, Any]) -> bool | None:
    """The same for a run whose first look is only on record."""
    names = ("commit", "tree", "dirty", "diff_sha256")
    if facts.get("dirty") is None or again.get("dirty") is None:
        return None
    return any(facts.get(name) != again.get(name) for name in names)


_SOURCE = ("commit", "branch", "tag", "tree", "dirty", "diff_sha256", "repo", "from", "note")
_NAMED = ("commit", "branch", "tag")


def _of_the_tree(seen: worktree.Seen) -> dict[str, Any]:
    return {
        "commit": seen.at.commit,
        "branch": seen.at.branch,
        # One commit may have several; more than one is no name for it.
        "tag": seen.tags[0] if len(seen.tags) == 1 else None,
        "tree": seen.at.tree,
        "dirty": bool(seen.changes),
        "diff_sha256": seen.diff_sha256,
        "repo": _without_password(seen.repo),
    }


def _of_new_files(seen: worktree.Seen) -> Iterator[str]:
    """Why a tree is dirty that `git status` may call clean: caches bring a .gitignore along that
    ignores itself, and only the commit's own count here.
    """
    new = [os.fsdecode(line[2:]) for line in seen.changes if line.startswith(b"? ")]
    if not new:
        return
    named = ", ".join(map(printable, new[:_FEW]))
    more = f" and {len(new) - _FEW} more" if len(new) > _FEW else ""
    yield (
        f"not tracked, nor ignored by a tracked .gitignore: {named}{more} "
        "(name them in a .gitignore that is committed, or commit them)"
    )


def _ask_ci(facts: dict[str, Any], told: ci.Told | None, notes: list[str]) -> None:
    """Fill in what git could not say. What the CI system says of another commit is not about this
    one.
    """
    if told is None:
        return
    if facts["commit"] and told.commit and facts["commit"] != told.commit:
        notes.append(
            f"{told.says['commit']} is {told.commit[:40]}, but git has another commit checked out"
        )
        return
    for name in _NAMED:
        value = getattr(told, name)
        if facts[name] is None and value:
            facts[name], facts["from"][name] = value, told.says[name]


def _without_password(url: str | None) -> str | None:
    """The address of the repository without what may stand before the @ of its host."""
    if url is None or "@" not in url:
        return url
    from urllib.parse import urlsplit, urlunsplit  # noqa: PLC0415 - 3 ms, and few have one

    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme and "@" in parts.netloc:
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url
