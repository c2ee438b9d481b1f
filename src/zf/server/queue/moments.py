"""Moments as the queue's lines have them, and as seconds since the epoch. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds(moment: str) -> float:
    """The seconds since the epoch of a moment in RFC 3339; ValueError for what is none."""
    return datetime.fromisoformat(moment).timestamp()


def minute(moment: float) -> str:
    """A moment, as the minute it is in: UTC, RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%MZ")
