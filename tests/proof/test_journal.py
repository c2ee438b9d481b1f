"""The journal: its chain, its torn tails, and what it refuses."""

import errno
import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.journals import read
from zf.events import AttemptEnded, AttemptStarted, Cause, RunEnded, RunStarted, Status, TaskNotRun
from zf.proof import journal
from zf.proof.journal import GENESIS, Chain, Journal, JournalDamagedError, last_line

AT = "2026-11-21T06:30:44.123456Z"
STARTED = RunStarted("r1", ("A", "B"), 2, "a" * 64, "n0", None, None, None)
EVENTS = (
    STARTED,
    AttemptStarted("t1", 1, 0),
    AttemptEnded(
        "t1", 1, Status.FAILURE, 7, None, Cause.EXIT, 'said "no"\n\x1b', 1, AT, AT, 0.25, "b" * 64
    ),
    TaskNotRun("t2", Status.BLOCKED, Cause.NEED, "", {"t1": Status.FAILURE}, AT, "c" * 64),
    RunEnded(1, {"failure": 1, "blocked": 1}, 0.5),
)


def write(path: Path, events=EVENTS) -> Journal:
    journal = Journal.create(str(path))
    for number, event in enumerate(events):
        journal.append(event, AT, 1.5 + number)
    journal.commit()
    return journal


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "events.jsonl"
    written = write(path)
    reading = read(str(path))
    assert reading.events == EVENTS
    assert reading.head == written.head == sha256(path.read_bytes().splitlines()[-1]).hexdigest()
    assert (reading.torn, reading.damage, reading.size) == (False, None, path.stat().st_size)
    assert [(line.seq, line.wall, line.mono) for line in reading.lines] == [
        (n, AT, 1.5 + n) for n in range(5)
    ]
    written.close()


def test_each_line_is_ascii_json_that_names_its_run_and_the_line_before(tmp_path):
    write(tmp_path / "j").close()
    prev = GENESIS
    for number, raw in enumerate((tmp_path / "j").read_bytes().splitlines()):
        data = json.loads(raw.decode("ascii"))
        assert list(data)[:6] == ["seq", "prev", "wall", "mono", "run", "type"]
        assert (data["seq"], data["prev"], data["run"]) == (number, prev, "r1")
        prev = sha256(raw).hexdigest()


def test_nothing_reaches_the_file_before_commit(tmp_path):
    path = tmp_path / "j"
    journal = Journal.create(str(path))
    journal.append(STARTED, AT, 1.0)
    assert path.read_bytes() == b""
    journal.commit()
    size = path.stat().st_size
    assert size > 0
    journal.commit()
    assert path.stat().st_size == size
    journal.close()


def test_a_journal_is_not_created_over_another(tmp_path):
    write(tmp_path / "j").close()
    with pytest.raises(FileExistsError):
        Journal.create(str(tmp_path / "j"))


def test_a_journal_begins_with_run_started(tmp_path):
    journal = Journal.create(str(tmp_path / "j"))
    with pytest.raises(ValueError, match="begins with run_started"):
        journal.append(EVENTS[1], AT, 1.0)
    journal.close()


def test_every_truncation_leaves_a_clean_prefix_that_can_be_taken_up_again(tmp_path):
    path = tmp_path / "j"
    write(path).close()
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        reading = read(str(path))
        kept = whole[:size].count(b"\n")
        assert reading.damage is None
        assert reading.events == EVENTS[:kept]
        assert reading.torn == (size > 0 and whole[size - 1 : size] != b"\n")
        again, before = Journal.reopen(str(path))
        assert before == reading
        for number in range(kept, len(EVENTS)):
            again.append(EVENTS[number], AT, 1.5 + number)
        again.commit()
        again.close()
        assert path.read_bytes() == whole


