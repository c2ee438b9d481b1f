"""The rules of the queue, with time moved by hand."""

from __future__ import annotations

import pytest

from zf.model import CANCEL_RUNNING, QUEUE, REPLACE_QUEUED
from zf.server.queue import inbox, rules
from zf.server.queue.fold import State, apply
from zf.server.queue.items import (
    API,
    FOR_SEC,
    WHILE_ACTIVE,
    WHILE_QUEUED,
    Item,
    ItemError,
    Source,
    StartWhen,
    item_from,
    to_json,
)
from zf.server.queue.records import (
    EndAsked,
    ItemCancelled,
    ItemClaimed,
    ItemDone,
    ItemExpired,
    ItemLost,
    ItemRejected,
    ItemSuperseded,
    RunTakenUp,
    Switched,
)
from zf.server.queue.rules import End, Machine, Seen, Start, TakeUp

OVER = Seen(here=True, sealed=True, result="passed")
FAILED = Seen(here=True, sealed=True, result="failed", result_code=1)


def item(name: str, **said) -> Item:
    return Item(item=name, source=Source(API), phases=("E",), **said)


class Queue:
    """A queue of which every line is taken in at a moment that the test chooses."""

    def __init__(self) -> None:
        self.state = State()
        self.now = 1_000.0

    def take(self, *records):
        for record in records:
            apply(self.state, record, self.now)

    def add(self, name: str, **said) -> str:
        self.take(*inbox.taken_in(self.state, item(name, **said), self.now))
        return self.state.entries[name].state

    def claim(self, name: str) -> None:
        self.take(ItemClaimed(name, f"queue-{name}"))

    def end(self, name: str) -> None:
        self.take(ItemDone(name, "success", 0))

    def startable(self, max_runs=9, machine=None, suspended=()):
        found = rules.startable(self.state, machine or Machine(), suspended, max_runs)
        return [entry.item.item for entry in found]

    def settle(self, name: str, seen: Seen, *, reaping=True):
        return rules.settle(self.state.open[name], seen, reaping=reaping)

    def why(self, name: str) -> tuple[str, str]:
        entry = self.state.entries[name]
        return entry.state, entry.why


def test_those_of_a_higher_priority_start_first_then_older_ones():
    queue = Queue()
    queue.add("a")
    queue.add("b", priority=1)
    queue.add("c")
    assert queue.startable() == ["b", "a", "c"]
    assert queue.startable(max_runs=2) == ["b", "a"]
    queue.claim("b")
    assert queue.startable(max_runs=2) == ["a"]


def test_a_group_has_room_for_its_limit_only():
    queue = Queue()
    for name in ("a", "b", "c"):
        queue.add(name, group="deploy", limit=2)
    queue.add("d")
    assert queue.startable() == ["a", "b", "d"]
    queue.claim("a")
    assert queue.startable() == ["b", "d"]
    queue.claim("b")
    assert queue.startable() == ["d"]
    queue.end("a")
    assert queue.startable() == ["c", "d"]


def test_a_run_that_waits_for_an_approval_takes_no_room():
    queue = Queue()
    queue.add("a")
    queue.add("b")
    queue.claim("a")
    assert queue.startable(max_runs=1) == []
    assert queue.startable(max_runs=1, suspended=["a"]) == ["b"]


def test_while_queued_refuses_a_double_only_until_the_other_has_started():
    queue = Queue()
    queue.add("a", key="k", scope=WHILE_QUEUED)
    assert queue.add("b", key="k", scope=WHILE_QUEUED) == "rejected"
    assert "the double of a" in queue.why("b")[1]
    queue.claim("a")
    assert queue.add("c", key="k", scope=WHILE_QUEUED) == "queued"
    assert queue.startable() == []  # it waits until the other one is over
    queue.end("a")
    assert queue.startable() == ["c"]


def test_while_active_refuses_a_double_until_the_other_is_over():
    queue = Queue()
    queue.add("a", key="k", scope=WHILE_ACTIVE)
    queue.claim("a")
    assert queue.add("b", key="k") == "rejected"
    assert queue.add("other", key="k2") == "queued"
    queue.end("a")
    assert queue.add("c", key="k") == "queued"


