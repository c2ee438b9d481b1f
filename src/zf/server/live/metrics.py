"""`/metrics`: the runs, the queue and what keeps it in numbers, for Prometheus.

Counters are made of the journals of the runs and of the queue's lines, so that they go on over a
restart; a run that is pruned meanwhile goes on to count. No label grows with runs, tasks or items.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from zf import __version__
from zf.server.api.needs import Viewer
from zf.server.queue import file
from zf.server.queue.fold import CLAIMED, QUEUED, State
from zf.server.queue.items import SOURCES
from zf.server.queue.records import ENDS
from zf.server.queue.told import SWITCHES

if TYPE_CHECKING:
    from zf.server.live.summaries import Summaries, Summary
    from zf.server.queue.keeper import Loop
    from zf.server.queue.keeping import Kept

router = APIRouter(tags=["server"])
_RESULTS = (
    *("passed", "failed", "timeout", "interrupted", "nothing run", "unfinished", "tampered"),
    "unreadable",
)
_BOUNDS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)


class Metrics(Collector):
    """What is collected of one server."""

    def __init__(self, summaries: Summaries, kept: Kept | None, folder: str) -> None:
        self._summaries = summaries
        self._kept = kept
        self._folder = folder
        self._lock = Lock()
        # Runs that are over and were counted.
        self._counted: set[str] = set()
        self._results: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._cpu_s = 0.0
        self._cost_usd = 0.0

    def collect(self) -> Iterator[Metric]:
        """All families, as they are now."""
        with self._lock:
            yield from self._runs()
        if self._kept is None:
            yield from _queue(file.read(self._folder), time.time())
            return
        keeper = self._kept.keeper
        with keeper.locked:
            families = [*_queue(keeper.state, time.time())]
        yield from families
        yield _gauge("zf_queue_ready", "Whether the queue takes work.", keeper.is_ready)
        yield _gauge("zf_queue_failed", "Whether the queue cannot be written.", bool(keeper.failed))
        yield from _loop("zf_queue_loop", "the loop that starts items", keeper.look)
        yield from _loop("zf_reaper", "the loop that sees to dead runs", keeper.reaper)

    def _runs(self) -> Iterator[Metric]:
        running = 0
        for name in self._summaries.names():
            if name in self._counted:
                continue
            row = self._summaries.of(name)
            running += row.result == "running"
            if row.over:
                self._count(name, row)
        build = GaugeMetricFamily("zf_build_info", "The zf that serves.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield _gauge("zf_runs_running", "Runs that a zf is at work on.", running)
        ended = CounterMetricFamily("zf_runs", "Runs that are over.", labels=["result"])
        for result in _RESULTS:
            ended.add_metric([result], self._results[result])
        yield ended
        took = HistogramMetricFamily("zf_run_duration_seconds", "How long runs took.")
        took.add_metric([], self._cumulated(), self._seconds)
        yield took
        yield _counter("zf_runs_cpu_seconds", "The time on a CPU of all runs.", self._cpu_s)
        yield _counter("zf_runs_llm_cost_usd", "What their language models cost.", self._cost_usd)

    def _count(self, name: str, row: Summary) -> None:
        self._counted.add(name)
        self._results[row.result if row.result in _RESULTS else "unreadable"] += 1
        seconds = row.duration_s or 0.0
        self._seconds += seconds
        self._buckets[next((b for b in _BOUNDS_S if seconds <= b), float("inf"))] += 1
        self._cpu_s += row.cpu_s
        self._cost_usd += row.llm_cost_usd

    def _cumulated(self) -> list[tuple[str, float]]:
        total, found = 0, []
        for bound in (*_BOUNDS_S, float("inf")):
            total += self._buckets[bound]
            found.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return found


def _queue(state: State, now: float) -> Iterator[Metric]:
    items = GaugeMetricFamily("zf_queue_items", "Items that are not over.", labels=["state"])
    oldest = GaugeMetricFamily(
        "zf_queue_oldest_seconds", "How old the oldest of them is, in its state.", labels=["state"]
    )
    for word in (QUEUED, CLAIMED):
        since = [
            entry.queued_at if word == QUEUED else entry.claimed_at or entry.queued_at
            for entry in state.open.values()
            if entry.state == word
        ]
        items.add_metric([word], len(since))
        oldest.add_metric([word], max(0.0, now - min(since)) if since else 0.0)
    yield items
    yield oldest
    queued = CounterMetricFamily("zf_queue_queued", "Items by source.", labels=["source"])
    for source in SOURCES:
        queued.add_metric([source], state.queued[source])
    yield queued
    ended = CounterMetricFamily("zf_queue_ended", "Items by their end.", labels=["end"])
    for word in ENDS.values():
        ended.add_metric([word], state.ended[word])
    yield ended
    yield _counter("zf_queue_resumed", "Dead runs that were taken up.", state.resumed)
    yield _counter("zf_schedule_times_missed", "Times that started nothing.", state.missed)
    yield _counter("zf_webhook_deliveries_ignored", "Deliveries that start nothing.", state.ignored)
    off = GaugeMetricFamily("zf_switch_off", "Whether a switch is off.", labels=["switch"])
    for switch in SWITCHES:
        off.add_metric([switch], switch in state.off)
    off.add_metric(["queue"], any(name.startswith("queue ") for name in state.off))
    yield off


def _loop(name: str, what: str, loop: Loop) -> Iterator[Metric]:
    yield _gauge(f"{name}_interval_seconds", f"How often it turns: {what}.", loop.interval_s)
    yield _gauge(f"{name}_last_run_timestamp_seconds", "When it turned last.", loop.last_run or 0)
    yield _counter(f"{name}_runs", "How often it has turned since the server began.", loop.runs)
    yield _counter(f"{name}_errors", "How often something went wrong in it.", loop.errors)


def _gauge(name: str, means: str, value: float) -> Metric:
    return GaugeMetricFamily(name, means, value=float(value))


def _counter(name: str, means: str, value: float) -> Metric:
    return CounterMetricFamily(name, means, value=float(value))


@router.get("/metrics", summary="The server in numbers, for Prometheus", response_class=Response)
def metrics(_who: Viewer, request: Request) -> Response:
    """In Prometheus's text format."""
    registry: CollectorRegistry | None = getattr(request.app.state, "metrics", None)
    if registry is None:
        state = request.app.state
        registry = CollectorRegistry(auto_describe=False)
        kept: Kept | None = getattr(state, "kept", None)
        registry.register(Metrics(state.runs, kept, state.project.folder))
        state.metrics = registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
