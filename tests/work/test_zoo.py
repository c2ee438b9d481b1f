"""Whatever a step does to keep processes alive: when its task is over, none is there.

The kernel's own word is asked for: a worker that is done has no child, and no process anywhere has
the mark that every animal carries on its command line.
"""

import shutil
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from shutil import which

import pytest

from tests.support.attempts import Attempts, drive, processes, task
from tests.support.engines import HOST, PROGRAMS, Engine
from tests.support.zoo import ENDS, IN_A_CONTAINER, ZOO, ZOO_TIMEOUT_S, inhabitants, living
from zf.lean.records import replace
from zf.model import NOTHING
from zf.work.supervise.cgroup import Cgroup
from zf.work.walls.sandbox import why_not

# In one of the processes that run tests: the animals' lives take time, looking at them does not.
pytestmark = pytest.mark.xdist_group("zoo")
ROUNDS = 50


class Animal:
    """One way to live on, in one of the two ways a task can end."""

    def __init__(self, name, kind, number=0, sandbox=NOTHING, container=NOTHING):
        self.name = name
        self.id = f"{kind}-{list(ZOO).index(name)}-{number}"
        self.mark = f"zoo-{uuid.uuid4().hex}"
        script, timeout_s = living(name, kind, self.mark), 60
        if kind == "timeout":
            timeout_s = ZOO_TIMEOUT_S if container else 5  # in which it has to begin to live
        self.task = task(script, name=self.id, timeout_s=timeout_s, parallel_safe=True)
        self.task = replace(self.task, sandbox=sandbox, container=container)


def keep(attempts, animals, jobs):
    """Let them all run; what became of each, and the children the workers were left with."""
    with closing(attempts.pool(*(animal.task for animal in animals))) as pool:
        ended = drive(pool, [animal.task for animal in animals], jobs)
        idle = {handle.pid: children(handle.pid) for handle in pool._handles.values()}
        leaving = pool._leaving
    assert leaving == []
    return {one.id: attempts.result(ended[one.id]) for one in animals}, idle


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


WALLS = {
    "no wall": NOTHING,
    "sandbox": {"network": False},
}


@pytest.fixture(scope="module", params=WALLS)
def kept(tmp_path_factory, request):
    """All of them, twice: their tasks timing out, and their leaders leaving them behind.

    Without cgroups, which most machines do not let users make, and which would make it easy.
    """
    wall = WALLS[request.param]
    if wall and (why := why_not(which("bwrap"))):
        pytest.skip(why)
    found = {}
    for kind in ("timeout", "exit"):
        animals = [Animal(name, kind, sandbox=wall) for name in inhabitants(kind)]
        attempts = Attempts(tmp_path_factory.mktemp(kind), grace_s=0.2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Cgroup, "enter", lambda name: None)
            results, idle = keep(attempts, animals, jobs=8)
        found[kind] = {one.name: (one, results[one.id]) for one in animals}, idle
    return found


CASES = [(kind, name) for kind in ("timeout", "exit") for name in inhabitants(kind)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_nothing_survives(kept, kind, name):
    animal, result = kept[kind][0][name]
    assert processes(animal.mark) == []
    # The test of the test: it did live, so that its absence says something.
    if name != "stopped leader":
        assert result.log().splitlines()[0] == b"seen"
    assert "cannot be killed" not in result.ended.detail
    assert result.status.get("isolation") == ("sandbox" if animal.task.sandbox else None)
    assert result.outcome() == ENDS[kind]
    assert kind == "timeout" or result.status["survivors"]


@pytest.mark.parametrize("kind", ["timeout", "exit"])
def test_every_worker_is_left_without_a_child(kept, kind):
    _, idle = kept[kind]
    assert len(idle) == 8
    assert set(idle.values()) == {""}


@pytest.mark.parametrize("kind", ["timeout", "exit"])
def test_nothing_survives_in_a_container(tmp_path, monkeypatch, request, kind):
    folder = Path(tempfile.mkdtemp(prefix="zf-engine-", dir="/var/tmp"))
    engine = Engine(folder)
    try:
        if engine.why_not:
            pytest.skip(f"no container here: {engine.why_not}")
        for name, value in engine.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(Cgroup, "enter", lambda name: None)
        image = engine.run("image", "inspect", "--format", "{{.Id}}", HOST)
        said = {"image": HOST, "volumes": PROGRAMS, "pull": "never", "network": False}
        said |= {"digest": f"sha256:{image}", "id": f"sha256:{image}"}
        names = inhabitants(kind) if request.config.getoption("campaign") else IN_A_CONTAINER
        animals = [Animal(name, kind, container=said) for name in names]
        results, idle = keep(Attempts(tmp_path, grace_s=0.2), animals, jobs=2)
        assert engine.containers() == []
    finally:
        engine.close()
        shutil.rmtree(folder, ignore_errors=True)
    assert [(one.name, pids) for one in animals if (pids := processes(one.mark))] == []
    assert set(idle.values()) == {""}
    wanted = dict.fromkeys(names, ENDS[kind])
    assert {one.name: results[one.id].outcome() for one in animals} == wanted
    for one in (one for one in animals if one.name != "stopped leader"):
        assert results[one.id].log().splitlines()[0] == b"seen"
        assert results[one.id].status["isolation"] == "container"


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["timeout", "exit"])
@pytest.mark.parametrize("cgroups", [False, True])
@pytest.mark.parametrize("wall", WALLS)
def test_campaign(tmp_path, monkeypatch, wall, kind, cgroups):
    """Every animal fifty times, four at a time."""
    if WALLS[wall] and (why := why_not(which("bwrap"))):
        pytest.skip(why)
    if not cgroups:
        monkeypatch.setattr(Cgroup, "enter", lambda name: None)
    animals = [
        Animal(name, kind, number, sandbox=WALLS[wall])
        for number in range(ROUNDS)
        for name in inhabitants(kind)
    ]
    results, idle = keep(Attempts(tmp_path, grace_s=0.2), animals, jobs=4)
    survivors = [(one.name, pids) for one in animals if (pids := processes(one.mark))]
    assert survivors == []
    assert set(idle.values()) == {""}
    unlike = [
        (one.name, results[one.id].outcome())
        for one in animals
        if results[one.id].ended.cause != ENDS[kind][2]
    ]
    assert unlike == []
