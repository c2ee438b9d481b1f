"""What a task's result depends on, in named parts, and the key that comes of them. Pure.

The same on every machine of a platform and in every Python: each part is a plain value whose
canonical JSON is hashed. What the proof must not show is no part of the key: it is compared by
digests salted for each record, which need the salt and cannot be looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from zf.lean.records import Struct, field, replace
from zf.model import TASK_KEYS, Task, recorded
from zf.proof.canonical import canonical

# A part that is made otherwise is another format: what was recorded before does not match then.
FORMAT = "zf/cache/v1"
# In the order in which they are told. `format` is a part, too.
PARTS = ("format", "task", "script", "env", "sources", "needs", "platform", "tools")
# Of each part this many entries are kept to be compared; of larger ones only the digest.
_MOST_ENTRIES = 5_000
_SHOWN_CHARS = 80
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
# What no step sees, and what does not change what a success means: when it starts, how long it may
# take, whether it is tried again, what is called a failure but is none, how it is shown. What other
# parts have is not said twice. All else counts, and so does every key that is yet to come.
_UNSEEN = frozenset(
    {
        *("title", "file", "line", "tags", "needs", "condition", "env", "pass_env", "cache"),
        *("cache_env", "cache_tools", "sources", "parallel_safe", "priority", "resources"),
        *("concurrency", "on_newer", "max_parallel", "matrix_fail_fast", "log_tail"),
        "approval",
        *("timeout_s", "silence_timeout_s", "cleanup_timeout_s", "deadline_s", "start_after_s"),
        *("queue_timeout_s", "max_log_bytes", "max_retries", "retry_delay_s"),
        *("retry_max_delay_s", "retry_on", "allow_failure", "allow_timeout"),
        *("required_env", "skip_exit_codes", "origins"),
        *("nice", "memory_mb", "cpus", "pids_max", "open_files"),
    }
)
_UNSEEN_KEYS = frozenset(TASK_KEYS.get(name, name) for name in _UNSEEN)


def digest(value: Any) -> str:
    """The SHA-256, in hex, of a value's canonical JSON."""
    return sha256(canonical(value)).hexdigest()


def salted(salt: str, name: str, value: str) -> str:
    """A digest of what must not be shown, which says nothing without the salt."""
    return sha256(f"{salt}\0{name}\0{value}".encode("utf-8", "surrogateescape")).hexdigest()


def of_task(task: Task) -> tuple[dict[str, Any], list[str]]:
    """The parts `task` and `script`: what it says that its steps see, or that changes what its
    result is; and what its steps run.
    """
    said = {key: value for key, value in recorded(task).items() if key not in _UNSEEN_KEYS}
    scripts = []
    for kind in ("commands", "cleanup"):
        steps = [dict(step) for step in said[kind]]
        for step in steps:
            scripts.append(step.pop("run"))
            del step["line"]
        said[kind] = steps
    return said, scripts


class Change(Struct, frozen=True):
    """One thing that differs: which part, what in it, and what it was and is, in words."""

    part: str
    name: str
    old: str
    new: str

    def as_json(self) -> dict[str, str]:
        return {"part": self.part, "name": self.name, "old": self.old, "new": self.new}


class Parts(Struct, frozen=True):
    """Everything that a result depends on. `values` has each part's value by its name, `digests`
    each part's digest; of `hidden` things there are salted digests by name, made with `salt`.
    """

    values: Mapping[str, Any]
    digests: Mapping[str, str]
    salt: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The SHA-256, in hex, of the parts' digests and the names of what is hidden."""
        return digest({"parts": dict(self.digests), "hidden": sorted(self.hidden)})

    def as_json(self) -> dict[str, Any]:
        """What a record says of them; of a large part there is only the digest."""
        return {
            "key": self.key,
            "parts": {
                name: {"sha256": self.digests[name], **_told(self.values[name])} for name in PARTS
            },
            "salt": self.salt,
            "hidden": dict(self.hidden),
        }

    def without_values(self) -> Parts:
        """The same with the digests alone."""
        return replace(self, values=dict.fromkeys(PARTS, _LARGE))


