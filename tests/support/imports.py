"""A file of another tool imported in a folder of its own, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zf.adopt.importers import Written, write
from zf.model import Flow
from zf.plan.load import load

NAMES = {
    "github": ".github/workflows/ci.yml",
    "gitlab": ".gitlab-ci.yml",
    "just": "justfile",
    "make": "Makefile",
    "npm": "package.json",
    "taskfile": "Taskfile.yml",
    "tox": "tox.ini",
}


class Imported:
    """The project that was written, read again by zf itself."""

    def __init__(self, root: Path, written: Written) -> None:
        self.root, self.written = root, written
        self.text = (root / "zf.yaml").read_text()
        self.report = (root / "IMPORT.md").read_text()
        loaded = load(str(root), str(root), default_phase_timeout_s=3600)
        assert loaded.flow is not None, "\n".join(one.render() for one in loaded.problems)
        self.flow: Flow = loaded.flow

    def runs(self, task: str) -> list[str]:
        """The scripts of a task."""
        return [step.run for step in self.flow.tasks[task].steps]

    def needs(self, task: str) -> set[str]:
        """What a task needs."""
        return {need.task for need in self.flow.tasks[task].needs}

    def edges(self) -> dict[str, set[str]]:
        """All tasks, each with what it needs."""
        return {name: self.needs(name) for name in self.flow.tasks}

    def said(self, verdict: str) -> dict[str, str]:
        """The constructs of a verdict, each with what is said of it."""
        found = self.written.source.findings
        return {one.construct: one.said for one in found if one.verdict == verdict}


def imported(root: Path, tool: str, text: str, **files: Any) -> Imported:
    """Import this text as the file of that tool, with other files beside it."""
    path = root / NAMES[tool]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for name, inside in files.items():
        (root / name).write_text(inside)
    return Imported(root, write(tool, str(path), str(root)))
