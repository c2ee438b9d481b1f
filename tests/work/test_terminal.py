"""What a person's terminal has not taken yet when a step ends."""

import os
import pty
import termios
import threading
import tty

from zf.work.terminal import Terminal


class Pending(Terminal):
    """A terminal whose step has ended, with text that was not shown yet."""

    def __init__(self, fd, text):
        self.fd = fd
        self._modes = termios.tcgetattr(fd)
        self._slave = os.open(os.devnull, os.O_RDONLY)
        self._shown = text
        self._is_gone = False


def test_the_last_of_it_is_shown_to_a_slow_reader_too():
    text = b"x" * 100_000
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(slave, False)
    pending, taken = Pending(slave, text), bytearray()

    def read():
        while len(taken) < len(text):
            taken.extend(os.read(master, 300))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    pending.close()
    reader.join(30)
    os.close(master)
    assert bytes(taken) == text


def test_one_that_takes_nothing_is_not_waited_for_for_ever():
    master, slave = pty.openpty()
    os.set_blocking(slave, False)
    Pending(slave, b"x" * 100_000).close()
    os.close(master)
