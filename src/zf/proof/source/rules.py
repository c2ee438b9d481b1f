"""What a commit says of its own files: which names are ignored, and which attributes matter here.

A .gitignore that is not in the commit ignores nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from hashlib import new

from zf.proof.files import READ
from zf.proof.source.git import Asking
from zf.proof.source.repository import Commit

# With these words a checkout may write other bytes than the commit has.
_CONVERTING = (b"eol", b"ident", b"working-tree-encoding")
_MAX_RULES = 1 << 20


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
