"""The server as an application: its routes, what stands before them, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event, Thread

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from zf import __version__
from zf.errors import ZfError
from zf.server import problems
from zf.server.access.access import Access
from zf.server.access.guard import Guard
from zf.server.access.hidden import Hidden
from zf.server.api import (
    actions,
    approvals,
    audit,
    begin,
    definitions,
    events,
    files,
    health,
    logs,
    runs,
    session,
    verify,
)
from zf.server.described import description_of
from zf.server.keys import Keys
from zf.server.live import metrics
from zf.server.live.opened import OpenRuns
from zf.server.live.summaries import Summaries, Wanted
from zf.server.live.tails import Tails
from zf.server.pages import definitions as definitions_pages
from zf.server.pages.ahead import Ahead
from zf.server.pages.frame import sheet
from zf.server.pages.routes import add_pages
from zf.server.project import Served
from zf.server.queue import routes as queue
from zf.server.starting import Starting

API = "/api/v1"
ROUTERS = (
    health.router,
    runs.router,
    events.router,
    begin.router,
    actions.router,
    definitions.router,
    logs.router,
    files.router,
    verify.router,
    approvals.router,
    audit.router,
    queue.router,
    metrics.router,
)


def make_app(project: Served, access: Access) -> FastAPI:
    """All of it, for one project."""
    app = FastAPI(
        title="zf",
        version=__version__,
        summary="The runs of a project: what they did, and starting, ending and approving them",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # its scripts would come from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.project = project
    app.state.access = access
    app.state.open_runs = OpenRuns(project.proofs)
    app.state.runs = Summaries(project.proofs, app.state.open_runs)
    app.state.tails = Tails(project.proofs)
    app.state.starting = Starting(project)
    app.state.keys = Keys(project.folder)
    # What has to be done before `/ready` says so: names, and whether each is.
    app.state.ready = {}
    # Set when the server is to end: streams end then.
    app.state.closing = asyncio.Event()
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(session.router)
    # Where load balancers look.
    app.include_router(health.router, include_in_schema=False)
    app.include_router(queue.hooks, include_in_schema=False)
    app.include_router(metrics.router, include_in_schema=False)
    app.add_exception_handler(problems.Refused, problems.refused)
    app.add_exception_handler(ZfError, problems.of_zf)
    app.add_exception_handler(RequestValidationError, problems.invalid)
    app.add_exception_handler(HTTPException, problems.of_http)
    app.add_exception_handler(OSError, problems.of_disk)
    app.add_exception_handler(Exception, problems.internal)
    add_pages(app)
    app.openapi = description_of(app)  # type: ignore[method-assign] # as FastAPI's documentation does it
    app.add_middleware(Guard, access=access)
    app.add_middleware(Hidden, root=project.root)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    closing: asyncio.Event = app.state.closing

    async def end_streams() -> None:
        await closing.wait()
        app.state.tails.close()

    ending = asyncio.create_task(end_streams())
    # The first who asks is not to wait for what is only made once.
    await asyncio.to_thread(app.state.runs.listed, Wanted())
    ended = Event()
    Thread(target=_get_ready, args=(app, ended), daemon=True).start()
    yield
    ended.set()
    ending.cancel()


def _get_ready(app: FastAPI, ended: Event) -> None:
    """Make the pages, and read the tasks and every run: all of it is found at once then."""
    sheet.compile_all()
    ahead = Ahead(app.state.runs, app.state.open_runs)
    ahead.make()
    if not app.state.project.flows.problems():
        definitions_pages.make(app.state.project.flows.now())
    app.state.runs.warm()
    ahead.keep_up(ended)
