"""What is wrong with schedules, webhooks and reconciliation, beyond the form of their keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.model import CANCEL_RUNNING, NOTHING, Project
from zf.plan.conditions.condition import parse
from zf.plan.suggest import nearest
from zf.plan.yaml.yaml12 import KEY

if TYPE_CHECKING:
    from zf.plan.files.place import Loc
    from zf.plan.files.written import Written

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("schedules", "webhooks", "reconcile")
_CRON_FIELDS = 5
# Where a value may be taken from a delivery, and what a condition on one may ask for.
OF_A_DELIVERY = ("payload", "header")


def check(
    file: Written, project: Project, phases: Collection[str], tasks: Mapping[str, str]
) -> Iterator[Problem]:
    """All problems; `tasks` are the ids of the project's tasks, each with its phase."""
    for kind in KINDS:
        for name, said in getattr(project, kind).items():
            entry = _Entry(file, (kind, name), said, project, phases, tasks)
            yield from entry.problems()
            if kind == "schedules":
                yield from entry.bad_times()
            if kind == "webhooks":
                yield from entry.bad_taking()
            if kind == "reconcile" and ("command" in said) is ("git_ref" in said):
                why = "takes one of `command` and `git_ref`"
                yield entry.problem((KEY,), "ZF837", why, "say what it is to ask")


class _Entry:
    """One entry: where it stands, and what it says."""

    def __init__(
        self,
        file: Written,
        loc: Loc,
        said: Mapping[str, Any],
        project: Project,
        phases: Collection[str],
        tasks: Mapping[str, str],
    ) -> None:
        self._file, self._loc, self._said = file, loc, said
        self._project, self._phases, self._tasks = project, phases, tasks

    def problem(self, at: Loc, code: str, why: str, hint: str | None) -> Problem:
        """What is wrong with what stands there."""
        name = self._loc[-1]
        return self._file.problem((*self._loc, *at), code, f"'{name}' {why}", hint)

    def problems(self) -> Iterator[Problem]:
        """What any entry may have wrong."""
        said = self._said
        if ("phases" in said) is ("tasks" in said):
            hint = "say what it is to run, as in `phases: [E]`"
            yield self.problem((KEY,), "ZF835", "takes one of `phases` and `tasks`", hint)
        yield from self._unknown("phases", "phase", self._phases)
        yield from self._unknown("tasks", "task", self._tasks)
        yield from self._unknown_inputs()
        yield from self._at_odds()

    def _unknown(self, key: str, what: str, known: Collection[str]) -> Iterator[Problem]:
        for place, name in enumerate(self._said.get(key, ())):
            if name not in known:
                guess = nearest(name, known)
                hint = f"did you mean '{guess}'?" if guess else None
                yield self.problem((key, place), "ZF834", f"runs an unknown {what} '{name}'", hint)

    def _phases_run(self) -> set[str]:
        of_tasks = {
            self._tasks[task] for task in self._said.get("tasks", ()) if task in self._tasks
        }
        return {*self._said.get("phases", ()), *of_tasks}

    def _unknown_inputs(self) -> Iterator[Problem]:
        known = dict(self._project.inputs)
        for phase in self._project.phases.values():
            known |= phase.inputs
        given: list[tuple[str, Loc]] = [
            (name, ("inputs", name, KEY)) for name in self._said.get("inputs", ())
        ]
        if "input" in self._said:
            given.append((self._said["input"], ("input",)))
        for name, at in given:
            if name not in known:
                guess = nearest(name, known)
                hint = f"did you mean '{guess}'?" if guess else "declare it in `inputs`"
                yield self.problem(at, "ZF836", f"gives an unknown input '{name}'", hint)

    def _at_odds(self) -> Iterator[Problem]:
        said = self._said
        if (said.get("scope") == "for_sec") is not ("for_sec" in said):
            at = ("for_sec", KEY) if "for_sec" in said else ("scope",)
            hint = "write both, or neither"
            yield self.problem(at, "ZF837", "has one of `scope: for_sec` and `for_sec`", hint)
        if "scope" in said and "key" not in said:
            yield self.problem(("scope", KEY), "ZF837", "has a scope, but no `key`", "add a key")
        if "limit" in said and "group" not in said:
            yield self.problem(
                ("limit", KEY), "ZF837", "has a limit, but no `group`", "add a group"
            )
        if said.get("on_newer") == CANCEL_RUNNING:
            for phase in sorted(self._phases_run()):
                found = self._project.phases.get(phase)
                if found is not None and found.protected:
                    why = f"would end runs of phase '{phase}', which is protected"
                    hint = "write `on_newer: queue`, or `replace_queued`"
                    yield self.problem(("on_newer",), "ZF837", why, hint)

    def bad_times(self) -> Iterator[Problem]:
        """What a schedule may have wrong."""
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - few projects have a schedule

        from cronsim import CronSim, CronSimError  # noqa: PLC0415 - as above

        said = self._said
        why = "" if len(said["cron"].split()) == _CRON_FIELDS else "it takes five fields"
        try:
            CronSim(said["cron"], _ANY_TIME)
        except CronSimError as error:
            why = why or str(error).lower()
        if why:
            hint = "minute, hour, day of the month, month, day of the week, as in '0 2 * * *'"
            yield self.problem(("cron",), "ZF832", f"is never due: {why}", hint)
        try:
            ZoneInfo(said.get("tz", "UTC"))
        except (KeyError, ValueError, OSError):
            hint = "write the name of a zone, such as Europe/Berlin"
            yield self.problem(("tz",), "ZF833", "has an unknown time zone", hint)

    def bad_taking(self) -> Iterator[Problem]:
        """What a webhook may have wrong with what it asks of a delivery."""
        if "if" in self._said:
            condition = parse(self._said["if"])
            odd = [
                f"'{field.key}'" for field in condition.fields if field.kind not in OF_A_DELIVERY
            ]
            odd += [f"{name}()" for name in condition.functions]
            odd += [f"'${{{name}}}'" for name in condition.variables]
            if odd:
                hint = "a delivery has `payload.NAME` and `header.NAME`"
                yield self.problem(("if",), "ZF838", f"asks a delivery for {odd[0]}", hint)
        values: dict[tuple[str, ...], Any] = {
            ("inputs", name): v for name, v in self._said.get("inputs", NOTHING).items()
        }
        for at, value in {**values, ("key",): self._said.get("key")}.items():
            if not isinstance(value, dict):
                continue
            kind, _, path = value["from"].partition(".")
            if kind not in OF_A_DELIVERY or not path:
                hint = "write payload.NAME, or header.NAME"
                why = f"takes '{at[-1]}' from no part of a delivery"
                yield self.problem((*at, "from"), "ZF838", why, hint)
