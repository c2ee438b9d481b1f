"""What a change makes due, what it ends of a run under way, and what may begin: by example, and in
random courses whose end is held against what every task should have read.
"""

import random

import pytest

from zf.watch.agenda import MOST_BUILT_ON, RUNNING, Agenda, Member, Start

CHAIN = {
    "lib": Member(),
    "app": Member(frozenset({"lib"})),
    "test": Member(frozenset({"app"})),
    "docs": Member(),
}


def begin(agenda, run="r1"):
    start = agenda.start()
    assert start is not None
    agenda.begun(run, start)
    return start


def finish(agenda, run, *names, word="well"):
    for name in names:
        agenda.started(run, name)
        agenda.ended(run, name, word)


def settled(tasks=CHAIN):
    agenda = Agenda(tasks)
    agenda.everything()
    start = begin(agenda, "r0")
    finish(agenda, "r0", *start.tasks)
    agenda.over("r0")
    return agenda


def test_at_first_everything_is_due():
    agenda = Agenda(CHAIN)
    assert agenda.start() is None
    agenda.everything()
    assert begin(agenda) == Start(frozenset(CHAIN), {}, 0)
    assert agenda.unsettled == set()


def test_a_change_makes_due_what_needs_it_and_no_more():
    agenda = settled()
    assert agenda.changed({"app"}) == {}
    assert begin(agenda) == Start(frozenset({"app", "test"}), {"lib": "r0"}, 1)


def test_a_need_that_no_run_has_met_runs_too():
    agenda = Agenda(CHAIN)
    agenda.changed({"test"})
    assert begin(agenda).tasks == frozenset(CHAIN)  # stale ones come along, too


def test_what_failed_is_not_tried_again_by_itself():
    agenda = settled()
    agenda.changed({"docs"})
    begin(agenda)
    finish(agenda, "r1", "docs", word="failed")
    agenda.over("r1")
    assert agenda.start() is None
    assert agenda.unsettled == {"docs"}
    assert agenda.unsuccessful()
    assert begin(agenda, "r2").tasks == {"docs"}


def test_what_was_blocked_comes_with_the_next_cycle():
    agenda = settled()
    agenda.changed({"lib"})
    begin(agenda)
    finish(agenda, "r1", "lib", word="failed")
    for name in ("app", "test"):
        agenda.ended("r1", name, "not run")
    agenda.over("r1")
    assert agenda.start() is None
    agenda.changed({"docs"})
    assert begin(agenda, "r2").tasks == {"docs", "app", "test", "lib"}


def test_only_what_runs_or_builds_on_it_is_ended():
    agenda = settled()
    agenda.everything()
    begin(agenda)
    agenda.started("r1", "docs")
    finish(agenda, "r1", "lib")
    agenda.started("r1", "app")
    assert agenda.changed({"app"}) == {"r1": ["app", "test"]}
    assert agenda.cycles["r1"].tasks["docs"] == RUNNING
    assert agenda.start() is None  # app runs until its end is in the journal
    agenda.ended("r1", "app", "not run")
    agenda.ended("r1", "test", "not run")
    # Of r1, which goes on, nothing counts as met yet.
    assert begin(agenda, "r2") == Start(frozenset({"lib", "app", "test"}), {}, 0)


def test_what_has_not_begun_reads_the_files_as_they_are():
    agenda = settled()
    agenda.everything()
    begin(agenda)
    agenda.started("r1", "lib")
    assert agenda.changed({"app"}) == {}
    assert agenda.due == set()


def test_what_has_not_begun_but_builds_on_an_older_result_is_ended():
    agenda = settled()
    agenda.changed({"app"})
    begin(agenda)
    assert agenda.changed({"lib"}) == {"r1": ["app", "test"]}


def test_beside_what_runs_alone_nothing_begins():
    tasks = {**CHAIN, "docs": Member(alone=True)}
    agenda = settled(tasks)
    agenda.changed({"docs"})
    begin(agenda)
    agenda.started("r1", "docs")
    agenda.changed({"test"})
    assert agenda.start() is None
    agenda.ended("r1", "docs", "well")
    agenda.over("r1")
    assert begin(agenda, "r2").tasks == {"test"}


