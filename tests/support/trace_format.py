"""What the Trace Event Format asks of a file, written from its description ("Trace Event Format",
JSON Object Format, Complete, Flow, Instant, Counter and Metadata Events): for the tests of --trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# By phase: what such an event has beside name, cat, ph, ts, pid and tid.
_HAS = {
    "X": {"dur"},
    "M": {"args"},
    "C": {"args"},
    "i": {"s"},
    "s": {"id"},
    "f": {"id", "bp"},
}
_METADATA = {"process_name", "thread_name", "thread_sort_index"}


def problems(trace: Any) -> Iterator[str]:
    """All that a reader could stumble over."""
    if not isinstance(trace, dict) or not isinstance(trace.get("traceEvents"), list):
        yield "no JSON Object Format"
        return
    if trace.get("displayTimeUnit") not in {"ms", "ns"}:
        yield "displayTimeUnit is neither ms nor ns"
    events = trace["traceEvents"]
    for place, event in enumerate(events):
        for what in _of_event(event):
            yield f"event {place}: {what}"
    yield from _nesting(events)
    yield from _flows(events)
    named = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    unnamed = {e["tid"] for e in events if e["ph"] == "X"} - named
    if unnamed:
        yield f"threads without a name: {unnamed}"


def _of_event(event: Mapping[str, Any]) -> Iterator[str]:
    phase = event.get("ph")
    if phase not in _HAS:
        yield f"phase {phase!r}"
        return
    for key in ("name", "cat"):
        if not isinstance(event.get(key), str) or not event[key]:
            yield f"{key} is {event.get(key)!r}"
    for key in ("ts", "pid", "tid", *(("dur",) if phase == "X" else ())):
        if type(event.get(key)) is not int or event[key] < 0:
            yield f"{key} is {event.get(key)!r}"
    if lacking := _HAS[phase] - event.keys():
        yield f"lacks {lacking}"
    if phase == "M" and event["name"] not in _METADATA:
        yield f"metadata {event['name']!r}"
    if phase == "C" and not all(type(v) in {int, float} for v in event["args"].values()):
        yield "a counter that is no number"
    if phase == "i" and event["s"] not in {"g", "p", "t"}:
        yield f"scope {event['s']!r}"


def _nesting(events: list[Mapping[str, Any]]) -> Iterator[str]:
    """Complete events of one thread lie within each other or apart: a half is not drawn."""
    threads: dict[int, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["ph"] == "X":
            threads.setdefault(event["tid"], []).append(event)
    for spans in threads.values():
        open_: list[Mapping[str, Any]] = []
        for span in sorted(spans, key=lambda e: (e["ts"], -e["dur"])):
            while open_ and open_[-1]["ts"] + open_[-1]["dur"] <= span["ts"]:
                open_.pop()
            if open_ and span["ts"] + span["dur"] > open_[-1]["ts"] + open_[-1]["dur"]:
                yield f"{span['name']} reaches out of {open_[-1]['name']}"
            open_.append(span)


def _flows(events: list[Mapping[str, Any]]) -> Iterator[str]:
    """Each arrow has both ends, in a span each, and does not lead back in time."""
    ends: dict[Any, dict[str, Mapping[str, Any]]] = {}
    spans = [event for event in events if event["ph"] == "X"]
    for event in events:
        if event["ph"] in {"s", "f"}:
            if not any(
                span["tid"] == event["tid"] and 0 <= event["ts"] - span["ts"] <= span["dur"]
                for span in spans
            ):
                yield f"arrow {event['id']} begins or ends in no span"
            ends.setdefault(event["id"], {})[event["ph"]] = event
    for number, both in ends.items():
        if both.keys() != {"s", "f"} or both["s"]["ts"] > both["f"]["ts"]:
            yield f"arrow {number} has not two ends, or leads back"
