"""The repository of a work tree: which commit HEAD is, what that ignores, and one of our own.

What only the repository can say is asked there. Everything else is asked in one made for the
moment over the same objects, which has no configuration but ours. A .gitignore that is not in the
commit ignores nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import new
from typing import TYPE_CHECKING

from zf.lean import lazy
from zf.lean.records import Struct
from zf.proof.files import READ
from zf.proof.source.git import (
    Asked,
    Asking,
    GitError,
    contents,
    environment,
    first_line,
    refusal,
    text,
    text_lines,
)

if TYPE_CHECKING:
    from zf.proof.source.git import Ear

HEAD = (
    "rev-parse",
    "--path-format=absolute",
    "--git-path",
    "objects",
    "--show-object-format",
    "HEAD^{commit}",
    "HEAD^{tree}",
    "--symbolic-full-name",
    "HEAD",
)
_TAGS = ("for-each-ref", "--points-at=HEAD", "--format=%(refname:strip=2)", "refs/tags")
READ_TREE = (
    "-c",
    "core.sparseCheckout=false",
    "-c",
    "core.splitIndex=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "read-tree",
)
_CONFIG = """\
[core]
repositoryformatversion = {version}
bare = false
filemode = {filemode}
excludesFile = /dev/null
attributesFile = /dev/null
hooksPath = /dev/null
untrackedCache = false
fsmonitor = false
[extensions]
{extensions}
"""
# Otherwise git compares what is left of a file once line endings, `$Id: anything $` and encodings
# are undone, and all that can hide there. This outranks what the files say, a macro included.
_ATTRIBUTES = b"* -text -ident -filter !working-tree-encoding\n"
# Lines of `ls-tree -r -z`: submodules, and the files that say what is ignored or filtered.
_TOLD = lazy.pattern(
    rb"(\d{6}) [a-z]+ ([0-9a-f]+)\t((?:[^\0]*/)?\.git(?:ignore|attributes))\0"
    rb"|160000 commit ([0-9a-f]+)\t([^\0]*)\0"
)
# Lines of a configuration as git itself writes them: nothing quoted, no comment.
_SECTION = lazy.pattern(rb'\[([a-zA-Z0-9-]+)(?: "([^"\\]*)")?\]')
_VALUE = lazy.pattern(rb'\t([a-zA-Z][a-zA-Z0-9-]*) = ([^\s"#;\\](?:[^"#;\\]*[^\s"#;\\])?)')
# Sections that send git to other files.
_ELSEWHERE = {b"include", b"includeif", b"extensions"}
# With these words a checkout may write other bytes than the commit has.
_CONVERTING = (b"eol", b"ident", b"working-tree-encoding")
_MAX_RULES = 1 << 20


class Commit(Struct, frozen=True):
    """Where HEAD is. `git_dir`, `objects` and `form` say where the repository keeps it."""

    top: str
    objects: str
    form: str
    commit: str | None
    tree: str | None
    branch: str | None


def outer(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """For the questions that go to the repository itself: no configuration changes their answers,
    and `safe.directory` may come from a variable.
    """
    usual = environment(environ) | {"GIT_INDEX_FILE": f"{folder}/index"}
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"):
        if name in environ:
            usual[name] = environ[name]
    return usual | {"GIT_NO_REPLACE_OBJECTS": "1"}


def refs_of(top: str) -> tuple[bytes | None, ...] | None:
    """The files that say which commit HEAD is, in an ordinary repository; None for others, or when
    it takes more files to know. Asking git takes 4 ms.
    """
    git = f"{top}/.git"
    if os.path.lexists(f"{git}/reftable") or os.path.lexists(f"{git}/commondir"):
        return None
    head = contents(f"{git}/HEAD")
    if head is None or not os.path.isdir(git) or os.path.islink(f"{git}/HEAD"):
        return None
    name = head.removeprefix(b"ref: ").removesuffix(b"\n")
    if name == head.removesuffix(b"\n"):
        return (head,)
    if not name.startswith(b"refs/heads/") or b".." in name:
        return None
    own = contents(f"{git}/{os.fsdecode(name)}")
    if own is not None:
        return None if own.startswith(b"ref:") else (head, own)
    return head, None, contents(f"{git}/packed-refs")


class Committed(Struct, frozen=True):
    """What HEAD names and is called, and of its tree the submodules and the files that say what is
    ignored or filtered, each as its path and its object.
    """

    at: Commit
    repo: str | None
    tags: tuple[str, ...]
    submodules: list[tuple[bytes, bytes]]
    rules: list[tuple[bytes, bytes]]


class AskedOfCommit(Struct, frozen=True):
    """The questions of `ask_of_commit`: `url` and `tags` where these must be asked, `repo` where it
    is known, and the file that has all tags where there is one.
    """

    head: Asked
    reading: Asked
    listing: Asked
    repo: str | None
    url: Asked | None
    tags: Asked | None
    packed: bytes


def ask_of_commit(
    outside: Asking, index: str, refs: tuple[bytes | None, ...] | None, environ: Mapping[str, str]
) -> AskedOfCommit:
    """Begin to ask where HEAD is; its tree is read into a new index."""
    repo, is_known = plain_url(outside.folder, environ) if refs is not None else (None, False)
    packed = packed_tags(f"{outside.folder}/.git") if refs is not None else None
    return AskedOfCommit(
        outside.start(*HEAD),
        outside.start(*READ_TREE, *(["-m"] if os.path.exists(index) else []), "HEAD"),
        outside.start("ls-tree", "-r", "-z", "--full-tree", "HEAD"),
        repo,
        None if is_known else outside.start("config", "--get", "remote.origin.url"),
        outside.start(*_TAGS) if packed is None else None,
        packed or b"",
    )


def hear_of_commit(outside: Asking, index: str, asked: AskedOfCommit) -> Committed:
    """The answers. Raises GitError."""
    at = head_commit(outside, asked.head)
    failed = outside.outcome(asked.reading)[0] != 0
    listed = _TOLD.findall(outside.finish(asked.listing, or_none=True))
    if at.commit is not None and failed:
        with suppress(FileNotFoundError):
            os.unlink(index)  # what was kept is not an index
        outside.ask(*READ_TREE, "HEAD")
    url, tags = asked.url, asked.tags
    return Committed(
        at,
        asked.repo if url is None else first_line(outside.finish(url, or_none=True)),
        tuple(text_lines(outside.finish(tags, or_none=True)))
        if tags is not None
        else tags_in(asked.packed, at.commit),
        [(path, oid) for *_, oid, path in listed if oid],
        [(path, oid) for _, oid, path, *_ in listed if path],
    )


def head_commit(asking: Asking, head: Asked) -> Commit:
    code, out, said = asking.outcome(head)
    # The first is a path: it may hold line breaks, and bytes that are no text.
    if code == 0:
        objects, *rest = out.removesuffix(b"\n").rsplit(b"\n", 4)
        form, commit, tree, name = map(text, rest)
        branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
        return Commit(asking.folder, os.fsdecode(objects), form, commit, tree, branch)
    objects, line_break, told = out.removesuffix(b"HEAD^{commit}\n")[:-1].rpartition(b"\n")
    if not line_break:
        raise GitError(refusal(said))
    name = first_line(asking.finish(asking.start("symbolic-ref", "-q", "HEAD"), or_none=True)) or ""
    if not name or asking.finish(asking.start("rev-parse", "--verify", "-q", name), or_none=True):
        raise GitError(refusal(said))
    branch = name.removeprefix("refs/heads/")
    return Commit(asking.folder, os.fsdecode(objects), text(told), None, None, branch)


def plain_url(top: str, environ: Mapping[str, str]) -> tuple[str | None, bool]:
    """The remote's address, if there is one, out of a configuration as git writes it, without a
    word on other files; and whether that is known, or git itself must be asked.
    """
    if "GIT_CONFIG_COUNT" in environ or "GIT_CONFIG_PARAMETERS" in environ:
        return None, False
    section: tuple[bytes, bytes] = (b"", b"")
    url = None
    config = contents(f"{top}/.git/config")
    for line in (config or b"").split(b"\n"):
        if head := _SECTION.fullmatch(line):
            section = head[1].lower(), head[2] or b""
            if section[0] in _ELSEWHERE:
                return None, False
        elif value := _VALUE.fullmatch(line):
            if section == (b"remote", b"origin") and value[1].lower() == b"url":
                url = os.fsdecode(value[2])
        elif line:
            return None, False
    return url, config is not None


def packed_tags(git: str) -> bytes | None:
    """The file that has all tags, with what each leads to; None where git must be asked."""
    try:
        if os.listdir(f"{git}/refs/tags"):
            return None
    except OSError:
        return None
    packed = contents(f"{git}/packed-refs") or b""
    header = packed.partition(b"\n")[0]
    is_whole = header.startswith(b"# pack-refs with:") and b" fully-peeled " in header
    return packed if is_whole or b" refs/tags/" not in packed else None


def tags_in(packed: bytes, commit: str | None) -> tuple[str, ...]:
    """The tags that are, or lead to, this commit."""
    if commit is None or b" refs/tags/" not in packed:
        return ()
    oid = commit.encode()
    tag = rb"(?m)^(?:%b refs/tags/(.+)|[0-9a-f]+ refs/tags/(.+)\n\^%b)$" % (oid, oid)
    return tuple(text(own or other) for own, other in re.findall(tag, packed))


def own_repository(folder: str, at: Commit, environ: Mapping[str, str], ear: Ear | None) -> Asking:
    """A repository of our own over the same objects and the same files, which are compared byte for
    byte.
    """
    asking = repository(folder, at, environ, ear)
    os.mkdir(f"{folder}/info")
    with open(f"{folder}/info/attributes", "wb") as stream:
        stream.write(_ATTRIBUTES)
    return asking


def repository(folder: str, at: Commit, environ: Mapping[str, str], ear: Ear | None) -> Asking:
    os.mkdir(f"{folder}/refs")
    with open(f"{folder}/HEAD", "w", encoding="ascii") as stream:
        stream.write(f"{at.commit or 'ref: refs/heads/none'}\n")
    extensions = "" if at.form == "sha1" else f"objectformat = {at.form}"
    with open(f"{folder}/config", "w", encoding="utf-8") as stream:
        stream.write(
            _CONFIG.format(
                version=1 if extensions else 0,
                # File systems without modes make every file executable, git's own too.
                filemode="false" if _all_executable(at) else "true",
                extensions=extensions,
            )
        )
    own = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    if "GIT_EXEC_PATH" in environ:
        own["GIT_EXEC_PATH"] = environ["GIT_EXEC_PATH"]
    own |= {
        "GIT_DIR": folder,
        "GIT_WORK_TREE": at.top,
        "GIT_OBJECT_DIRECTORY": at.objects,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    return Asking(own, at.top, folder, ear)


def _all_executable(at: Commit) -> bool:
    head = os.path.join(os.path.dirname(at.objects), "HEAD")
    try:
        return bool(os.stat(head).st_mode & 0o100)
    except OSError:
        return False


def read_rules(
    asking: Asking, at: Commit, files: Sequence[tuple[bytes, bytes]]
) -> tuple[bytes, bool, bool]:
    """What the commit's own .gitignore files name, in the order of git (the deeper file wins);
    whether Git LFS has files in it, and whether a checkout may write other bytes than it has.
    """
    texts = _as_committed(at, files)
    missing = {oid for _, oid in files} - texts.keys()
    if missing:
        given = b"".join(oid + b"\n" for oid in sorted(missing))
        texts |= blobs(asking.ask("cat-file", "--batch", given=given))
    rules, lfs, converts = [], False, False
    for path, oid in sorted(files, key=lambda file: file[0].count(b"/")):
        folder, _, name = path.rpartition(b"/")
        text = texts.get(oid, b"")
        if name == b".gitignore":
            rules += list(_ignored_in(folder, text))
        else:
            lfs = lfs or b"filter=lfs" in text
            converts = converts or any(word in text for word in _CONVERTING)
    return b"".join(rule + b"\n" for rule in rules), lfs, converts


def _as_committed(at: Commit, files: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The contents, by name, of those files that are on disk what they are in the commit: the hash
    tells. That spares a git.
    """
    found = {}
    for path, oid in files:
        data = _regular(os.path.join(at.top, os.fsdecode(path)))
        if data is not None:
            name = new(at.form, b"blob %d\0" % len(data), usedforsecurity=False)
            name.update(data)
            if name.hexdigest().encode() == oid:
                found[oid] = data
    return found


