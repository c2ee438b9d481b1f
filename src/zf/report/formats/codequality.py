"""The causes of failures as a report of code quality, which GitLab shows in a merge request: what
is new in it, and what it mends. Pure.

"Code Quality report format" in GitLab's documentation of Code Quality.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from zf.report.formats.findings import Finding, findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.report.formats.recorded import RecordedRun

_SEVERITIES = {"error": "major", "warning": "minor", "notice": "info"}


def render(run: RecordedRun) -> Iterator[bytes]:
    """A list with one object for each finding; its fingerprint names the task and what went wrong,
    not the line, the time or the log, so that it is the same one in the next run.
    """
    rows = [_row(run, finding) for finding in findings(run)]
    yield json.dumps(rows, indent=2).encode() + b"\n"


def _row(run: RecordedRun, finding: Finding) -> dict[str, object]:
    file, line = finding.file, finding.line
    if not file:
        # Of the run itself there is no line; GitLab wants one.
        first = next(iter(run.facts.tasks.values()), None)
        file, line = (first.file, first.line) if first else ("zf.yaml", 1)
    return {
        "description": f"{finding.title}: {finding.what}",
        "check_name": finding.code,
        "fingerprint": sha256("\0".join(finding.key).encode("utf-8", "replace")).hexdigest(),
        "severity": _SEVERITIES[finding.kind],
        "location": {"path": file, "lines": {"begin": max(1, line)}},
    }
