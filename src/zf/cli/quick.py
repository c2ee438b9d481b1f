"""A plain command line of run, run-phase, run-task or rerun, read without the parser.

Importing the parser and building its commands takes 25 ms, a fifth of what a run of one task takes
altogether. What is not plain (help, errors, `-C`, a value that looks like an option, ...) is left
to it, so that no difference shows; a test compares what the two make of the same words.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.cli.begin import begin_named, begin_phases, begin_rerun, begin_task
from zf.cli.exits import guarded
from zf.lean.records import Struct
from zf.options import PHASE, RERUN, RUN, TASK, Option
from zf.settings import OPTIONS, RunOptions

# The long options that take the next word, of any verb.
_JOINED = frozenset(
    flag
    for option in OPTIONS.values()
    for flag in option.flags
    if flag[:2] == "--" and not option.is_switch and not option.alone
)

# How many words a verb takes that are no options, at least and at most.
_COUNTS = {PHASE: (1, sys.maxsize), TASK: (1, 1), RERUN: (0, 1)}


class Plain(Struct, frozen=True):
    """A plain command line: the verb, its arguments, and what was typed for each option."""

    verb: str
    named: tuple[str, ...]
    typed: Mapping[str, Any]


def run(words: Sequence[str]) -> int | None:
    """Carry out the command line if it is a plain one; its exit code."""
    plain = None if "_ZF_COMPLETE" in os.environ else read(words)
    return None if plain is None else guarded(lambda: _begin(plain))


def _begin(plain: Plain) -> int:
    options = RunOptions(plain.verb, plain.typed)
    if plain.verb == RUN:
        return begin_named(plain.named, options)
    if plain.verb == PHASE:
        return begin_phases(plain.named, options)
    if plain.verb == RERUN:
        return begin_rerun(plain.named[0] if plain.named else "latest", options)
    return begin_task(plain.named[0], options)


def read(words: Sequence[str]) -> Plain | None:
    """What these words say, if they are plain."""
    if not words or words[0] not in {RUN, PHASE, TASK, RERUN}:
        return None
    verb = words[0]
    says = _what_flags_say(verb)
    named: list[str] = []
    typed: dict[str, Any] = {}
    words, arguments = _without_arguments(words[1:])
    if arguments and verb == RERUN:
        return None  # it has those of the run that it repeats
    if arguments:
        typed["arguments"] = arguments
    rest = iter(_apart(words))
    for word in rest:
        if word not in says:
            if not _is_plain(word):
                return None
            named.append(word)
            continue
        option, value = says[word]
        if value is None:
            value = next(rest, "")
            if not _is_plain(value) or (option.choices and value not in option.choices):
                return None
        if option.many:
            typed.setdefault(option.name, []).append(value)
        else:
            typed[option.name] = value
    fewest, most = _COUNTS.get(verb, (0, len(named)))
    return Plain(verb, tuple(named), typed) if fewest <= len(named) <= most else None


def _without_arguments(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words before `--`, and those after it."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _what_flags_say(verb: str) -> dict[str, tuple[Option[Any], Any]]:
    """Each flag's option and value, which is None where the next word is it."""
    found: dict[str, tuple[Option[Any], Any]] = {}
    for option in OPTIONS.values():
        if verb in option.verbs and not option.is_rest:
            value = True if option.is_switch else option.alone or None
            found |= dict.fromkeys(option.flags, (option, value))
            found |= {option.off: (option, False)} if option.off else {}
            if option.alone:
                found |= {f"{option.flags[0]}={c}": (option, c) for c in option.choices}
    return found


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