def test_every_changed_byte_is_found_and_nothing_is_repaired(tmp_path):
    path = tmp_path / "j"
    write(path).close()
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    head = read(str(path)).head
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        reading = read(str(path))
        if place < last:
            assert reading.damage is not None
            with pytest.raises(JournalDamagedError, match="line"):
                Journal.reopen(str(path))
            assert path.read_bytes() == changed
        else:
            # The last line has no successor to vouch for it: there the head differs.
            assert reading.damage or reading.torn or reading.head != head


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[]", "not a JSON object"),
        (b"{", "Expecting"),
        (b'{"seq":0,"seq":0}', "a key occurs twice"),
        (b'{"seq":NaN}', "NaN is not JSON"),
        (b'{"seq":1}', "sequence number 1 where 0 belongs"),
        (b'{"seq":true}', "sequence number True where 0 belongs"),
        (b'{"seq":0.0}', "sequence number 0.0 where 0 belongs"),
        (b'{"seq":0,"prev":null}', "does not carry the hash"),
        (b'{"seq":0,"prev":"%s"}' % GENESIS.encode(), "lacks its clocks"),
        (b'{"seq":0,"prev":"%s","wall":"x","mono":true}' % GENESIS.encode(), "lacks its clocks"),
        (b"\xff", "codec can't decode"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_not_one_is_refused(line, said):
    with pytest.raises(ValueError, match=said):
        Chain().accept(line)


@pytest.mark.parametrize("body", ['"type":"nonsense"', '"type":"phase_ended"', '"type":[]'])
def test_an_event_nobody_knows_is_damage(tmp_path, body):
    path = tmp_path / "j"
    path.write_text(f'{{"seq":0,"prev":"{GENESIS}","wall":"x","mono":1,{body}}}\n')
    reading = read(str(path))
    assert reading.damage is not None
    assert reading.damage.startswith("line 1: ")
    assert (reading.lines, reading.head, reading.size) == ((), GENESIS, 0)


def test_lines_swapped_repeated_or_left_out_are_damage(tmp_path):
    path = tmp_path / "j"
    write(path).close()
    a, b, c, d, e = path.read_bytes().splitlines(keepends=True)
    for lines in ((a, c, b, d, e), (a, b, b, c, d, e), (a, c, d, e), (b, c, d, e)):
        path.write_bytes(b"".join(lines))
        assert read(str(path)).damage is not None


def test_an_endless_line_is_damage_not_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MAX_LINE_BYTES", 1000)
    (tmp_path / "j").write_bytes(b"x" * 5000)
    reading = read(str(tmp_path / "j"))
    assert reading.damage == "line 1: longer than 1000 bytes"
    assert not reading.torn


def test_only_a_regular_file_is_read(tmp_path):
    write(tmp_path / "j").close()
    (tmp_path / "link").symlink_to(tmp_path / "j")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", "absent", "."):
        with pytest.raises(OSError):
            Journal.reopen(str(tmp_path / name))


def test_short_writes_are_carried_on(tmp_path, monkeypatch):
    path = tmp_path / "j"
    real = os.write
    monkeypatch.setattr(journal.os, "write", lambda fd, data: real(fd, data[:7]))
    write(path).close()
    monkeypatch.undo()
    assert read(str(path)).events == EVENTS


def test_after_a_failed_write_nothing_more_is_accepted():
    full = Journal(os.open("/dev/full", os.O_WRONLY))
    full.append(STARTED, AT, 1.0)
    with pytest.raises(OSError) as raised:
        full.commit()
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="takes no more"):
        full.append(EVENTS[1], AT, 2.0)
    full.close()


def test_a_killed_writer_leaves_what_it_committed(tmp_path):
    path = tmp_path / "j"
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.proof.test_journal import AT, EVENTS, Path, write
j = write(Path({str(path)!r}), EVENTS[:3])
j.append(EVENTS[3], AT, 9.0)
print("committed", flush=True)
import time; time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"committed\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert read(str(path)).events == EVENTS[:3]


@pytest.mark.parametrize("block_bytes", [1, 7, 100, 65536])
def test_the_last_line_is_found_from_the_end(tmp_path, block_bytes):
    path = tmp_path / "j"
    write(path).close()
    whole = path.read_bytes()
    lines = whole.splitlines()
    assert last_line(str(path), block_bytes=block_bytes) == lines[-1]
    path.write_bytes(whole + b'{"torn')
    assert last_line(str(path), block_bytes=block_bytes) == lines[-1]
    path.write_bytes(lines[0] + b"\n")
    assert last_line(str(path), block_bytes=block_bytes) == lines[0]
    path.write_bytes(b"no newline")
    assert last_line(str(path), block_bytes=block_bytes) is None
    assert last_line(str(tmp_path / "absent")) is None
