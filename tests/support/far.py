"""Tasks on executors in tests: what stands for an agent, and what is seen of a run from outside."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.support import independent_verifier
from tests.support.program import survivors

_FOLDER = Path(__file__).parent
AGENT = [sys.executable, "-m", "zf", "agent"]
RELAY = [sys.executable, str(_FOLDER / "relay.py")]
LIAR = [sys.executable, str(_FOLDER / "lying_agent.py")]


def verified(project, name="r"):
    """Both verifiers find the proof whole, whatever the run came to."""
    done = project.zf("verify", name, "--json")
    assert json.loads(done.out)["verdicts"]["INTACT"]["state"] == "passed", done.out
    assert independent_verifier.verify(str(project.proof(name)))[0]


def of_type(project, kind, name="r"):
    """The events of this type."""
    return [e for e in project.events(name) if e["type"] == kind]


def left(project):
    """What runs of all that the project has started, steps on executors with it: their variables
    name folders beside the project. It is given the time it may take.
    """
    until = time.monotonic() + 20
    while (found := survivors(f"{project.root.parent}/")) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def pids(mark):
    """The processes of agents: the agent itself, and its worker."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if said(path).split(b"\0")[-3:-1] == [b"zf", b"agent"]
        and mark.encode() in said(path.with_name("environ"))
    ]


def parent(pid):
    return int(said(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()[1])


def said(path):
    try:
        return path.read_bytes()
    except OSError:  # gone meanwhile
        return b") ? 0"
