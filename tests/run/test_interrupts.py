"""Signals and orders in one inbox."""

import os
import signal

import pytest

from zf.run.host.interrupts import MAX_ORDER_BYTES, heed, listening
from zf.run.host.lock import is_run, order, orders_path


def everything(inbox) -> list[int | str]:
    found = []
    while news := inbox.read():
        found += news
    return found


def test_signals_come_in_order_and_end_nothing():
    with listening() as inbox:
        assert inbox.read() == []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert everything(inbox) == [2, 15, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_was_looked_at_is_still_there_to_read(tmp_path):
    os.mkdir(tmp_path / "p")
    path = str(tmp_path / "p" / "r.orders")
    with listening() as inbox:
        inbox.open_to_others(path)
        with open(path, "w") as orders:
            orders.write("cancel a\ncan")
            orders.flush()
            assert (inbox.is_to_end(), inbox.kept) == (False, ["cancel a"])
            orders.write("cel\n")
        assert inbox.is_to_end()
        os.kill(os.getpid(), signal.SIGINT)
        assert inbox.read() == ["cancel a", "cancel", 2]
        assert (inbox.read(), inbox.kept, inbox.is_to_end()) == ([], [], True)


@pytest.fixture
def heeded():
    heed()
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_lost_is_there_once_somebody_listens(heeded):
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    Finalized()  # the KeyboardInterrupt is written to stderr, and gone
    with listening() as inbox:
        assert inbox.read() == [signal.SIGINT]
    with listening() as inbox:
        assert inbox.read() == []


def test_an_interrupt_before_somebody_listens_ends_what_goes_on(heeded):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with listening() as inbox:
        assert inbox.read() == [signal.SIGINT]


def test_a_signal_that_was_ignored_stays_ignored():
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening() as inbox:
            os.kill(os.getpid(), signal.SIGHUP)
            assert inbox.read() == []
    finally:
        signal.signal(signal.SIGHUP, old)


@pytest.fixture
def proofs(tmp_path):
    (tmp_path / ".locks").mkdir()
    return str(tmp_path)


def test_orders_come_between_signals_and_what_came_before_is_kept(proofs):
    with listening() as inbox:
        os.kill(os.getpid(), signal.SIGINT)
        assert not is_run(proofs, "r")
        inbox.open_to_others(orders_path(proofs, "r"))
        assert is_run(proofs, "r")
        order(proofs, "r", "cancel a")
        os.kill(os.getpid(), signal.SIGTERM)
        order(proofs, "R", "cancel")
        assert everything(inbox) == [2, "cancel a", 15, "cancel"]
    assert not is_run(proofs, "r")
    assert not os.path.lexists(orders_path(proofs, "r"))


def test_half_an_order_waits_for_the_rest_and_noise_is_cut(proofs):
    path = orders_path(proofs, "r")
    with listening() as inbox:
        inbox.open_to_others(path)
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, b"can")
        assert inbox.read() == []
        os.write(fd, b"cel\n" + b"x" * 1000 + b"\n\xff\n")
        os.close(fd)
        assert everything(inbox) == ["cancel", "x" * MAX_ORDER_BYTES, "\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("left", ["fifo", "file", "link"])
def test_what_a_killed_runner_or_another_left_in_its_place(proofs, left):
    path = orders_path(proofs, "r")
    if left == "fifo":
        os.mkfifo(path)
    elif left == "file":
        os.mknod(path)
    else:
        os.symlink("/dev/null", path)
    assert not is_run(proofs, "r")
    with listening() as inbox:
        inbox.open_to_others(path)
        order(proofs, "r", "cancel")
        assert everything(inbox) == ["cancel"]


def test_where_no_fifo_can_be_made_signals_are_heard_all_the_same(proofs):
    with listening() as inbox:
        inbox.open_to_others(f"{proofs}/nowhere/r.orders")
        os.kill(os.getpid(), signal.SIGINT)
        assert everything(inbox) == [2]


def test_a_forked_child_does_not_keep_the_run_looking_alive(proofs):
    stay_read, stay_write = os.pipe()
    there_read, there_write = os.pipe()
    with listening() as inbox:
        inbox.open_to_others(orders_path(proofs, "r"))
        pid = os.fork()
        if pid == 0:
            os.close(stay_write)
            os.write(there_write, b"1")
            os.read(stay_read, 1)
            os._exit(0)
        os.read(there_read, 1)
        os.rename(orders_path(proofs, "r"), orders_path(proofs, "s"))
    assert not is_run(proofs, "s")
    os.close(stay_write)
    os.waitpid(pid, 0)
    for fd in (stay_read, there_read, there_write):
        os.close(fd)
