"""Who did what: the audit of the server, and its tokens."""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query

from zf.server.api.needs import DIGITS, Admin, Guarding

router = APIRouter(tags=["server"])


@router.get("/audit", summary="What was asked to change anything, or refused; newest first")
def audit(
    _who: Admin,
    access: Guarding,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many lines."), DIGITS] = 100,
    name: Annotated[str, Query(alias="who", description="Only of this token or user.")] = "",
) -> dict[str, Any]:
    """Lines of `audit.jsonl`: when, who with which role, by which way, from where, and what."""
    found = (line for line in access.audit.newest() if not name or line.get("who") == name)
    return {"lines": list(islice(found, limit))}


@router.get("/tokens", summary="The tokens there are, without their secrets")
def tokens(_who: Admin, access: Guarding) -> dict[str, Any]:
    """As `zf token list`; tokens are made and revoked at the command line alone."""
    now = time.time()
    return {"tokens": [token.as_json(now) for token in access.tokens.all()]}