def test_two_runs_do_not_share_what_there_is_one_of():
    tasks = {"a": Member(resources=frozenset({"db"})), "b": Member(resources=frozenset({"db"}))}
    agenda = settled(tasks)
    agenda.changed({"a"})
    begin(agenda)
    agenda.started("r1", "a")
    agenda.changed({"b"})
    assert agenda.start() is None


def test_later_phases_of_a_superseded_run_are_due():
    """The phase of a task that was ended failed for that alone, so that the next did not begin."""
    agenda = settled()
    agenda.everything()
    begin(agenda)
    agenda.started("r1", "docs")
    assert agenda.changed({"docs"}) == {"r1": ["docs"]}
    agenda.ended("r1", "docs", "not run")
    for name in ("lib", "app", "test"):
        agenda.ended("r1", name, "not run")
    agenda.over("r1")
    assert begin(agenda, "r2").tasks == frozenset(CHAIN)


def test_a_run_that_never_was_takes_nothing_for_granted():
    agenda = settled()
    agenda.changed({"test"})
    start = begin(agenda)
    agenda.lost("r1", start)
    assert agenda.start() is None
    agenda.changed({"test"})
    assert begin(agenda, "r2").tasks == frozenset(CHAIN)


def test_tasks_that_are_gone_are_ended():
    agenda = settled()
    agenda.everything()
    begin(agenda)
    agenda.started("r1", "docs")
    left = {name: CHAIN[name] for name in ("lib", "app", "test")}
    assert agenda.renew(left, {"test"}) == {"r1": ["docs"]}
    assert "docs" not in agenda.unsettled


def test_the_chain_of_runs_that_are_built_on_has_an_end():
    """Each cycle is built on the one before: pruning would have to keep them all."""
    tasks = {"a": Member(), "b": Member(), "both": Member(frozenset({"a", "b"}))}
    agenda = settled(tasks)
    built_on = {}
    for number in range(1, 60):
        run = f"r{number}"
        agenda.changed({"ab"[number % 2]})
        start = begin(agenda, run)
        built_on[run] = set(start.upstream.values())
        finish(agenda, run, *start.tasks)
        agenda.over(run)
        kept, queue = set(), [run]
        while queue:
            one = queue.pop()
            kept.add(one)
            queue += built_on.get(one, ())
        assert len(kept) <= MOST_BUILT_ON + 1
    assert len(agenda._depths) <= 3


# Random courses.


