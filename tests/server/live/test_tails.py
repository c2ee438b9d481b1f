"""Journals that are followed, each once for all that look on."""

import asyncio
import shutil

import pytest

from zf.server.live.tails import Tails

pytestmark = pytest.mark.xdist_group("served")


def test_a_dead_run_that_was_resumed_is_followed_to_its_end(shared, tmp_path):
    """Also while a client that takes nothing still has the end it was told before."""
    whole = shared.project.root / "proofs/well"
    run = tmp_path / "well"
    shutil.copytree(whole, run)
    journal = run / "events.jsonl"
    journal.chmod(0o644)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:2]))

    async def over(tail):
        async with asyncio.timeout(60):
            while not tail.over:
                await tail.growth().wait()

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


@pytest.mark.parametrize(("lookers", "pause_s"), [(1, 0.1), (200, 0.4), (5000, 0.5)])
def test_a_quick_run_is_told_at_intervals_and_not_line_by_line(
    shared, tmp_path, monkeypatch, lookers, pause_s
):
    """Each piece goes to everyone who looks on, which takes time that the run could use."""
    run = tmp_path / "well"
    shutil.copytree(shared.project.root / "proofs/well", run)
    journal = run / "events.jsonl"
    journal.chmod(0o644)
    *rest, first = reversed(journal.read_bytes().splitlines(keepends=True))
    count = len(rest)
    journal.write_bytes(first)
    slept, at_once = [], asyncio.sleep

    def writes():
        if rest:
            with journal.open("ab") as file:
                file.write(rest.pop())

    async def sleep(seconds):
        slept.append(seconds)
        await at_once(0)

    async def followed():
        tails = Tails(str(tmp_path))
        tail = tails.attach("well")
        tail.watchers |= {writes, *(lambda: None for _ in range(lookers - 1))}
        async with asyncio.timeout(60):
            while not tail.over:
                await tail.growth().wait()
        tails.detach(tail)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(followed())
    assert slept == pytest.approx([pause_s] * count)


def test_a_piece_is_made_once_for_all_who_are_as_far(shared, tmp_path):
    """It was made for each of them: most of what 200 who follow a run cost."""
    shutil.copytree(shared.project.root / "proofs/well", tmp_path / "well")
    made = []

    def make(number, lines):
        made.append((number, len(lines)))
        return b"\n".join(lines)

    async def followed():
        tails = Tails(str(tmp_path))
        tail = tails.attach("well")
        async with asyncio.timeout(60):
            while not tail.over:
                await tail.growth().wait()
        for first in [*range(5)] * 20:
            piece, behind = tail.piece(first, make)
            assert (piece.split(b"\n"), behind) == (tail.lines(first), tail.count)
        assert made == [(first, tail.count - first) for first in range(5)]
        tails.detach(tail)

    asyncio.run(followed())
