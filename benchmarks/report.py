"""What was measured, told three times: a table, a chart, and the section of docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape

from benchmarks.bench import Row
from benchmarks.runners import FLOOR, ZF, ZF_SHIELDED

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def table(rows: Iterable[Row]) -> str:
    """Markdown, readable as it is."""
    head = ("work", "measured", "target", "at least", "", "from")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(head))]
    text = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join(text + [_line(line, widths) for line in cells[1:]]) + "\n"


def peers_table(rows: Sequence[Row]) -> str:
    """Every runner on every graph: median seconds, and times the floor."""
    raced = [row for row in rows if row.peers]
    if not raced:
        return ""
    head = ["median wall, -j2", *(_graph(row) for row in raced)]
    lines = [
        [name, *(_against_floor(row, name) for row in raced)]
        for name in sorted(raced[0].peers, key=lambda name: raced[0].peers[name])
    ]
    cells = [head, *lines]
    widths = [max(len(line[n]) for line in cells) for n in range(len(head))]
    text = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    return "\n".join(text + [_line(line, widths) for line in lines]) + "\n"


def as_json(rows: Iterable[Row], about: Mapping[str, str]) -> str:
    data = {"schema": "zf/benchmarks/v1", "about": about, "rows": [asdict(row) for row in rows]}
    return json.dumps(data, indent=1) + "\n"


def section(rows: Sequence[Row], about: Mapping[str, str], chart: str) -> str:
    """What goes between the markers."""
    facts = "\n".join(f"- {name}: {value}" for name, value in about.items())
    return (
        f"{facts}\n\n![Wall time of each runner as a multiple of the C floor]({chart})\n\n"
        f"{peers_table(rows)}\n{table(rows)}"
    )


def between_markers(document: str, text: str) -> str:
    """The document with its measured part replaced; ValueError when the markers are not there."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} ... {END} to write between")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def chart(rows: Sequence[Row]) -> str:
    """A bar for every runner on every raced graph, as a multiple of the C floor: an SVG file."""
    raced = [row for row in rows if row.peers]
    longest = max(row.peers[name] / row.peers[FLOOR] for row in raced for name in row.peers)
    left, width, bar, gap = 90, 560, 16, 26
    y = 10
    parts: list[str] = []
    for row in raced:
        parts.append(_text(left, y + 12, _graph(row), "graph"))
        y += 20
        for name in sorted(row.peers, key=lambda name: row.peers[name]):
            ratio = row.peers[name] / row.peers[FLOOR]
            length = max(1.0, width * ratio / longest)
            kind = {ZF: "zf", ZF_SHIELDED: "zf", FLOOR: "floor"}.get(name, "peer")
            parts += [
                _text(left - 6, y + 12, name, "name"),
                _bar(left, y, length, bar - 2, kind),
                _text(left + length + 5, y + 12, f"{ratio:.2f}", "ratio"),
            ]
            y += bar
        y += gap - bar
    caption = "wall time / C floor with proof; zf and the floor keep a proof, the others keep none"
    parts.append(_text(left, y + 8, caption, "ratio"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{y + 20}"'
        f' viewBox="0 0 {left + width + 60} {y + 20}" role="img">\n'
        f"<title>Wall time of each runner as a multiple of the C floor</title>\n{_STYLE}"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


# Greys and two colours that can be read on white and on a dark page.
_STYLE = """<style>
text { font: 12px sans-serif; fill: #57606a }
.name { text-anchor: end }
.graph { font-weight: bold }
.zf { fill: #1f883d }
.floor { fill: #0969da }
.peer { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #9198a1 } }
</style>
"""


def _bar(x: float, y: int, width: float, height: int, kind: str) -> str:
    return f'<rect class="{kind}" x="{x}" y="{y}" width="{width:.1f}" height="{height}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(map(str.ljust, cells, widths)) + " |"


def _cells(row: Row) -> tuple[str, ...]:
    must = "" if row.must is None else _number(row.must, row)
    if row.limit:
        must = f"{row.limit}: {must}" if must else f"{row.limit}: none"
    target = "" if row.target is None else _number(row.target, row)
    return (row.work, f"**{_number(row.value, row)}**", target, must, verdict(row), row.detail)


def verdict(row: Row) -> str:
    """Both limits include themselves; without any there is nothing to meet."""
    if row.target is None and row.must is None:
        return ""
    if row.target is not None and row.value <= row.target:
        return "target met"
    if row.must is None:
        return "above target"
    return "met" if row.value <= row.must else "MISSED"


def _number(value: float, row: Row) -> str:
    # Three digits tell all that a median of five can know.
    text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text} {row.unit}"


def _graph(row: Row) -> str:
    return row.work.partition(":")[0]


def _against_floor(row: Row, name: str) -> str:
    if name not in row.peers:
        return "cannot run it"
    seconds = row.peers[name]
    return f"{seconds:.3f} s ({seconds / row.peers[FLOOR]:.2f})"
