"""Asking for a run: of phases or tasks of the project, with inputs; never with a definition."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from zf.inputs import GIVEN_PREFIX, Input, variable
from zf.model import Project
from zf.server import definitions
from zf.server.access.roles import Who
from zf.server.api.needs import Operator
from zf.server.api.needs import Project as Served
from zf.server.keys import HEADER, Keys
from zf.server.planning import Planned, as_texts, is_of, of_run, planned, refuse_inputs
from zf.server.problems import Refused
from zf.server.starting import Begun, Starting

router = APIRouter(tags=["runs"])

# So long a run has to appear before the answer says that it still gets ready.
_APPEARS_S = 10.0
# Linux takes words of at most 128 KiB; some of each is the name of what it is about.
_MOST_BYTES = 100_000

Key = Annotated[str | None, Header(alias=HEADER)]


def _one(name: str) -> dict[str, Any]:
    """That this list, and no other, names something."""
    other = "tasks" if name == "phases" else "phases"
    said: dict[str, Any] = {name: {"minItems": 1}, other: {"maxItems": 0}}
    return {"required": [name], "properties": said}


class Trigger(BaseModel):
    """Phases, as `zf run-phase` takes them, or tasks with what they need, as `zf run` does."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"oneOf": [_one("phases"), _one("tasks")]}
    )

    phases: list[str] = Field(default=[], max_length=100)
    tasks: list[str] = Field(default=[], max_length=1000)
    inputs: dict[str, Any] = Field(default={}, max_length=200)


class Accepted(BaseModel):
    """The run that was begun. `state` is `running`, or `starting` where its folder is not there
    yet; `plan_sha256` is the digest of its plan.
    """

    run: str
    state: str
    plan_sha256: str | None = None


def new_id() -> str:
    """An id that sorts by time among those of runs which people start, and that none has."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{secrets.token_hex(4)}"


@router.post("/runs", status_code=202, summary="Start a run of phases or tasks")
def start_run(
    asked: Trigger,
    who: Operator,
    project: Served,
    request: Request,
    response: Response,
    key: Key = None,
    if_match: Annotated[str | None, Header()] = None,
) -> Accepted:
    """What is named has to be there, and its inputs in order: else nothing is started."""
    if bool(asked.phases) == bool(asked.tasks):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "name phases or tasks", code="ZF827")
    plan = planned(project, asked.phases, asked.tasks)
    texts = as_texts(asked.inputs)
    refuse_inputs(plan, texts)
    refuse_changed(project, plan, if_match)
    open_words, hidden = _words(plan, texts)
    verb = "run" if asked.tasks else "run-phase"
    words = [verb, *plan.words, *open_words]
    return begin(request, response, who, words, asked.model_dump(), key, hidden, plan.sha256)


def refuse_changed(project: Served, plan: Planned, if_match: str | None) -> None:
    """Raises Refused (412) where the plan is not the one that the caller has seen."""
    if if_match is None or if_match.strip() == "*":
        return
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")]
    of_files = definitions.tag(definitions.listed(plan.flow))
    if not any(tag == of_files or is_of(project, tag, plan) for tag in tags):
        raise Refused(
            HTTPStatus.PRECONDITION_FAILED,
            "the plan has changed since",
            code="ZF816",
            plan_sha256=plan.sha256,
        )


def begin(
    request: Request,
    response: Response,
    who: Who,
    words: list[str],
    asked: Any,
    key: str | None,
    hidden: Mapping[str, str] | None = None,
    plan_sha256: str | None = None,
) -> Accepted:
    """Start a zf that carries out a new run, once for each key, and say which."""
    starting: Starting = request.app.state.starting
    keys: Keys = request.app.state.keys
    _refuse_unspeakable([*words, *(hidden or {}).values()])
    run, is_known = keys.claim(key, who, [request.url.path, asked], new_id())
    if is_known:
        response.headers["Idempotent-Replayed"] = "true"
    # One that was claimed, and never started, is started now: a second start of it is harmless.
    if not (is_known and (starting.is_there(run) or starting.gets_ready(run))):
        starting.start([*words, "--run-id", run], run, trigger_of(who), hidden)
    begun = starting.wait(run, _APPEARS_S)
    if not begun.is_there and begun.exit_code is not None:
        keys.forget(key, who)
        raise _not_begun(begun)
    response.headers["Location"] = f"/api/v1/runs/{run}"
    recorded = of_run(f"{request.app.state.project.proofs}/{run}") if begun.is_there else None
    state = "running" if begun.is_there else "starting"
    return Accepted(run=run, state=state, plan_sha256=recorded or plan_sha256)


def _refuse_unspeakable(words: Sequence[str]) -> None:
    """Raises Refused (422) for what no program can be given on its command line."""
    if any("\0" in word for word in words):
        why = "a text with the character NUL cannot be handed to a run"
    elif any(len(word.encode()) > _MOST_BYTES for word in words):
        why = f"a text is at most {_MOST_BYTES} bytes here"
    else:
        return
    raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, why, code="ZF805")


def trigger_of(who: Who) -> dict[str, str]:
    """What goes into the run about its caller."""
    via = "api" if who.via == "token" else "page"
    return {"by": who.name, "via": via, "address": who.address}


def _not_begun(begun: Begun) -> Refused:
    code, why = begun.why_not
    return Refused(HTTPStatus.CONFLICT, f"no run was begun: {why}", code=code)


def _words(plan: Planned, texts: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Inputs as flags, but for secret ones: those are variables, which other users cannot see."""
    declared = _declared(plan.flow.project, [phase.name for phase in plan.plan.phases])
    flags: list[str] = []
    hidden = {}
    for name, text in texts.items():
        if name in declared and declared[name].secret:
            hidden[variable(name, GIVEN_PREFIX)] = text
        else:
            flags += ["-i", f"{name}={text}"]
    return flags, hidden


def _declared(project: Project, phases: list[str]) -> dict[str, Input]:
    found = dict(project.inputs)
    for name in phases:
        if name in project.phases:
            found |= project.phases[name].inputs
    return found
