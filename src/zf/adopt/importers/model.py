"""What an importer makes of a file of another tool, before it is written: tasks as zf knows them,
and of each construct of the source what became of it.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zf.errors import printable
from zf.lean.records import Struct, field

Verdict = Literal["exact", "changed", "manual", "dropped"]
# Every verdict, and what it says, in the order in which a reader wants them.
VERDICTS: Mapping[Verdict, str] = {
    "manual": "to be done by hand: the task fails until it is",
    "changed": "said otherwise, or not quite the same",
    "dropped": "means nothing here",
    "exact": "means the same here",
}
# What a step is called that stands for something to be done by hand.
GUARD = "By hand"
# What one sentence may quote of the source.
_MAX_QUOTED = 120


class Origin(Struct, frozen=True):
    """A file to import: its path, its name for messages, and the folder in which its tasks run,
    relative to the root of the project; `evaluate`: whether its own tool may be asked; `around`:
    the folder outside of which no other file is read, if there is one.
    """

    path: str
    file: str
    workdir: str = ""
    evaluate: bool = False
    around: str = ""

    def beside(self, path: str) -> Origin:
        """Another file, by its path from this one."""
        return Origin(
            os.path.join(os.path.dirname(self.path), path),
            os.path.normpath(os.path.join(os.path.dirname(self.file), path)),
            self.workdir,
            around=self.around,
        )

    @property
    def unread(self) -> str:
        """Why this file, which another one names, is not read, if that is so: a project from
        elsewhere may name any file of this machine.
        """
        real = os.path.realpath(self.path)
        if self.around and os.path.commonpath([real, self.around]) != self.around:
            return "the file is outside of the project, and is not read"
        return "" if os.path.isfile(real) else "the file is not there"


class Finding(Struct, frozen=True):
    """One construct of the source: where it stands, and what became of it."""

    verdict: Verdict
    construct: str
    said: str = ""
    file: str = ""
    line: int = 0
    task: str = ""

    @property
    def place(self) -> str:
        """`FILE:LINE`, as far as it is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Step(Struct):
    """A step of a task: its script, its name if it has one, and its other keys as zf has them."""

    run: str
    name: str = ""
    keys: dict[str, Any] = field(default_factory=dict)

    def form(self) -> dict[str, Any]:
        """The step as it is written."""
        named = {"name": self.name} if self.name else {}
        return {**named, **self.keys, "run": self.run}


class Need(Struct):
    """A need, by the name that the source has for it; `keys` as zf has them."""

    name: str
    keys: dict[str, Any] = field(default_factory=dict)


class Job(Struct):
    """A task: `name` is what the source calls it, `keys` are further ones as zf has them."""

    name: str
    line: int = 0
    file: str = ""
    id: str = ""
    title: str = ""
    needs: list[Need] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    cleanup: list[Step] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def need(self, name: str, **keys: Any) -> None:
        """Add a need, once."""
        if all(one.name != name for one in self.needs):
            self.needs.append(Need(name, keys))


class Import(Struct):
    """All that comes of one source. `workdir` is where tasks run that do not say it; `usual` are
    the tasks that the tool runs when it is told none, and `runs_all` says that these are all;
    `inherits`: whether steps have all variables there that the tool was started with; `in_order`:
    whether what a task needs is done in the order in which it is named.
    """

    tool: str
    file: str
    workdir: str = ""
    jobs: list[Job] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    project: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    usual: list[str] = field(default_factory=list)
    runs_all: bool = False
    inherits: bool = False
    in_order: bool = False

    def by_hand(self) -> list[tuple[Job, int]]:
        """The tasks that fail until something is done by hand, with how many things."""
        waiting = Counter(one.task for one in self.findings if one.verdict == "manual")
        return [(job, waiting[job.name]) for job in self.jobs if waiting[job.name]]

    def usual_ids(self) -> list[str]:
        """The ids of the tasks that the tool runs when it is told none."""
        named = {job.name: job.id for job in self.jobs}
        return [named[name] for name in self.usual if name in named]

    def to_run(self) -> list[str]:
        """The ids of the tasks that are run when zf is told to run what the tool runs by itself."""
        return [job.id for job in self.jobs] if self.runs_all else self.usual_ids()

    def found(
        self, verdict: Verdict, construct: str, said: str = "", *, line: int = 0, job: Job | None
    ) -> None:
        """Note what became of a construct; `job` is the task that it belongs to."""
        self.findings.append(
            Finding(
                verdict,
                quoted(construct),
                said,
                (job.file if job else "") or self.file,
                line or (job.line if job else 0),
                job.name if job else "",
            )
        )

    def exact(self, construct: str, said: str = "", *, line: int = 0, job: Job | None) -> None:
        """It means the same here."""
        self.found("exact", construct, said, line=line, job=job)

    def changed(self, construct: str, said: str, *, line: int = 0, job: Job | None) -> None:
        """It is said otherwise: `said` says how, or in what it differs."""
        self.found("changed", construct, said, line=line, job=job)

    def dropped(self, construct: str, why: str, *, line: int = 0, job: Job | None) -> None:
        """It means nothing here."""
        self.found("dropped", construct, why, line=line, job=job)

    def manual(
        self,
        construct: str,
        remedy: str,
        *,
        job: Job,
        line: int = 0,
        when: str = "",
        first: bool = False,
    ) -> None:
        """It is for a person: the task gets a comment, and a step that fails and says what to do.

        `when` is the condition of that step; `first` puts it before the others.
        """
        self.found("manual", construct, remedy, line=line, job=job)
        place = self.findings[-1].place
        job.comments.append(f"By hand ({place}): {quoted(construct)}")
        step = guard(f"{place}: {quoted(construct)}: {remedy}", when)
        job.steps.insert(0 if first else len(job.steps), step)


def guard(sentence: str, when: str = "") -> Step:
    """A step that fails, saying what is to be done by hand."""
    # What stands in `${{ }}` is told, and not there to be put in, which zf would warn of.
    said = shlex.quote(one_line(sentence).replace("${{", "{{"))
    keys: dict[str, Any] = {"shell": "bash"}
    if when:
        keys["if"] = when
    return Step(f"echo {said} >&2; exit 1", GUARD, keys)


def one_line(text: str) -> str:
    """The text on one line, with nothing in it that cannot be printed or put into YAML."""
    return printable(" ".join(text.split()))


def quoted(text: str) -> str:
    """Words of the source for a sentence: on one line, and not too long."""
    line = one_line(text)
    return line if len(line) <= _MAX_QUOTED else f"{line[: _MAX_QUOTED - 3]}..."


def reaches(needs: Mapping[str, Iterable[str]], start: str, goal: str) -> bool:
    """Whether `goal` is what `start` needs, near or far."""
    seen: set[str] = set()
    left = [start]
    while left:
        name = left.pop()
        for one in needs.get(name, ()):
            if one == goal:
                return True
            if one not in seen:
                seen.add(one)
                left.append(one)
    return False
