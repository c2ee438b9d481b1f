"""The tickets of attempts, and how many attempts the workers of a pool take."""

import threading

import pytest

from zf.engines.dask import bridge, worker


@pytest.fixture
def tickets(monkeypatch):
    monkeypatch.setattr(worker, "_TICKET_S", 0.05)
    return worker.Tickets()


def test_a_ticket_is_claimed_once_whatever_runs_again(tickets):
    told = []
    tickets.issue("a", lambda: told.append("a"))
    ticket = tickets.claim("a")
    with pytest.raises(RuntimeError, match="no ticket"):
        tickets.claim("a")
    tickets.release("a")
    assert ticket.released.is_set()
    with pytest.raises(RuntimeError, match="no ticket"):
        tickets.claim("a")
    assert told == ["a"]


def test_a_task_that_comes_before_its_ticket_waits_for_it():
    tickets, got = worker.Tickets(), []
    thread = threading.Thread(target=lambda: got.append(tickets.claim("a")))
    thread.start()
    tickets.issue("a", lambda: None)
    thread.join(10)
    assert got[0].is_claimed


def test_a_ticket_that_was_given_up_is_not_claimed(tickets):
    tickets.issue("a", lambda: None)
    tickets.release("a")
    with pytest.raises(RuntimeError, match="no ticket"):
        tickets.claim("a")


def workers(*pairs):
    return {
        f"tcp://h:{n}": {"nthreads": threads, "resources": resources}
        for n, (threads, resources) in enumerate(pairs)
    }


@pytest.mark.parametrize(
    ("pairs", "slots"),
    [
        ([], {}),
        ([(4, {}), (2, {"gpu": 1})], {"tcp://h:0": 4, "tcp://h:1": 2}),
        ([(4, {}), (2, {"zf": 8.0})], {"tcp://h:1": 8}),
    ],
)
def test_a_worker_takes_what_it_declares_and_else_one_for_each_thread(pairs, slots):
    assert bridge.places(workers(*pairs)) == slots
