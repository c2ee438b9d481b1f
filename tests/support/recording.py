"""A session at a terminal as an animated picture: what is typed and shown, in a pseudo terminal.

`python -m tests.support.recording` plays the deploy of `examples/deploy` and draws what a terminal
showed into docs/images/deploy.svg. pyte is the terminal; who wants no motion sees the last screen.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pyte

from tests.support.program import ZF, Project
from tests.support.terminals import Terminal

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/images/deploy.svg"
COLUMNS, ROWS = 80, 27
COMMANDS = (
    "zf run --run-id friday --on-approval exit",
    "zf approve friday deploy --key ../ann --comment CHANGE-42",
    "zf resume friday",
    "cat live",
)
PROMPT = "$ "
# How long a reader has for what a command said, and for the last screen.
_READ_S, _LAST_S = 2.0, 6.0
_KEY_S = 0.045
# What is shown for a shorter time is not seen.
_FRAME_S = 0.06


class Chunk(NamedTuple):
    """What came from the terminal at one moment."""

    at: float
    text: str


class Recorder(Terminal):
    """A shell that is typed into, and everything it showed, with the time of day."""

    def __init__(self, project: Project) -> None:
        self.chunks: list[Chunk] = []
        shell = ("bash", "--norc", "--noprofile", "-i")
        super().__init__(project, argv=shell, PS1=PROMPT, LC_ALL="C.UTF-8")
        self.resize(ROWS, COLUMNS)
        self.expect(r"\$ $")

    def _read(self) -> bool:
        before = len(self.said)
        found = super()._read()
        if found:
            self.chunks.append(Chunk(time.monotonic(), self.said[before:]))
        return found

    def command(self, line: str, key_s: float) -> None:
        """Type it as a person does, and wait until the shell asks for the next one."""
        for key in line:
            self.type(key)
            self.expect(r"[^\x1b]")
            time.sleep(key_s)
        self.type("\n")
        self.expect(r"(^|h)\$ $")


def deployed(folder: Path, key_s: float = _KEY_S) -> list[Chunk]:
    """The deploy of the example, played in this folder."""
    project = Project(folder / "project")
    shutil.copytree(ROOT / "examples/deploy", project.root, dirs_exist_ok=True)
    words = ["-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", str(folder / "ann")]
    subprocess.run(["ssh-keygen", *words], check=True)
    key = (folder / "ann.pub").read_text()
    with (project.root / "allowed_signers").open("a") as file:
        file.write(f"ann@example.org {key}")
    project.env["PATH"] = f"{Path(ZF[0]).parent}:{project.env['PATH']}"
    project.env.pop("NO_COLOR", None)
    with Recorder(project) as terminal:
        terminal.chunks.clear()
        terminal.chunks.append(Chunk(time.monotonic(), PROMPT))
        for line in COMMANDS:
            terminal.command(line, key_s)
        return terminal.chunks


# From what came to what was to be seen.


class Run(NamedTuple):
    """Some characters of a row that look alike."""

    text: str
    look: str


Row = tuple[Run, ...]


class Frame(NamedTuple):
    """What the terminal shows from this moment on, and where its cursor is."""

    at: float
    rows: tuple[Row, ...]
    cursor: tuple[int, int]


def frames(chunks: Sequence[Chunk]) -> list[Frame]:
    """What was to be seen, with the waits between: a reader needs longer than the machine, where a
    command has ended, and no longer than that where nothing happens.
    """
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    found: list[Frame] = []
    at, before = 0.0, chunks[0].at
    for chunk in chunks:
        ended = bool(found) and _asks(found[-1])
        at += _READ_S if ended and len(found) > 1 else min(chunk.at - before, _READ_S)
        before = chunk.at
        stream.feed(chunk.text)
        shown = Frame(at, _rows(screen), (screen.cursor.y, screen.cursor.x))
        if found and at - found[-1].at < _FRAME_S:
            shown = shown._replace(at=found.pop().at)
        found.append(shown)
    return found


def _asks(frame: Frame) -> bool:
    """Whether the shell waits for the first key of a command."""
    return frame.cursor[1] == len(PROMPT)


def _rows(screen: pyte.Screen) -> tuple[Row, ...]:
    return tuple(_row(screen.buffer[y]) for y in range(ROWS))


def _row(line: object) -> Row:
    cells = [line[x] for x in range(COLUMNS)]  # type: ignore[index] - pyte has no types
    runs = [
        Run("".join(cell.data for cell in run), look) for look, run in groupby(cells, key=_look)
    ]
    while runs and not runs[-1].text.strip():
        runs.pop()
    if runs:
        runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip())
    return tuple(runs)


def _look(cell: pyte.screens.Char) -> str:
    colour = "" if cell.fg == "default" else cell.fg.replace("brown", "yellow")
    return " ".join(filter(None, [colour, "bold" if cell.bold else ""]))


# From that to a picture.

_CELL_W, _CELL_H, _MARGIN, _BAR = 8.4, 19, 18, 30
_STYLE = """\
svg { --paper: #ffffff; --edge: #d1d9e0; --ink: #1f2328; --quiet: #818b98; --green: #1a7f37;
  --red: #cf222e; --yellow: #845306; --cyan: #0b6b78; --blue: #0969da }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --edge: #3d444d; --ink: #e6edf3; --quiet: #818b98; --green: #3fb950;
    --red: #ff7b72; --yellow: #d29922; --cyan: #39c5cf; --blue: #58a6ff } }
.paper { fill: var(--paper); stroke: var(--edge) }
.dot { fill: var(--edge) }
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--ink); white-space: pre }
.title { fill: var(--quiet); text-anchor: middle; font-size: 12px }
.green { fill: var(--green) } .red { fill: var(--red) } .yellow { fill: var(--yellow) }
.cyan { fill: var(--cyan) } .blue { fill: var(--blue) } .bold { font-weight: 600 }
.cursor { fill: var(--quiet); opacity: .6 }
.s { visibility: hidden }
.last { visibility: visible }
@media (prefers-reduced-motion: no-preference) { .s { animation: TOTALs steps(1) infinite } }
"""


@dataclass(frozen=True)
class Shown:
    """Something of the picture, from one moment to another."""

    begin: float
    end: float
    drawn: str


def picture(found: Sequence[Frame], title: str, about: str) -> str:
    """The SVG, which loops."""
    total = found[-1].at + _LAST_S
    shown = [*_texts(found, total), *_cursors(found, total)]
    spans = sorted({(one.begin, one.end) for one in shown})
    names = {span: f"t{number}" for number, span in enumerate(spans)}
    style = _STYLE.replace("TOTAL", f"{total:.2f}")
    style += "".join(_keyframes(names[span], *span, total) for span in spans)
    width = round(COLUMNS * _CELL_W + 2 * _MARGIN)
    height = ROWS * _CELL_H + _BAR + _MARGIN
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="about">{escape(about)}</desc>',
        f"<style>\n{style}</style>",
        f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        *(f'<circle class="dot" cx="{20 + 16 * n}" cy="17" r="5"/>' for n in range(3)),
        f'<text class="title" x="{width / 2:g}" y="21">{escape(title)}</text>',
    ]
    for one in shown:
        last = " last" if one.end == total else ""
        name = names[one.begin, one.end]
        lines.append(f'<g class="s{last}" style="animation-name:{name}">{one.drawn}</g>')
    return "\n".join([*lines, "</svg>", ""])


def _keyframes(name: str, begin: float, end: float, total: float) -> str:
    """Hidden, shown, and hidden again."""
    points = [] if begin == 0 else ["0%{visibility:hidden}"]
    points.append(f"{100 * begin / total:.3f}%{{visibility:visible}}")
    points.append("100%{visibility:visible}" if end == total else _hidden(100 * end / total))
    return f"@keyframes {name}{{{''.join(points)}}}\n"


def _hidden(percent: float) -> str:
    return f"{percent:.3f}%,100%{{visibility:hidden}}"


def _texts(found: Sequence[Frame], total: float) -> Iterator[Shown]:
    """Each row, for as long as it stays the same."""
    for y in range(ROWS):
        for (begin, row), (end, _) in _changes(((one.at, one.rows[y]) for one in found), total):
            if row:
                yield Shown(begin, end, _text(row, y))


def _cursors(found: Sequence[Frame], total: float) -> Iterator[Shown]:
    for (begin, (y, x)), (end, _) in _changes(((one.at, one.cursor) for one in found), total):
        yield Shown(
            begin,
            end,
            f'<rect class="cursor" x="{_MARGIN + x * _CELL_W:.1f}" y="{_BAR + y * _CELL_H + 3}"'
            f' width="{_CELL_W}" height="{_CELL_H - 3}"/>',
        )


def _changes(
    values: Iterable[tuple[float, Any]], total: float
) -> Iterator[tuple[tuple[float, Any], tuple[float, Any]]]:
    """Each value with the moment from which it is there, and the next, up to the end."""
    begun = [next(same) for _, same in groupby(values, key=lambda pair: pair[1])]
    return pairwise([*begun, (total, None)])


def _text(row: Row, y: int) -> str:
    width = sum(len(run.text) for run in row) * _CELL_W
    parts = [
        f'<tspan class="{run.look}">{escape(run.text)}</tspan>' if run.look else escape(run.text)
        for run in row
    ]
    # Of the same width in whatever font there is.
    return (
        f'<text x="{_MARGIN}" y="{_BAR + (y + 1) * _CELL_H - 4}" textLength="{width:.1f}"'
        f' lengthAdjust="spacingAndGlyphs" xml:space="preserve">{"".join(parts)}</text>'
    )


TITLE = "build, approve, deploy, watch, roll back"
ABOUT = (
    "A terminal. zf run builds version 2 and leaves the run, which waits for an approval. zf approve"
    " says yes. zf resume deploys it; three probes in a row are bad, so the watch fails and version"
    " 1 is brought back."
)


def main() -> None:
    """Play the session and draw it."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(picture(frames(deployed(Path(folder))), TITLE, ABOUT))


if __name__ == "__main__":
    main()
