"""An archive that `zf export` wrote, as a folder again: the archive is a stranger's, so only plain
files and folders below one folder come out, and nothing is written elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zf.errors import ZfError, printable
from zf.lean import lazy
from zf.proof.checksums import is_safe_name
from zf.proof.layout import JOURNAL, RUN

if TYPE_CHECKING:
    import shutil
    import tarfile
    import tempfile
else:  # a run that is built on is nearly always a folder
    shutil = lazy.module("shutil")
    tarfile = lazy.module("tarfile")
    tempfile = lazy.module("tempfile")


@contextmanager
def unpacked(path: str) -> Iterator[str]:
    """The folder of the run in an archive, for as long as the block lasts.

    Raises ZfError (exit 2) for what is no such archive. Whether the run is intact, `verify` says.
    """
    with tempfile.TemporaryDirectory(prefix="zf-run-") as scratch:
        try:
            with tarfile.open(path, "r:") as archive:
                top = _extract(archive, scratch)
        except (tarfile.TarError, OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise _no_archive(path, why) from None
        folder = f"{scratch}/{top}"
        if not os.path.lexists(f"{folder}/{RUN}") or not os.path.lexists(f"{folder}/{JOURNAL}"):
            raise _no_archive(path, "it holds no run")
        yield folder


def _no_archive(path: str, why: str) -> ZfError:
    return ZfError(
        f"{printable(path)} is no archive of a run: {printable(why)}",
        code="ZF645",
        hint="zf export RUN -o FILE.tar writes one",
    )


def _extract(archive: tarfile.TarFile, scratch: str) -> str:
    """Write out every file; the name of the one folder they lie in."""
    tops: set[str] = set()
    for member in archive:
        parts = member.name.split("/")
        if not all(map(_is_plain, parts)):
            raise ValueError(f"{member.name!r:.200} is no name in a proof")
        tops.add(parts[0])
        if len(tops) > 1 or (len(parts) == 1 and not member.isdir()):
            raise ValueError("not everything in it lies in one folder")
        target = f"{scratch}/{member.name}"
        if member.isdir():
            os.makedirs(target, exist_ok=True)
            continue
        if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.sparse is not None:
            raise ValueError(f"{member.name!r:.200} is not a plain file")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None  # it is a file
        with source, open(target, "xb") as stream:
            shutil.copyfileobj(source, stream, 1024 * 1024)
    if not tops:
        raise ValueError("it is empty")
    return tops.pop()


def _is_plain(name: str) -> bool:
    return name not in {"", ".", ".."} and is_safe_name(name)
