"""A run in numbers for node_exporter's textfile collector: Prometheus's text format, in a file that
is put into its place whole. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from zf.report.formats.openmetrics import Family, families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zf.report.formats.recorded import RecordedRun


def render(run: RecordedRun) -> Iterator[bytes]:
    """Every family with its samples. node_exporter puts the files of all projects together, so each
    sample says of which project it is, and of which phases; never of which run: there would be more
    of them with each.
    """
    common = {"project": _project(run), "phases": ",".join(run.facts.phases)}
    for family in (*families(run), _completed(run)):
        yield from family.lines(common)


def _completed(run: RecordedRun) -> Family:
    """When: a file that is no longer written stays where it is, and only this tells."""
    name, about = "zf_run_completed_timestamp_seconds", "When the run ended."
    try:
        at = datetime.fromisoformat(run.facts.ended_at).timestamp()
    except ValueError:
        return Family(name, about, [])
    return Family(name, about, [({}, at)])


def _project(run: RecordedRun) -> str:
    """Its repository's name, or that of the folder in which the folder of its runs is."""
    source: Mapping[str, Any] = run.run.get("source") or {}
    repository = str(source.get("repo") or "").rstrip("/").removesuffix(".git")
    if repository:
        return repository.replace(":", "/").rsplit("/", 1)[-1]
    folders = run.folder.rstrip("/").split("/")
    return folders[-3] if len(folders) > 2 else ""
