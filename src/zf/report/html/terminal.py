"""A log's text as a terminal would show it, in HTML: escaped, its colours as classes of a fixed
list, and every other control written out. `page.js` does the same to whole logs. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from zf.errors import printable
from zf.lean import lazy
from zf.lean.records import Struct, replace

# A longer line is cut in what is shown at once; the whole of it is in the log.
MOST_CHARS = 2000

# As in `report.words`: a longer one is no colour.
_SGR = lazy.pattern(r"\x1b\[([0-9;:]{0,64})m")
_NUMBERS = lazy.pattern(r"[;:]")


class Look(Struct, frozen=True):
    """How text looks: one of eight colours of a terminal, and what else is on."""

    colour: int | None = None
    ground: int | None = None
    bold: bool = False
    faint: bool = False
    slant: bool = False
    line: bool = False

    @property
    def classes(self) -> str:
        named = {
            "tb": self.bold,
            "tf": self.faint,
            "ti": self.slant,
            "tu": self.line,
            f"t{self.colour}": self.colour is not None,
            f"g{self.ground}": self.ground is not None,
        }
        return " ".join(name for name, on in named.items() if on)


PLAIN = Look()
# Parameters that switch one thing, and to what.
_SWITCHES = {
    1: ("bold", True),
    2: ("faint", True),
    3: ("slant", True),
    4: ("line", True),
    23: ("slant", False),
    24: ("line", False),
    39: ("colour", None),
    49: ("ground", None),
    **{30 + n: ("colour", n) for n in range(8)},
    **{90 + n: ("colour", n) for n in range(8)},
    **{40 + n: ("ground", n) for n in range(8)},
    **{100 + n: ("ground", n) for n in range(8)},
}


def lines(raw: Iterable[str]) -> list[Markup]:
    """Lines of a log, each ready for the page; a colour lasts until another one comes."""
    look, shown = PLAIN, []
    for text in raw:
        line, look = _line(text.rstrip("\r\n"), look)
        shown.append(line)
    return shown


def visible(text: str) -> str:
    """What of a line is seen: no colours, tabs expanded, every other control written out."""
    column, shown = 0, []
    for part in _SGR.split(text.rstrip("\r\n"))[::2]:
        expanded = _expanded(part, column)
        column += len(expanded)
        shown.append(printable(expanded))
    return "".join(shown)


def _expanded(text: str, column: int) -> str:
    """The text with spaces for its tabs, given where it begins."""
    if "\t" not in text:
        return text
    done: list[str] = []
    for char in text:
        done += " " * (8 - (column + len(done)) % 8) if char == "\t" else char
    return "".join(done)


def _line(text: str, look: Look) -> tuple[Markup, Look]:
    more = len(text) - MOST_CHARS
    note = Markup('<i class="cut">{} more characters</i>').format(f"{more:,}".replace(",", " "))
    text = text[:MOST_CHARS]
    if text.isascii() and text.isprintable() and look is PLAIN:
        return escape(text) + (note if more > 0 else Markup()), look
    done, column = Markup(), 0
    # Every second part is what an escape says.
    for number, part in enumerate(_SGR.split(text)):
        if number % 2:
            look = _changed(look, part)
            continue
        expanded = _expanded(part, column)
        column += len(expanded)
        piece = escape(printable(expanded))
        classes = look.classes
        if piece and classes:
            piece = Markup('<span class="{}">{}</span>').format(classes, piece)
        done += piece
    return done + (note if more > 0 else Markup()), look


def _changed(look: Look, parameters: str) -> Look:
    """The look after an escape, whose parameters are these."""
    numbers = [int(word or 0) for word in _NUMBERS.split(parameters)]
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            look = PLAIN
        elif number == 22:
            look = replace(look, bold=False, faint=False)
        elif number in {38, 48}:
            name = "colour" if number == 38 else "ground"
            look = replace(look, **{name: _of_many(numbers)})
        elif number in _SWITCHES:
            name, value = _SWITCHES[number]
            look = replace(look, **{name: value})
    return look


def _of_many(numbers: list[int]) -> int | None:
    """The nearest of eight colours to one of 256 or of millions; takes its numbers off the list."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        number = numbers.pop(0)
        if number < 16:
            return number % 8
        if number > 231:
            return _nearest(*[8 + 10 * (number - 232)] * 3)
        number -= 16
        return _nearest(*(51 * (number // step % 6) for step in (36, 6, 1)))
    if kind == 2 and len(numbers) >= 3:
        rgb, numbers[:3] = numbers[:3], []
        return _nearest(*rgb)
    return None


def _nearest(red: int, green: int, blue: int) -> int:
    half = max(red, green, blue, 1) // 2
    if max(red, green, blue) < 64:
        return 0
    return (red > half) | (green > half) << 1 | (blue > half) << 2