def _regular(path: str) -> bytes | None:
    """The contents of a small file."""
    try:
        fd = os.open(path, READ)
        with os.fdopen(fd, "rb") as stream:
            info = os.fstat(fd)
            is_small = stat.S_ISREG(info.st_mode) and info.st_size <= _MAX_RULES
            return stream.read(_MAX_RULES) if is_small else None
    except OSError:
        return None


def blobs(out: bytes) -> dict[bytes, bytes]:
    """`cat-file --batch` -> the contents by name."""
    found = {}
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        words = out[at:end].split(b" ")
        at = end + 1
        if len(words) == 3:
            size = int(words[2])
            found[words[0]] = out[at : at + size]
            at += size + 1
    return found


def _ignored_in(folder: bytes, text: bytes) -> Iterator[bytes]:
    """The rules of a .gitignore in a folder, as they would stand in the one at the top."""
    if b"\n" in folder:
        return
    prefix = b"/" + escaped(folder) + b"/" if folder else b""
    for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        rule = line.removesuffix(b"\r")
        while rule.endswith(b" ") and not rule.endswith(b"\\ "):
            rule = rule[:-1]
        if not rule or rule.startswith(b"#"):
            continue
        if not prefix:
            yield rule
            continue
        negated = rule.startswith(b"!")
        rule = rule[negated:]
        if b"/" in rule.removesuffix(b"/"):
            placed = prefix + rule.removeprefix(b"/")
        else:
            placed = prefix + b"**/" + rule
        yield b"!" + placed if negated else placed


def escaped(path: bytes) -> bytes:
    """A path as a pattern that means just itself; no pattern can have a line break, so one stands
    as any character.
    """
    plain = b"".join(b"\\" + bytes([c]) if c in b"\\*?[ " else bytes([c]) for c in path)
    return plain.replace(b"\n", b"?")
