"""A first word that is no verb: what was meant by it, as the command to type instead."""

from __future__ import annotations

from shlex import join
from typing import TYPE_CHECKING, NoReturn

from zf.errors import ZfError, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from zf.model import Flow

# What other programs call it, a row for each command of zf.
_ELSEWHERE = {
    "run": ("exec", "execute", "start", "up", "go", "do", "make", "test", "build", "all", "ci"),
    "validate": ("check", "lint", "fmt"),
    "list": ("ls", "tasks", "targets", "recipes", "jobs", "scripts", "sessions"),
    "plan": ("graph", "tree", "dag", "dry-run", "describe"),
    "status": ("history", "ps", "runs", "st", "info", "summary"),
    "logs latest": ("log", "tail", "output", "cat"),
    "explain latest": ("why", "inspect"),
    "cancel latest": ("stop", "kill", "abort", "down", "halt", "quit"),
    "rerun latest --failed": ("retry", "again", "redo", "rerun-failed"),
    "resume latest": ("continue", "recover"),
    "prune --keep 20": ("clean", "gc", "purge", "rm", "remove", "delete", "cleanup"),
    "report latest": ("html", "browse", "open"),
    "verify latest": ("audit",),
    "seal latest --sign": ("sign",),
    "durations": ("times", "timings"),
    "init": ("setup", "bootstrap"),
    "shell -h": ("bash", "sh", "ssh", "debug"),
    "new -h": ("create", "add"),
    "import -h": ("convert", "migrate", "translate"),
    "--version": ("version",),
    "-h": ("man",),
}


def refuse(word: str, rest: Sequence[str], verbs: Collection[str]) -> NoReturn:
    """Raises ZfError (exit 2) with the command that was meant: a task or phase of that name comes
    first, then what other programs call a verb, then what is spelt like it.
    """
    flow = _project()
    hint = _named(flow, word, rest) or _elsewhere(word, verbs) or _near(flow, word, rest, verbs)
    raise ZfError(f"zf has no verb '{word}'", hint=hint or "zf -h (every verb in a sentence)")


def _project() -> Flow | None:
    from zf.cli.project import open_project

    try:
        return open_project(quiet=True)
    except (ZfError, OSError):
        return None


def _named(flow: Flow | None, word: str, rest: Sequence[str]) -> str:
    if flow is None or not word:
        return ""
    is_phase = any(task.phase == word for task in flow.tasks.values())
    is_task = any(word in (task.id, task.base) for task in flow.tasks.values())
    if is_phase and is_task:
        return f"zf run phase:{word} (or task:{word}, which has the same name)"
    if not is_phase and not is_task:
        return ""
    what = "phase" if is_phase else "task"
    return f"zf run {_typed(word, rest)} (runs the {what} with all that it needs)"


def _typed(word: str, rest: Sequence[str]) -> str:
    """The words as a shell takes them; the first alone where the others are no line."""
    words = join([word, *rest])
    return words if words == printable(words) else join([word])


def _elsewhere(word: str, verbs: Collection[str]) -> str:
    for command, words in _ELSEWHERE.items():
        verb = command.split()[0]
        if word in words and (verb in verbs or verb.startswith("-")):
            return f"zf {command} (`zf -h` lists every verb)"
    return ""


def _near(flow: Flow | None, word: str, rest: Sequence[str], verbs: Collection[str]) -> str:
    from zf.plan.suggest import nearest

    if verb := nearest(word, verbs):
        return f"did you mean `zf {_typed(verb, rest)}`?"
    tasks = flow.tasks.values() if flow else ()
    names = {name for task in tasks for name in (task.base or task.id, task.phase)}
    return _named(flow, nearest(word, names) or "", rest)
