"""The live board: its rows, compared whole; and how it is drawn on a small terminal: wrapping,
scrolling, reflow and the codes zf uses.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.support.report_samples import (
    ended,
    facts_of,
    failed,
    midway,
    not_run,
    plan,
    running,
    started,
    timed_out,
)
from tests.support.report_strategies import hostile
from zf.events import (
    Cause,
    Interrupted,
    RetryScheduled,
    Status,
    ThrottleEntered,
)
from zf.report import live
from zf.report.facts import Fold
from zf.report.live import Board
from zf.report.words import Style, without_colour

COLOUR = Style(colour=True)


def test_the_board() -> None:
    assert live.board(midway(), 117.5, columns=80) == [
        "1 done  1 running  1 failed  2 waiting  phase E  17.5s",
        "  40-seed-database  12.5s  holds up 2",
    ]


def test_a_narrow_board_drops_what_does_not_fit() -> None:
    facts = midway()
    assert live.board(facts, 117.5, columns=40) == [
        "1 done  1 running  1 failed  2 waiting",
        "  40-seed-database  12.5s  holds up 2",
    ]
    assert live.board(facts, 117.5, columns=30) == [
        "1 done  1 running  1 failed",
        "  40-seed-database  12.5s",
    ]
    assert live.board(facts, 117.5, columns=20) == ["1 done  1 running", "  40-seed...  12.5s"]


def test_a_board_without_tasks() -> None:
    facts = Fold(plan({})).facts
    assert live.board(facts, 1.0, columns=80) == ["0 done  0 running  0 failed  0 waiting  -"]


def test_the_board_counts_what_was_not_run_and_says_that_it_was_interrupted() -> None:
    events = [
        ended("a"),
        not_run("b", Status.BLOCKED, Cause.NEED),
        not_run("c", Status.CANCELLED, Cause.INTERRUPT),
        not_run("d", Status.SKIPPED, Cause.NONE),
        timed_out("e"),
        ended("f", Status.LOST, Cause.WORKER),
        failed("g"),
        Interrupted(2, 1),
    ]
    assert live.board(facts_of("a b c d e f g h", events), 0, columns=80) == [
        "1 done  0 running  3 failed  1 waiting  3 not run  interrupted  -"
    ]


def test_the_board_counts_apart_what_is_tolerated_and_says_when_it_is_throttled() -> None:
    events = [
        failed("a", warned=True),
        failed("b"),
        RetryScheduled("b", 2, 9),
        ThrottleEntered("CPU", 95, 1),
    ]
    assert live.board(facts_of("a b", events), 0, columns=80) == [
        "0 done  0 running  0 failed  1 warned  1 waiting  throttled  -"
    ]


def test_more_tasks_than_rows() -> None:
    fold = running(*(f"t{n:02d}" for n in range(15)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == live.BOARD_ROWS
    assert board[1] == "  t00  1.0s"
    assert board[10] == "  t09  1.0s"
    assert board[11] == "  and 5 more running"
    assert live.board(fold.facts, 101.0, columns=80, rows=1) == [
        "0 done  15 running  0 failed  0 waiting  1.0s"
    ]
    assert live.board(fold.facts, 101.0, columns=80, rows=2)[1:] == ["  and 15 more running"]


def test_as_many_tasks_as_rows_need_no_last_line() -> None:
    fold = running(*(f"t{n:02d}" for n in range(11)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == 12
    assert board[11] == "  t10  1.0s"


def test_holding_up_more_than_anybody_counts() -> None:
    fold = Fold(plan({"a": (), **{f"b{n}": ("a",) for n in range(5000)}}))
    fold.apply(started("a"), 0.0)
    assert live.board(fold.facts, 1.0, columns=80) == [
        "0 done  1 running  0 failed  5000 waiting  1.0s",
        "  a  1.0s  holds up 999+",
    ]


def test_colours_change_no_word_of_the_board() -> None:
    coloured = live.board(midway(), 117.5, columns=80, style=COLOUR)
    assert "\x1b[31m1 failed\x1b[0m" in coloured[0]
    assert [without_colour(line) for line in coloured] == live.board(midway(), 117.5, columns=80)


@given(
    st.lists(hostile.filter(bool), max_size=20, unique=True),
    st.integers(0, 120),
    st.integers(-1, 30),
)
def test_a_board_fits_any_screen(names: list[str], columns: int, rows: int) -> None:
    fold = running(*names)
    board = live.board(fold.facts, 110.0, columns=columns, rows=rows)
    assert 1 <= len(board) <= max(1, min(rows, live.BOARD_ROWS))
    for line in board:
        assert len(line) <= max(1, columns - 1)
        assert line.isascii()
        assert line.isprintable()


# --- On a terminal --------------------------------------------------------------------------------

_TOKEN = re.compile(r"\x1b\[(?P<number>\d*)(?P<code>[A-Za-z])|(?P<char>.)", re.DOTALL)


class Screen:
    """What a terminal shows: rows that wrap and scroll, a cursor, three codes. Nothing else may
    reach it. A row knows whether it goes on in the next one, so that a resize can reflow.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.height = columns, rows
        self.rows: list[str] = [""]
        self.wrapped: list[bool] = [False]
        self.top = self.row = self.column = 0

    def write(self, text: str) -> None:
        for token in _TOKEN.finditer(text):
            match token["code"], token["char"]:
                case "A", _:
                    self.row = max(self.top, self.row - int(token["number"]))
                case "K", _:
                    self._set(self.rows[self.row][: self.column])
                case "J", _:
                    self._set(self.rows[self.row][: self.column])
                    del self.rows[self.row + 1 :]
                    del self.wrapped[self.row + 1 :]
                case None, "\r":
                    self.column = 0
                case None, "\n":
                    self._down(wraps=False)
                case None, char:
                    assert char.isprintable(), f"raw {char!r} on the terminal"
                    if self.column == self.columns:
                        self._down(wraps=True)
                    line = self.rows[self.row].ljust(self.column)
                    self._set(line[: self.column] + char + line[self.column + 1 :])
                    self.column += 1
                case code:
                    raise AssertionError(f"unknown code {code}")

    def _set(self, text: str) -> None:
        self.rows[self.row] = text
        self.wrapped[self.row] = False

    def _down(self, *, wraps: bool) -> None:
        self.wrapped[self.row] = wraps
        self.row += 1
        self.column = 0
        if self.row == len(self.rows):
            self.rows.append("")
            self.wrapped.append(False)
        self.top = max(self.top, self.row - self.height + 1)

    def resize(self, columns: int) -> None:
        """Narrower or wider: lines are wrapped anew, as most terminals do."""
        lines = self.lines()
        self.columns = columns
        self.rows = [
            line[at : at + columns] for line in lines for at in range(0, len(line) or 1, columns)
        ]
        self.wrapped = [
            at + columns < len(line) for line in lines for at in range(0, len(line) or 1, columns)
        ]
        self.row = len(self.rows) - 1
        self.top = max(0, self.row - self.height + 1)

    def lines(self) -> list[str]:
        """All that was ever shown and not wiped, wrapped rows joined again."""
        lines = [""]
        for row, wraps in zip(self.rows, self.wrapped, strict=True):
            lines[-1] += row
            if not wraps:
                lines.append("")
        return lines[:-1]


