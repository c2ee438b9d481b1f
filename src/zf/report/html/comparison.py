"""Two runs side by side as a page: what `zf diff` says of them, and what took longer or shorter.

Pure. What differs is found by `zf diff`, and handed in as its JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from zf import __version__
from zf.events import Status
from zf.lean.records import Struct
from zf.report.html import sheet
from zf.report.html.state import State, state_of
from zf.report.summary import total_s
from zf.report.words import count, duration, moment, what

if TYPE_CHECKING:
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

# A shorter difference is chance: processes start in some hundredths of a second.
_LEAST_S, _LEAST_SHARE = 0.1, 0.05
_MOST_TIMES, _MOST_TASKS, _MOST_PAIRS, _MOST_OPEN = 100, 300, 100, 5
_GOOD = {Status.SUCCESS, Status.SKIPPED}

Turn = Literal["broke", "mended", "changed", "new", "gone"]
_TURNS: Mapping[Turn, str] = {
    "broke": "broke",
    "mended": "mended",
    "changed": "ended otherwise",
    "new": "new",
    "gone": "no longer there",
}


class Against(Struct, frozen=True):
    """The run that a run is compared with, and what `zf diff --json` says of the two: that one
    first.
    """

    run: RecordedRun
    difference: Mapping[str, Any]


class Ended(Struct, frozen=True):
    """A task that ended otherwise than before; None where it was not there."""

    task: str
    turn: Turn
    before: State | None
    now: State | None
    told: str


class Took(Struct, frozen=True):
    """A task, or the whole run, that took another time; in seconds."""

    name: str
    before_s: float
    now_s: float
    before: str
    now: str

    @property
    def longer_s(self) -> float:
        return self.now_s - self.before_s

    @property
    def told(self) -> str:
        sign = "+" if self.longer_s >= 0 else "\u2212"
        share = f", {sign}{abs(self.longer_s) / self.before_s:.0%}" if self.before_s else ""
        return f"{sign}{duration(abs(self.longer_s))}{share}".replace("%", " %")


class Pair(Struct, frozen=True):
    name: str
    before: str
    now: str


class Changed(Struct, frozen=True):
    """What is otherwise in a task, beside how it ended: `scripts` with their lines as `diff -u`
    writes them.
    """

    task: str
    told: str
    pairs: Sequence[tuple[str, Sequence[Pair]]]
    scripts: Sequence[tuple[Pair, Sequence[str]]]


def render(run: RecordedRun, against: Against) -> Iterator[bytes]:
    """The page, piece by piece."""
    environment = sheet.environment()
    environment.globals.update(count=count)
    css = sheet.css() + sheet.text("comparison.css")
    template = environment.get_template("comparison.html")
    yield from sheet.pieces(
        template,
        {"policy": sheet.policy(css), "css": css, "version": __version__, **shown(run, against)},
    )


def shown(run: RecordedRun, against: Against) -> dict[str, Any]:
    """What the template is filled with."""
    ended, took = list(_ended(run, against)), list(_took(run, against))
    changed = list(_changed(run, against))
    # What changed in a task that ended otherwise may be why.
    first = {one.task: place for place, one in enumerate(ended)}
    changed.sort(key=lambda one: first.get(one.task, len(first)))
    whole = _whole(run, against)
    took.sort(key=lambda one: (-abs(one.longer_s), one.name))
    longest = max((max(one.before_s, one.now_s) for one in took[:_MOST_TIMES]), default=0.0)
    return {
        "run": run,
        "before": against.run,
        "sentence": sentence(run, against, ended, whole),
        "sides": [_side(one) for one in (against.run, run)],
        "facts": [_pair(name, *pair) for name, pair in against.difference["facts"].items()],
        "ended": ended,
        "turns": _TURNS,
        "took": took[:_MOST_TIMES],
        "took_number": len(took),
        "longest_s": longest,
        "changed": changed[:_MOST_TASKS],
        "changed_number": len(changed),
        "told": {one.task for one in changed[:_MOST_TASKS]},
        "open": len(changed) <= _MOST_OPEN,
    }


def sentence(run: RecordedRun, against: Against, ended: Sequence[Ended], whole: Took | None) -> str:
    """What came of the change, in one sentence."""
    parts: list[str] = []
    for turn, word in _TURNS.items():
        number = sum(one.turn == turn for one in ended)
        if number:
            is_ = "" if turn in {"broke", "changed"} else "is " if number == 1 else "are "
            parts.append(f"{count(number, 'task') if not parts else number} {is_}{word}")
    told = ", ".join(parts) or "every task ended as before"
    left = len(against.run.facts.tasks.keys() - run.facts.tasks.keys())
    if left and _is_rerun(run, against):
        told += f"; {count(left, 'task')} {'was' if left == 1 else 'were'} not run again"
    if whole is not None and _counts(whole):
        than = "longer" if whole.longer_s > 0 else "shorter"
        told += f"; the run took {duration(abs(whole.longer_s))} {than}"
    if not ended and against.difference["same"]:
        told += "; nothing else differs that counts"
    return f"{run.id} after {against.run.id}: {told}."


def _side(run: RecordedRun) -> list[str]:
    facts = run.facts
    told = [facts.result, moment(facts.started_at) if facts.started_at else ""]
    took = total_s(facts)
    return [text for text in (*told, "" if took is None else duration(took)) if text]


def _ended(run: RecordedRun, against: Against) -> Iterator[Ended]:
    before, now = against.run.facts.tasks, run.facts.tasks
    found = []
    for name in now if _is_rerun(run, against) else dict.fromkeys((*now, *before)):
        one, other = before.get(name), now.get(name)
        turn = _turn(one, other)
        if turn is not None:
            told = what(other) if other else ""
            first, second = (state_of(task) if task else None for task in (one, other))
            found.append(Ended(name, turn, first, second, told))
    order = list(_TURNS)
    yield from sorted(found, key=lambda one: order.index(one.turn))


def _is_rerun(run: RecordedRun, against: Against) -> bool:
    """A part of that run was run again: the rest stands as it was."""
    return run.run.get("rerun_of") == against.run.id


def _turn(before: TaskFacts | None, now: TaskFacts | None) -> Turn | None:
    if before is None:
        return "new"
    if now is None:
        return "gone"
    if (before.word, before.warned) == (now.word, now.warned):
        return None
    good, is_good = (task.status in _GOOD or task.warned for task in (before, now))
    return "changed" if good == is_good else "mended" if is_good else "broke"


def _whole(run: RecordedRun, against: Against) -> Took | None:
    before, now = total_s(against.run.facts), total_s(run.facts)
    if before is None or now is None:
        return None
    return Took("the whole run", before, now, duration(before), duration(now))


def _took(run: RecordedRun, against: Against) -> Iterator[Took]:
    """Tasks whose last attempt took another time than before, by more than chance."""
    whole = _whole(run, against)
    if whole is not None and _counts(whole):
        yield whole
    for name, task in run.facts.tasks.items():
        before = against.run.facts.tasks.get(name)
        if before is None or before.duration_s is None or task.duration_s is None:
            continue
        if not before.attempt or not task.attempt:
            continue
        texts = (duration(before.duration_s), duration(task.duration_s))
        took = Took(name, before.duration_s, task.duration_s, *texts)
        if _counts(took):
            yield took


def _counts(took: Took) -> bool:
    least = max(_LEAST_S, _LEAST_SHARE * max(took.before_s, took.now_s))
    return abs(took.longer_s) >= least


def _changed(run: RecordedRun, against: Against) -> Iterator[Changed]:
    for task, change in against.difference["tasks"].items():
        ran = [_ran(one, task) for one in (against.run, run)]
        # What ran in one of the two has all that the other has not, which says nothing.
        keys = _NOUNS if all(ran) else ["definition"]
        parts = [count(len(change[key]), _NOUNS[key]) for key in keys if change.get(key)]
        if not parts:
            continue
        pairs = [
            (title, [_pair(name, *pair) for name, pair in list(change[key].items())[:_MOST_PAIRS]])
            for key, title in _PAIRS.items()
            if key in keys and change.get(key)
        ]
        scripts = [
            (_file(path, *pair), change.get("changes", {}).get(path, ()))
            for path, pair in change["scripts"].items()
            if "scripts" in keys
        ]
        yield Changed(task, ", ".join(parts), pairs, scripts)


def _ran(run: RecordedRun, task: str) -> bool:
    facts = run.facts.tasks.get(task)
    return facts is not None and facts.attempt > 0


_PAIRS = {
    "definition": "Task file",
    "env": "Environment",
    "outputs": "Outputs",
    "artifacts": "Artifacts",
}
_NOUNS = {
    "definition": "key",
    "scripts": "script",
    "env": "variable",
    "outputs": "output",
    "artifacts": "artifact",
}


def _pair(name: str, before: object, now: object) -> Pair:
    return Pair(name, _text(before), _text(now))


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else repr(value)


def _file(path: str, before: object, now: object) -> Pair:
    """A script: whether both runs have it says more than its digests."""
    words = ("not there" if digest is None else str(digest) for digest in (before, now))
    return Pair(path, *words)
