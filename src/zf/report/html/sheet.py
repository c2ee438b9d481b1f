"""What the pages have in common: how a template is filled, the style, and the policy.

A page needs nothing but itself and runs nothing but its own script: its policy, which stands
before all else, allows one style sheet and at most one script by their hashes. Pure.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    Template,
)
from markupsafe import Markup

from zf.errors import printable


def environment(*others: BaseLoader) -> Environment:
    """For the templates of this room, and those that `others` find."""
    return Environment(
        loader=ChoiceLoader([*others, PackageLoader("zf.report.html", ".")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_finalized,
    )


def _finalized(value: object) -> object:
    """Whatever a run says is one line in which nothing is hidden; what is markup is ours."""
    return value if isinstance(value, Markup) else printable(str(value))


def pieces(template: Template, context: Mapping[str, Any]) -> Iterator[bytes]:
    """The filled template, piece by piece."""
    stream = template.stream(context)
    stream.enable_buffering(500)
    for piece in stream:
        yield piece.encode("utf-8", "backslashreplace")


def css() -> Markup:
    """The style of every page."""
    return text("page.css") + text("pictures.css", "zf.report.pictures")


def text(name: str, room: str = "zf.report.html") -> Markup:
    """A file of the program, which is part of a page as it stands."""
    return Markup(files(room).joinpath(name).read_text("utf-8"))  # noqa: S704


def policy(style: str, script: str = "") -> Markup:
    """Allows this style sheet and this script, and nothing else at all."""
    allowed = f" script-src {_source(script)};" if script else ""
    return Markup(  # noqa: S704 - made of hashes
        f"default-src 'none';{allowed} style-src {_source(style)};"
        " base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