def made(values: Mapping[str, Any], secret: Mapping[str, str], salt: str) -> Parts:
    """The parts with these values but `format`; `secret` is what must not be shown, by name."""
    values = {"format": FORMAT, **values}
    return Parts(
        values,
        {name: digest(values[name]) for name in PARTS},
        salt if secret else "",
        {name: salted(salt, name, value) for name, value in sorted(secret.items())},
    )


def is_same(now: Parts, secret: Mapping[str, str], record: Mapping[str, Any]) -> bool:
    """Whether a record is of the same key, and what was hidden then is `secret` now."""
    hidden, salt = record.get("hidden"), record.get("salt")
    if record.get("key") != now.key or not isinstance(hidden, dict) or not isinstance(salt, str):
        return False
    return hidden == {name: salted(salt, name, value) for name, value in secret.items()}


def changes(
    now: Parts, secret: Mapping[str, str], record: Mapping[str, Any], most: int = 20
) -> list[Change]:
    """What differs from a record, in the order of the parts; never nothing where `is_same` says no,
    if the record is one.
    """
    found: list[Change] = []
    told = record.get("parts")
    told = told if isinstance(told, dict) else {}
    for name in PARTS:
        then = told.get(name)
        then = then if isinstance(then, dict) else {}
        if then.get("sha256") != now.digests[name]:
            found += _changed(name, then, now)
    found += _changed_hidden(secret, record)
    return found[:most]


def _changed(part: str, then: Mapping[str, Any], now: Parts) -> list[Change]:
    old, new = then.get("value", _LARGE), now.values[part]
    if old is _LARGE or _is_large(new) or type(old) is not type(new):
        return [Change(part, "", str(then.get("sha256", ""))[:12], now.digests[part][:12])]
    if isinstance(new, list):
        old, new = (
            {f"{_ENTRY.get(part, '')}{number}": one for number, one in enumerate(value)}
            for value in (old, new)
        )
    if not isinstance(new, dict):
        return [Change(part, "", _shown(old), _shown(new))]
    pairs = [(name, old.get(name, _LARGE), new.get(name, _LARGE)) for name in sorted({*old, *new})]
    return [
        Change(part, name, _shown(before), _shown(after))
        for name, before, after in pairs
        if before is _LARGE or after is _LARGE or canonical(before) != canonical(after)
    ]


def _changed_hidden(secret: Mapping[str, str], record: Mapping[str, Any]) -> Iterable[Change]:
    hidden, salt = record.get("hidden"), record.get("salt")
    hidden = hidden if isinstance(hidden, dict) else {}
    for name in sorted({*hidden, *secret}):
        if name not in hidden:
            yield Change("env", name, "not there", "a value that is not shown")
        elif name not in secret:
            yield Change("env", name, "a value that is not shown", "not there")
        elif hidden[name] != salted(str(salt), name, secret[name]):
            yield Change("env", name, "a value that is not shown", "another")


# What the entries of a list are called.
_ENTRY = {"script": "script ", "tools": "tool "}
# Stands for a value that is not there to be compared.
_LARGE: Any = object()


def _is_large(value: Any) -> bool:
    return value is _LARGE or (isinstance(value, list | dict) and len(value) > _MOST_ENTRIES)


def _told(value: Any) -> dict[str, Any]:
    """What a record has of a part beside its digest: of a large one, how many entries it has."""
    if value is _LARGE:
        return {}
    return {"count": len(value)} if _is_large(value) else {"value": value}


def _shown(value: Any) -> str:
    """A value in a few words."""
    if value is _LARGE:
        return "not there"
    text = value if isinstance(value, str) else canonical(value).decode().strip()
    text = _DIGEST.sub(r"\1", text)
    if "\n" in text or len(text) > _SHOWN_CHARS:
        first = text.partition("\n")[0][: _SHOWN_CHARS // 2]
        return f"{first}... ({digest(text)[:12]})"
    return text
