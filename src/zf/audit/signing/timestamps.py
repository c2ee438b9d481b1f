"""RFC 3161 time stamps: checked by `openssl ts`, and their time read from the signed token alone.

An answer of an authority has two parts: a status, which is not signed and may hold any text,
and the token. So nothing here looks for a line in what openssl prints: the time is taken from its
place in the token's own structure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from zf.errors import ZfError, printable
from zf.lean import lazy

if TYPE_CHECKING:
    import subprocess
    import tempfile
else:  # most proofs have no time stamp
    subprocess = lazy.module("subprocess")
    tempfile = lazy.module("tempfile")

_TIMEOUT_S = 30
_SEQUENCE, _OCTETS, _TIME, _EXPLICIT_0 = 0x30, 0x04, 0x18, 0xA0
_GENERALIZED = re.compile(rb"([0-9]{14})(?:\.[0-9]+)?Z")
# From the token to the time, as RFC 3161 and RFC 5652 nest them: (number of the part, its tag).
_WAY = (
    (1, _EXPLICIT_0),  # ContentInfo.content
    (0, _SEQUENCE),  # SignedData
    (2, _SEQUENCE),  # .encapContentInfo
    (1, _EXPLICIT_0),  # .eContent
    (0, _OCTETS),  # which holds, encoded,
    (0, _SEQUENCE),  # TSTInfo
    (4, _TIME),  # .genTime
)


def stamp_time(answer: bytes, data: bytes, ca: str) -> tuple[datetime | None, str | None]:
    """When an authority's answer says that `data` existed, and what is wrong; one of them is None.

    `ca` is a file with the certificates that are trusted to say so.
    """
    with _files(answer, data) as (answer_file, data_file):
        checked = _openssl("-verify", "-data", data_file, "-in", answer_file, "-CAfile", ca)
        token = _openssl("-reply", "-in", answer_file, "-token_out")
    if checked.returncode != 0:
        return None, "the time stamp does not verify: " + _last_line(checked.stderr)
    try:
        return _time_of(token.stdout), None
    except ValueError as error:
        return None, f"the time stamp shows no time: {error}"


def _time_of(token: bytes) -> datetime:
    """The time in a DER token; ValueError when it is not where it belongs."""
    outer = _parts(token)
    if len(outer) != 1 or outer[0][0] != _SEQUENCE:
        raise ValueError("not a token")
    content = outer[0][1]
    for number, wanted in _WAY:
        parts = _parts(content)
        if len(parts) <= number or parts[number][0] != wanted:
            raise ValueError("not a token as RFC 3161 has it")
        content = parts[number][1]
    told = _GENERALIZED.fullmatch(content)
    if told is None:
        raise ValueError("not in UTC with seconds")
    return datetime.strptime(told[1].decode("ascii"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    """The values in DER bytes, one after the other, as tag and content."""
    parts, at = [], 0
    while at < len(data):
        head = data[at : at + 2]
        if len(head) < 2:
            raise ValueError("cut short")
        tag, size = head
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > len(data):
            raise ValueError("cut short")
        parts.append((tag, data[at : at + size]))
        at += size
    return parts


def _openssl(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["openssl", "ts", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise ZfError(
            "openssl is not installed", code="ZF632", hint="time stamps are checked with it"
        ) from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, b"", b"openssl gave no answer in time")


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1]) if lines else "openssl does not say why"


@contextmanager
def _files(*contents: bytes) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory(prefix="zf-verify-") as folder:
        paths = [f"{folder}/{number}" for number in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            with open(path, "wb") as file:
                file.write(data)
        yield paths
