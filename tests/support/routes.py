"""The routes of the API as docs/reference/server.md has them, made from the application itself.

`./dev python -m tests.support.routes` writes them into the page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from zf.server.api import session
from zf.server.app import API, ROUTERS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "server.md"
_HEAD = "| method | path | takes | what |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"(?:\|[^\n]*\n)*")


def table() -> str:
    """A row for each route: its method, its path, the role it takes, and what it is for."""
    rows = []
    for prefix, router in (*((API, each) for each in ROUTERS), ("", session.router)):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if route.include_in_schema:
                for method in sorted(route.methods - {"HEAD"}):
                    takes = _role(route.dependant) or "nothing"
                    rows.append(
                        f"| `{method}` | `{prefix}{route.path}` | {takes} | {route.summary} |\n"
                    )
    return _HEAD + "".join(rows)


def _role(dependant: Any) -> str:
    """The role that a dependency of the route asks for."""
    for each in dependant.dependencies:
        role = getattr(each.call, "role", None)
        if role is not None:
            return str(role.word)
    return ""


def written() -> str:
    """The page with the table as it should be."""
    return _TABLE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
