"""One attempt and the cache: its key before its steps, an earlier result in place of them, and what
is recorded of it afterwards, in `30-cache.json`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zf.errors import error_text, printable
from zf.events import Cached, CacheMissed, Status
from zf.lean.records import Struct
from zf.model import RESERVED_ENV, Task
from zf.proof.layout import ARTIFACTS, CACHE, OUTPUTS
from zf.proof.lines import object_lines
from zf.work.caching import files, parts, restore
from zf.work.caching.files import Generated, UnusableError
from zf.work.caching.lookup import Lookup, Missed, Origin, listed
from zf.work.caching.restore import NotRestoredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from zf.proof.tree.store import TaskTree
    from zf.work.environment import Environment, Outside
    from zf.work.outcome import Outcome

# What tools print beyond this is no version.
MAX_TOOL_BYTES = 64 * 1024


class Around(Struct, frozen=True):
    """Where an attempt's key comes from: the project, its environment, and what it is given."""

    root: str
    proofs: str
    environ: Mapping[str, str]
    env: Environment
    outside: Outside
    # Of each need, the digest of what it left; empty for one that left nothing.
    needs: Mapping[str, str]
    # What may be shown of a text.
    hide: Callable[[str], str]
    # What a tool of the task printed, asked where its steps run. Raises UnusableError.
    ask: Callable[[str], str]
    # Begins a look at files: what it gives says between them why to stop, if there is a reason.
    looking: Callable[[], Callable[[], str]]


