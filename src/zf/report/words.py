"""How facts are worded: durations, moments, sentences about a task, lines of a log, colours.

Every text that came from a task or its file leaves here as one printable line. Pure.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from zf.errors import printable
from zf.events import Cause, Status
from zf.lean import lazy
from zf.lean.records import Struct
from zf.report import lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from zf.events import ConditionEvaluated
    from zf.report.task_facts import TaskFacts

# Ten lines show the last error of most tools without pushing the rest of the report away; 400
# characters keep a minified bundle or a progress bar from doing so.
TAIL_LINES = 10
TAIL_CHARS = 400
NO_TAILS: Mapping[str, Sequence[str]] = MappingProxyType({})

_COLOURS = {
    name: colour
    for colour, names in {
        "1": "bold",
        "2": "dim skipped",
        "31": "failure lost timeout",
        "32": "success",
        "33": "blocked cancelled flaky retry throttle warned warning",
        "36": "running start",
        "1;31": "error failed tampered",
        "1;32": "passed",
        "1;33": "interrupted unfinished",
    }.items()
    for name in names.split()
} | {"nothing run": "1;33"}
# Numbers that mean the same on Linux and macOS; a proof may be read on either.
_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM",
}
# As in `redact/escapes.py`, which hides what these split: a longer one is no colour.
_SGR = lazy.pattern(r"\x1b\[[0-9;:]{0,64}m")
# What a program that draws on a terminal prints: ECMA-48's control sequences, and operating system
# commands as xterm knows them.
_ESCAPE = lazy.pattern(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,256}(\x07|\x1b\\)|[ -/]*[0-~])")


# What a state looks like, in UTF-8 and where that cannot be shown.
_SHAPES = {
    "success": "✓+",
    "failure": "✕x",
    "timeout": "◷t",
    "lost": "!!",
    "blocked": "\u2013-",
    "cancelled": "\u2013-",
    "skipped": "○o",
    "flaky": "↻r",
    "retry": "↻r",
    "warned": "✕x",
    "start": "▸>",
    "running": "▸>",
    "waiting": "·.",
}


class Style(Struct, frozen=True):
    """Whether to colour, whether there are shapes beyond ASCII, and how wide the terminal is; 0 for
    anything else, where no line is broken. The words are the same.
    """

    colour: bool = False
    utf8: bool = False
    columns: int = 0
    # How the user calls zf: with `-C DIR`, if that was said.
    zf: str = "zf"

    def folded(self, text: str, then: str = "    ") -> str:
        """One line of text, broken between words for the terminal; the rest begins with `then`."""
        if not self.columns or len(without_colour(text)) <= self.columns:
            return text
        lines, line = [], ""
        indent = " " * (len(text) - len(text.lstrip(" ")))
        for word in text.lstrip(" ").split(" "):
            longer = f"{line} {word}" if line else f"{indent}{word}"
            if line.strip() and len(without_colour(longer)) > self.columns:
                lines.append(line.rstrip())
                longer = f"{then}{word}"
            line = longer
        return "\n".join([*lines, line])

    def paint(self, text: str, name: str) -> str:
        """The text in the colour of a status, a result, or `bold`, `dim`, `error`, `warning`."""
        if not (text and self.colour) or name not in _COLOURS:
            return text
        return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m"

    def shape(self, name: str) -> str:
        """The one character for a status, in its colour."""
        shapes = _SHAPES.get(name, "  ")
        return self.paint(shapes[0 if self.utf8 else 1], name)

    def label(self, word: str, colour: str = "") -> str:
        """Shape and word at the start of a line, as wide as the longest word, `cancelled`."""
        name = colour or word
        return f"{self.shape(name)} {self.paint(word, name)}{' ' * (9 - len(word))}"


PLAIN = Style()


def duration(seconds: float | None) -> str:
    """A time span for people: 0.3s, 12.4s, 3m05s, 1h02m, 2d03h; `-` where unknown."""
    if seconds is None:
        return "-"
    tenths = round(max(0.0, seconds) * 10)
    if tenths < 600:
        return f"{tenths // 10}.{tenths % 10}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h"


def size(count: float | None) -> str:
    """So many bytes for people: 512 B, 9.5 KiB, 2.1 GiB; `-` where unknown."""
    if count is None:
        return "-"
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < 1000:  # four digits before the point are hard to read
            break
        count, unit = count / 1024, larger
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def whole(seconds: float) -> str:
    """The same without parts of a second, for what is redrawn as it passes: 58s, 5m, 1h02m."""
    if seconds < 60:
        return f"{int(max(0.0, seconds))}s"
    told = duration(seconds)
    return told.removesuffix("00s") if told.endswith("m00s") else told


def spent(task: TaskFacts, before: str = "") -> str:
    """How long its last attempt took, with `before` before it; nothing where that is not known, as
    of an attempt whose zf died.
    """
    known = task.attempt and task.cause is not Cause.RUNNER
    return f"{before}{duration(task.duration_s)}" if known else ""


def limit(seconds: float) -> str:
    """A time limit as it was set: 5s, 0.5s, 3600s."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds}s"


