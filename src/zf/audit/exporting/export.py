"""A sealed run as something to hand over, in one of several formats.

The same run gives the same bytes wherever and whenever it is exported: only what the manifest
lists goes out, in its order, with fixed owners, modes and times. Every file is hashed on its way
and compared with the manifest, so nothing is handed over that was changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import IO, Any

from zf.audit.authentic import KNOWN
from zf.audit.conclusion import INCOMPLETE, VERIFIED
from zf.audit.exporting import FORMATS, tar
from zf.audit.exporting.files import File, Sealed, checked
from zf.audit.verify import verify
from zf.errors import Exit, ZfError, in_shell, printable
from zf.lean.records import Struct
from zf.proof import checksums
from zf.proof.bundle import BLOCK_BYTES, Bundle
from zf.proof.checksums import MAX_LIST_BYTES
from zf.proof.files import remove_tree, sync_folder
from zf.proof.journal import decode, last_line
from zf.proof.layout import ATTEST, JOURNAL, MANIFEST, UNFINISHED


class Exported(Struct, frozen=True):
    """What was written; `digest` is the SHA-256 of an archive, None for a folder."""

    path: str
    digest: str | None
    files: int
    size: int
    # The tasks for whose approval the run waits, where it is one that was suspended.
    waiting: tuple[str, ...] = ()


def export(run_dir: str, output: str, *, kind: str = "tar") -> Exported:
    """Write a sealed run to `output`, which must not exist yet; or one that was suspended, to be
    resumed elsewhere.

    `kind` is one of FORMATS. What is a folder becomes an archive of that folder when the name ends
    in `.tar`. Raises ZfError when the run is neither, or not as it was sealed or left.
    """
    if os.path.lexists(output):
        raise ZfError(
            f"{printable(output)} exists", code="ZF640", hint="choose a name that is free"
        )
    form = FORMATS[kind]
    waiting = _waiting(run_dir)
    if waiting and kind != "tar":
        raise ZfError(
            f"{printable(run_dir)} is suspended, and only an archive can hold it",
            code="ZF641",
            hint="export it without --kind, as one is resumed; the other forms are for sealed runs",
        )
    run = _verified(run_dir, suspended=bool(waiting))
    with Bundle(run_dir) as bundle:
        listed = _all_files(bundle) if waiting else _files(bundle)
        sealed = Sealed(run_dir, run, list(listed), _ended(run_dir))
        top = f"{run}{form.suffix}"
        files = import_module(f"{__package__}.{form.module}").contents(sealed)
        size = sum(file.size for file in files)
        if form.is_archive or output.endswith(".tar"):
            digest = tar.write(output, top, files, sealed.ended)
            return Exported(output, digest, len(files), size, waiting)
        _write_folder(output, files)
        return Exported(output, None, len(files), size)


def _waiting(run_dir: str) -> tuple[str, ...]:
    """The tasks for whose approval a run waits that its runner left; none for any other."""
    if os.path.lexists(f"{run_dir}/{MANIFEST}"):
        return ()
    try:
        line = last_line(f"{run_dir}/{JOURNAL}")
        data: Any = decode(line) if line else {}
    except (OSError, ValueError):
        return ()
    if not isinstance(data, dict) or data.get("type") != "run_suspended":
        return ()
    return tuple(map(str, data.get("waiting", ())))


def _all_files(bundle: Bundle) -> Iterator[File]:
    """Everything that is there, in byte order: what its journal names was verified."""
    there = sorted(bundle.inventory().files)
    for path, why in bundle.hash(there):
        raise ZfError(f"{path}: {why}", code="ZF641")
    for path in there:
        yield _file(bundle, path, bundle.digests[path])


def _verified(run_dir: str, *, suspended: bool) -> str:
    """The id of a run that is sealed, or suspended, and intact; ZfError for any other.

    Only then is every name, id and digest in it what it claims to be: the id becomes a folder's
    name in an archive.
    """
    found = verify(run_dir)
    if not suspended and not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        raise ZfError(
            f"{printable(run_dir)} is not a sealed run",
            code="ZF641",
            hint=f"zf seal {in_shell(run_dir)} closes a run that was killed",
        )
    if found.exit_code not in {VERIFIED, INCOMPLETE} or found.run is None:
        wrong = [finding for finding in found.findings if finding.verdict != "COMPLETE"]
        first = f": {wrong[0].place}" if wrong else ""
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ZfError(
            f"{printable(run_dir)} does not verify, so nothing was exported{first}{more}",
            exit_code=Exit.FAILED,
            code="ZF641",
            hint=f"zf verify {in_shell(run_dir)} says all that is wrong with it",
        )
    return found.run


def _files(bundle: Bundle) -> Iterator[File]:
    """Everything the manifest lists, the manifest, and what was signed, in byte order."""
    try:
        listed = checksums.parse(bundle.read(MANIFEST, MAX_LIST_BYTES))
    except (OSError, ValueError) as error:
        raise ZfError(
            f"not a sealed run: {MANIFEST}: {error}",
            code="ZF641",
            hint="zf seal closes a run that was killed; zf verify says what is wrong",
        ) from None
    attest = [f"{ATTEST}/{name}" for name in KNOWN]
    there = [path for path in attest if path in bundle.inventory().files]
    for path, why in bundle.hash(there):
        raise ZfError(f"{path}: {why}", code="ZF641")
    listed |= {path: bundle.digests[path] for path in (MANIFEST, *there)}
    for path in sorted(listed):
        yield _file(bundle, path, listed[path])


def _file(bundle: Bundle, path: str, digest: str) -> File:
    def opened() -> IO[bytes]:
        try:
            return os.fdopen(bundle.open(path), "rb", buffering=0)
        except OSError as error:
            raise ZfError(f"{path}: {error.strerror}", code="ZF641", hint="see zf verify") from None

    def pieces() -> Iterator[bytes]:
        with opened() as stream:
            while piece := stream.read(BLOCK_BYTES):
                yield piece

    with opened() as stream:
        size = os.fstat(stream.fileno()).st_size
    return File(path, size, digest, pieces)


def _ended(run_dir: str) -> int:
    """When the last event was written, in whole seconds: the one time that every copy shares."""
    line = last_line(f"{run_dir}/{JOURNAL}")
    data: Any = decode(line) if line else {}
    return int(datetime.fromisoformat(data.get("wall", "1970-01-01T00:00:00Z")).timestamp())


def _write_folder(output: str, files: list[File]) -> None:
    """The files below a new folder, which appears under its name only when it is whole."""
    temporary = f"{output}.{os.getpid()}{UNFINISHED}"
    os.mkdir(temporary)
    try:
        for file in files:
            path = f"{temporary}/{file.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as target:
                target.writelines(checked(file))
        os.rename(temporary, output)
    except BaseException:
        remove_tree(temporary)
        raise
    sync_folder(os.path.dirname(output))
