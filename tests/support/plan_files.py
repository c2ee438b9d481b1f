"""Task files written to a folder, loaded, and their problems as zf prints them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zf.plan import load


def good(task_id: str, *needs: str, phase: str = "A") -> str:
    """A valid task file; its needs are in line 3."""
    return (
        f"id: {task_id}\nphase: {phase}\nneeds: [{', '.join(needs)}]\ncommands: [{{run: make}}]\n"
    )


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files; a name without a slash or dot is a task's, `tasks/<name>/task.yaml`."""
    for name, content in files.items():
        path = root / (name if set(name) & {"/", "."} else f"tasks/{name}/task.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def loaded(root: Path, files: Mapping[str, str | bytes] | None = None) -> load.Loaded:
    """The project at `root`, after writing these files."""
    (root / "tasks").mkdir(exist_ok=True)
    write(root, files or {})
    return load.load(str(root), str(root), default_phase_timeout_s=3600)


def said(root: Path, files: Mapping[str, str | bytes] | None = None) -> str:
    """Everything zf says of these files."""
    return "\n".join(problem.render() for problem in loaded(root, files).problems)
