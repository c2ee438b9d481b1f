"""`queue.jsonl` on a real disk: whatever dies, its lines come to the same queue."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from zf.errors import Exit, ZfError
from zf.proof.journal import Chain
from zf.server.queue import inbox
from zf.server.queue.file import QueueFile, UnwritableError, owner, read
from zf.server.queue.items import API, Item, Source
from zf.server.queue.records import (
    DeliveryIgnored,
    EndAsked,
    ItemCancelled,
    ItemClaimed,
    ItemDone,
    ItemExpired,
    ItemLost,
    ItemQueued,
    ItemRejected,
    ItemSuperseded,
    RunTakenUp,
    ScheduleSeen,
    Switched,
    TimesMissed,
)


def item(name: str, **said) -> Item:
    return Item(item=name, source=Source(API), phases=("E",), **said)


ALL = [
    ItemQueued(item("a", key="k", priority=1)),
    ItemQueued(item("b")),
    ItemClaimed("a", "queue-a"),
    RunTakenUp("a"),
    ItemDone("a", "success", 0),
    ItemExpired("b", "not started"),
    ItemQueued(item("c")),
    ItemClaimed("c", "queue-c"),
    EndAsked("c", "d", "d"),
    ItemSuperseded("c", "d"),
    *(ItemQueued(item(name)) for name in "defg"),
    ItemCancelled("d", "me"),
    ItemRejected("e", "no"),
    ItemLost("f", "dead"),
    ScheduleSeen("nightly", "0" * 64),
    TimesMissed("nightly", "2026-01-01T00:00Z", "2026-01-01T02:00Z", 3, "no server"),
    DeliveryIgnored("hook", "1", "filtered"),
    Switched("reaper", True, "me"),
    Switched("reaper", False, "me"),
    Switched("all", True, "me"),
]


def written(folder, records=ALL):
    queue = QueueFile.own(str(folder))
    for at, record in enumerate(records):
        queue.write([record], 1_000_000_000 + at + 0.123456)
    state = queue.state
    queue.close()
    return state


def test_another_process_reads_the_same_queue(tmp_path):
    assert written(tmp_path) == read(str(tmp_path))


def test_the_lines_are_chained_as_those_of_a_journal_are(tmp_path):
    written(tmp_path)
    chain = Chain()
    for raw in (tmp_path / "queue.jsonl").read_bytes().splitlines():
        said = chain.accept(raw)
        assert said["wall"].endswith("Z")
    assert chain.seq == len(ALL)


def test_cut_anywhere_it_is_what_its_whole_lines_say(tmp_path):
    """A kill, or a power cut, at every byte around every line."""
    written(tmp_path)
    whole = (tmp_path / "queue.jsonl").read_bytes()
    ends = [0, *(at + 1 for at, byte in enumerate(whole) if byte == ord("\n"))]
    for count, end in enumerate(ends):
        for cut in {end, min(end + 7, len(whole))}:
            (tmp_path / "queue.jsonl").write_bytes(whole[:cut])
            queue = QueueFile.own(str(tmp_path))
            lines = count + (cut == len(whole) and count < len(ALL))
            assert queue.state.lines == lines
            queue.write([Switched("drain", True, "me")], 2_000_000_000)
            queue.close()
            assert read(str(tmp_path)).lines == lines + 1


def test_damage_is_told_and_left_as_it_is(tmp_path):
    written(tmp_path)
    path = tmp_path / "queue.jsonl"
    damaged = path.read_bytes().replace(b'"why":"dead"', b'"why":"well"')
    path.write_bytes(damaged)
    with pytest.raises(ZfError, match="damaged") as caught:
        QueueFile.own(str(tmp_path))
    assert caught.value.problems[0].code == "ZF831"
    assert path.read_bytes() == damaged
    # And the lock was given back.
    path.unlink()
    QueueFile.own(str(tmp_path)).close()


@pytest.mark.parametrize(
    "record",
    [
        ItemClaimed("z", "queue-z"),
        ItemDone("a", "success", 0),
        ItemQueued(item("a")),
        RunTakenUp("b"),
    ],
)
def test_a_line_that_cannot_follow_is_refused(tmp_path, record):
    written(tmp_path, ALL[:6])
    queue = QueueFile.own(str(tmp_path))
    with pytest.raises(ValueError, match="item"):
        queue.write([record], 2_000_000_000)
    queue.close()


def test_a_second_owner_is_told_which_process_has_it(tmp_path):
    code = (
        "import sys; from zf.server.queue.file import QueueFile;"
        "QueueFile.own(sys.argv[1]); print('ok', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "ok\n"
        with pytest.raises(ZfError, match=f"in use by pid {other.pid} on") as caught:
            QueueFile.own(str(tmp_path))
        assert caught.value.exit_code == Exit.RUN_ID_TAKEN
        other.kill()
        other.wait()
    QueueFile.own(str(tmp_path)).close()
    assert owner(str(tmp_path)) == ""


def test_an_order_is_taken_in_by_the_verb_where_nothing_owns_the_queue(tmp_path):
    told = inbox.leave(str(tmp_path), "a", inbox.order_to_enqueue(item("a")))
    assert told.state.entries["a"].state == "queued"
    assert os.listdir(tmp_path / "inbox") == []
    told = inbox.leave(str(tmp_path), "b", {"cancel": "a", "by": "me"})
    assert told.state.entries["a"].state == "cancelled"


def test_an_order_that_was_taken_in_and_not_removed_is_not_taken_in_again(tmp_path):
    order = inbox.order_to_enqueue(item("a"))
    inbox.leave(str(tmp_path), "a", order)
    (tmp_path / "inbox" / "a.json").write_text(json.dumps(order))
    queue = QueueFile.own(str(tmp_path))
    assert inbox.empty(str(tmp_path), queue, time.time())
    queue.close()
    assert read(str(tmp_path)).lines == 1
    assert os.listdir(tmp_path / "inbox") == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"enqueue": {"item": "../x"}}', '{"a": 1}'])
def test_what_is_no_order_comes_to_nothing(tmp_path, text):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.json").write_text(text)
    queue = QueueFile.own(str(tmp_path))
    inbox.empty(str(tmp_path), queue, time.time())
    queue.close()
    assert read(str(tmp_path)).lines == 0


def test_a_record_that_no_line_can_say_changes_nothing(tmp_path):
    queue = QueueFile.own(str(tmp_path))
    with pytest.raises(UnwritableError):
        queue.write([ItemQueued(item("a")), DeliveryIgnored("hook", "1", "\ud800")], 1e9)
    queue.write([ItemQueued(item("b"))], 1e9)
    state = queue.state
    queue.close()
    assert [*state.entries] == ["b"]
    assert state == read(str(tmp_path))


def test_an_order_of_what_is_no_text_is_none(tmp_path):
    box = tmp_path / "inbox"
    box.mkdir()
    (box / "x.json").write_text('{"switch": "group \\udcff", "is_off": true, "by": "me"}')
    queue = QueueFile.own(str(tmp_path))
    assert inbox.empty(str(tmp_path), queue, 1e9)
    queue.close()
    assert not read(str(tmp_path)).off
    assert not list(box.iterdir())