def test_for_sec_refuses_a_double_of_what_ran_lately():
    queue = Queue()
    queue.add("a", key="k")
    queue.claim("a")
    queue.now += 10
    queue.end("a")
    queue.now += 49
    assert queue.add("b", key="k", scope=FOR_SEC, for_sec=60) == "rejected"
    queue.now += 1
    assert queue.add("c", key="k", scope=FOR_SEC, for_sec=60) == "queued"


def test_one_that_never_ran_makes_no_later_one_a_double():
    queue = Queue()
    queue.add("a", key="k")
    queue.take(ItemCancelled("a", "me"))
    assert queue.add("b", key="k", scope=FOR_SEC, for_sec=60) == "queued"


def test_replace_queued_replaces_those_that_wait_and_leaves_those_that_run():
    queue = Queue()
    queue.add("a", group="g")
    queue.claim("a")
    queue.add("b", group="g")
    queue.add("other", group="h")
    queue.add("c", group="g", on_newer=REPLACE_QUEUED)
    assert queue.why("b") == ("superseded", "c")
    assert queue.state.entries["a"].end_asked is None
    assert {*queue.state.open} == {"a", "c", "other"}


def test_cancel_running_ends_the_older_run_and_starts_once_that_is_over():
    queue = Queue()
    queue.add("a", group="g")
    queue.claim("a")
    queue.add("b", group="g", on_newer=CANCEL_RUNNING)
    assert queue.state.entries["a"].end_asked == EndAsked("a", "b", "b")
    assert queue.startable() == []
    assert queue.settle("a", Seen(alive=True)) == End(queue.state.open["a"].item)
    gone = queue.settle("a", FAILED)
    assert gone == ItemSuperseded("a", "b")
    queue.take(gone)
    assert queue.startable() == ["b"]


def test_cancel_running_leaves_a_protected_run_alone():
    queue = Queue()
    queue.add("a", group="g", protected=True)
    queue.claim("a")
    queue.add("b", group="g", on_newer=CANCEL_RUNNING)
    assert queue.state.entries["a"].end_asked is None
    assert queue.startable() == []
    with pytest.raises(ItemError, match="protected"):
        item_from(to_json(item("c", on_newer=CANCEL_RUNNING, protected=True)))


def test_a_run_that_ended_well_before_it_could_be_ended_is_done():
    queue = Queue()
    queue.add("a", group="g")
    queue.claim("a")
    queue.add("b", group="g", on_newer=CANCEL_RUNNING)
    assert queue.settle("a", OVER) == ItemDone("a", "passed", 0)


def test_what_waits_longer_than_its_ttl_is_expired():
    queue = Queue()
    queue.add("a", ttl_sec=60)
    queue.add("b", ttl_sec=60)
    queue.claim("b")
    assert rules.expired(queue.state, queue.now + 59.9) == []
    (line,) = rules.expired(queue.state, queue.now + 60)
    assert line == ItemExpired("a", "not started within 60 seconds")


def test_what_runs_beyond_its_deadline_is_ended_once():
    queue = Queue()
    queue.add("a", deadline_sec=60)
    queue.claim("a")
    (line,) = rules.expired(queue.state, queue.now + 60)
    assert line == EndAsked("a", "deadline")
    queue.take(line)
    assert rules.expired(queue.state, queue.now + 61) == []
    assert queue.settle("a", FAILED) == ItemCancelled("a", "deadline")


def test_cancelling_ends_what_waits_and_asks_what_runs():
    queue = Queue()
    queue.add("a")
    queue.add("b")
    queue.claim("b")
    assert rules.cancel(queue.state, "a", "me") == ItemCancelled("a", "me")
    assert rules.cancel(queue.state, "b", "me") == EndAsked("b", "me")
    queue.take(EndAsked("b", "me"))
    assert rules.cancel(queue.state, "b", "me") is None
    assert rules.cancel(queue.state, "unknown", "me") is None


def test_a_claimed_item_of_whose_run_there_is_nothing_is_started():
    queue = Queue()
    queue.add("a")
    queue.claim("a")
    here = queue.state.open["a"].item
    assert queue.settle("a", Seen()) == Start(here)
    assert queue.settle("a", Seen(child=True)) is None
    assert queue.settle("a", Seen(alive=True)) is None
    # Another process took the run's id first, and has gone since.
    assert queue.settle("a", Seen(exit_code=5)) == Start(here)
    assert queue.settle("a", Seen(exit_code=2, said="error: no")) == ItemRejected("a", "error: no")
    assert isinstance(queue.settle("a", Seen(exit_code=-9)), ItemLost)


