"""A real run on a real terminal, 60 to 200 columns wide: what is on the screen, and what is not."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from contextlib import suppress
from functools import partial

import pytest

from tests.support.program import ZF
from tests.support.screen import Screen

WIDTHS = [60, 80, 120, 200]
REPORT = r"printf '%s\n' '>  assert response.status_code == 200 # of a call that is long enough' 'E  assert 403 == 200'"


@pytest.fixture
def on_terminal(project):
    """Run zf on a terminal of this size, to its end; all it wrote, line ends as the program wrote
    them. Once it has written `seen`, `then` is called.
    """
    # Where a shell exports these they win over what the terminal says.
    for name in ("COLUMNS", "LINES"):
        project.env.pop(name, None)

    def run(*words, columns=80, rows=30, seen="", then=None, **env):
        ours, theirs = pty.openpty()
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        process = subprocess.Popen(
            [*ZF, "run-phase", *words],
            cwd=project.root,
            env={**project.env, "TERM": "xterm", "LC_ALL": "C.UTF-8", **env},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the last to close it takes the terminal away
            while piece := os.read(ours, 65536):
                said += piece
                if then is not None and seen.encode() in said:
                    then()
                    then = None
        os.close(ours)
        process.wait()
        return said.decode().replace("\r\n", "\n")

    return run


def screen(said, columns, rows=30):
    shown = Screen(columns, rows, paints=True)
    shown.write(said)
    return shown


@pytest.fixture
def flow(project):
    """A failure that holds up another task, one that is tried again, and a success."""
    project.task("10-a", "true", parallel_safe=True)
    project.task("20-unit-of-the-whole-api", f"{REPORT}; exit 3", parallel_safe=True)
    project.task("30-after", "true", needs=["20-unit-of-the-whole-api"])
    again = '[ "$ATTEMPT" = 2 ] || exit 5'
    project.task("40-flaky", again, parallel_safe=True, max_retries=1)
    return project


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_failure_is_on_the_screen_once_and_no_word_is_broken(flow, on_terminal, columns):
    said = on_terminal("A", "--run-id", "r1", columns=columns)
    shown = screen(said, columns)
    text = "\n".join(shown.lines())
    assert text.count("assert 403 == 200") == 1
    assert text.count("[ZF501]") == 2  # with its log, and by name
    assert "✓ success   10-a" in text
    assert "flaky" in text
    # What is wider than the terminal is one word with its label: a path, a digest.
    wide = [line for line in shown.lines() if len(line) > columns]
    assert [line for line in wide if len(line.split()) > 2] == []
    assert "\x1b[31m" in said


def test_a_small_terminal_counts_what_passes(project, on_terminal):
    for number in range(20):
        project.task(f"t{number:02d}", "true", parallel_safe=True)
    rows = 16
    text = "\n".join(screen(on_terminal("A", rows=rows), 80, rows).lines())
    assert "✓ 20 passed\n" in text
    assert "success   t" not in text
    verbose = "\n".join(screen(on_terminal("A", "-v", rows=rows), 80, rows).lines())
    assert "✓ success   t19" in verbose
    assert "20 passed" not in verbose


def test_no_color_takes_the_colour_and_leaves_the_board(flow, on_terminal):
    # The run goes on until the board has shown that others have ended.
    gate = flow.root / "gate"
    os.mkfifo(gate)
    flow.task("50-gate", "read line < gate", parallel_safe=True, timeout_sec=60)
    open_gate = partial(gate.write_text, "go\n")
    said = on_terminal("A", "--run-id", "r1", seen="━", then=open_gate, NO_COLOR="1")
    assert not re.search(r"\x1b\[[\d;]*m", said)
    assert "\x1b[?7l" in said
    assert "━" in said
    assert said.count("assert 403 == 200") == 1


def test_a_dumb_terminal_has_lines_alone(flow, on_terminal):
    said = on_terminal("A", "--run-id", "r1", TERM="dumb")
    assert "\x1b" not in said
    assert said.count("assert 403 == 200") == 1


def test_a_locale_that_has_no_utf8_is_written_in_ascii(flow, on_terminal):
    said = on_terminal("A", "--run-id", "r1", LC_ALL="C")
    assert said.isascii()
    assert "x 20-unit-of-the-whole-api failed" in re.sub(r"\x1b\[[\d;]*m", "", said)


def test_the_summary_elsewhere_has_the_log_too(flow, on_terminal, tmp_path):
    """The failure scrolled by on a terminal on which the summary is not."""
    script = 'out=$1; shift; "$@" >"$out"'
    out = tmp_path / "out"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", out, *ZF, "run-phase", "A", "--run-id", "r1"],
        cwd=flow.root,
        env={**flow.env, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    process.wait()
    assert said.count(b"assert 403 == 200") == 1
    assert out.read_text().count("assert 403 == 200") == 1


def test_what_a_running_task_prints_moves_no_cursor(project, on_terminal):
    """The screen refuses any code that zf does not write itself."""
    hostile = (
        r"printf '\033[2J\033[H\033]0;title\007\033[31mred \033[?1049h\342\200\256back\rover\n'"
    )
    fifo = project.root / "gate"
    os.mkfifo(fifo)
    project.task("a", f"{hostile}; read x <gate", parallel_safe=True)
    # Goes on once the board has shown the line: two frames and more have gone by.
    project.task("b", "sleep 0.8; echo >gate", parallel_safe=True)
    said = on_terminal("A", "--run-id", "r1")
    assert "1049" not in said
    assert "  over" in re.sub(r"\x1b\[[\d;]*m", "", said)
    screen(said, 80)
