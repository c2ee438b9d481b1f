"""The tickets of attempts, and how many attempts the workers of a pool take."""

import asyncio

import pytest

from zf.engines.dask import bridge, worker


@pytest.fixture
def tickets(monkeypatch):
    monkeypatch.setattr(worker, "_TICKET_S", 0.05)
    return worker.Tickets()


def test_a_ticket_is_claimed_once_whatever_runs_again(tickets):
    async def runs_again():
        told = []
        tickets.issue("a", lambda: told.append("a"))
        ticket = await tickets.claim("a")
        with pytest.raises(RuntimeError, match="no ticket"):
            await tickets.claim("a")
        assert not ticket.released.is_set()
        tickets.release("a")
        assert ticket.released.is_set()
        with pytest.raises(RuntimeError, match="no ticket"):
            await tickets.claim("a")
        assert told == ["a"]

    asyncio.run(runs_again())


def test_a_task_that_comes_before_its_ticket_waits_for_it():
    async def comes_before():
        tickets, told = worker.Tickets(), []
        claiming = [asyncio.create_task(tickets.claim("a")) for _ in range(2)]
        await asyncio.sleep(0)  # they wait
        tickets.issue("a", lambda: told.append("a"))
        one, other = await asyncio.gather(*claiming, return_exceptions=True)
        assert one.is_claimed
        assert isinstance(other, RuntimeError)
        assert told == ["a"]

    asyncio.run(comes_before())


def test_a_ticket_that_was_given_up_is_not_claimed(tickets):
    async def gives_up():
        tickets.issue("a", lambda: None)
        tickets.release("a")
        with pytest.raises(RuntimeError, match="no ticket"):
            await tickets.claim("a")

    asyncio.run(gives_up())


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
