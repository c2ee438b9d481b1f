"""Files of a run as answers: opened without trust, whole or the part that is asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from zf.server.problems import Refused

BYTES = "application/octet-stream"
_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def sent(
    stream: BinaryIO, name: str, asked: str | None, media_type: str = BYTES
) -> StreamingResponse:
    """A file to be saved under a name; of it the range that a `Range` header asks for. Raises
    Refused (416) for one that is not in it.
    """
    size = os.fstat(stream.fileno()).st_size
    headers = {"Accept-Ranges": "bytes", "Content-Disposition": as_attachment(name)}
    status = HTTPStatus.OK
    start, end = 0, size
    found = _RANGE.fullmatch(asked.strip()) if asked else None
    if found is not None and (found[1] or found[2]):
        start, end = _part(found[1], found[2], size)
        if start >= end:
            stream.close()
            unsatisfied = {"Content-Range": f"bytes */{size}"}
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            raise Refused(status, f"the file has {size} bytes", headers=unsatisfied)
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(_pieces(stream, start, end), status, headers, media_type)


def described(media_type: str = BYTES) -> dict[int | str, dict[str, Any]]:
    """Such an answer in the description of the API."""
    content: dict[str, Any] = {media_type: {}}
    return {
        200: {"description": "The file.", "content": content},
        206: {"description": "The range of it.", "content": content},
    }


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    """RFC 9110, 14.1.2: `A-B`, `A-`, or the last so many bytes, `-N`."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)


def _pieces(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with stream:
        stream.seek(start)
        while start < end and (piece := stream.read(min(_PIECE_BYTES, end - start))):
            start += len(piece)
            yield piece


def as_attachment(name: str) -> str:
    """A `Content-Disposition` (RFC 6266) by which a browser saves, and does not show."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name) or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