def sample(running: int = 2) -> Fold:
    fold = Fold(plan({f"task-{n:02d}": () for n in range(40)}))
    for number in range(running):
        fold.apply(started(f"task-{number:02d}"), 100.0)
    return fold


def test_a_frame_replaces_the_one_before_and_lines_scroll_above_it() -> None:
    screen, board, fold = Screen(80, 24), Board(), sample(3)
    screen.write(board.frame(fold.facts, 101.0, columns=80, rows=24))
    assert screen.lines() == [
        "0 done  3 running  0 failed  37 waiting  1.0s",
        "  task-00  1.0s",
        "  task-01  1.0s",
        "  task-02  1.0s",
        "",
    ]
    fold.apply(ended("task-00"))
    screen.write(
        board.frame(fold.facts, 102.0, columns=80, rows=24, above=["success   task-00  2.0s"])
    )
    assert screen.lines() == [
        "success   task-00  2.0s",
        "1 done  2 running  0 failed  37 waiting  2.0s",
        "  task-01  2.0s",
        "  task-02  2.0s",
        "",
    ]


def test_a_frame_of_unchanged_size_is_written_over_without_a_flash() -> None:
    board, fold = Board(), sample(1)
    first = board.frame(fold.facts, 101.0, columns=80, rows=24)
    second = board.frame(fold.facts, 102.0, columns=80, rows=24)
    assert first == (
        "\x1b[K0 done  1 running  0 failed  39 waiting  1.0s\n\x1b[K  task-00  1.0s\n\x1b[J"
    )
    assert second == (
        "\r\x1b[2A\x1b[K0 done  1 running  0 failed  39 waiting  2.0s\n"
        "\x1b[K  task-00  2.0s\n\x1b[J"
    )


