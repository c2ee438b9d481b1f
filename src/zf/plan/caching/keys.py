"""The keys of a task that say what its result depends on, and whether an earlier one may count."""

from __future__ import annotations

from collections.abc import Mapping

from zf.plan.files.patterns import ENV_GLOB, GLOB, NOT_BLANK
from zf.plan.form import BOOL, Key, either, list_of, one_of, text

_SOURCES = list_of(text(GLOB))

CACHE: Mapping[str, Key] = {
    "env": Key(
        list_of(text(ENV_GLOB)),
        "Variables whose values count, beside those of `env`: names, or globs like `AWS_*`.",
        default=[],
    ),
    "tools": Key(
        list_of(text(NOT_BLANK)),
        "Commands that print the versions of what the task runs; what they print counts.",
        default=[],
    ),
    "check": Key(
        one_of("content"),
        "`content`: a folder among `generates` is compared by what is in its files, not by its list"
        " of paths, sizes, modes and times.",
    ),
}

CACHING: Mapping[str, Key] = {
    "sources": Key(
        _SOURCES,
        "Globs of the files that the task reads, relative to the project root; `!` takes some out.",
    ),
    "generates": Key(
        _SOURCES,
        "Globs of files, and folders, that the task leaves in the project; `!` takes some out.",
    ),
    "cache": Key(
        either(BOOL, CACHE),
        "Whether the success of an earlier run counts, with `--cached`, while nothing that the task"
        " depends on has changed.",
        keys=CACHE,
    ),
}
