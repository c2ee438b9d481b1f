"""docs/source-map.md, made from the first sentence of every module.

`./dev python tests/support/source_map.py` writes the page.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "zf"
PAGE = ROOT / "docs" / "source-map.md"
# In the order of the story, the front door first.
ROOMS = ("cli", "plan", "run", "work", "redact", "proof", "audit", "report", "lean")
HEAD = """\
# The source, one line a module

    task files -> plan -> run -> work -> proof -> report

Data moves left to right and never back. The command line is the front door, not a room. `redact/`
stands between `work/` and everything that is written, `audit/` judges what `proof/` keeps. Each line is the
first sentence of its module; `./dev python tests/support/source_map.py` writes this page, and a test compares.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _section("What every room shares", SOURCE)]
    parts += [_section(f"{room.relative_to(SOURCE)}/", room) for room in rooms()]
    return "\n".join(parts)


def rooms() -> list[Path]:
    """Every package, each followed by those inside it."""
    found: list[Path] = []
    for room in ROOMS:
        found += [
            SOURCE / room,
            *(inner.parent for inner in sorted(SOURCE.glob(f"{room}/*/__init__.py"))),
        ]
    return found


def _section(title: str, folder: Path) -> str:
    about = first_sentence(folder / "__init__.py")
    rows = [
        f"| `{path.name}` | {first_sentence(path).replace('|', chr(92) + '|')} |"
        for path in sorted(folder.glob("*.py"))
        if path.name != "__init__.py"
    ]
    return "\n".join([f"## {title}", "", about, "", "| module | |", "|---|---|", *rows, ""])


def first_sentence(path: Path) -> str:
    """What the module says it is for."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    if not text:
        raise ValueError(f"{path.relative_to(ROOT)} does not say what it is for")
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.match(r".*?\.(?= |$)", paragraph)
    return sentence[0] if sentence else paragraph


if __name__ == "__main__":
    PAGE.write_text(page())
