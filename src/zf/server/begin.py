"""Beginning to serve: `zf ui` for a person at this machine, `zf serve` for a team."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack

from zf.errors import ZfError
from zf.proof.source.provenance import user_name
from zf.server.access.access import Access
from zf.server.access.policy import Policy
from zf.server.access.proxied import Proxied
from zf.server.app import make_app
from zf.server.place import Place, is_loopback
from zf.server.project import Served
from zf.server.queue.keeping import Kept, keep, keep_if_free
from zf.server.serving import serve
from zf.server.starting import Starting

Say = Callable[[str], None]


def ui(project: Served, place: Place, say: Say, *, opens: bool) -> None:
    """Serve the person who started it, and open the browser."""
    if not is_loopback(place.host):
        raise ZfError("zf ui is for this machine", code="ZF825", hint="for others: zf serve")
    listening = place.listen()
    port = _port(listening)
    access = Access(project.folder, Policy(port))
    once = access.sessions.once(user_name(), time.monotonic())
    url = f"http://{_shown(place.host)}:{port}/#token={once}"

    def begun() -> None:
        say(f"{project.name}: {url}\nCtrl-C ends the server; runs go on.\n")
        if opens and _has_screen():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    _serve(project, access, listening, place, begun, keep_if_free)


def team(project: Served, place: Place, policy: Policy, say: Say) -> None:
    """Serve a team, let in by tokens."""
    listening = place.listen()
    port = _port(listening)
    hosts = tuple(name.lower() for name in (*policy.hosts, *_names(place.host)))
    access = Access(project.folder, policy.at(port, hosts))
    place.refuse_unsafe(has_token=access.tokens.any_valid(time.time()))
    scheme = "https" if place.is_encrypted else "http"

    def begun() -> None:
        say(f"{project.name}: {scheme}://{_shown(place.host)}:{port}/\n")
        if not access.tokens.any_valid(time.time()):
            say("no token lets anything in yet: zf token create NAME --role operator\n")

    _serve(project, access, listening, place, begun, keep)


def _has_screen() -> bool:
    """Whether a browser would have a window: one of text would take the terminal."""
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _serve(
    project: Served,
    access: Access,
    listening: socket.socket,
    place: Place,
    begun: Callable[[], None],
    take: Callable[[Served, Starting], Kept | None],
) -> None:
    app = make_app(project, access)
    with ExitStack() as opened:
        opened.enter_context(listening)
        app.state.kept = kept = take(project, app.state.starting)
        if kept is not None:
            opened.callback(kept.close)
            keeper = kept.keeper
            app.state.ready["queue"] = lambda: keeper.is_ready and not keeper.failed
        serve(Proxied(app, access.policy), listening, place, app.state.closing, begun)


def _port(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _names(host: str) -> tuple[str, ...]:
    """By what a server that listens there is called: of all addresses, by the machine's names."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not listened on
        return socket.gethostname(), socket.getfqdn()
    return (_shown(host),)
