"""A sealed run as something to hand over: a tar archive, a BagIt bag, an RO-Crate.

The same run gives the same bytes wherever and whenever it is exported: only what the manifest
lists goes out, in its order, with fixed owners, modes and times. Every file is hashed on its way
and compared with the manifest, so nothing is handed over that was changed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from typing import IO, Any, Literal

from zf.audit.authentic import KNOWN
from zf.audit.conclusion import INCOMPLETE, VERIFIED
from zf.audit.exporting import bag, crate
from zf.audit.verify import verify
from zf.errors import Exit, ZfError, printable
from zf.lean.record import record
from zf.proof import checksums
from zf.proof.bundle import BLOCK_BYTES, Bundle
from zf.proof.checksums import MAX_LIST_BYTES
from zf.proof.files import remove_tree, sync_folder, whole_file
from zf.proof.journal import decode, last_line
from zf.proof.layout import ATTEST, JOURNAL, MANIFEST, STATUS, UNFINISHED
from zf.proof.read import plan_json, run_json

Format = Literal["tar", "bagit", "ro-crate"]


@record
class File:
    """One file to hand over; `pieces` gives its bytes, which must have this size and SHA-256."""

    path: str
    size: int
    digest: str
    pieces: Callable[[], Iterator[bytes]]


@record
class Exported:
    """What was written; `digest` is the SHA-256 of an archive, None for a folder."""

    path: str
    digest: str | None
    files: int
    size: int


def export(run_dir: str, output: str, *, kind: Format = "tar") -> Exported:
    """Write a sealed run to `output`, which must not exist yet.

    A tar archive is one file. A bag or a crate is a folder, or an archive of that folder when the
    name ends in `.tar`. Raises ZfError when the run is not sealed or not as it was sealed.
    """
    if os.path.lexists(output):
        raise ZfError(
            f"{printable(output)} exists", code="ZF640", hint="choose a name that is free"
        )
    run = _verified(run_dir)
    with Bundle(run_dir) as bundle:
        files = list(_files(bundle))
        ended = _ended(run_dir)
        top = run
        if kind == "bagit":
            top, files = f"{run}.bag", _bag(run, files, ended)
        elif kind == "ro-crate":
            top, files = f"{run}.crate", _crate(run_dir, run, files)
        size = sum(file.size for file in files)
        if kind == "tar" or output.endswith(".tar"):
            digest = _write_tar(output, top, files, ended)
            return Exported(output, digest, len(files), size)
        _write_folder(output, files)
        return Exported(output, None, len(files), size)


def _verified(run_dir: str) -> str:
    """The id of a run that is sealed and intact; ZfError for any other.

    Only then is every name, id and digest in it what it claims to be: the id becomes a folder's
    name in an archive.
    """
    found = verify(run_dir)
    if not os.path.lexists(f"{run_dir}/{MANIFEST}"):
        raise ZfError(
            f"{printable(run_dir)} is not a sealed run",
            code="ZF641",
            hint=f"zf seal {printable(run_dir)} closes a run that was killed",
        )
    if found.exit_code not in {VERIFIED, INCOMPLETE} or found.run is None:
        wrong = [finding for finding in found.findings if finding.verdict != "COMPLETE"]
        first = f": {wrong[0].place}" if wrong else ""
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ZfError(
            f"{printable(run_dir)} does not verify, so nothing was exported{first}{more}",
            exit_code=Exit.FAILED,
            code="ZF641",
            hint=f"zf verify {printable(run_dir)} says all that is wrong with it",
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


def _of_bytes(path: str, data: bytes) -> File:
    return File(path, len(data), sha256(data).hexdigest(), lambda: iter((data,)))


def _below(folder: str, files: Iterable[File]) -> list[File]:
    return [File(f"{folder}/{f.path}", f.size, f.digest, f.pieces) for f in files]


def _ended(run_dir: str) -> int:
    """When the last event was written, in whole seconds: the one time that every copy shares."""
    line = last_line(f"{run_dir}/{JOURNAL}")
    data: Any = decode(line) if line else {}
    return int(datetime.fromisoformat(data.get("wall", "1970-01-01T00:00:00Z")).timestamp())


def _bag(run: str, files: list[File], ended: int) -> list[File]:
    if any("%" in file.path for file in files):
        # A bag's manifest gives % a meaning of its own, on which tools disagree; one archive as
        # payload means the same to all of them.
        digest, size = sha256(), 0
        for piece in _tar_pieces(run, files, ended):
            digest.update(piece)
            size += len(piece)
        tar = File(
            f"data/{run}.tar", size, digest.hexdigest(), lambda: _tar_pieces(run, files, ended)
        )
        payload = [tar]
    else:
        payload = _below(f"data/{run}", files)
    digests = {file.path: file.digest for file in payload}
    size = sum(file.size for file in payload)
    tags = bag.tag_files(run, digests, size, ended)
    return [*payload, *(_of_bytes(name, data) for name, data in tags.items())]


def _crate(run_dir: str, run: str, files: list[File]) -> list[File]:
    sizes = {file.path: file.size for file in files}
    digests = {file.path: file.digest for file in files}
    try:
        statuses = {
            file.path.partition("/")[0]: decode(b"".join(_checked(file)))
            for file in files
            if file.path.partition("/")[2] == STATUS
        }
        metadata = crate.metadata(run_json(run_dir), plan_json(run_dir), statuses, sizes, digests)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ZfError(
            f"the run's files are not as zf writes them: {error!r:.200}",
            code="ZF641",
            hint=f"zf verify {printable(run_dir)} says what is wrong with it",
        ) from None
    return [*_below(run, files), _of_bytes(crate.METADATA, metadata)]


def _checked(file: File) -> Iterator[bytes]:
    """A file's bytes on their way out; ZfError as soon as they are not those that were sealed."""
    digest, left = sha256(), file.size
    for piece in file.pieces():
        digest.update(piece)
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left != 0 or digest.hexdigest() != file.digest:
        raise ZfError(
            f"{file.path} is not as it was sealed",
            code="ZF642",
            hint="zf verify says what else changed; nothing was exported",
        )


def _write_tar(output: str, top: str, files: list[File], ended: int) -> str:
    digest = sha256()
    with whole_file(output) as stream:
        for piece in _tar_pieces(top, files, ended):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def _tar_pieces(top: str, files: list[File], ended: int) -> Iterator[bytes]:
    """A PAX archive: regular files only, in order, all with the same owner, mode and time."""
    size = 0
    for file in files:
        info = tarfile.TarInfo(f"{top}/{file.path}")
        info.size, info.mtime, info.mode = file.size, ended, 0o644
        header = info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")
        yield header
        yield from _checked(file)
        padding = -file.size % tarfile.BLOCKSIZE
        yield bytes(padding)
        size += len(header) + file.size + padding
    end = 2 * tarfile.BLOCKSIZE
    yield bytes(end + -(size + end) % tarfile.RECORDSIZE)


def _write_folder(output: str, files: list[File]) -> None:
    """The files below a new folder, which appears under its name only when it is whole."""
    temporary = f"{output}.{os.getpid()}{UNFINISHED}"
    os.mkdir(temporary)
    try:
        for file in files:
            path = f"{temporary}/{file.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as target:
                target.writelines(_checked(file))
        os.rename(temporary, output)
    except BaseException:
        remove_tree(temporary)
        raise
    sync_folder(os.path.dirname(output))
