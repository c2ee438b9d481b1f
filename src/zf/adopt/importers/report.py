"""IMPORT.md: what became of every construct of the source, by hand first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from zf.adopt.importers.model import VERDICTS, Finding, Import, Verdict, one_line
from zf.errors import printable

_TITLES: dict[Verdict, str] = {
    "manual": "To be done by hand",
    "changed": "Changed",
    "dropped": "Dropped",
    "exact": "Exact",
}
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~!&$])")


def tally(source: Import) -> dict[Verdict, int]:
    """How many constructs came to what; all verdicts, in order."""
    counted = Counter(one.verdict for one in source.findings)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def text_of(source: Import) -> str:
    """The text of IMPORT.md."""
    return "\n".join(_lines(source))


def _lines(source: Import) -> Iterator[str]:
    counted = tally(source)
    yield f"# What became of {_escaped(one_line(source.file))}"
    yield ""
    yield "Written by `zf import`, beside `zf.yaml`. Delete it when nothing is left to do."
    yield ""
    yield "| verdict | constructs | |"
    yield "|---|---|---|"
    for verdict, many in counted.items():
        yield f"| {verdict} | {many} | {VERDICTS[verdict]} |"
    named = {job.name: job.id for job in source.jobs}
    for verdict in VERDICTS:
        rows = [one for one in source.findings if one.verdict == verdict]
        if rows:
            yield from _section(_TITLES[verdict], rows, named)
    yield ""


def _section(title: str, rows: list[Finding], named: dict[str, str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    told = any(row.said for row in rows)
    yield f"| where | task | construct |{' what |' if told else ''}"
    yield f"|---|---|---|{'---|' if told else ''}"
    for row in dict.fromkeys(rows):
        task = code(named.get(row.task, row.task)) if row.task else ""
        cells = [_escaped(row.place), task, code(row.construct)]
        if told:
            cells.append(_sentence(row.said))
        yield f"| {' | '.join(cells)} |"


def code(text: str) -> str:
    """The text as code in a cell of a table."""
    line = one_line(text).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    gap = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{gap}{line}{gap}{fence}"


def _sentence(text: str) -> str:
    """A sentence of ours, in which backticks mark code, if they come in pairs."""
    parts = one_line(text).split("`")
    if len(parts) % 2 == 0:
        return _escaped(one_line(text))
    return "".join(code(p) if n % 2 and p else _escaped(p) for n, p in enumerate(parts))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(text))