def moment(at: str) -> str:
    """An RFC 3339 time of day in UTC, to the second: 2026-11-21 06:30:44 UTC."""
    if not at:
        return "-"
    return printable(f"{at[:10]} {at[11:19]} UTC")


def count(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def not_shown(lines: int) -> str:
    """`... 1 204 lines not shown`: progress that a display was too slow for."""
    return f"... {lines:,} {'line' if lines == 1 else 'lines'} not shown\n".replace(",", " ")


def log_line(text: str) -> str:
    r"""A line of a task's output, safe to print: tabs expanded, colours dropped, the rest visible.

    Colours are dropped rather than shown as ``\x1b[31m``, because a red FAILED should still read as
    FAILED. Whatever the dropping leaves goes through `printable`.
    """
    if text.isascii() and text.isprintable():
        return text
    return printable(without_colour(text.rstrip("\r\n")).expandtabs(8))


def last_shown(text: str, style: Style) -> str:
    """The same for one line among others on a screen, in what its locale can show: without the
    escapes of a program that draws, and without gaps at its ends.
    """
    # Cut first, as below: what escapes hide is dropped.
    shown = log_line(_ESCAPE.sub("", text[: 4 * TAIL_CHARS])).strip()
    return shown if style.utf8 else shown.encode("ascii", "backslashreplace").decode("ascii")


def without_colour(text: str) -> str:
    return _SGR.sub("", text)


def tail(lines: Sequence[str], most: int = TAIL_LINES) -> list[str]:
    """What of a log says why its step failed, safe to print and each line of bounded length."""
    from zf.report.excerpt import excerpt  # noqa: PLC0415 - for failures alone

    # Cut first: a line may be a gigabyte. Four times, for colours and escapes still to be dropped.
    shown = (log_line(line.rstrip()[-4 * TAIL_CHARS :]) for line in excerpt(lines, most))
    return [f"...{line[3 - TAIL_CHARS :]}" if len(line) > TAIL_CHARS else line for line in shown]


def quoted_log(lines: Iterable[str], indent: str = "  ") -> list[str]:
    """Log lines behind a bar, so that nothing a task prints can pass for a line of zf's own."""
    return [f"{indent}| {line}".rstrip() for line in lines]


# Of a task's state, in the order in which they are counted.
WORDS = (*(status.value for status in Status), "running", "waiting")


def counted(
    counts: Mapping[str, int], tolerated: Mapping[str, int], flaky: int, cached: int = 0
) -> str:
    """`2 success (1 flaky), 1 failure (1 warned)`: statuses first, in the order of their words."""
    parts = []
    for word in filter(counts.get, WORDS):
        notes = [f"{tolerated[word]} warned"] if tolerated.get(word) else []
        if word == Status.SUCCESS:
            notes += [f"{n} {how}" for n, how in ((flaky, "flaky"), (cached, "cached")) if n]
        parts.append(f"{counts[word]} {word}" + (f" ({', '.join(notes)})" if notes else ""))
    return ", ".join(parts)


def dependency(need: str, word: str) -> str:
    """The line scripts grep for."""
    return f"dependency '{printable(need)}' has status: {word}"


def story(task: TaskFacts) -> str:
    """What happened, after the word for the task's conclusion: that one hides what `warned` was."""
    told = f"cached from run {printable(task.cached_from)}" if task.cached_from else what(task)
    if task.warned:
        return f"{task.word}, tolerated: {told}"
    if task.flaky:
        return f"flaky: {told}" if told else "flaky"
    if task.word == "waiting" and task.earlier:
        last = task.earlier[-1]
        soon = limit(last.delay_s) if last.delay_s else "at once"
        return f"for attempt {task.attempt + 1}, {soon} after {last.task.word}: {what(last.task)}"
    return told


def tries(task: TaskFacts) -> list[str]:
    """A line for each attempt that was followed by another, or should have been."""
    lines = []
    for tried in task.earlier:
        was = tried.task
        line = f"attempt {was.attempt}: {was.word}{spent(was, ' after ')}: {what(was)}"
        again = f"attempt {was.attempt + 1}"
        if tried.dropped is not None:
            then = f"{again} dropped: {because(tried.dropped)}"
        elif tried.delay_s is None:
            then = f"{again} by zf resume"
        else:
            soon = f"{limit(tried.delay_s)} later" if tried.delay_s else "at once"
            then = f"{again} scheduled {soon}"
        lines.append(f"{line}; {then}")
    return lines


def because(cause: Cause) -> str:
    """Why an attempt that was to come never came."""
    return _DROPPED.get(cause) or _SENTENCES.get(cause, cause.value)


def condition(asked: ConditionEvaluated) -> str:
    """The answer to a condition, and the values of its operands."""
    answers = {True: "is true", False: "is false", None: "cannot be evaluated"}
    seen = ", ".join(f"{name} = {_value(value)}" for name, value in asked.operands.items())
    why = f": {asked.error}" if asked.error else ""
    return printable(
        f"condition {answers[asked.value]}: {asked.condition}"
        + (f" ({seen})" if seen else "")
        + why
    )


def _value(value: object) -> str:
    """As the language of conditions writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)


def what(task: TaskFacts) -> str:
    """What happened to a task that ended, in a sentence without its name; empty for success. Or
    what one that could start waits for.
    """
    detail = printable(task.detail)
    if task.held_by:
        return f"waits for '{printable(task.concurrency)}', held by {printable(task.held_by)}"
    if task.status in {None, Status.SUCCESS}:
        return detail
    if task.unmet:
        return "; ".join(dependency(need, word) for need, word in task.unmet.items())
    match task.cause:
        case Cause.EXIT:
            return f"{step(task)} exited with code {task.exit_code}"
        case Cause.SIGNAL:
            return f"{step(task)} was ended by {signal_name(task.signal)}"
        case Cause.TIMEOUT if task.step is not None:
            return f"{step(task)} ran past timeout_sec ({limit(task.timeout_s)})"
        case Cause.SKIP_EXIT_CODE:
            return f"{step(task)} exited with code {task.exit_code}: nothing to do"
        case Cause.PHASE_TIMEOUT if task.attempt:
            return f"{step(task)} was running when the phase timeout struck"
        case Cause.INTERRUPT if task.attempt:
            return f"{step(task)} was interrupted"
        case Cause.FAIL_FAST if task.attempt:
            return f"{step(task)} was ended: another task had failed (--fail-fast=now)"
        case Cause.MATRIX if task.attempt:
            return f"{step(task)} was ended: another instance of its matrix had failed (fail_fast)"
    # What ended it knew more than the cause says.
    return detail or _SENTENCES.get(task.cause, task.word)


def failed_tests(task: TaskFacts) -> str:
    """`3 of 812 tests failed: names`, by the reports that the task left; empty if none did."""
    tests = task.tests
    failed = tests.get("failed", 0) + tests.get("errors", 0)
    if not failed:
        return ""
    names = [printable(str(name)) for name in tests.get("names", ())[:_MOST_TESTS]]
    more = f" and {failed - len(names)} more" if names and failed > len(names) else ""
    total = count(tests.get("total", 0), "test")
    return f"{failed} of {total} failed" + (f": {', '.join(names)}{more}" if names else "")


def tests(task: TaskFacts) -> str:
    """`812 tests: 3 failed, 5 skipped`, by the reports that the task left; empty without any."""
    said = task.tests
    if not said:
        return ""
    failed, errors, skipped = (said.get(key, 0) for key in ("failed", "errors", "skipped"))
    parts = [f"{failed} failed"] * (failed > 0) + [count(errors, "error")] * (errors > 0)
    parts += [f"{skipped} skipped"] * (skipped > 0)
    return f"{count(said.get('total', 0), 'test')}: {', '.join(parts) or 'all passed'}"


_MOST_TESTS = 5  # of their names; the report itself has them all

# What a task that did not succeed did, for the first line about it.
VERBS: Mapping[Status, str] = {
    Status.FAILURE: "failed",
    Status.TIMEOUT: "timed out",
    Status.LOST: "was lost",
}

_SENTENCES: Mapping[Cause, str] = {
    Cause.TIMEOUT: "its time ran out",
    Cause.PHASE_TIMEOUT: "the phase timeout struck before it could start",
    Cause.INTERRUPT: "zf was interrupted before it could start",
    Cause.PHASE_FAILED: "an earlier phase failed",
    Cause.FAIL_FAST: "another task had failed (--fail-fast)",
    Cause.MATRIX: "another instance of its matrix had failed (fail_fast)",
    Cause.SPAWN: "a step could not be started",
    Cause.WORKDIR: "its workdir cannot be used",
    Cause.SERVICE: "a service of it failed",
    Cause.OOM: "it reached its memory_mb",
    Cause.LIMIT: "it reached one of its limits",
    Cause.SURVIVORS: "it left processes behind",
    Cause.ARTIFACTS: "an artifact was refused",
    Cause.BUDGET: "it used more than its budget",
    Cause.ON_END: "it is a handler for another end",
    Cause.REPEAT_LIMIT: "its probes were not good in time",
    Cause.BAD_PROBES: "too many of its probes were bad",
    Cause.INCONCLUSIVE: "its probes could not measure",
    Cause.PROBE_TIMEOUT: "a probe ran out of its time",
    Cause.METRICS: "what it measured could not be read",
    Cause.INSTANCES: "no instances could be made of what a need handed on",
    Cause.OUTPUTS: "an output was missing or could not be used",
    Cause.STORAGE: "its proof could not be written",
    **lost.WORDS,
    Cause.RUNNER: "zf itself died while it ran",
    Cause.STEP_TIMEOUT: "a step's time ran out",
    Cause.SKIP_EXIT_CODE: "a step said that there is nothing to do",
    Cause.SILENCE: "it printed nothing for too long",
    Cause.CONDITION: "its condition did not let it run",
    Cause.DEADLINE: "its deadline passed",
    Cause.QUEUE_TIMEOUT: "it waited too long for its turn",
    Cause.CANCEL: "cancelled by `zf cancel`",
    Cause.SUPERSEDED: "a newer run took its group",
    Cause.CLEANUP: "its cleanup failed",
    Cause.APPROVAL_TIMEOUT: "it was not approved in time",
    Cause.APPROVAL_REJECTED: "its approval was refused",
}

_DROPPED: Mapping[Cause, str] = {
    Cause.PHASE_TIMEOUT: "the phase timeout struck",
    Cause.INTERRUPT: "zf was interrupted",
    Cause.DEADLINE: "a deadline passed",
    Cause.MATRIX: "another instance of its matrix failed",
}


def step(task: TaskFacts) -> str:
    """`step 'Seed'`, `step-1` for one without a name, or `it` where no step is known."""
    if task.step is None:
        return "it"
    row = _step_row(task)
    name = printable(str(row["name"])) if row else ""
    return f"step '{name}'" if name and name != f"step-{task.step}" else f"step-{task.step}"


def _step_row(task: TaskFacts) -> Mapping[str, object] | None:
    return None if task.step not in range(len(task.steps)) else task.steps[task.step or 0]


def line_number(task: TaskFacts) -> int:
    """Where in its file the failing step is, else the task itself."""
    row = _step_row(task)
    number = row.get("line") if row else None
    return number if isinstance(number, int) and number > 0 else task.line


def place(task: TaskFacts) -> str:
    """`tasks/40-seed-database/task.yaml:12`."""
    return f"{printable(task.file)}:{line_number(task)}"


def signal_name(number: int | None) -> str:
    name = _SIGNALS.get(number) if number is not None else None
    return f"signal {number} ({name})" if name else f"signal {number}"
