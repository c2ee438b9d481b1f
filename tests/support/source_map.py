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
ROOMS = (
    "cli",
    "server",
    "adopt",
    "doctor",
    "watch",
    "notify",
    "plan",
    "run",
    "engines",
    "work",
    "redact",
    "metrics",
    "proof",
    "audit",
    "report",
    "events",
    "model",
    "lean",
)
HEAD = """\
# The source, one line a module

    task files -> plan -> run -> work -> proof -> report

Calls go from left to right, and events come back: a worker tells the runner how an attempt ended, the
runner writes that into the journal, and the next decision follows from it. The command line is the
front door, and `server/` the other one; neither is a room. `redact/` stands between `work/` and everything that is written, `audit/`
judges what `proof/` keeps. Each line is the first sentence of its module;
`./dev python tests/support/source_map.py` writes this page, and a test compares.

## Words

| word | what it is in the code |
|---|---|
| flow, phase, task, step | All task files of a project, checked; the groups of tasks that run one after the other; what one task.yaml describes; one of its commands. |
| plan | Those tasks of the flow that one run is to run, in order, each with its digest. |
| run, attempt | One carrying out of a plan, under an id; one carrying out of a task in it: a retry is another attempt. |
| draft, form | A task file as it was read, good or bad; which keys a file may have, and of which types (`plan/`), or the JSON files of a proof (`proof/`). |
| runner, worker | The process that decides, and keeps the journal; a process that it forks, which runs attempts one at a time. |
| journal, event, head | `events.jsonl`; one line of it, something that happened; the hash of its last line, which stands for all before it. |
| proof, bundle, tree | The folder of a run; the same as a stranger gets it, not trusted yet; what the attempts of one task left in it. |
| task list, digest | A tree's `40-checksums/task.sha256`, the hashes of all its files; its own hash, `task_sha256`, which the journal keeps. |
| claim | An attempt's `status.json`, renamed into its place last: without it the attempt has no outcome. |
| seal | The manifest of a run, written when it is over: every file of it, by its hash. |
| outcome, result | How an attempt ended; what the run came to. |
| verdict | One of the five answers of `zf verify` about a proof; in `plan/`, what a condition comes to. |
| shield, scratch | What keeps steps away from the proof while they run; the run's folder of what is no part of its proof. |
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
            *(inner.parent for inner in sorted(SOURCE.glob(f"{room}/*/**/__init__.py"))),
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
