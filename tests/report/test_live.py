"""The live board: its rows, compared whole; and how it is drawn on a small terminal: wrapping,
scrolling, reflow and the codes zf uses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
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
from tests.support.screen import Screen
from zf.events import (
    Cause,
    Interrupted,
    PhaseStarted,
    RetryScheduled,
    Status,
    ThrottleEntered,
)
from zf.report import live
from zf.report.facts import Fold
from zf.report.live import Board
from zf.report.words import Style, without_colour

if TYPE_CHECKING:
    from zf.report.facts import Facts
    from zf.report.task_facts import TaskFacts

COLOUR = Style(colour=True)
UTF8 = Style(utf8=True)


def test_the_board() -> None:
    assert live.board(midway(), 117.5, columns=80) == [
        "#######------------  2/5  1 failed  phase E  17s",
        "> 40-seed-database  12s of 3s  holds up 2",
    ]


def test_in_utf8_and_on_a_wide_terminal_it_names_what_is_held_up() -> None:
    assert live.board(midway(), 117.5, columns=121, style=UTF8) == [
        "━━━━━━━━━━━━──────────────────  2/5  1 failed  phase E  17s",
        "▸ 40-seed-database  12s of 3s  holds up 42-e2e-admin and 1 more",
    ]


def test_a_narrow_board_drops_what_does_not_fit() -> None:
    facts = midway()
    assert live.board(facts, 117.5, columns=40) == [
        "####------  2/5  1 failed  phase E  17s",
        "> 40-seed-database  12s of 3s",
    ]
    assert live.board(facts, 117.5, columns=30) == [
        "2/5  1 failed  phase E  17s",
        "> 40-seed-database  12s of 3s",
    ]
    assert live.board(facts, 117.5, columns=20) == ["2/5  1 failed  17s", "> 40-seed-d...  12s"]


def test_a_board_without_tasks() -> None:
    facts = Fold(plan({})).facts
    assert live.board(facts, 1.0, columns=80) == ["###################  0/0  -"]


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
        "################---  7/8  3 failed  3 not run  interrupted  -"
    ]


def test_the_board_counts_apart_what_is_tolerated_and_says_when_it_is_throttled() -> None:
    events = [
        failed("a", warned=True),
        failed("b"),
        RetryScheduled("b", 2, 9),
        ThrottleEntered("CPU", 95, 1),
    ]
    assert live.board(facts_of("a b", events), 0, columns=80) == [
        "#########----------  1/2  1 warned  throttled  -"
    ]


def test_of_several_phases_it_says_which_one() -> None:
    content = plan("a b")
    content["phases"] = [{"name": n, "title": "", "timeout_s": 1} for n in "EFG"]
    fold = Fold(content)
    fold.apply(PhaseStarted("F", 60))
    assert live.board(fold.facts, 1.0, columns=80) == ["-------------------  0/2  phase F 2/3  -"]


def test_the_bar_is_full_at_the_end_alone_and_shows_what_went_wrong() -> None:
    needs = {f"t{n}": () for n in range(100)}
    events = [ended(name) for name in needs]
    nearly = live.board(facts_of(needs, [*events[:98], failed("t98")]), 0, columns=80, style=COLOUR)
    assert nearly[0].startswith("\x1b[32m#################\x1b[0m\x1b[31m#\x1b[0m\x1b[2m-\x1b[0m  ")
    whole = live.board(facts_of(needs, events), 0, columns=80, style=COLOUR)
    assert whole[0].startswith("\x1b[32m###################\x1b[0m  ")


def test_where_durations_are_known_it_says_what_is_left() -> None:
    content = plan({"a": (), "b": ("a",)})
    content["tasks"][0]["weight_s"], content["tasks"][1]["weight_s"] = 10.0, 30.0
    fold = Fold(content, {"max_jobs": 1, "resources": {}})
    fold.apply(PhaseStarted("E", 60), 100.0)
    fold.apply(started("a"), 100.0)
    board = live.board(fold.facts, 105.0, columns=80)
    assert board[0] == "##-----------------  0/2  phase E  5s  ~35s left"
    fold.apply(ended("a"), 110.0)
    assert live.board(fold.facts, 110.0, columns=30) == ["1/2  phase E  10s  ~30s left"]
    fold.apply(started("b"), 110.0)
    assert "~1s left" in live.board(fold.facts, 139.5, columns=80)[0]
    assert "longer than usual" in live.board(fold.facts, 140.5, columns=80)[0]
    fold.apply(Interrupted(2, 1), 111.0)
    assert "left" not in live.board(fold.facts, 111.0, columns=80)[0]


def heard(line: str, silent_s: float = 0.0) -> live.Listen:
    return lambda _facts, _task: live.Heard(line, silent_s)


def last_row(
    line: str, *, silent_s: float = 0.0, columns: int = 80, style: Style = UTF8, attempt: int = 1
) -> str:
    fold = Fold(plan({"a": (), "b": ("a",)}))
    fold.apply(started("a", attempt), 100.0)
    return live.board(
        fold.facts, 101.0, columns=columns, style=style, listen=heard(line, silent_s)
    )[-1]


def test_a_running_task_shows_what_it_printed_last() -> None:
    assert last_row("collecting ...\n") == "▸ a  1s of 3s  holds up 1  collecting ..."
    assert last_row("") == "▸ a  1s of 3s  holds up 1"
    assert last_row("x", style=Style(colour=True)).endswith("  \x1b[2mx\x1b[0m")


def test_silence_is_said_from_a_minute_on_and_comes_first() -> None:
    assert last_row("x", silent_s=59.9) == "▸ a  1s of 3s  holds up 1  x"
    assert last_row("x", silent_s=75) == "▸ a  1s of 3s  holds up 1  no output for 1m15s  x"
    coloured = last_row("", silent_s=75, style=COLOUR)
    assert "\x1b[33mno output for 1m15s\x1b[0m" in coloured
    assert last_row("x", silent_s=75, attempt=2, columns=50) == (
        "▸ a  1s of 3s  holds up 1  no output for 1m15s  x"
    )
    assert last_row("x", silent_s=75, attempt=2, columns=42) == (
        "▸ a  1s of 3s  no output for 1m15s  x"
    )


def test_a_line_is_cut_between_words_and_one_long_word_where_it_must_be() -> None:
    said = "waiting for lock on relation exams"
    assert last_row(said, columns=57) == "▸ a  1s of 3s  holds up 1  waiting for lock on …"
    assert last_row(said, columns=60) == "▸ a  1s of 3s  holds up 1  waiting for lock on relation …"
    assert last_row("x" * 60, columns=50) == f"▸ a  1s of 3s  holds up 1  {'x' * 21}…"
    # With so little room it says nothing.
    assert last_row(said, columns=38) == "▸ a  1s of 3s  holds up 1"


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[2K\x1b[1G\x1b[32m50 %\x1b[0m", "50 %"),
        ("\x1b]0;title\x07done", "done"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\tb", "a       b"),
        ("50 %\x1b[", "50 %"),
        ("50 %\x1b", "50 %\\x1b"),
        ("a\x00\x07\u202eb", "a\\x00\\x07\\u202eb"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_nothing_in_a_line_can_move_the_cursor(printed: str, shown: str) -> None:
    assert last_row(printed) == f"▸ a  1s of 3s  holds up 1  {shown}"


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert live.cells("測試") == 4
    assert live.cells("e\u0301") == 1
    # 33 columns are left: 16 wide characters and the dots.
    assert last_row("測" * 40, columns=61) == f"▸ a  1s of 3s  holds up 1  {'測' * 16}…"
    assert last_row("測", style=Style()) == "> a  1s of 3s  holds up 1  \\u6e2c"


def test_more_tasks_than_rows() -> None:
    fold = running(*(f"t{n:02d}" for n in range(15)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == live.BOARD_ROWS
    assert board[1] == "> t00  1s of 3s"
    assert board[10] == "> t09  1s of 3s"
    assert board[11] == "  and 5 more running"
    assert live.board(fold.facts, 101.0, columns=80, rows=1) == ["-------------------  0/15  1s"]
    assert live.board(fold.facts, 101.0, columns=80, rows=2)[1:] == ["  and 15 more running"]


def test_only_what_is_shown_is_listened_to() -> None:
    fold = running(*(f"t{n:02d}" for n in range(15)))
    asked: list[str] = []

    def listen(_facts: Facts, task: TaskFacts) -> None:
        asked.append(task.id)

    live.board(fold.facts, 101.0, columns=80, listen=listen)
    assert asked == [f"t{n:02d}" for n in range(10)]


def test_as_many_tasks_as_rows_need_no_last_line() -> None:
    fold = running(*(f"t{n:02d}" for n in range(11)))
    board = live.board(fold.facts, 101.0, columns=80)
    assert len(board) == 12
    assert board[11] == "> t10  1s of 3s"


def test_names_and_times_stand_in_columns() -> None:
    fold = running("long-name", "b", at=40.0)
    fold.facts.running["b"].started_mono = 100.0
    assert live.board(fold.facts, 101.0, columns=80)[1:] == [
        "> long-name  1m01s of 3s",
        "> b             1s of 3s",
    ]


def test_holding_up_more_than_anybody_counts() -> None:
    fold = Fold(plan({"a": (), **{f"b{n}": ("a",) for n in range(5000)}}))
    fold.apply(started("a"), 0.0)
    assert live.board(fold.facts, 1.0, columns=80) == [
        "-------------------  0/5001  1s",
        "> a  1s of 3s  holds up 99+",
    ]
    assert live.board(fold.facts, 1.0, columns=120)[1] == (
        "> a  1s of 3s  holds up b0 and 98+ more"
    )


def test_colours_change_no_word_of_the_board() -> None:
    coloured = live.board(midway(), 117.5, columns=80, style=COLOUR)
    assert "\x1b[31m1 failed\x1b[0m" in coloured[0]
    assert [without_colour(line) for line in coloured] == live.board(midway(), 117.5, columns=80)


@given(
    st.lists(hostile.filter(bool), max_size=20, unique=True),
    st.integers(0, 220),
    st.integers(-1, 30),
    hostile,
    st.booleans(),
    st.floats(0, 500),
)
def test_a_board_fits_any_screen(
    names: list[str], columns: int, rows: int, printed: str, utf8: bool, silent_s: float
) -> None:
    fold = running(*names)
    board = live.board(
        fold.facts,
        110.0,
        columns=columns,
        rows=rows,
        style=Style(utf8=utf8),
        listen=heard(printed, silent_s),
    )
    assert 1 <= len(board) <= max(1, min(rows, live.BOARD_ROWS))
    for line in board:
        assert live.cells(line) <= max(1, columns - 1)
        assert line.isprintable()
        assert utf8 or line.isascii()


# --- On a terminal --------------------------------------------------------------------------------


def sample(running: int = 2) -> Fold:
    fold = Fold(plan({f"task-{n:02d}": () for n in range(40)}))
    for number in range(running):
        fold.apply(started(f"task-{number:02d}"), 100.0)
    return fold


def test_a_frame_replaces_the_one_before_and_lines_scroll_above_it() -> None:
    screen, board, fold = Screen(80, 24), Board(), sample(3)
    screen.write(board.frame(fold.facts, 101.0, columns=80, rows=24))
    assert screen.lines() == [
        "-------------------  0/40  1s",
        "> task-00  1s of 3s",
        "> task-01  1s of 3s",
        "> task-02  1s of 3s",
        "",
    ]
    fold.apply(ended("task-00"))
    screen.write(
        board.frame(fold.facts, 102.0, columns=80, rows=24, above=["success   task-00  2.0s"])
    )
    assert screen.lines() == [
        "success   task-00  2.0s",
        "-------------------  1/40  2s",
        "> task-01  2s of 3s",
        "> task-02  2s of 3s",
        "",
    ]


def test_a_frame_of_unchanged_size_is_written_over_without_a_flash() -> None:
    board, fold = Board(), sample(1)
    first = board.frame(fold.facts, 101.0, columns=80, rows=24)
    second = board.frame(fold.facts, 102.0, columns=80, rows=24)
    assert first == (
        "\x1b[?7l\x1b[K-------------------  0/40  1s\n\x1b[K> task-00  1s of 3s\n\x1b[J\x1b[?7h"
    )
    assert second == (
        "\r\x1b[2A\x1b[?7l\x1b[K-------------------  0/40  2s\n"
        "\x1b[K> task-00  2s of 3s\n\x1b[J\x1b[?7h"
    )


def test_the_board_goes_away_and_comes_back() -> None:
    screen, board, fold = Screen(80, 24), Board(), sample()
    assert board.erase(columns=80) == ""
    screen.write("before\n" + board.frame(fold.facts, 101.0, columns=80, rows=24))
    screen.write(board.erase(columns=80))
    assert screen.lines() == ["before", ""]
    assert board.erase(columns=80) == ""
    screen.write(board.frame(fold.facts, 101.0, columns=80, rows=24))
    assert screen.lines()[:2] == ["before", "-------------------  0/40  1s"]


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
    assert "\x1b[1m0/40\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    # 29 characters are one row of 30; counted with their colours they would be two.
    assert board.erase(columns=30) == "\r\x1b[3A\x1b[J"


def test_a_board_never_fills_the_screen() -> None:
    screen, board, fold = Screen(80, 5), Board(), sample(20)
    for second in range(3):
        screen.write(board.frame(fold.facts, 101.0 + second, columns=80, rows=5))
    assert len(screen.lines()) == 5
    assert screen.lines()[0] == "-------------------  0/40  3s"


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
