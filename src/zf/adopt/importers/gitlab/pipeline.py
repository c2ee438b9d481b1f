"""A pipeline of GitLab -> tasks: stages as phases, or needs written out where a job has some."""

from __future__ import annotations

import re

from zf.adopt.importers.gitlab import jobs
from zf.adopt.importers.gitlab.merging import Jobs, whole
from zf.adopt.importers.gitlab.rules import When, of_refs, of_rules
from zf.adopt.importers.inputs import ask
from zf.adopt.importers.model import Import, Job, Origin, reaches
from zf.adopt.importers.names import as_id, ids
from zf.adopt.importers.reading import Map, as_list, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.plan.conditions.condition import ConditionError
from zf.plan.conditions.condition import parse as parse_condition

NAMES = (".gitlab-ci.yml", ".gitlab-ci.yaml")
_STAGES = ("build", "test", "deploy")
_DEFAULTS = ("after_script", "before_script", "image", "services", "cache")


def read(origin: Origin) -> Import:
    """What the jobs of a pipeline come to."""
    source = Import("gitlab", origin.file, runs_all=True, inherits=True)
    source.defaults["timeout_sec"] = 3600
    return _Importer(source, whole(origin, source)).result()


class _Importer:
    def __init__(self, source: Import, said: Map) -> None:
        self.source, self.said = source, said
        self.jobs = Jobs(said)
        self.made: dict[str, Job] = {}
        self.forms: dict[str, Map] = {}
        self.whens: dict[str, When] = {}

    def result(self) -> Import:
        self._top()
        default = Map()
        for one in (self.said, as_map(self.said.get("default"))):
            for key, value in one.items():
                if one is not self.said or key in _DEFAULTS:
                    default[key] = value
        for name in self.jobs.names():
            self._job(name, default)
        stages = self._stages()
        if self._has_needs():
            self._edges(stages)
        else:
            self._phases(stages)
        for name, job in self.made.items():
            self._condition(name, job)
        what = "tasks share one folder of one machine, so one runs at a time: see `parallel_safe`"
        self.source.changed("a machine for each job", what, job=None)
        return self.source

    def _top(self) -> None:
        for key in self.said:
            line = self.said.line_of(key)
            if key == "workflow":
                why = "when zf runs is said where CI calls it"
                self.source.dropped("workflow", why, line=line, job=None)
            elif key in {"default", "variables", "stages", *_DEFAULTS}:
                self.source.exact(key, line=line, job=None)
            elif key.startswith("."):
                self.source.exact(f"{key}, where it is taken over", line=line, job=None)

    def _job(self, name: str, default: Map) -> None:
        said = self.jobs.job(name)
        job = Job(name, self.said.line_of(name))
        inherit = as_map(said.get("inherit"))
        if inherit.get("default") is not False:
            for key, value in default.items():
                if key not in said:
                    said[key] = value
                    said.lines[key] = default.line_of(key)
        variables = (
            Map() if inherit.get("variables") is False else as_map(self.said.get("variables"))
        )
        self.made[name], self.forms[name] = job, said
        self.source.jobs.append(job)
        self.source.exact(f"job {name}", job=job)
        for construct in self.jobs.wrong.get(name, []):
            self.source.manual(construct, "it is not in this file: write what it adds", job=job)
        self.whens[name] = self._when(job, said)
        jobs.take(self.source, job, said, variables)

    def _when(self, job: Job, said: Map) -> When:
        usual = as_text(said.get("when")) or "on_success"
        try:
            if "rules" in said:
                return of_rules(said["rules"], usual)
            parts = [of_refs(said["only"])] if "only" in said else []
            if "except" in said:
                parts.append(f"!({of_refs(said['except'])})")
            if len(parts) > 1:
                parts = [f"({one})" if "||" in one else one for one in parts]
            return When(" && ".join(parts), usual)
        except Unsayable as error:
            key = next(one for one in ("rules", "only", "except") if one in said)
            remedy = f"write it as the task's `condition` (zf has none for {error})"
            self.source.manual(key, remedy, line=said.line_of(key), job=job)
            return When(when="on_success" if usual == "never" else usual)

    def _stages(self) -> list[str]:
        said = [as_text(one) or "" for one in as_list(self.said.get("stages"))]
        own = [one for one in said or _STAGES if one not in {".pre", ".post"}]
        listed = [".pre", *own, ".post"]
        for form in self.forms.values():
            stage = as_text(form.get("stage")) or "test"
            if stage not in listed:
                listed.insert(-1, stage)
        return listed

    def _has_needs(self) -> bool:
        is_late = any(when.when in {"on_failure", "always"} for when in self.whens.values())
        return is_late or any("needs" in form for form in self.forms.values())

    def _phases(self, stages: list[str]) -> None:
        named = ids(stages)
        used = {as_text(form.get("stage")) or "test" for form in self.forms.values()}
        for name, form in self.forms.items():
            self.made[name].keys["phase"] = named[as_text(form.get("stage")) or "test"]
        first = named[next(one for one in stages if one in used)] if used else "main"
        for job in self.source.jobs:  # what stands for an include that is not here
            job.keys.setdefault("phase", first)
        self.source.phases = [named[one] for one in stages if one in used]
        self.source.exact("stages as phases", job=None)

    def _edges(self, stages: list[str]) -> None:
        """Every job's needs: its own, or all jobs of the stages before."""
        place = {name: number for number, name in enumerate(stages)}
        for name, form in self.forms.items():
            job = self.made[name]
            stage = as_text(form.get("stage")) or "test"
            job.keys["tags"] = [as_id(stage)]
            if "needs" in form:
                self._own_needs(job, form)
                continue
            for other, its in self.forms.items():
                if place[as_text(its.get("stage")) or "test"] < place[stage]:
                    self._need(job, other, is_sure=False)
        self.source.changed("stages", "a need on every job of the stages before", job=None)

    def _own_needs(self, job: Job, form: Map) -> None:
        line = form.line_of("needs")
        for one in as_list(form["needs"]):
            keys = one if isinstance(one, Map) else Map()
            name = as_text(keys.get("job") if isinstance(one, Map) else one) or ""
            if {"pipeline", "project"} & {*keys}:
                remedy = "zf has no jobs of other pipelines: get what is meant in a step"
                self.source.manual(f"needs {name}", remedy, line=line, job=job)
                continue
            optional = keys.get("optional") is True
            if name not in self.forms and optional:
                self.source.dropped(f"needs {name}", "there is no such job", line=line, job=job)
                continue
            self._need(job, name, is_sure=not optional)
            self.source.exact(f"needs {name}", line=line, job=job)

    def _need(self, job: Job, name: str, *, is_sure: bool) -> None:
        """Need a job; one that may be no part of a pipeline need not have run, if not `is_sure`."""
        when = self.whens.get(name, When())
        is_late = self.whens[job.name].when in {"on_failure", "always"}
        if is_sure or is_late or not (when.condition or when.when == "manual"):
            job.need(name)
            return
        edges = {one.name: [need.name for need in one.needs] for one in self.made.values()}
        if not reaches(edges, name, job.name):
            job.need(name, require="done")

    def _condition(self, name: str, job: Job) -> None:
        when = self.whens[name]
        form = self.forms[name]
        parts = [when.condition] if when.condition else []
        line = form.line_of("when")
        if when.when == "manual":
            made = ask(self.source, f"run-{as_id(name)}", None, name, type="bool")
            self.source.inputs[made] = {"default": False}
            parts.append(f"input.{made}")
            what = f"runs when it is asked for: `-i {made}=true`"
            self.source.changed("when: manual", what, line=line, job=job)
        elif when.when == "on_failure":
            parts.insert(0, "failure()")
            self.source.exact("when: on_failure", line=line, job=job)
        elif when.when == "always":
            parts.insert(0, "always()")
            self.source.exact("when: always", line=line, job=job)
        elif when.when == "never":
            parts = ["false"]
            self.source.exact("when: never", line=line, job=job)
        elif when.when == "delayed":
            remedy = "zf starts it at once: set `start_after`, and remove this step"
            self.source.manual("when: delayed", remedy, line=line, job=job)
        parts += self._of_needs(job)
        if when.allow_failure is True or (when.when == "manual" and "rules" not in form):
            job.keys.setdefault("allow_failure", True)
        self._set(job, form, parts)

    def _of_needs(self, job: Job) -> list[str]:
        """That needs which may be skipped were not ended in another way."""
        named = ids(one.name for one in self.source.jobs)
        parts = []
        for need in job.needs:
            if need.keys.get("require") == "done":
                ends = ["'success'", "'skipped'"]
                if self.made[need.name].keys.get("allow_failure"):
                    ends.append("'failure'")
                parts.append(f"status('{named[need.name]}') in ({', '.join(ends)})")
        return ["success()", *parts] if parts else []

    def _set(self, job: Job, form: Map, parts: list[str]) -> None:
        if not parts:
            return
        joined = " && ".join(f"({one})" if "||" in one and len(parts) > 1 else one for one in parts)
        key = "rules" if "rules" in form else "only" if "only" in form else "when"
        try:
            parse_condition(joined)
        except ConditionError as error:
            remedy = f"write it as the task's `condition` ({error})"
            self.source.manual(key, remedy, line=form.line_of(key), job=job)
            return
        job.keys["condition"] = joined
        if {"rules", "only", "except"} & {*form}:
            shown = re.sub(r"\s+", " ", joined)
            self.source.changed(key, f"`{shown}`", line=form.line_of(key), job=job)
