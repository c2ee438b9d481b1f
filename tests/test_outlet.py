"""Writing without waiting: order, nothing lost but by count, whatever is at the other end."""

import errno
import fcntl
import os
import socket

import pytest

from zf import outlet
from zf.outlet import Outlet
from zf.report.words import not_shown


def pipe():
    read_fd, write_fd = os.pipe()
    fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, 4096)
    return read_fd, write_fd


def unopenable_pipe(monkeypatch):
    """As if another user had opened it, or /proc were not there."""
    monkeypatch.setattr(outlet, "_opened_again", lambda _fd: -1)
    return pipe()


def sockets():
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours.detach(), theirs.detach()


@pytest.fixture(params=["pipe", "unopenable pipe", "socket"])
def ends(request, monkeypatch):
    if request.param == "unopenable pipe":
        made = unopenable_pipe(monkeypatch)
    else:
        made = pipe() if request.param == "pipe" else sockets()
    yield made
    for fd in made:
        os.close(fd)


def everything(out, read_fd):
    os.set_blocking(read_fd, False)
    said = b""
    while True:
        out.pump()
        try:
            said += os.read(read_fd, 65536)
        except BlockingIOError:
            if not out.pending:
                return said.decode()


def test_what_finds_no_room_is_kept_in_order(ends):
    read_fd, write_fd = ends
    out = Outlet(write_fd)
    lines = [f"{number} {'x' * 90}\n" for number in range(5000)]
    for line in lines:
        out.put(line)
    assert out.pending
    assert os.get_blocking(write_fd)
    assert everything(out, read_fd) == "".join(lines)


def test_what_is_too_much_is_counted_where_it_is_missing(ends):
    read_fd, write_fd = ends
    out = Outlet(write_fd, not_shown)
    lines = [f"{number} {'x' * 1000}\n" for number in range(2204)]
    for line in lines:
        out.put(line)
    said = everything(out, read_fd).splitlines(keepends=True)
    out.put("after\n")
    assert said[:-1] == lines[: len(said) - 1]
    missing = len(lines) - len(said) + 1
    assert said[-1] == f"... {missing:,} lines not shown\n".replace(",", " ")
    assert missing > 1000
    assert everything(out, read_fd) == "after\n"


def test_a_file_is_read_only_as_there_is_room(ends):
    """And never dropped; what is said after it comes after it."""
    read_fd, write_fd = ends
    out = Outlet(write_fd)
    asked = []

    def pieces():
        for number in range(1000):
            asked.append(number)
            yield b"%d %b\n" % (number, b"x" * 4000)

    out.follow(pieces())
    out.put("after\n")
    assert len(asked) < 1000
    said = everything(out, read_fd).splitlines()
    assert len(said) == 1001
    assert (said[0][:2], said[-1]) == ("0 ", "after")


def test_a_reader_that_has_gone_is_told_once_and_nothing_is_kept(ends):
    read_fd, write_fd = ends
    out = Outlet(write_fd)
    out.put("x" * 1_000_000 + "\n")
    gone = os.dup(read_fd)
    os.close(gone)
    os.dup2(os.open(os.devnull, os.O_RDONLY), read_fd)
    out.pump()
    assert out.error is not None
    assert out.error.errno in {errno.EPIPE, errno.ECONNRESET}
    assert not out.pending
    out.put("more\n")
    assert not out.pending


def test_draining_a_reader_that_takes_nothing_ends(ends):
    _, write_fd = ends
    out = Outlet(write_fd)
    out.put("x" * 1_000_000 + "\n")
    assert not out.drain(0)
    assert not out.pending


def test_a_file_is_written_as_always(tmp_path):
    with (tmp_path / "log").open("w") as file:
        out = Outlet(file.fileno())
        out.put("x" * 3_000_000 + "\n")
        assert out.drain()
    assert (tmp_path / "log").stat().st_size == 3_000_001
