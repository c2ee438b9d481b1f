"""What can be done about a run that is there: the verbs cancel, rerun, resume and seal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from zf import trigger
from zf.errors import ZfError
from zf.proof.layout import MANIFEST
from zf.report.task_facts import named
from zf.run.host.lock import cancel, has_runner
from zf.server.access.roles import Who
from zf.server.api.begin import Accepted, Key, begin, trigger_of
from zf.server.api.needs import AllRuns, Followed, Operator, Project, Starts
from zf.server.keys import Keys
from zf.server.problems import Refused

router = APIRouter(tags=["runs"])

# A resumed run reads its journal first, and verifies it.
_RESUMES_S = 10.0


class Nothing(BaseModel):
    """There is nothing to be said."""

    model_config = ConfigDict(extra="forbid")


class Asked(BaseModel):
    """What was asked of which run."""

    run: str
    asked: str
    tasks: list[str] = []


class Rerun(BaseModel):
    """Which part of the run: one of `failed`, `from` and `only`, as `zf rerun` takes them."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "anyOf": [
                {
                    "required": ["failed"],
                    "properties": {
                        "failed": {"const": True},
                        "from": {"type": "null"},
                        "only": {"type": "null"},
                        "downstream": {"const": False},
                    },
                },
                {
                    "required": ["from"],
                    "properties": {
                        "failed": {"const": False},
                        "from": {"type": "string"},
                        "only": {"type": "null"},
                    },
                },
                {
                    "required": ["only"],
                    "properties": {
                        "failed": {"const": False},
                        "from": {"type": "null"},
                        "only": {"type": "string"},
                        "downstream": {"const": False},
                    },
                },
            ]
        },
    )

    failed: bool = False
    first: str | None = Field(default=None, alias="from")
    downstream: bool = False
    only: str | None = None


@router.post("/runs/{run}/cancel", status_code=202, summary="End a run")
def cancel_run(
    run: str,
    who: Operator,
    runs: AllRuns,
    project: Project,
    request: Request,
    response: Response,
    key: Key = None,
    _body: Nothing | None = None,
) -> Asked:
    """As `zf cancel RUN`: what runs gets TERM and its grace; once more ends it now."""
    name = runs.find(run)
    if not _came_before(request, response, who, key, name):
        with _forgotten(request, who, key):
            cancel(project.proofs, name, None, trigger.as_word(trigger_of(who)))
    return Asked(run=name, asked="cancel")


@router.post("/runs/{run}/tasks/{task}/cancel", status_code=202, summary="End a task of a run")
def cancel_task(
    run: str,
    task: str,
    who: Operator,
    runs: AllRuns,
    project: Project,
    followed: Followed,
    request: Request,
    response: Response,
    key: Key = None,
    _body: Nothing | None = None,
) -> Asked:
    """As `zf cancel RUN TASK`; of a matrix, all of its instances."""
    name = runs.find(run)
    with followed.open(name) as opened:
        tasks = named(opened.facts, task)
    if not _came_before(request, response, who, key, name):
        with _forgotten(request, who, key):
            for each in tasks:
                cancel(project.proofs, name, each, trigger.as_word(trigger_of(who)))
    return Asked(run=name, asked="cancel", tasks=[*tasks])


@router.post(
    "/runs/{run}/rerun", status_code=202, summary="Run a part of a run again, as a new one"
)
def rerun(
    run: str,
    asked: Rerun,
    who: Operator,
    runs: AllRuns,
    request: Request,
    response: Response,
    key: Key = None,
) -> Accepted:
    """As `zf rerun RUN`, with `failed`, `from` (and `downstream`) or `only`."""
    chosen = [asked.failed, asked.first is not None, asked.only is not None]
    if chosen.count(True) != 1 or (asked.downstream and asked.first is None):
        why = "rerun takes one of failed, from and only; downstream goes with from"
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, why, code="ZF827")
    words = ["rerun", runs.find(run)]
    words += ["--failed"] if asked.failed else []
    words += [f"--from={asked.first}"] if asked.first is not None else []
    words += ["--downstream"] if asked.downstream else []
    words += [f"--only={asked.only}"] if asked.only is not None else []
    body: Any = {"run": words[1], **asked.model_dump()}
    return begin(request, response, who, words, body, key)


def _unfinished(run: str, runs: AllRuns, project: Project) -> str:
    """The run's id. Raises Refused (409) for one that goes on, or is sealed."""
    name = runs.find(run)
    if os.path.lexists(f"{project.proofs}/{name}/{MANIFEST}"):
        raise Refused(HTTPStatus.CONFLICT, f"run {name} is over and sealed", code="ZF142")
    if has_runner(project.proofs, name):
        raise Refused(HTTPStatus.CONFLICT, f"run {name} goes on", code="ZF120")
    return name


Unfinished = Annotated[str, Depends(_unfinished)]


@router.post("/runs/{run}/resume", status_code=202, summary="Finish a run whose zf was killed")
def resume(who: Operator, run: Unfinished, starting: Starts, _body: Nothing | None = None) -> Asked:
    """As `zf resume RUN`."""
    starting.start(["resume", run], run, trigger_of(who))
    return Asked(run=run, asked="resume")


@router.post("/runs/{run}/seal", summary="Close a run that was killed, as it lies there")
def seal(who: Operator, run: Unfinished, starting: Starts, _body: Nothing | None = None) -> Asked:
    """As `zf seal RUN`, without a signature: keys stay with people."""
    done = starting.carry_out(["seal", run], trigger_of(who))
    if done.exit_code:
        code, why = done.why_not
        raise Refused(HTTPStatus.CONFLICT, why, code=code)
    return Asked(run=run, asked="seal")


def _came_before(request: Request, response: Response, who: Who, key: str | None, run: str) -> bool:
    """Whether this is a request that was answered already: a second cancel would be another one,
    which ends at once what the first one has given time.
    """
    keys: Keys = request.app.state.keys
    _, is_known = keys.claim(key, who, [request.url.path], run)
    if is_known:
        response.headers["Idempotent-Replayed"] = "true"
    return is_known


@contextmanager
def _forgotten(request: Request, who: Who, key: str | None) -> Iterator[None]:
    """What is refused inside of it has not been done under this key."""
    try:
        yield
    except ZfError:
        request.app.state.keys.forget(key, who)
        raise
