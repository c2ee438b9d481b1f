"""A run in numbers for node_exporter's textfile collector: Prometheus's text format, in a file that
is put into its place whole. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zf.lean.records import replace
from zf.report.formats.openmetrics import gauge, of_run, with_help

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zf.metrics.exposition import Series
    from zf.report.formats.recorded import RecordedRun

# OpenMetrics has it at the end, and nothing else.
_END = b"# EOF\n"


def render(run: RecordedRun) -> Iterator[bytes]:
    """The gauges of zf itself. node_exporter puts the files of all projects together, so each
    sample says of which project it is, and of which phases; never of which run: there would be more
    of them with each. What tasks measured has labels of their own, and stays out.
    """
    common = (("phases", ",".join(run.facts.phases)), ("project", _project(run)))
    series = [*of_run(run.facts), *_completed(run)]
    labelled = (replace(one, labels=tuple(sorted((*common, *one.labels)))) for one in series)
    return (line for line in with_help(labelled) if line != _END)


def _completed(run: RecordedRun) -> Iterator[Series]:
    """When: a file that is no longer written stays where it is, and only this tells."""
    with suppress(ValueError):
        at = datetime.fromisoformat(run.facts.ended_at).timestamp()
        yield gauge("run_completed_timestamp_seconds", at)


def _project(run: RecordedRun) -> str:
    """Its repository's name, or that of the folder in which the folder of its runs is."""
    source: Mapping[str, Any] = run.run.get("source") or {}
    repository = str(source.get("repo") or "").rstrip("/.").removesuffix(".git").rstrip("/.")
    if repository:
        return repository.replace(":", "/").rsplit("/", 1)[-1]
    folders = run.folder.rstrip("/").split("/")
    return folders[-3] if len(folders) > 2 else ""
