"""The few marks that the pictures are drawn with, as SVG inside a page.

A picture carries classes, never styles: the page's policy forbids those, and its colours change
with the theme. Every text from outside is made printable and escaped here.
"""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from zf.errors import printable


def text_of(value: str) -> str:
    """Any text as it may stand in the page."""
    return escape(printable(value), quote=True)


def number(value: float) -> str:
    """A coordinate, with no more digits than can be seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """A share of the picture's width, to a ten-thousandth: a third of a pixel on the widest."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def to_task(task: str, inside: str, *, reachable: bool = True) -> str:
    """A link to the task's row. One that is not `reachable` by the keyboard has its twin in the
    table of all tasks: a thousand stops on the way to the next heading are no help.
    """
    stop = "" if reachable else ' tabindex="-1"'
    return f'<a href="#task-{quote(task)}"{stop}>{inside}</a>'


def title(told: str) -> str:
    """What a mark means, in words: shown by the pointer and read aloud."""
    return f"<title>{text_of(told)}</title>"