def test_a_dead_run_is_taken_up_once_and_then_lost():
    queue = Queue()
    queue.add("a")
    queue.claim("a")
    dead = Seen(here=True)
    assert queue.settle("a", dead, reaping=False) is None
    assert queue.settle("a", dead) == TakeUp(queue.state.open["a"].item, is_new=True)
    queue.take(RunTakenUp("a"))
    # What was to take it up died before it could.
    assert queue.settle("a", dead) == TakeUp(queue.state.open["a"].item, is_new=False)
    assert queue.settle("a", Seen(here=True, exit_code=1, said="no")) == ItemLost("a", "no")
    again = queue.settle("a", Seen(here=True, resumes=1))
    assert again == ItemLost("a", "its run died again after it was resumed")


def test_a_run_that_is_sealed_closes_its_item_whoever_reaps():
    queue = Queue()
    queue.add("a")
    queue.claim("a")
    assert queue.settle("a", FAILED, reaping=False) == ItemDone("a", "failed", 1)


def test_a_run_that_waits_for_an_approval_is_neither_dead_nor_over():
    queue = Queue()
    queue.add("a")
    queue.claim("a")
    waits = Seen(here=True, suspended=True)
    assert queue.settle("a", waits) is None
    answered = Seen(here=True, suspended=True, answered=True)
    assert queue.settle("a", answered, reaping=False) is None
    assert queue.settle("a", answered) == TakeUp(item("a"), is_new=False)
    for code, goes_on in ((6, True), (1, False)):
        ended = Seen(here=True, suspended=True, answered=True, exit_code=code)
        assert (queue.settle("a", ended) is not None) is goes_on
    queue.take(EndAsked("a", "me"))
    assert queue.settle("a", waits) == ItemCancelled("a", "me")


@pytest.mark.parametrize("switch", ["all", "drain", "queue default", "queue g"])
def test_a_switch_that_is_off_starts_nothing_of_what_it_is_for(switch):
    queue = Queue()
    queue.add("a")
    queue.add("b", group="g")
    queue.take(Switched(switch, is_off=True, by="me"))
    left = {"queue default": ["b"], "queue g": ["a"]}.get(switch, [])
    assert queue.startable() == left
    queue.take(Switched(switch, is_off=False, by="me"))
    assert queue.startable() == ["a", "b"]


@pytest.mark.parametrize(
    ("when", "good", "bad"),
    [
        (StartWhen(load_below=2), Machine(load=1.9), Machine(load=2.0)),
        (StartWhen(idle_sec=60), Machine(idle_s=60), Machine(idle_s=59.9)),
        (StartWhen(on_ac_power=True), Machine(on_ac_power=True), Machine(on_ac_power=False)),
        (StartWhen(on_ac_power=False), Machine(on_ac_power=False), Machine(on_ac_power=True)),
    ],
)
def test_start_when_waits_for_the_machine(when, good, bad):
    queue = Queue()
    queue.add("a", start_when=when)
    assert queue.startable(machine=good) == ["a"]
    assert queue.startable(machine=bad) == []
    assert queue.startable(machine=Machine()) == []  # what is not known is not so


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "phases or tasks"),
        ({"phases": ["E"], "tasks": ["t"]}, "not both"),
        ({"phases": ["E"], "prio": 1}, "no prio"),
        ({"phases": ["E"], "scope": "for_sec", "key": "k"}, "for_sec"),
        ({"phases": ["E"], "scope": WHILE_QUEUED}, "needs a key"),
        ({"phases": ["E"], "on_newer": "kill"}, "on_newer"),
        ({"phases": ["E"], "ttl_sec": 0}, "ttl_sec"),
        ({"phases": ["E"], "limit": 0, "group": "g"}, "limit"),
        ({"phases": "E"}, "array"),
    ],
)
def test_an_item_that_is_none_is_refused(said, message):
    with pytest.raises(ItemError, match=message):
        item_from({"item": "a", "source": {"kind": "api"}, **said})


def test_an_item_reads_as_it_was_written():
    full = item("a", priority=3, key="k", scope=FOR_SEC, for_sec=5, start_when=StartWhen(1.5))
    assert item_from(to_json(full)) == full
    assert to_json(item("a")) == {"item": "a", "source": {"kind": "api"}, "phases": ["E"]}
    assert item("a").on_newer == QUEUE
