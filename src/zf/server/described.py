"""The API in OpenAPI 3.1, with what the framework does not know of it: how refusals look, and what
lets a caller in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from zf.server.problems import MEDIA_TYPE

_TEXT = {"type": "string"}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with a code; `problems` or `errors` have all that is wrong.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": _TEXT,
        "problems": {"type": "array", "items": {"type": "object"}},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_REFUSED = {
    "description": "Refused, and why.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_WAYS_IN = {
    "token": {"type": "http", "scheme": "bearer", "description": "Made by `zf token create`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "zf-session",
        "description": "Of a browser; its name has the server's port behind it.",
    },
}
_OPEN = {"/api/v1/health", "/api/v1/ready"}


def description_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What makes the description of an application, once."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    routes=app.routes,
                    license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
                    servers=[{"url": "/"}],
                )
            )
        return app.openapi_schema

    return described


def _complete(found: dict[str, Any]) -> dict[str, Any]:
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    found["components"]["securitySchemes"] = _WAYS_IN
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"4XX": _REFUSED, "5XX": _REFUSED}
            free = path in _OPEN or (path == "/session" and method == "post")
            operation["security"] = [] if free else [{"token": []}, {"session": []}]
    return found
