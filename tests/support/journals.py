"""Journals that lie in a file, read back."""

from __future__ import annotations

from zf.proof.journal import JournalReading, read_stream


def read(path: str) -> JournalReading:
    with open(path, "rb") as stream:
        return read_stream(stream)
