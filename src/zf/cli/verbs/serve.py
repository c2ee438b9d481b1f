"""Verbs about the page and the API over the runs of a project: ui, serve, token."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import AsJson, Directory
from zf.errors import Exit, ZfError, printable

if TYPE_CHECKING:
    from zf.server.access.tokens import Token, Tokens

_DEFAULT_PORT = 8181
_DAY_S = 86_400.0

Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, help="The port; 0 for any free one."),
]


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(ui)
    app.command()(serve)
    app.command()(token)


def _say(text: str) -> None:
    print(text, end="", flush=True)


def ui(
    port: Port = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the address, and open no browser.")
    ] = False,
    _directory: Directory = None,
) -> int:
    """Show the project's runs in the browser: for you, on this machine."""
    from zf.server.serving import refuse_missing

    refuse_missing()
    from zf.server import begin
    from zf.server.place import Place
    from zf.server.project import Served

    begin.ui(Served.around(os.getcwd()), Place(port=port or 0), _say, opens=not no_open)
    return Exit.OK


def serve(
    port: Port = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="The address to listen on. [default: host in zf.yaml, or 127.0.0.1]",
        ),
    ] = None,
    tls_cert: Annotated[
        str | None,
        typer.Option("--tls-cert", metavar="FILE", help="Speak TLS, with this certificate in PEM."),
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key in PEM.")
    ] = None,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy that speaks TLS is all that reaches it."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Answer to this name, too, such as that of the proxy. Can be given again.",
        ),
    ] = None,
    _directory: Directory = None,
) -> int:
    """Serve the project's runs to a team, as pages and as an API."""
    from zf.server.serving import refuse_missing

    refuse_missing()
    from zf.server import begin
    from zf.server.access.policy import Policy
    from zf.server.place import Place
    from zf.server.project import Served

    project = Served.around(os.getcwd())
    said = project.flow().project.server
    place = Place(
        host or said.get("host", "127.0.0.1"),
        said.get("port", _DEFAULT_PORT) if port is None else port,
        _file(tls_cert, "--tls-cert"),
        _file(tls_key, "--tls-key"),
        behind_proxy or bool(said.get("behind_proxy", False)),
    )
    begin.team(project, place, Policy.said(said, allow_host or (), place), _say)
    return Exit.OK


def _file(path: str | None, flag: str) -> str:
    if path is not None and not os.path.isfile(path):
        raise ZfError(f"{flag} {printable(path)}: there is no such file")
    return path or ""


def token(
    what: Annotated[
        Literal["create", "list", "revoke"],
        typer.Argument(metavar="create|list|revoke", help="What to do."),
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Of the token; without for list.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="With create: viewer looks, operator also runs and cancels, approver also"
            " approves, admin also reads the audit. [default: viewer]",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="AGE",
            help="With create: for how long it is good: 12h, 30d, or never. [default: 90d]",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Make, list or revoke the tokens that zf serve lets in."""
    from zf.server.access.tokens import Tokens
    from zf.server.project import Served

    tokens = Tokens(Served.around(os.getcwd()).folder)
    if (name is None) != (what == "list"):
        raise ZfError("a token is named: zf token create NAME, zf token revoke NAME, zf token list")
    if what != "create" and (role or expires):
        raise ZfError("--role and --expires go with zf token create")
    if what == "list":
        _list(tokens.all(), as_json=as_json)
    elif what == "revoke":
        tokens.revoke(name or "", time.time())
        streams.say(sys.stderr, f"{name} lets nothing in any more\n")
    else:
        _create(tokens, name or "", role or "viewer", expires or "90d", as_json=as_json)
    return Exit.OK


def _create(tokens: Tokens, name: str, role: str, expires: str, *, as_json: bool) -> None:
    from zf.audit.policy import age_s
    from zf.server.access.roles import Role

    try:
        lifetime_s = None if expires == "never" else age_s(expires)
    except ValueError as error:
        raise ZfError(f"--expires {printable(expires)}: {error}, or never") from None
    given = Role.named(role)
    secret = tokens.create(name, given, lifetime_s, time.time())
    if as_json:
        print(json.dumps({"name": name, "role": given.word, "token": secret}))
        return
    until = "does not expire" if lifetime_s is None else f"expires in {expires}"
    streams.say(sys.stderr, f"{name}: {given.word}, {until}; the token is shown this once\n")
    print(secret)


def _list(tokens: list[Token], *, as_json: bool) -> None:
    from zf.report.words import moment

    now = time.time()
    if as_json:
        print(json.dumps([token.as_json(now) for token in tokens]))
        return
    if not tokens:
        print("no tokens yet")
        return
    rows = [("NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED")]
    rows += [
        (
            token.name,
            token.role,
            token.state(now),
            moment(token.created_at),
            moment(token.expires_at) if token.expires_at else "never",
            moment(token.last_used_at) if token.last_used_at else "never",
        )
        for token in tokens
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())
