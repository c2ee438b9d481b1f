"""Windows of a log by line numbers, out of a sparse index."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zf.server.live import lines
from zf.server.live.lines import LineIndex

TEXTS = st.lists(st.sampled_from([b"", b"a", b"word", b"x" * 40, b"wOrd and more"]), max_size=60)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 64)


def file_of(tmp_path, data: bytes):
    path = tmp_path / "log"
    path.write_bytes(data)
    return path.open("rb")


def texts(window: lines.Window) -> list[bytes]:
    return [line.text for line in window.lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("logs")


@given(parts=TEXTS, ended=st.booleans(), first=st.integers(1, 70), count=st.integers(1, 70))
def test_a_window_and_the_end_are_what_splitting_the_whole_gives(
    folder, parts, ended, first, count
):
    data = b"\n".join(parts) + b"\n" * (ended and bool(parts))
    whole = data.removesuffix(b"\n").split(b"\n") if data else []
    with file_of(folder, data) as stream:
        index = LineIndex()
        window = lines.window(index, stream, first, count)
        assert index.lines == len(whole)
        begin = max(1, min(first, len(whole)))
        assert texts(window) == whole[begin - 1 : begin - 1 + count]
        end = lines.tail(index, stream, count, 10.0)
        assert texts(end) == whole[-count:]
        assert end.first == max(1, len(whole) - count + 1)


@given(parts=TEXTS, most=st.integers(1, 5))
def test_a_search_finds_every_line_once_in_however_many_parts(folder, parts, most):
    with file_of(folder, b"\n".join(parts)) as stream:
        numbers, at, before = [], 0, 0
        while at is not None:
            found = lines.search(stream, "Word", at, before, most)
            numbers += found.numbers
            at, before = found.next, found.lines
    assert numbers == [n for n, part in enumerate(parts, 1) if b"word" in part.lower()]


def test_a_log_that_grows_is_counted_on(tmp_path):
    with file_of(tmp_path, b"one\ntwo") as stream:
        index = LineIndex()
        index.count(stream)
        assert index.lines == 2
        with (tmp_path / "log").open("ab") as log:
            log.write(b" and more\n" + b"three\n" * 30)
        assert texts(lines.window(index, stream, 2, 2)) == [b"two and more", b"three"]
        assert index.lines == 32


def test_the_end_needs_no_index_and_says_when_its_numbers_are_not_known(tmp_path):
    with file_of(tmp_path, b"a line\n" * 1000) as stream:
        index = LineIndex()
        end = lines.tail(index, stream, 3, within_s=-1.0)
        assert (end.first, texts(end)) == (None, [b"a line"] * 3)
        index.count(stream)
        assert lines.tail(index, stream, 3, within_s=-1.0).first == 998


def test_of_an_endless_line_the_beginning_is_shown_and_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LINE_BYTES", 10)
    with file_of(tmp_path, b"x" * 5000 + b"\nnext\n") as stream:
        window = lines.window(LineIndex(), stream, 1, 5)
    assert [(line.text, line.bytes) for line in window.lines] == [(b"x" * 10, 5000), (b"next", 4)]


def test_a_log_of_a_gigabyte_is_read_where_it_is_looked_at(tmp_path, monkeypatch):
    """With holes for lines it takes no room; only its end is read before it is shown."""
    monkeypatch.setattr(lines, "_BLOCK_BYTES", 1024 * 1024)
    path = tmp_path / "log"
    with path.open("wb") as log:
        os.truncate(log.fileno(), 2**30)
        log.seek(0, io.SEEK_END)
        log.write(b"\nthe last line\n")
    with path.open("rb", buffering=0) as raw:
        counted = CountedReads(raw)
        end = lines.tail(LineIndex(), counted, 1, within_s=-1.0)  # type: ignore[arg-type]
    assert texts(end) == [b"the last line"]
    assert counted.bytes < 8 * 1024 * 1024


class CountedReads:
    """A file which counts the bytes that are read of it."""

    def __init__(self, raw) -> None:
        self._raw = raw
        self.bytes = 0
        self.seek, self.fileno = raw.seek, raw.fileno

    def read(self, size: int) -> bytes:
        data: bytes = self._raw.read(size)
        self.bytes += len(data)
        return data

    def readline(self, size: int) -> bytes:
        data: bytes = self._raw.readline(size)
        self.bytes += len(data)
        return data
