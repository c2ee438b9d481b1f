"""What only a server can tell: runs that say nothing, dead ones, times that were missed."""

import time

import yaml

from tests.support.program import heard
from zf.notify.outbox import Outbox
from zf.server.project import Served
from zf.server.queue import inbox
from zf.server.queue.fold import State, apply
from zf.server.queue.items import API, Item, Source
from zf.server.queue.records import ItemClaimed, RunTakenUp, TimesMissed
from zf.server.triggers.current import Current
from zf.server.triggers.messages import STALLED_S, Messages


def messages(project, *on, ahead_s=0.0):
    """Those of a project with a channel that nobody receives, with a clock ahead of the time."""
    channel = {"type": "webhook", "url_env": "NOT_SET", "on": list(on)}
    (project.root / "zf.yaml").write_text(yaml.safe_dump({"notify": {"ops": channel}}))
    served = Served.around(str(project.root))
    made = Messages(served, Current(served.root, served.flow), now=lambda: time.time() + ahead_s)
    return made, Outbox(served.proofs)


def test_a_run_that_says_nothing_for_long_is_told_of_once(project):
    project.task("a", "sleep 1000")
    quick, outbox = messages(project, "stalled")
    late, _ = messages(project, "stalled", ahead_s=STALLED_S + 1)
    run = project.popen("run", "--run-id", "r1", "--progress", "json")
    heard(run, "attempt_started")
    quick.look()
    assert outbox.letters() == []
    late.look()
    late.look()
    (told,) = outbox.letters()
    assert told.message["type"] == "run.stalled"
    assert told.message["run"] == "r1"
    assert "30 minutes" in told.message["text"]
    assert told.attempts == 1  # and it was tried
    project.zf("cancel", "r1")
    run.communicate(timeout=60)


def test_a_dead_run_of_the_queue_is_told_of(project):
    project.task("a", "true")
    project.zf("run", "--run-id", "queue-i")
    made, outbox = messages(project, "reaped")
    state = State()
    item = Item(item="i", source=Source(API), phases=("A",))
    for record in (*inbox.taken_in(state, item, 1.0), ItemClaimed("i", "queue-i")):
        apply(state, record, 1.0)
    made.take([RunTakenUp("i")], state)
    (told,) = outbox.letters()
    assert told.message["type"] == "run.reaped"
    assert "taken up again" in told.message["text"]


def test_times_that_were_missed_are_told(project):
    project.task("a", "true")
    made, outbox = messages(project, "missed")
    first, last = "2026-01-01T02:00Z", "2026-01-03T02:00Z"
    made.take([TimesMissed("nightly", first, last, 3, "no server ran then")], State())
    (told,) = outbox.letters()
    assert told.message["type"] == "schedule.missed"
    assert told.message["missed"] == [first, last]
    assert "no server ran" in told.message["text"]


def test_a_channel_that_wants_none_of_it_gets_none(project):
    project.task("a", "true")
    made, outbox = messages(project, "failure")
    made.take([TimesMissed("nightly", "x", "y", 3, "")], State())
    made.look()
    assert outbox.letters() == []
