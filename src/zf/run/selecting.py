"""`--only` and `--skip`: what they leave of a run, and what runs and git say for their filters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from zf.errors import Problem, ZfError, printable
from zf.lean.records import Struct, replace
from zf.model import Flow, Task
from zf.plan.caching.globs import matching
from zf.plan.places import PROJECT_FILE
from zf.plan.select.expression import Around, shown
from zf.plan.select.selected import Selection, selection
from zf.proof import read
from zf.proof.source import git
from zf.report.facts import build
from zf.report.task_facts import not_well

if TYPE_CHECKING:
    from zf.settings import RunOptions

# More tasks that need what is skipped say no more than these.
_MOST_TASKS = 10


class Selecting(Struct, frozen=True):
    """What was typed for both, where it was."""

    only: Selection | None = None
    skip: Selection | None = None

    @classmethod
    def typed(cls, options: RunOptions) -> Selecting:
        """Raises ZfError (exit 2) with the place in an expression that cannot be read."""
        only, skip = options.only, options.skip
        return cls(
            None if only is None else selection(only, "--only"),
            None if skip is None else selection(skip, "--skip"),
        )

    def with_needs(self, words: Sequence[str]) -> str:
        """The command that runs the same of these words with all that it needs."""
        from shlex import quote  # noqa: PLC0415 - of a run that is refused

        told = ["zf run", *words]
        for flag, one in (("--only", self.only), ("--skip", self.skip)):
            told += [] if one is None else [flag, quote(one.text)]
        return " ".join(told)

    def of(self, flow: Flow, environ: Mapping[str, str]) -> Selected:
        """What it comes to for a project. Raises ZfError."""
        asked = Asked(flow, environ)
        tasks = flow.tasks
        return Selected(
            None if self.only is None else self.only.of(tasks, asked),
            set() if self.skip is None else self.skip.of(tasks, asked),
            self,
        )


class Selected(Struct, frozen=True):
    """The tasks that `--only` selects, None where it was not typed, and those of `--skip`."""

    only: set[str] | None
    skipped: set[str]
    typed: Selecting

    def among(self, names: Collection[str]) -> set[str]:
        """What is left of these tasks."""
        found = set(names) if self.only is None else self.only.intersection(names)
        return found - self.skipped

    def refuse_skipped(
        self, flow: Flow, tasks: Collection[str], elsewhere: Collection[str] = ()
    ) -> None:
        """Raises ZfError (exit 2) when one of these tasks needs what is skipped, and no earlier run
        met that need (`elsewhere`).
        """
        problems = [
            Problem(
                code="ZF115",
                message=f"'{name}' needs '{need.task}', which --skip leaves out",
                file=flow.tasks[name].file,
                line=need.line,
            )
            for name in sorted({*tasks} - self.skipped)
            for need in flow.present(flow.tasks[name])
            if need.task in self.skipped and need.is_missing((), elsewhere, ())
        ]
        if problems:
            from shlex import quote  # noqa: PLC0415 - of a run that is refused

            assert self.typed.skip is not None
            wider = shown(Around(self.typed.skip.tree, above=False, below=True))
            hint = f"leave out what needs it, too: --skip {quote(wider)}"
            told = problems[:_MOST_TASKS]
            told[-1] = replace(told[-1], hint=hint)
            raise ZfError(problems[0].message, problems=tuple(told))

    def nothing(self) -> str:
        """What is said where nothing is left."""
        words = [
            f"{flag} {printable(one.text)}"
            for flag, one in (("--only", self.typed.only), ("--skip", self.typed.skip))
            if one is not None
        ]
        return f"nothing to run: {' '.join(words)} leaves no task\n"


class Asked:
    """What is asked outside of the task files: earlier runs, and git."""

    def __init__(self, flow: Flow, environ: Mapping[str, str]) -> None:
        self._flow = flow
        self._environ = environ

    def failed(self, run: str) -> set[str]:
        """The tasks that `zf rerun RUN --failed` would run again."""
        run_dir = read.find_run(self._flow.proofs, run)
        facts = build(read.plan_json(run_dir), read.journal(run_dir).events)
        return not_well(facts)

    def changed(self, since: str) -> set[str]:
        """The tasks with a changed source, file or project file. A task that does not say what its
        sources are has changed when anything has.
        """
        try:
            paths = changed_paths(self._flow, since, self._environ)
        except (git.GitError, OSError) as error:
            raise ZfError(
                f"git does not say what changed since {printable(since)!r}: {error}",
                code="ZF116",
                hint="name a commit or branch that is there; a shallow clone may lack it:"
                " git fetch --unshallow",
            ) from None
        if not paths.isdisjoint({PROJECT_FILE, *self._flow.shared}):
            return set(self._flow.tasks)
        return {name for name, task in self._flow.tasks.items() if _has_changed(task, paths)}


def _has_changed(task: Task, paths: set[str]) -> bool:
    if not paths or task.file in paths:
        return bool(paths)
    if not task.sources:
        return True
    spec = matching(task.sources)
    return any(spec.match_file(path) for path in paths)


def changed_paths(flow: Flow, since: str, environ: Mapping[str, str]) -> set[str]:
    """The files below the root that differ between the work tree and the commit at which `since`
    and HEAD parted, and those that git does not know and does not ignore; proofs are none.

    Raises GitError.
    """
    with (
        git.scratch_folder(environ) as scratch,
        git.Asking(git.environment(environ), flow.root, scratch) as asking,
    ):
        told = asking.ask("ls-files", "-z", "--others", "--exclude-standard")
        named = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}")
        code, commit, _ = asking.outcome(asking.start(*named))
        if code != 0:
            raise git.GitError(f"there is no commit {since!r}")
        base = asking.finish(
            asking.start("merge-base", commit.decode().strip(), "HEAD"), or_none=True
        )
        if not base:
            raise git.GitError(f"{since!r} and HEAD have no commit in common")
        told += asking.ask(
            *("diff", "--name-only", "-z", "--relative", "--no-renames", "--no-ext-diff"),
            *("--ignore-submodules=none", base.decode().split("\n")[0], "--"),
        )
    paths = {name.decode("utf-8", "surrogateescape") for name in told.split(b"\0") if name}
    proofs = f"{flow.proofs.removeprefix(flow.root).lstrip('/')}/"
    return {path for path in paths if not path.startswith(proofs)}
