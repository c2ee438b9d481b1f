"""A short summary in Markdown, as GitHub shows it on the page of a workflow run, and the
annotations. Pure.

"Adding a job summary" and "Setting a notice, warning, error message" in "Workflow commands for
GitHub Actions"; Markdown is GitHub's (https://github.github.com/gfm/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from zf.errors import printable
from zf.lean import lazy
from zf.report.formats.findings import Finding, findings, log_of, said
from zf.report.summary import VERDICTS, total_s
from zf.report.words import Style, count, counted, duration, failed_tests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from zf.report.facts import Facts
    from zf.report.formats.recorded import RecordedRun
    from zf.report.task_facts import TaskFacts

# A summary of more than 1 MiB is not shown at all (github.com/actions/runner, 4337); the file is
# kept below this, with what others wrote into it.
MAX_BYTES = 900 * 1000
# More are in the log, and are not read.
_MOST_CAUSES = 50
_LOG_LINES = 50
# A graph of more is no longer looked at.
MOST_DRAWN = 50
# GitHub keeps ten annotations of each kind for a step.
MOST_ANNOTATIONS = 10
_MOST_CHARS = 4000
_SHAPES = Style(utf8=True)


def render(run: RecordedRun, *, room: int = MAX_BYTES) -> Iterator[bytes]:
    """The summary in at most `room` bytes: what matters least is left out first, and that is said.
    Nothing where there is no room for a line.
    """
    parts = _parts(run)
    dropped: list[str] = []
    # From the least to the most important.
    for name in ("graph", "log", "causes", "proof", "verdict"):
        text = _put_together(parts, dropped)
        if len(text) <= room:
            break
        parts[name] = ""
        dropped.append(name)
    else:
        text = b""
    yield text


def _put_together(parts: Mapping[str, str], dropped: Sequence[str]) -> bytes:
    shown = [part for part in parts.values() if part]
    if dropped:
        shown.append(f"_Left out, as there is no room: {', '.join(dropped)}._")
    return "".join(f"{part}\n\n" for part in shown).encode("utf-8", "backslashreplace")


def _parts(run: RecordedRun) -> dict[str, str]:
    found = findings(run)
    return {
        "verdict": _verdict(run.facts),
        "causes": _causes(run, found),
        "log": _log(run, found),
        "graph": _graph(run.facts),
        "proof": _proof(run),
    }


def _verdict(facts: Facts) -> str:
    shape = {"passed": "✓", "unfinished": "▸", "waiting": "▸"}.get(facts.result, "✕")
    total = count(len(facts.tasks), "task")
    counts = counted(facts.counts, facts.tolerated, len(facts.flaky))
    took = f" in {duration(total_s(facts))}" if total_s(facts) is not None else ""
    heading = f"### {shape} {VERDICTS[facts.result]}: zf run {_text(facts.run)}"
    plural = "s" if len(facts.phases) > 1 else ""
    phases = f"phase{plural} {_text(', '.join(facts.phases))}"
    return f"{heading}\n\n{total}: {_text(counts)}{took}, {phases}"


def _causes(run: RecordedRun, found: Sequence[Finding]) -> str:
    if not found:
        return ""
    lines = ["| what | why | where | holds up |", "|---|---|---|---|"]
    lines += [_row(run, finding) for finding in found[:_MOST_CAUSES]]
    if len(found) > _MOST_CAUSES:
        lines.append(f"| and {len(found) - _MOST_CAUSES} more | | | |")
    return "\n".join(lines)


def _row(run: RecordedRun, finding: Finding) -> str:
    task = finding.task
    shape = _SHAPES.shape("flaky" if task and task.flaky else task.conclusion) if task else "!"
    tests = failed_tests(task) if task else ""
    why = f"{_text(finding.what)} <code>{finding.code}</code>"
    why += f"<br>{_text(tests)}" if tests else ""
    where = _linked(run, finding) if finding.file else ""
    holds = count(finding.holds_up, "task") if finding.holds_up else ""
    return f"| {shape} {_text(finding.title)} | {why} | {where} | {holds} |"


def _linked(run: RecordedRun, finding: Finding) -> str:
    """The place in the task file, as a link into the commit where it is known."""
    place = f"<code>{_text(finding.file)}:{finding.line}</code>"
    ci: Any = run.run.get("ci") or {}
    commit = (run.run.get("source") or {}).get("commit")
    repository = _REPOSITORY.match(str(ci.get("url") or ""))
    if repository is None or not commit or not _PLAIN_PATH.fullmatch(finding.file):
        return place
    return f"[{place}]({repository[1]}/blob/{_text(str(commit))}/{finding.file}#L{finding.line})"


_REPOSITORY = lazy.pattern(r"(https://[\w.:-]+/[\w.-]+/[\w.-]+)/actions/runs/\d+\Z")
_PLAIN_PATH = lazy.pattern(r"[\w./-]+")


def _log(run: RecordedRun, found: Sequence[Finding]) -> str:
    """The log of the first failure, folded."""
    for finding in found:
        if finding.task is None or finding.kind != "error":
            continue
        lines = log_of(run, finding, _LOG_LINES)
        if lines:
            # No line of it ends the block.
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", "\n".join(lines))), default=0))
            head = f"<details><summary>Log of {_text(finding.task.id)}</summary>"
            return "\n".join([head, "", f"{fence}text", *lines, fence, "", "</details>"])
    return ""


def _graph(facts: Facts) -> str:
    if not 1 < len(facts.tasks) <= MOST_DRAWN:
        return ""
    names = {name: f"t{index}" for index, name in enumerate(facts.tasks)}
    lines = ["```mermaid", "flowchart LR"]
    for index, phase in enumerate(facts.phases):
        nodes = [_node(names[t.id], t) for t in facts.tasks.values() if t.phase == phase]
        if len(facts.phases) > 1:
            frame = f'  subgraph p{index}["{_for_mermaid(phase)}"]'
            # A mere outline: the colours are those of what became of the tasks.
            nodes = [frame, *nodes, "  end", f"  style p{index} fill:none,stroke:#868e96"]
        lines += nodes
    for task in facts.tasks.values():
        arrows = (f"  {names[need]} --> {names[task.id]}" for need in task.needs if need in names)
        lines += arrows
    lines += [f"  classDef {word} {style}" for word, style in _CLASSES.items()]
    return "\n".join([*lines, "```"])


def _node(name: str, task: TaskFacts) -> str:
    word = "flaky" if task.flaky else task.conclusion
    label = f"{_SHAPES.shape(word)} {task.id}"
    kind = _CLASS_OF.get(word, "other")
    return f'    {name}["{_for_mermaid(label)}"]:::{kind}'


# Colours that are read on a light page and on a dark one.
_CLASSES = {
    "good": "fill:#e6f4ea,stroke:#2e7d4f,color:#14532d",
    "bad": "fill:#fdecea,stroke:#c0392b,color:#7f1d1d",
    "warned": "fill:#fdf3dc,stroke:#b7791f,color:#6b4a0f",
    "other": "fill:#f1f3f5,stroke:#868e96,color:#343a40",
}
_CLASS_OF = {
    "success": "good",
    "failure": "bad",
    "timeout": "bad",
    "lost": "bad",
    "warned": "warned",
    "flaky": "warned",
    "blocked": "warned",
}


def _for_mermaid(label: str) -> str:
    return "".join(f"#{ord(char)};" if char in '#"<>&`\\;' else char for char in printable(label))


def _proof(run: RecordedRun) -> str:
    head, name = run.journal.head, printable(run.id)
    lines = [f"head <code>{_text(str(head))}</code>", ""]
    if run.sealed:
        lines += [
            "This page proves nothing. The proof does, exported as an archive:",
            "",
            "```sh",
            f"zf verify {name}.tar --head {head}",
            "```",
        ]
    else:
        lines.append("The run is not sealed: it goes on, or was killed.")
    return "\n".join(lines)


# What means something in Markdown or HTML; a bar ends a cell, @ and # would name someone, and `://`
# and `www.` make a link.
_SPECIAL = frozenset("\\`*_[]<>&#|~@:")


def _text(text: str) -> str:
    """Text as it is, whatever Markdown and HTML would make of it."""
    shown = "".join(f"&#{ord(char)};" if char in _SPECIAL else char for char in printable(text))
    return shown.replace("www.", "www&#46;")


def annotating(run: RecordedRun) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """The name, message and properties of each command that annotates a place: one for each cause,
    and of each kind no more than GitHub keeps, the last of which tells how many more there are.
    """
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings(run):
        by_kind.setdefault(finding.kind, []).append(finding)
    for kind, found in by_kind.items():
        shown = found if len(found) <= MOST_ANNOTATIONS else found[: MOST_ANNOTATIONS - 1]
        for finding in shown:
            place = {"file": finding.file, "line": finding.line} if finding.file else {}
            message = said(run, finding)[:_MOST_CHARS]
            yield kind, message, place | {"title": finding.title}
        if rest := found[len(shown) :]:
            names = ", ".join(finding.title for finding in rest)
            yield kind, names[:_MOST_CHARS], {"title": f"and {len(rest)} more"}