def test_the_board_goes_away_and_comes_back() -> None:
    screen, board, fold = Screen(80, 24), Board(), sample()
    assert board.erase(columns=80) == ""
    screen.write("before\n" + board.frame(fold.facts, 101.0, columns=80, rows=24))
    screen.write(board.erase(columns=80))
    assert screen.lines() == ["before", ""]
    assert board.erase(columns=80) == ""
    screen.write(board.frame(fold.facts, 101.0, columns=80, rows=24))
    assert screen.lines()[:2] == ["before", "0 done  2 running  0 failed  38 waiting  1.0s"]


def test_an_echoed_ctrl_c_is_wiped_with_the_frame() -> None:
    screen, board, fold = Screen(80, 24), Board(), sample()
    screen.write(board.frame(fold.facts, 101.0, columns=80, rows=24) + "^C")
    screen.write(board.erase(columns=80))
    assert screen.lines() == [""]


def test_colours_are_not_counted_as_width() -> None:
    fold = sample()
    plain = Board().frame(fold.facts, 101.0, columns=80, rows=24)
    board = Board(Style(colour=True))
    coloured = board.frame(fold.facts, 101.0, columns=80, rows=24)
    assert "\x1b[36m2 running\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    # 46 characters are one row of 47; counted with their colours they would be two.
    assert board.erase(columns=47) == "\r\x1b[3A\x1b[J"


def test_a_board_never_fills_the_screen() -> None:
    screen, board, fold = Screen(80, 5), Board(), sample(20)
    for second in range(3):
        screen.write(board.frame(fold.facts, 101.0 + second, columns=80, rows=5))
    assert len(screen.lines()) == 5
    assert screen.lines()[0] == "0 done  20 running  0 failed  20 waiting  3.0s"


actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("above"), st.lists(st.text("abc ", min_size=1, max_size=100), max_size=4)
        ),
        st.tuples(st.just("start"), st.integers(0, 39)),
        st.tuples(st.just("end"), st.integers(0, 39)),
        st.tuples(st.just("resize"), st.integers(10, 100)),
    ),
    max_size=30,
)


@given(actions, st.integers(10, 100), st.integers(4, 30))
def test_whatever_happens_the_screen_shows_all_lines_and_one_board(
    happening: list[tuple[str, object]], columns: int, rows: int
) -> None:
    screen, board, fold = Screen(columns, rows), Board(), sample()
    said: list[str] = []
    for number, (what, value) in enumerate(happening):
        now = 101.0 + number
        above: list[str] = []
        match what, value:
            case "above", list():
                above = [str(line) for line in value]
            case "start", int():
                fold.apply(started(f"task-{value:02d}"), now)
            case "end", int():
                fold.apply(ended(f"task-{value:02d}"), now)
            case "resize", int():
                # Wrapped into more rows than the screen has, some are out of the cursor's reach.
                if sum(-(-len(line) // value) for line in screen.lines()[len(said) :]) >= rows:
                    continue
                columns = value
                screen.resize(columns)
        said += above
        screen.write(board.frame(fold.facts, now, columns=columns, rows=rows, above=above))
        shown = live.board(fold.facts, now, columns=columns, rows=rows - 1)
        assert screen.lines() == [*said, *shown, ""]
    screen.write(board.erase(columns=columns))
    assert screen.lines() == [*said, ""]
