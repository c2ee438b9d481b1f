"""Files that grow while they are read: a journal line by line, a log over steps and moved trees."""

import os

import pytest

from zf.events import AttemptStarted, RunStarted
from zf.proof.growing import AttemptLog, GrowingJournal, LogLines
from zf.proof.journal import Journal
from zf.proof.tree.attempts import set_aside

AT = "2026-11-21T06:30:44.123456Z"


@pytest.fixture
def journal(tmp_path):
    made = Journal.create(str(tmp_path / "events.jsonl"))
    made.append(RunStarted("r1", ("A",), 1, "a" * 64, "n", None, None, None), AT, 1.0)
    made.flush()
    yield made
    made.close()


def test_a_journal_is_read_on_from_where_it_was(tmp_path, journal):
    reading = GrowingJournal(str(tmp_path))
    assert [line.seq for line in reading.more()] == [0]
    assert list(reading.more()) == []
    journal.append(AttemptStarted("a", 1, 0), AT, 2.0)
    journal.flush()
    (line,) = reading.more()
    assert (line.event, line.mono) == (AttemptStarted("a", 1, 0), 2.0)
    reading.close()


def test_a_line_that_is_not_whole_yet_waits(tmp_path, journal):
    path = tmp_path / "events.jsonl"
    journal.append(AttemptStarted("a", 1, 0), AT, 2.0)
    journal.flush()
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    reading = GrowingJournal(str(tmp_path))
    assert len(list(reading.more())) == 1
    path.write_bytes(whole)
    assert len(list(reading.more())) == 1
    reading.close()


def test_nothing_is_read_beyond_damage(tmp_path, journal):
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"seq":7}\n')
    reading = GrowingJournal(str(tmp_path))
    assert len(list(reading.more())) == 1
    path.write_bytes(path.read_bytes() + b"more\n")
    assert list(reading.more()) == []
    reading.close()


@pytest.fixture
def run(tmp_path):
    (tmp_path / "a" / "20-logs").mkdir(parents=True)
    return tmp_path


def write(run, name, text, tree="a"):
    with (run / tree / "20-logs" / f"{name}.log").open("ab") as log:
        log.write(text.encode() if isinstance(text, str) else text)


def printed(log, **keys):
    return b"".join(piece for _, piece in log.pieces(**keys))


def test_steps_are_read_one_after_the_other_and_the_cleanup_last(run):
    log = AttemptLog(str(run), "a", 1)
    assert printed(log) == b""
    write(run, "step-0", "one ")
    assert printed(log) == b"one "
    write(run, "step-0", "two ")
    write(run, "step-1", "three ")
    write(run, "cleanup-0", "swept ")
    write(run, "cleanup-1", "shut")
    assert printed(log) == b"two three swept shut"
    assert printed(log) == b""


def test_steps_are_counted_from_1_where_the_run_does(run):
    write(run, "step-1", "one ")
    write(run, "step-2", "two")
    assert printed(AttemptLog(str(run), "a", 1, first_step=1)) == b"one two"
    assert printed(AttemptLog(str(run), "a", 1, first_step=1, only=2)) == b"two"


def test_a_log_that_says_nothing_is_told_from_one_that_is_not_there(run):
    assert list(AttemptLog(str(run), "a", 1).pieces(ended=True)) == []
    write(run, "step-0", "")
    assert list(AttemptLog(str(run), "a", 1).pieces(ended=True)) == [("step-0", b"")]


def test_an_attempt_is_read_to_its_end_when_the_next_has_taken_its_place(run):
    write(run, "step-0", "first, ")
    first = AttemptLog(str(run), "a", 1)
    assert printed(first) == b"first, "
    write(run, "step-0", "to its end")
    set_aside(str(run / "a"), 1)
    (run / "a" / "20-logs").mkdir()
    write(run, "step-0", "the second attempt is longer than the first one")
    assert printed(first, ended=True) == b"to its end"
    assert printed(AttemptLog(str(run), "a", 2)).startswith(b"the second")
    assert printed(AttemptLog(str(run), "a", 1), ended=True) == b"first, to its end"


def test_what_lies_there_before_the_tree_is_moved_is_not_the_next_attempts(run):
    write(run, "step-0", "of the first")
    second = AttemptLog(str(run), "a", 2)
    assert printed(second) == b""
    assert second.last_line() is None
    set_aside(str(run / "a"), 1)
    assert printed(second) == b""
    (run / "a" / "20-logs").mkdir()
    write(run, "step-0", "of the second")
    assert printed(second) == b"of the second"


def test_a_link_is_not_followed(run, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (run / "a" / "20-logs" / "step-0.log").symlink_to(tmp_path / "secret")
    assert printed(AttemptLog(str(run), "a", 1), ended=True) == b""
    os.rename(run / "a" / "20-logs", run / "elsewhere")
    (run / "a" / "20-logs").symlink_to(run / "elsewhere")
    write(run, "step-1", "x")
    assert printed(AttemptLog(str(run), "a", 1, first_step=1), ended=True) == b""


def test_lines_wait_until_they_are_whole_and_end_with_their_step(run):
    lines = LogLines(AttemptLog(str(run), "a", 1))
    write(run, "step-0", "one\r\ntw")
    assert lines.more() == ["one"]
    write(run, "step-0", "o\nthree")
    assert lines.more() == ["two"]
    write(run, "step-1", "four")
    assert lines.more() == ["three"]
    assert list(lines.rest()) == ["four"]


def test_an_endless_line_is_given_in_pieces(run):
    lines = LogLines(AttemptLog(str(run), "a", 1))
    write(run, "step-0", "x" * 200_000)
    told = lines.more()
    assert max(map(len, told)) <= 2 * 64 * 1024
    assert "".join([*told, *lines.rest()]) == "x" * 200_000


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("one\ntwo\n", b"two"),
        ("one\ntw", b"tw"),
        ("10 %\r20 %\r", b"20 %"),
        ("one\n\n  \n", b"one"),
        ("", b""),
        ("x" * 10_000, b"x" * 4096),
    ],
)
def test_the_last_line(run, text, last):
    write(run, "step-0", "of the step before\n")
    write(run, "step-1", text)
    os.utime(run / "a" / "20-logs" / "step-1.log", (5, 5))
    assert AttemptLog(str(run), "a", 1).last_line() == (last, 5.0)


def test_no_last_line_before_there_is_a_log(run):
    assert AttemptLog(str(run), "a", 1).last_line() is None
    assert AttemptLog(str(run), "b", 1).last_line() is None