class Use:
    """The cache for one attempt. `why_not` is why its result cannot count for another run."""

    def __init__(self, task: Task, shown: Task, attempt: int, around: Around) -> None:
        """Tells its key. `shown` is the task as it may be seen."""
        self._task, self._shown, self._attempt, self._around = task, shown, attempt, around
        self.why_not = ""
        self.origin: Origin | None = None
        self._secret: dict[str, str] = {}
        self._parts: parts.Parts | None = None
        try:
            self._sources = self._look()
            self._parts = self._made()
        except UnusableError as error:
            self.why_not = str(error)

    def find(self, lookup: Lookup, *, bring_back: bool = True) -> Cached | CacheMissed:
        """Look for a result that counts, and have its files in the project, or see whether that can
        be; what came of it.
        """
        task, attempt = self._task.id, self._attempt
        if self._parts is None:
            return CacheMissed(task, attempt, "", self._around.hide(self.why_not))
        key, reason = self._parts.key, ""
        there: list[Generated] = []

        def meanwhile() -> None:
            with suppress(UnusableError):  # which will be told if it comes to that
                there.append(self._generated(whole=False))

        for found in lookup.find(task, self._parts, self._secret, meanwhile):
            if isinstance(found, Missed):
                if reason:  # it is of a result with this key, so what others changed is no matter
                    return CacheMissed(task, attempt, key, reason)
                hide = self._around.hide  # what an earlier run showed may be a secret by now
                changed = [
                    {key: hide(text) for key, text in change.as_json().items()}
                    for change in found.changed
                ]
                return CacheMissed(task, attempt, key, found.reason, found.run, changed)
            try:
                now = there.pop() if there else self._generated(whole=False)
                if bring_back:
                    self._restore(now, found)
                else:
                    restore.lacking(now, found)
            except (NotRestoredError, UnusableError) as error:
                reason = reason or self._around.hide(str(error))
            except OSError as error:
                reason = reason or f"run {found.run}: {error_text(error)}"
            else:
                self.origin = found
                return Cached(task, attempt, key, found.run, found.head)
        raise AssertionError  # a lookup ends with why there is no more

    def conclude(self, outcome: Outcome, tree: TaskTree) -> None:
        """Record what the result depends on, and whether it may count for others."""
        if self._parts is None:
            if outcome.status is Status.SUCCESS:
                outcome.notes.append(f"not cached: {self._around.hide(self.why_not)}")
            return
        if outcome.status is not Status.SUCCESS:
            return
        if outcome.tolerated:
            outcome.notes.append("not cached: a step failed, and was tolerated")
            return
        left: Generated | None = None
        if self.origin is None:
            try:
                left = self._generated()
                self._refuse_changes(outcome)
            except UnusableError as error:
                self.why_not = self._around.hide(str(error))
                outcome.notes.append(f"not cached: {self.why_not}")
        tree.write(CACHE, self._record(left))

    def _look(self) -> dict[str, str]:
        around, task = self._around, self._task
        return files.sources(
            around.root,
            task.sources,
            task.generates,
            proofs=around.proofs,
            environ=around.environ,
            why_stop=around.looking(),
        )

    def _refuse_changes(self, outcome: Outcome) -> None:
        """A result is of what was there: not of files that changed meanwhile. And it is whole."""
        if outcome.collected.refusals:
            raise UnusableError("not all of its artifacts were kept")
        now = self._look()
        changed = [p for p in {*self._sources, *now} if self._sources.get(p) != now.get(p)]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise UnusableError(f"{min(changed)!r}{more} of its sources changed while it ran")

    def _generated(self, *, whole: bool = True) -> Generated:
        around, task = self._around, self._task
        return files.generated(
            around.root,
            task.generates,
            content=task.generates_check == "content",
            proofs=around.proofs,
            why_stop=around.looking(),
            whole=whole,
        )

    def _restore(self, now: Generated, origin: Origin) -> None:
        root = self._around.root
        if restore.generates(root, now, origin):
            restore.generates(root, self._generated(whole=False), origin)

    def _made(self) -> parts.Parts:
        around, task = self._around, self._task
        said, scripts = parts.of_task(self._shown)
        if self._shown is not task and parts.of_task(task) != (said, scripts):
            self._secret["the task's own words"] = parts.digest(parts.of_task(task))
        tools = {command: self._open(command, around.ask(command)) for command in task.cache_tools}
        values = {
            "task": said,
            "script": scripts,
            "env": self._env(),
            "sources": self._sources,
            "needs": dict(around.needs),
            "platform": platform(),
            "tools": tools,
        }
        made = parts.made(values, self._secret, os.urandom(16).hex())
        return made if around.hide(repr(values)) == repr(values) else made.without_values()

    def _env(self) -> dict[str, str | None]:
        """Every variable that the task, its inputs and the like give its steps, and what `cache`
        names; what the proof does not show goes among the secrets.
        """
        values, outside = self._around.env.values, self._around.outside
        own, hidden = self._task.env.keys(), {*self._around.env.hidden}
        names = {
            name
            for name in values
            if name in own or (name not in RESERVED_ENV and not outside.is_from_outside(name))
        }
        found: dict[str, str | None] = {}
        named = outside.named(self._task.cache_env)
        passed = outside.passed(self._task.pass_env + self._task.required_env)
        for name in sorted({*names, *named, *(n for n in self._task.cache_env if _is_name(n))}):
            value = values.get(name, named.get(name))
            if value is None:
                found[name] = None
            elif name not in hidden and (name in own or (name in values and name not in passed)):
                found[name] = self._open(name, value)
            else:
                self._secret[name] = value
        return found

    def _open(self, name: str, value: str) -> str:
        """A value as it may be shown; what may not be counts as a secret."""
        shown = self._around.hide(value)
        if shown != value:
            self._secret[name] = value
        return shown

    def _record(self, left: Generated | None) -> bytes:
        assert self._parts is not None
        record: dict[str, Any] = {
            "schema": parts.FORMAT,
            "task": self._task.id,
            "stored": left is not None and not self.why_not,
            "why_not": printable(self.why_not),
            "cached_from": self.origin.as_json() if self.origin else {},
            **self._parts.as_json(),
            "generates": left.as_json(self._task.generates_check) if left else {},
        }
        return object_lines(record)


def _is_name(pattern: str) -> bool:
    return not set(pattern) & set("*?[")


def platform() -> str:
    """The kind of machine that results hold for."""
    return f"{sys.platform}-{os.uname().machine}"


def left_by(folder: str, task_sha256: str) -> str:
    """The digest of what later tasks take of a need: its artifacts and outputs; empty where there
    is none. Raises OSError, and ValueError for a tree that has another list.
    """
    left = {
        path: digest
        for path, digest in listed(folder, task_sha256).items()
        if path.startswith(f"{ARTIFACTS}/") or path == OUTPUTS
    }
    return parts.digest(left) if left else ""
