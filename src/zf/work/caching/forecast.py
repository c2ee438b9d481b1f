"""What `--dry-run --why` tells: whose result would count for each task, as far as that can be known
while nothing is run and nothing is changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from zf.events import Cached
from zf.instances import listed_by
from zf.plan.caching.checks import never_cached
from zf.plan.outputs.values import split, value_of
from zf.proof.tree.contents import checked_outputs
from zf.report.remarks import on_cache
from zf.work.caching.use import Around, Use, left_by
from zf.work.environment import Outside

if TYPE_CHECKING:
    from zf.inputs import Inputs
    from zf.model import Flow, Task
    from zf.plan.graph import Plan
    from zf.redact.redactor import Redactor
    from zf.work.caching.lookup import Lookup

# Where a need's tree is, and the digest of its list.
Tree = tuple[str, str]


class Forecast:
    """Goes through the tasks of a plan in its order; what a need leaves is known where an earlier
    result would count for it, or an earlier run met it.
    """

    def __init__(
        self,
        flow: Flow,
        plan: Plan,
        inputs: Inputs,
        environ: Mapping[str, str],
        redactor: Redactor,
        lookup: Lookup,
    ) -> None:
        self._flow, self._plan = flow, plan
        self._outside = Outside(environ, flow.project, inputs)
        self._redactor = redactor
        self._lookup = lookup
        self._trees: dict[str, Tree | None] = {
            need: (f"{flow.proofs}/{met.run}/{need}", met.task_sha256) if met.task_sha256 else None
            for need, met in plan.upstream.items()
        }

    def lines(self) -> Iterator[str]:
        """For each task that says `cache`, what is to be said of it."""
        for task in self._plan.tasks.values():
            if task.cache:
                first, *rest = self._of(task)
                yield f"{task.id}  {first}"
                yield from (f"  {line}" for line in rest)

    def _of(self, task: Task) -> list[str]:
        if why := never_cached(task, self._flow.project):
            return [f"is never cached: {why[0]}"]
        if task.matrix_from:
            listed = " and ".join(listed_by(task.matrix_from))
            return [f"has instances that are known when {listed} is"]
        unknown = [
            need.task
            for need in task.needs
            if need.task in self._plan.tasks and need.task not in self._trees
        ]
        if unknown:
            return [f"depends on what {', '.join(unknown)} leaves"]
        said = self._lookup.newest(task.id).get("parts", {}).get("tools", {}).get("value", {})
        tools = dict.fromkeys(task.cache_tools, "") | (said if isinstance(said, dict) else {})
        use = Use(task, self._redactor.task(task), 1, self._around(task, tools.__getitem__))
        found = use.find(self._lookup, bring_back=False)
        if not isinstance(found, Cached):
            return on_cache(found)
        assert use.origin is not None
        self._trees[task.id] = use.origin.folder, use.origin.task_sha256
        more = ", if its tools print what they printed" if task.cache_tools else ""
        return [f"the result of run {found.origin} would count{more}"]

    def _around(self, task: Task, ask: Callable[[str], str]) -> Around:
        trees = {need.task: self._trees.get(need.task) for need in task.needs}
        handed = {need: checked_outputs(*tree) for need, tree in trees.items() if tree}
        taken = {}
        for name, reference in task.env_from.items():
            value = value_of(*split(reference), task.needs, handed)
            if value is not None:
                taken[name] = value
        env = self._outside.build(task, {}, taken)
        return Around(
            root=os.path.realpath(self._flow.root),
            proofs=self._flow.proofs,
            environ=env.values,
            env=env,
            outside=self._outside,
            needs={need: left_by(*tree) if tree else "" for need, tree in trees.items()},
            hide=self._redactor.text,
            ask=ask,
            looking=lambda: str,
        )
