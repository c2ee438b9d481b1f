"""A plain command line of run-phase or run-task, read without the command-line parser.

Importing the parser and building its commands takes 25 ms, a fifth of what a run of one task takes
altogether. What is not plain (help, errors, `-C`, a value that looks like an option, ...) is left
to it, so that nobody sees a difference; a test compares what the two make of the same words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from zf.cli.begin import Flags, RunOptions, begin_phases, begin_task
from zf.cli.display import progress
from zf.cli.exits import guarded
from zf.lean.record import record
from zf.settings import lines

_VALUES = {
    "--run-id": "run_id",
    "--max-jobs": "max_jobs",
    "-j": "max_jobs",
    "--phase-timeout": "phase_timeout",
    "--poll-interval": "poll_interval",
    "--grace": "grace",
    "--shield": "shield",
    "--key": "key",
    "--output": "output",
    "--progress": "progress_mode",
    "--tail": "tail",
}
_SWITCHES: dict[str, tuple[str, bool | str]] = {
    "--sign": ("sign", True),
    "--no-sign": ("sign", False),
    "--no-retries": ("no_retries", True),
    "--json": ("as_json", True),
    "--quiet": ("quiet", True),
    "-q": ("quiet", True),
    "--verbose": ("verbose", True),
    "-v": ("verbose", True),
}
_CHOICES = {"output": get_args(progress.Output), "progress_mode": get_args(progress.Mode)}


@record
class _Verb:
    """What a verb knows besides what all know; `lists` are values that can be given again."""

    output: progress.Output
    values: Mapping[str, str]
    lists: Mapping[str, str]
    switches: Mapping[str, tuple[str, bool | str]]


_VERBS = {
    "run-phase": _Verb(
        "quiet",
        _VALUES | {"--deadline": "deadline"},
        {"--resource": "resources", "--upstream": "upstream"},
        _SWITCHES
        | {
            "--fail-fast": ("fail_fast", "on"),
            "--fail-fast=now": ("fail_fast", "now"),
            "--dry-run": ("dry_run", True),
        },
    ),
    "run-task": _Verb("prefix", _VALUES, {}, _SWITCHES | {"--with-needs": ("with_needs", True)}),
}
# The long options that take a value, of any verb.
_JOINED = frozenset(
    name for verb in _VERBS.values() for name in (*verb.values, *verb.lists) if name[:2] == "--"
)


@record
class Plain:
    """A plain command line."""

    verb: str
    named: tuple[str, ...]
    options: Mapping[str, Any]


def run(words: Sequence[str]) -> int | None:
    """Carry out the command line if it is a plain one; its exit code."""
    plain = None if "_ZF_COMPLETE" in os.environ else read(words)
    if plain is None:
        return None
    options = {"output": _VERBS[plain.verb].output, "progress_mode": "auto", **plain.options}
    return guarded(lambda: _begin(plain, options))


def _begin(plain: Plain, options: dict[str, Any]) -> int:
    tail = options.pop("tail", None)
    show = progress.Show(
        options.pop("output"),
        options.pop("progress_mode"),
        options.pop("as_json", False),
        options.pop("quiet", False),
        options.pop("verbose", False),
        None if tail is None else lines(tail, "--tail"),
    )
    flags = Flags(**{n: options.pop(n) for n in Flags.__match_args__ if n in options})
    asked = RunOptions(show, **options)
    if plain.verb == "run-phase":
        return begin_phases(plain.named, flags, asked)
    return begin_task(plain.named[0], flags, asked)


def read(words: Sequence[str]) -> Plain | None:
    """What these words say, if they are plain."""
    verb = _VERBS.get(words[0]) if words else None
    if verb is None:
        return None
    named: list[str] = []
    options: dict[str, Any] = {}
    rest = iter(_apart(words[1:]))
    for word in rest:
        if word in verb.switches:
            name, switched = verb.switches[word]
            options[name] = switched
        elif word in verb.values or word in verb.lists:
            value = next(rest, "")
            if not _is_plain(value):
                return None
            if word in verb.lists:
                options.setdefault(verb.lists[word], []).append(value)
            else:
                options[verb.values[word]] = value
        elif _is_plain(word):
            named.append(word)
        else:
            return None
    if any(options.get(name, choices[0]) not in choices for name, choices in _CHOICES.items()):
        return None
    counts_right = named if words[0] == "run-phase" else len(named) == 1
    return Plain(words[0], tuple(named), options) if counts_right else None


def _apart(words: Sequence[str]) -> Iterator[str]:
    """The words, with an option and a value that are one word as two: `-j4`, `--run-id=x`."""
    for word in words:
        name, equals, value = word.partition("=")
        if word.startswith("-j") and word[2:].isdigit():
            yield from ("-j", word[2:])
        elif equals and name in _JOINED:
            yield from (name, value)
        else:
            yield word


def _is_plain(word: str) -> bool:
    return bool(word) and not word.startswith("-")
