"""Where the tasks of a run that goes on are: its slots here, and its agents elsewhere, as its own
zf has written them down.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zf.proof.read import run_json
from zf.run.host import lock

if TYPE_CHECKING:
    from zf.report.facts import Facts


def of_run(proofs: str, run: str, facts: Facts) -> dict[str, Any]:
    """Its executors, those that are drained, what runs on this machine, and its agents with how
    long each is there and was not heard. Raises ZfError where run.json cannot be read.
    """
    limits = run_json(f"{proofs}/{run}").get("limits", {})
    agents: list[dict[str, Any]] = []
    at = time.time()
    with (
        suppress(OSError, ValueError, KeyError),  # the run has none yet
        open(f"{lock.aside_path(proofs, run)}/workers.json", encoding="utf-8") as stream,
    ):
        told = json.load(stream)
        agents, at = told["agents"], told["at"]
    since_s = max(0.0, time.time() - at)
    for agent in agents:
        agent["heard_s"] = None if agent["heard_s"] is None else agent["heard_s"] + since_s
        agent["since_s"] += since_s
    away = {agent["task"] for agent in agents}
    return {
        "run": run,
        "executors": list(limits.get("executors", {})),
        "drained": list(facts.drained),
        "here": [name for name in facts.running if name not in away],
        "max_jobs": limits.get("max_jobs"),
        "agents": agents,
    }