class World:
    """Files with versions, and runs that are carried out in random steps. A result is what a task
    read: the version of its own file, and the results of its needs.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        names = [f"t{n}" for n in range(self.random.randint(1, 7))]
        self.tasks = {
            name: Member(
                frozenset(n for n in names[:at] if self.random.random() < 0.4),
                alone=self.random.random() < 0.2,
            )
            for at, name in enumerate(names)
        }
        self.versions = dict.fromkeys(names, 0)
        self.results = {}  # (run, task) -> what it read
        self.reading = {}
        self.upstream = {}
        self.ending = {}  # run -> tasks that were told to end
        self.unseen = set()  # changed, and the watch does not know yet
        self.agenda = Agenda(self.tasks)
        self.agenda.everything()
        self.count = 0

    def step(self, *, changes):
        acts = [self.begin, self.start, self.start, self.finish, self.finish, self.notice]
        self.random.choice([*acts, self.change] if changes else acts)()
        self.check()

    def change(self):
        name = self.random.choice([*self.tasks])
        self.versions[name] += 1
        self.unseen.add(name)

    def notice(self):
        if self.unseen:
            for run, names in self.agenda.changed(self.unseen).items():
                self.ending.setdefault(run, set()).update(names)
            self.unseen = set()

    def begin(self):
        start = self.agenda.start()
        if start is not None and not self.unseen:
            self.count += 1
            self.upstream[f"r{self.count}"] = start.upstream
            self.agenda.begun(f"r{self.count}", start)

    def read(self, run, name):
        """What it reads; None when a need has no result."""
        needs = []
        for need in sorted(self.tasks[name].needs):
            by = run if need in self.agenda.cycles[run].tasks else self.upstream[run][need]
            if (by, need) not in self.results:
                return None
            needs.append(self.results[by, need])
        return (self.versions[name], *needs)

    def start(self):
        for run, cycle in self.agenda.cycles.items():
            running = [name for name, word in cycle.tasks.items() if word == RUNNING]
            for name in self.shuffled(cycle.tasks):
                if cycle.tasks[name] != "waiting" or name in self.ending.get(run, ()):
                    continue
                needs = self.tasks[name].needs & cycle.tasks.keys()
                if any(cycle.tasks[need] != "ended" for need in needs):
                    continue
                if running and (
                    self.tasks[name].alone or any(self.tasks[r].alone for r in running)
                ):
                    continue
                read = self.read(run, name)
                if read is None:
                    self.agenda.ended(run, name, "not run")
                else:
                    self.reading[run, name] = read
                    self.agenda.started(run, name)
                return

    def finish(self):
        for run in self.shuffled(self.agenda.cycles):
            cycle = self.agenda.cycles[run]
            if all(word == "ended" for word in cycle.tasks.values()):
                self.agenda.over(run)
                return
            ends = self.ending.get(run, set())
            for name in self.shuffled(cycle.tasks):
                if cycle.tasks[name] == "ended":
                    continue
                if name in ends:
                    self.agenda.ended(run, name, "not run")
                    return
                if cycle.tasks[name] == RUNNING:
                    self.results[run, name] = self.reading[run, name]
                    self.agenda.ended(run, name, "well")
                    return

    def shuffled(self, names):
        return self.random.sample([*names], len(names))

    def check(self):
        """No task runs twice at a time, and none that runs alone beside another."""
        active = [
            n for c in self.agenda.cycles.values() for n, w in c.tasks.items() if w != "ended"
        ]
        assert len(active) == len(set(active))
        runs = [
            name for c in self.agenda.cycles.values() for name, w in c.tasks.items() if w == RUNNING
        ]
        assert len(runs) < 2 or not any(self.tasks[name].alone for name in runs)

    def expected(self, name):
        needs = sorted(self.tasks[name].needs)
        return (self.versions[name], *(self.expected(need) for need in needs))


def course(seed):
    world = World(seed)
    for _ in range(world.random.randint(1, 120)):
        world.step(changes=True)
    for _ in range(5_000):
        world.step(changes=False)
        if not (world.unseen or world.agenda.cycles or world.agenda.due):
            break
    assert world.agenda.unsettled == set()
    for name in world.tasks:
        run = world.agenda.fresh[name]
        assert world.results[run, name] == world.expected(name), (seed, name, run)


@pytest.mark.parametrize("block", range(4))
def test_after_the_last_change_every_result_is_of_the_files_as_they_are(block):
    for seed in range(block * 250, (block + 1) * 250):
        course(seed)


@pytest.mark.campaign
def test_the_same_in_many_courses():
    for seed in range(1_000, 200_000):
        course(seed)


def test_what_failed_is_told_in_the_order_of_what_is_watched_until_it_changes():
    agenda = settled()
    agenda.everything()
    begin(agenda)
    finish(agenda, "r1", "lib")
    # Two instances of `app`, which another task lists; the first one is tried again.
    for name in ("app@n=1", "app@n=2"):
        agenda.started("r1", name)
        agenda.ended("r1", name, "failed")
    assert agenda.all_failed == ["app@n=1"]
    agenda.retried("r1", "app@n=1")
    assert agenda.all_failed == []
    finish(agenda, "r1", "app@n=2", "docs", word="failed")
    agenda.over("r1")
    assert agenda.all_failed == ["app@n=2", "docs"]
    agenda.changed({"lib"})
    assert agenda.all_failed == ["docs"]
    agenda.unsuccessful()
    begin(agenda, "r2")
    assert agenda.all_failed == []
