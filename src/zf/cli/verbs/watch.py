"""The verb that runs again whatever a change concerns: watch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zf import typed
from zf.cli.begin import chosen_of
from zf.cli.options import Directory, complete_named, takes_run_options
from zf.cli.project import as_started
from zf.errors import ZfError
from zf.model import is_task_id
from zf.settings import RunOptions, resolve

if TYPE_CHECKING:
    from zf.model import Flow, Loaded, Task


# An editor's save is over by then, and it is not felt.
_QUIET_S = 0.1


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(watch)


@takes_run_options
def watch(
    options: RunOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="EXPR|PHASE|TASK...",
            help="Phases, tasks and expressions as --only takes them, each with what it needs; none"
            " for everything.",
            autocompletion=complete_named,
        ),
    ] = None,
    postpone: Annotated[
        bool,
        typer.Option("--postpone", help="Run nothing before the first change."),
    ] = False,
    clear: Annotated[
        bool,
        typer.Option("--clear", help="Clear the terminal when something changes."),
    ] = False,
    poll: Annotated[
        bool,
        typer.Option(
            "--poll",
            help="Look at the folders twice a second, for file systems that tell of no changes,"
            " such as those of a network.",
        ),
    ] = False,
    debounce: Annotated[
        str | None,
        typer.Option(
            "--debounce",
            metavar="SECONDS",
            help="How long nothing may have changed before a cycle is begun. [default: 0.1]",
        ),
    ] = None,
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            metavar="N",
            min=0,
            help="Keep the proofs of the newest N cycles and of what these build on, and prune"
            " older ones now and then; 0 keeps all.",
        ),
    ] = 20,
    _directory: Directory = None,
) -> int:
    """Run what a change concerns, again and again, until Ctrl-C or q."""
    from zf.cli.display import streams
    from zf.cli.display.keys import Keys
    from zf.cli.display.watching import Screen
    from zf.cli.project import proofs_folder
    from zf.watch.given import Terms
    from zf.watch.loop import Watch
    from zf.watch.notices import refuse_missing

    refuse_missing()
    if options.progress == "json":
        raise ZfError("--progress json is of one run", hint="zf run --progress json")
    streams.display()
    project = Project(words or (), options)
    quiet_s = _QUIET_S if debounce is None else typed.positive_seconds(debounce, "--debounce")
    terms = Terms(quiet_s, polling=poll, at_once=not postpone, keep=keep or None)
    with Keys() as keys:
        screen = Screen(options, proofs_folder(), keys, clear=clear)
        try:
            return Watch(project, screen, terms).run()
        finally:
            screen.close()


class Project:
    """The project at hand, and what of it is to be watched."""

    def __init__(self, words: Sequence[str], options: RunOptions) -> None:
        self._words = words
        self._options = options
        self.values: Mapping[str, Any] = options.values
        self.command: Sequence[str] = sys.argv

    def load(self) -> Loaded:
        """Its task files, as they are now."""
        from zf.lean.records import replace
        from zf.plan import load, places

        root, home = places.find_root(os.getcwd())
        timeout = resolve(os.environ, self._options, default_run_id="watch").phase_timeout_s
        loaded = load.load(root, home, default_phase_timeout_s=timeout.value)
        if loaded.flow is None:
            return loaded
        return replace(loaded, flow=chosen_of(loaded.flow, self._options))

    def watched(self, flow: Flow) -> Mapping[str, Task]:
        """What the words name, with all that it needs. Raises ZfError."""
        from zf.plan.named import named, with_needs

        names = [name for word in self._words for name in _meant(flow, word)]
        return with_needs(flow, names if self._words else named(flow, ()))

    def max_jobs(self, flow: Flow) -> int:
        """How many tasks may run at once."""
        settings = resolve(os.environ, self._options, default_run_id="watch", project=flow.project)
        return settings.max_jobs.value

    def words_of_shell(self, task: str) -> tuple[Sequence[str], str | None]:
        """What another zf is called with to open a shell for it, and in which folder if not in the
        current one.
        """
        words, folder = as_started()
        inputs = [f"--input={one}" for one in self.values.get("inputs") or ()]
        if self.values.get("inputs_file") is not None:
            inputs.append(f"--inputs={self.values['inputs_file']}")
        return [*words, "shell", *inputs, "--", task], folder


def _meant(flow: Flow, word: str) -> Sequence[str]:
    """The tasks that a word names, or selects."""
    from zf.plan.named import named
    from zf.plan.select.selected import selection
    from zf.run.selecting import Asked

    try:
        return named(flow, (word,))
    except ZfError:
        if is_task_id(word) or word.startswith(("phase:", "task:")):
            raise
    found = sorted(selection(word, "EXPR").of(flow.tasks, Asked(flow, os.environ)))
    if not found:
        raise ZfError(f"nothing to watch: {word} selects no task")
    return found
