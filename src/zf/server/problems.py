"""What went wrong with a request, as RFC 9457 has it: `application/problem+json` with zf's codes.

No answer names a path of the machine: what is inside the project is told from its root, as people
who look at it from elsewhere know it.
"""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from zf.errors import ZfError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("zf.server")
# What ZfErrors mean here, by their codes; all others are about what was asked for: 422.
_STATUS = {
    "ZF610": HTTPStatus.NOT_FOUND,
    "ZF612": HTTPStatus.NOT_FOUND,
    "ZF611": HTTPStatus.NOT_FOUND,
    "ZF130": HTTPStatus.NOT_FOUND,
    "ZF102": HTTPStatus.NOT_FOUND,
    "ZF103": HTTPStatus.NOT_FOUND,
    "ZF112": HTTPStatus.NOT_FOUND,
    "ZF120": HTTPStatus.CONFLICT,
    "ZF122": HTTPStatus.CONFLICT,
    "ZF144": HTTPStatus.CONFLICT,
    "ZF147": HTTPStatus.CONFLICT,
    "ZF740": HTTPStatus.CONFLICT,
    "ZF804": HTTPStatus.SERVICE_UNAVAILABLE,
}


class Refused(Exception):  # noqa: N818 - no error of the program's
    """Raised by a route for an answer that is not what was asked for."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code
        self.headers, self.more = headers, more


def answer(
    status: int,
    detail: str,
    *,
    code: str = "",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """The answer: `title` is the status in words, `code` one of docs/reference/problems.md."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }
    body |= {"code": code} if code else {}
    return JSONResponse(body | more, status, headers and dict(headers), MEDIA_TYPE)


def refused(_request: Request, error: Exception) -> Response:
    """That of a `Refused`."""
    assert isinstance(error, Refused)
    return answer(error.status, error.detail, code=error.code, headers=error.headers, **error.more)


def of_zf(_request: Request, error: Exception) -> Response:
    """What zf itself has to say against it."""
    assert isinstance(error, ZfError)
    return as_told(error)


def as_told(error: ZfError) -> Response:
    """The same of an error that was caught: the first problem, and all of them with their hints."""
    first = error.problems[0]
    told = [
        {
            "code": problem.code,
            "detail": problem.message,
            "hint": problem.hint,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
        }
        for problem in error.problems
    ]
    status = _STATUS.get(first.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    return answer(status, str(error), code=first.code, problems=told)


def invalid(_request: Request, error: Exception) -> Response:
    """A request that has not the form it must have: 422, each finding with its place."""
    assert isinstance(error, RequestValidationError)
    found = [
        {
            "pointer": "/" + "/".join(map(str, each["loc"][1:])),
            "in": each["loc"][0],
            "detail": each["msg"],
        }
        for each in error.errors()
    ]
    what = "; ".join(f"{each['pointer']}: {each['detail']}" for each in found[:3])
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, what, code="ZF805", errors=found)


def of_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown route, a method that a route has not."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= _allowed(request)
    return answer(error.status_code, str(error.detail), headers=headers)


def _allowed(request: Request) -> dict[str, str]:
    """All the methods of a path: the framework names those of one of its routes."""
    for path, methods in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), request.url.path):
            return {"Allow": ", ".join(sorted(method.upper() for method in methods))}
    return {}


def of_disk(_request: Request, error: Exception) -> Response:
    """What the system refused: a full disk, as a rule. What was asked for was not done."""
    assert isinstance(error, OSError)
    _log.error("a request failed: %s: %s", error.strerror or error, error.filename)
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    status = HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.SERVICE_UNAVAILABLE
    return answer(status, error.strerror or "the system refused it", code="ZF818")


def internal(_request: Request, _error: Exception) -> Response:
    """A bug of zf's: what it was is in the server's own log."""
    detail = "an error in zf; the server's log has more"
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, detail, code="ZF817")


def hidden(body: bytes, root: str) -> bytes:
    """The body of an answer in JSON without the place of the project."""
    return body.replace(json.dumps(root)[1:-1].encode(), b".")
