"""The animated picture of a terminal in the docs: drawn from what was shown, and still so."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from tests.support.recording import COMMANDS, PICTURE, ROWS, Chunk, deployed, frames, picture

_SVG = "{http://www.w3.org/2000/svg}"
# What is another in each run: times, digests, how the first frames of the board fell.
_OWN = re.compile(r"\d+\.\d+s|\b[0-9a-f]{64}\b")


def last_screen(svg):
    """The text of what is shown at the end, and to those who want no motion."""
    root = ET.fromstring(svg)
    groups = [g for g in root.iter(f"{_SVG}g") if "last" in g.get("class").split()]
    rows = {
        int(text.get("y")): "".join(text.itertext())
        for g in groups
        for text in g.iter(f"{_SVG}text")
    }
    return [rows[y] for y in sorted(rows)]


def test_it_shows_each_row_for_as_long_as_it_was_there():
    chunks = [
        Chunk(5, "$ "),
        Chunk(6, "ls\r\n"),
        Chunk(6.5, "\x1b[1;31mone\x1b[0m <two>"),
        Chunk(7, "\r\x1b[Kgone"),
    ]
    found = frames(chunks)
    assert [round(frame.at, 3) for frame in found] == [0, 1, 1.5, 2]
    assert found[2].rows[1] == (("one", "red bold"), (" <two>", ""))
    svg = picture(found, "a & b", "c")
    assert last_screen(svg) == ["$ ls", "gone"]
    root = ET.fromstring(svg)
    assert root.find(f"{_SVG}title").text == "a & b"
    [row] = [g for g in root.iter(f"{_SVG}g") if "".join(g.itertext()) == "one <two>"]
    name = row.get("style").removeprefix("animation-name:")
    [said] = re.findall(rf"@keyframes {name}(.*)", root.find(f"{_SVG}style").text)
    # From 1.5 to 2 seconds, of 8.
    assert said == (
        "{0%{visibility:hidden}18.750%{visibility:visible}25.000%,100%{visibility:hidden}}"
    )


def test_a_wait_is_no_longer_than_a_reader_needs():
    found = frames([Chunk(0, "$ "), Chunk(1, "x\r\n"), Chunk(900, "done\r\n")])
    assert found[-1].at == 3


def test_the_picture_in_the_docs_shows_what_zf_does(tmp_path):
    svg = PICTURE.read_text()
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    shown, now = last_screen(svg), last_screen(picture(frames(deployed(tmp_path, 0)), "", ""))
    assert [_OWN.sub("-", line) for line in shown] == [_OWN.sub("-", line) for line in now], (
        "draw it again: python -m tests.support.recording"
    )
    assert len(shown) < ROWS
    for line in COMMANDS[1:]:
        assert f"$ {line}" in shown
