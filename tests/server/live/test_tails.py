"""Journals that are followed, each once for all that look on."""

import asyncio
import json
from hashlib import sha256

import pytest

from zf.server.live.tails import Tails

pytestmark = pytest.mark.xdist_group("served")


async def over(tail):
    """Wait until no line comes any more."""
    news = asyncio.Event()
    tail.watchers.add(news.set)
    async with asyncio.timeout(60):
        while not tail.over:
            await news.wait()
            news.clear()
    tail.watchers.remove(news.set)


def test_a_dead_run_that_was_resumed_is_followed_to_its_end(journal, tmp_path):
    """Also while a client that takes nothing still has the end it was told before."""
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]))

    async def followed():
        tails = Tails(str(tmp_path))
        first = tails.attach("well")
        await over(first)
        assert (first.dead, first.count) == (True, 2)
        with journal.open("ab") as file:
            file.write(b"".join(lines[2:]))
        second, third = tails.attach("well"), tails.attach("well")
        assert second is third
        await over(second)
        assert (second.ended, second.dead, second.count) == (True, False, len(lines))
        for tail in (first, second, third):
            tails.detach(tail)
        await asyncio.sleep(0)
        last = tails.attach("well")
        await over(last)
        tails.detach(last)

    asyncio.run(followed())


@pytest.mark.parametrize(("lookers", "pause_s"), [(1, 0.1), (80, 0.2), (5000, 0.5)])
def test_a_quick_run_is_told_at_intervals_and_not_line_by_line(
    journal, tmp_path, monkeypatch, lookers, pause_s
):
    """Each piece goes to everyone who looks on, which takes time that the run could use."""
    *rest, first = reversed(journal.read_bytes().splitlines(keepends=True))
    count = len(rest)
    journal.write_bytes(first)

    def writes():
        if rest:
            with journal.open("ab") as file:
                file.write(rest.pop())

    slept = followed(tmp_path, monkeypatch, writes, lookers)
    assert slept == pytest.approx([pause_s] * count)


def test_what_comes_after_silence_is_told_as_soon_to_many_as_to_one(journal, tmp_path, monkeypatch):
    """It had to wait as long as what comes in a storm."""
    *rest, first = reversed(journal.read_bytes().splitlines(keepends=True))
    journal.write_bytes(first)
    silent = 3

    def writes():
        # Each line after some looks that found nothing.
        if rest and len(slept) % (silent + 1) == silent:
            with journal.open("ab") as file:
                file.write(rest.pop())

    slept = []
    count = len(rest)
    followed(tmp_path, monkeypatch, lambda: None, 200, slept, writes)
    assert slept == pytest.approx([0.5, *[0.1] * silent] * count)


def followed(proofs, monkeypatch, told, lookers, slept=None, sleeps=lambda: None):
    """How long the journal was left alone each time until its end; `told` is called when there are
    new lines, `sleeps` before each time.
    """
    slept = [] if slept is None else slept
    at_once = asyncio.sleep

    async def sleep(seconds):
        sleeps()
        slept.append(seconds)
        await at_once(0)

    async def to_the_end():
        tails = Tails(str(proofs))
        tail = tails.attach("well")
        # One more waits for the end.
        tail.watchers |= {told, *(lambda: None for _ in range(lookers - 2))}
        await over(tail)
        tails.detach(tail)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(to_the_end())
    return slept


def test_a_piece_is_made_once_for_all_who_are_as_far(journal, tmp_path):
    """It was made for each of them: most of what 200 who follow a run cost."""
    made = []

    def make(number, lines):
        made.append((number, len(lines)))
        return b"\n".join(lines)

    async def followed():
        tails = Tails(str(tmp_path))
        tail = tails.attach("well")
        await over(tail)
        for first in [*range(5)] * 20:
            piece, behind = tail.piece(first, make)
            assert (piece.split(b"\n"), behind) == (tail.lines(first), tail.count)
        assert made == [(first, tail.count - first) for first in range(5)]
        tails.detach(tail)

    asyncio.run(followed())


def test_a_line_that_is_no_event_of_this_zf_is_passed_on(journal, tmp_path):
    """A newer one may run beside this server: what it says is read by who understands it. The
    stream of its run ended there.
    """
    *lines, last = journal.read_bytes().splitlines()
    later = json.loads(last)
    strange = {**later, "type": "something_new"}
    lines.append(json.dumps(strange).encode())
    later |= {"seq": later["seq"] + 1, "prev": sha256(lines[-1]).hexdigest()}
    lines.append(json.dumps(later).encode())
    journal.write_bytes(b"".join(line + b"\n" for line in lines))

    async def followed():
        tails = Tails(str(tmp_path))
        tail = tails.attach("well")
        await over(tail)
        assert (tail.ended, tail.lines(0)) == (True, lines)
        tails.detach(tail)

    asyncio.run(followed())
