"""A run as a file of another program's format, or as a page for people.

A format is a row here and a module beside this one, whose `render` makes the file's bytes of a
`recorded.RecordedRun`: the same run gives the same bytes. The options of the verbs that run
something and of `zf report`, the reference and completion are made from the rows.
"""

from __future__ import annotations

from zf.lean.records import Struct


class Format(Struct, frozen=True):
    """The option that names a format's file, what that is, as in "Write ...", and the module,
    which is imported only when such a file is written.

    `zf report` takes the same options, but for the page, which it writes when it is given none.
    """

    option: str
    about: str
    module: str

    @property
    def name(self) -> str:
        """The option's name in Python."""
        return f"{self.option.lstrip('-').replace('-', '_')}_file"


PAGE = Format("--report", "the run as one HTML page", "html")

FORMATS = (
    PAGE,  # the one that `zf report` writes when it is asked for no other
    Format("--junit", "its tasks as JUnit XML, which CI systems show as tests,", "junit"),
    Format("--trace", "the run over time, as a trace for Perfetto or chrome://tracing,", "trace"),
    Format("--markdown", "a short summary in Markdown, as GitHub shows it,", "github"),
    Format("--codequality", "its failures as GitLab's report of code quality", "codequality"),
    Format("--openmetrics", "its durations and counts as OpenMetrics text", "openmetrics"),
    Format("--metrics-textfile", "the same for node_exporter's textfile collector", "textfile"),
    Format("--dotenv", "what it came to as variables of GitLab's later jobs", "dotenv"),
    Format("--gitlab-annotations", "a link to --report for GitLab's page of the job", "gitlab"),
)
