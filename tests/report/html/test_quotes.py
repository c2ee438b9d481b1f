"""Lines of logs on the page itself: the end of each, and a bound on all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proof_bundles import Ending, Run
from zf.events import Cause, Status
from zf.report.formats.recorded import RecordedRun
from zf.report.html import quotes


def failing(tmp_path, **logs: bytes) -> RecordedRun:
    run = Run(tmp_path, "r1").plan(**dict.fromkeys(logs, ()))
    for name, log in logs.items():
        run.attempt(name, Ending(Status.FAILURE, Cause.EXIT, 1, log=log))
    return RecordedRun(str(run.end(1).path))


def numbered(count: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(1, count + 1))


def test_the_last_lines_have_their_numbers(tmp_path):
    run = failing(tmp_path, a=numbered(1204))
    quote = quotes.Quotes(run).of(run.facts.tasks["a"])
    assert quote.lines == 1204
    first, end = quote.telling
    assert not first
    assert [(line.number, line.text) for line in end] == [
        (n, f"line {n}") for n in range(1195, 1205)
    ]
    assert [line.number for line in quote.last] == list(range(1155, 1205))


def test_what_says_why_stands_first_and_is_marked(tmp_path):
    log = numbered(100) + b">       assert a == b\nE       assert 1 == 2\n" + numbered(30)
    run = failing(tmp_path, a=log)
    quote = quotes.Quotes(run).of(run.facts.tasks["a"])
    first, end = quote.telling
    assert [line.number for line in first if line.said] == [102]
    assert [line.number for line in end] == [131, 132]
    assert quote.gap == 131 - first[-1].number - 1


def test_all_quotes_together_have_a_bound(tmp_path):
    logs = {f"t{n:02}": b"y" * 300 + b"\n" + numbered(60) for n in range(60)}
    run = failing(tmp_path, **logs)
    made = quotes.Quotes(run, room=20_000)
    found = [made.of(task) for task in run.facts.tasks.values()]
    told = [line for one in found for part in (*one.telling, one.last) for line in part]
    assert sum(len(line.text) for line in told) <= 20_000
    assert not found[0].left_out
    assert found[-1].left_out


def test_a_step_that_printed_nothing_has_no_quote(tmp_path):
    run = failing(tmp_path, a=b"")
    assert quotes.Quotes(run).of(run.facts.tasks["a"]) is None


class Pieces:
    """A run with one log, which comes in pieces."""

    def __init__(self, log: bytes, size: int) -> None:
        self.log, self.size = log, size

    def log_pieces(self, *_):
        return (self.log[n : n + self.size] for n in range(0, len(self.log), self.size))


@given(
    log=st.lists(st.sampled_from([b"\n", b"a", b"b\n", b"\n\n"]), max_size=30).map(b"".join),
    size=st.integers(1, 9),
    wanted=st.sampled_from([1, 2, 5, 400]),
)
def test_the_end_of_a_log_is_its_last_lines_however_it_is_read(log, size, wanted):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quotes, "LOOK_LINES", wanted)
        found = quotes.Quotes(Pieces(log, size))._end_of("a", None, 0)
    lines = log.decode().split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    assert found == (lines[-wanted:], len(lines))
