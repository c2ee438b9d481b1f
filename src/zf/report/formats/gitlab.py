"""A link to the page of a run, for GitLab's page of the job: `artifacts:reports:annotations`. Pure.

"artifacts:reports:annotations" in GitLab's "CI/CD artifacts reports types"; the address is that of
a file in the job's own artifacts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from zf.report.summary import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zf.report.formats.recorded import RecordedRun


def render(run: RecordedRun) -> Iterator[bytes]:
    """One link, or none where the page or the job is not known."""
    ci = run.run.get("ci") or {}
    job = str(ci.get("url") or "") if ci.get("system") == "GITLAB_CI" else ""
    links = []
    if run.page and job.startswith(("https://", "http://")):
        verdict = VERDICTS[run.facts.result]
        failed = len(run.facts.failed)
        label = f"zf: {verdict}" + (f", {failed} failed" if failed else "")
        url = f"{job}/artifacts/file/{quote(run.page)}"
        links.append({"external_link": {"label": label, "url": url}})
    yield json.dumps({"zf": links}, indent=2).encode() + b"\n"
