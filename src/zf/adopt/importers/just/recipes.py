"""A justfile -> tasks: recipes, what they depend on, and what they are given."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping

from zf.adopt.importers import reading
from zf.adopt.importers.inputs import ask
from zf.adopt.importers.just.body import Body
from zf.adopt.importers.just.parsing import Dependency, Justfile, Parameter, Recipe, parse
from zf.adopt.importers.just.values import Names, Param, Unknown, Value, evaluate, string
from zf.adopt.importers.model import Import, Job, Origin, Step
from zf.adopt.importers.names import as_id, as_variable
from zf.variables import is_allowed

NAMES = ("justfile", "Justfile", ".justfile")
_SHELL = ["sh", "-u", "-c"]
_MOST_FILES = 50
_SYSTEMS = {"linux", "macos", "windows", "unix", "openbsd", "freebsd", "netbsd", "dragonfly"}
_OURS = {"linux", "unix"}
# What only says how just lists, prints or calls a recipe.
_ONLY_JUST = {
    "default",
    "doc",
    "extension",
    "metadata",
    "no-exit-message",
    "exit-message",
    "no-quiet",
    "parallel",
    "positional-arguments",
    "private",
    "script",
    "group",
    "working-directory",
}


def read(origin: Origin) -> Import:
    """What the recipes of a justfile come to."""
    source = Import("just", origin.file, inherits=True, in_order=True)
    whole = _whole(origin, source)
    return Importer(source, whole, origin).result()


def _whole(origin: Origin, source: Import) -> Justfile:
    """The justfile with what it imports."""
    found = parse(reading.text(origin.path, origin.file))
    seen = {os.path.realpath(origin.path)}
    left = [(origin, one) for one in found.imports]
    while left:
        around, (path, line, optional) = left.pop(0)
        inner = around.beside(path)
        real = os.path.realpath(inner.path)
        if real in seen:
            continue
        seen.add(real)
        full = "too many files are imported" if len(seen) > _MOST_FILES else ""
        if why := inner.unread or full:
            if optional:
                why = f"{why}; just does without it, too"
                source.dropped(f"import {path}", why, line=line, job=None)
            else:
                job = Job(f"import {path}", line)
                source.jobs.append(job)
                source.manual(f"import {path}", f"{why}: import it too", job=job)
            continue
        below = parse(reading.text(inner.path, inner.file))
        left += [(inner, one) for one in below.imports]
        known = {recipe.name for recipe in found.recipes}
        found.recipes += [one for one in below.recipes if one.name not in known]
        found.assignments = {**below.assignments, **found.assignments}
        found.exports |= below.exports
        found.aliases = {**below.aliases, **found.aliases}
        found.settings = {**below.settings, **found.settings}
        found.modules += below.modules
        found.odd += below.odd
        source.exact(f"import {path}", line=line, job=None)
    return found


class Importer:
    """Goes through a justfile, and adds to an import."""

    def __init__(self, source: Import, file: Justfile, origin: Origin) -> None:
        self.source, self.file = source, file
        self.folder = "/".join(filter(None, ("${ZENFLOW_ROOT}", origin.workdir)))
        self.origin = origin
        self.assigned = {name: said for name, (said, _) in file.assignments.items()}
        self.recipes: dict[str, Recipe] = {}
        # Recipes that were made tasks for what they are given.
        self.given: dict[tuple[str, tuple[str, ...]], str] = {}

    def result(self) -> Import:
        self._settings()
        self._assignments()
        for recipe in self.file.recipes:
            self._keep(recipe)
        for recipe in self.recipes.values():
            self._job(recipe, recipe.name, {})
        for name, (target, line) in self.file.aliases.items():
            job = Job(name, line)
            job.need(target.replace("::", "-"))
            self.source.jobs.append(job)
            self.source.changed(f"alias {name}", f"a task that needs `{target}`", job=job)
        for name, line in self.file.modules:
            job = Job(f"mod-{name}", line)
            self.source.jobs.append(job)
            remedy = "import its justfile into a folder of its own with zf import just"
            self.source.manual(f"mod {name}", remedy, job=job)
        for said, line in self.file.odd:
            job = Job(f"line-{line}", line)
            self.source.jobs.append(job)
            self.source.manual(said, "zf import does not know this line: do what it says", job=job)
        first = [r.name for r in self.recipes.values() if r.has("default")] or [*self.recipes][:1]
        self.source.usual = first
        return self.source

    def _settings(self) -> None:
        source = self.source
        shell = [*_SHELL]
        for name, (said, line) in self.file.settings.items():
            construct = f"set {name}"
            if said == "false":
                source.exact(construct, line=line, job=None)
            elif name in {"shell", "script-interpreter"}:
                if name == "shell":
                    shell = _shell(said) or shell
                source.exact(construct, line=line, job=None)
            elif name.startswith("dotenv") or name == "export":
                self._environment(name, said, line)
            elif name == "working-directory":
                why = "write it as `workdir` of the tasks"
                job = Job("set-working-directory", line)
                source.jobs.append(job)
                source.manual(f"{construct} := {said}", why, job=job)
            elif name.startswith("windows"):
                source.dropped(construct, "zf does not run on Windows", line=line, job=None)
            else:
                source.dropped(construct, "it is about just itself", line=line, job=None)
        source.project["shell"] = shell

    def _environment(self, name: str, said: str, line: int) -> None:
        if name == "export":
            self.file.exports |= set(self.assigned)
            self.source.exact("set export", line=line, job=None)
            return
        what = "zf reads no .env: load it before, as in `set -a; . ./.env; set +a; zf run`"
        self.source.changed(f"set {name} := {said}", what, line=line, job=None)
        if names := [*_of_dotenv(self.origin)]:
            self.source.project["pass_env"] = names

    def _assignments(self) -> None:
        for name, (said, line) in self.file.assignments.items():
            construct = f"{name} := {said}"
            try:
                value = evaluate(said, self.assigned, self.folder, commands=True)
            except Unknown as error:
                what = f"{error}: recipes that use it have a step that fails"
                self.source.changed(construct, what, line=line, job=None)
                continue
            self.passes(value)
            if value.command:
                what = "the command runs wherever the value is used, and not once"
                if name in self.file.exports:
                    what = "not exported: the command runs where `{{...}}` has the value"
                self.source.changed(construct, what, line=line, job=None)
                continue
            if name in self.file.exports:
                self.source.defaults.setdefault("env", {})[as_variable(name)] = value.env
            what = "written where it is used, or a variable of `env`; `just X=...` has no like"
            self.source.changed(construct, what, line=line, job=None)

    def passes(self, value: Value) -> None:
        """Let steps see the variables that a value names."""
        for name in value.variables:
            listed = self.source.project.setdefault("pass_env", [])
            if name not in listed and not is_allowed(name):
                listed.append(name)
        if not self.source.project.get("pass_env", True):
            del self.source.project["pass_env"]

    def _keep(self, recipe: Recipe) -> None:
        """Keep the recipe unless it is for another system, or another of its name is."""
        systems = {name for name, _ in recipe.attributes} & _SYSTEMS
        if systems and not systems & _OURS and recipe.name in self._elsewhere(recipe):
            why = f"it is for {', '.join(sorted(systems))}; another recipe of its name is kept"
            self.source.dropped(f"recipe {recipe.name}", why, line=recipe.line, job=None)
            return
        self.recipes[recipe.name] = recipe

    def _elsewhere(self, recipe: Recipe) -> set[str]:
        return {
            one.name
            for one in self.file.recipes
            if one is not recipe
            and (not (s := {n for n, _ in one.attributes} & _SYSTEMS) or s & _OURS)
        }

    def _job(self, recipe: Recipe, name: str, given: Mapping[str, Value]) -> None:
        """The task of a recipe, or of a call of it that gives it something."""
        job = Job(name, recipe.line, title=recipe.doc)
        self.source.jobs.append(job)
        self.source.exact(f"recipe {name}", job=job)
        _Attributes(self.source, job, recipe).take()
        if recipe.wrong:
            self.source.manual(f"recipe {name}", f"not read: {recipe.wrong}", job=job)
            return
        names = self._parameters(job, recipe, given)
        for one in recipe.before:
            self._dependency(job, one, names, as_need=True)
        Body(self, job, recipe, names).write()
        for one in recipe.after:
            self._dependency(job, one, names, as_need=False)
        self._share(job)

    def _share(self, job: Job) -> None:
        """Leave out variables that no step looks at."""
        env = job.keys.get("env", {})
        scripts = "\n".join(step.run for step in job.steps)
        used = {n: v for n, v in env.items() if n in scripts or n in self.exported}
        if used:
            job.keys["env"] = used
        else:
            job.keys.pop("env", None)

    exported: frozenset[str] = frozenset()

    def _parameters(
        self, job: Job, recipe: Recipe, given: Mapping[str, Value]
    ) -> dict[str, str | Param]:
        names: dict[str, str | Param] = dict(self.assigned)
        env = job.keys.setdefault("env", {})
        for one in recipe.parameters:
            variable = as_variable(one.name)
            if one.exported:
                self.exported |= {variable}
            if one.name in given:
                env[variable] = given[one.name].env
                names[one.name] = Param(variable)
            elif one.kind:
                self._many(job, one, names)
            else:
                env[variable] = self._asked(job, one, names, variable)
                names[one.name] = Param(variable)
        return names

    def _asked(self, job: Job, one: Parameter, names: Names, variable: str) -> str:
        """The value of a parameter that a run is given as an input."""
        default: str | None = None
        if one.default is not None:
            try:
                default = evaluate(one.default, names, self.folder).literal
            except Unknown:
                default = None
            if default is None:
                remedy = f"the default {one.default} is not known before just runs: write one"
                self.source.manual(f"parameter {one.name}", remedy, job=job)
        name = ask(self.source, one.name, default, job.name)
        what = f"an input: `-i {name}=VALUE`"
        self.source.changed(f"parameter {one.name}", what, job=job)
        if one.default is None:
            job.steps.append(
                Step(
                    f'test -n "${variable}" || {{ echo {shlex.quote(f"give it: -i {name}=VALUE")}'
                    " >&2; exit 1; }"
                )
            )
        return f"${{INPUT_{as_variable(name).upper()}}}"

    def _many(self, job: Job, one: Parameter, names: dict[str, str | Param]) -> None:
        what = f"the words after `--`: `zf run {as_id(job.name)} -- WORDS`"
        self.source.changed(f"parameter {one.kind}{one.name}", what, job=job)
        names[one.name] = Param("@", one.kind)
        if one.default is not None:
            remedy = f"give the words after `--`, as the default {one.default} is not carried over"
            self.source.manual(f"parameter {one.name}", remedy, job=job)
        elif one.kind == "+":
            job.steps.append(Step('test $# -gt 0 || { echo "give words after --" >&2; exit 1; }'))

    def _dependency(self, job: Job, one: Dependency, names: Names, *, as_need: bool) -> None:
        target = one.name.replace("::", "-")
        recipe = self.recipes.get(one.name)
        try:
            given = self._given(one, recipe, names)
        except Unknown as error:
            remedy = f"a call that only just can make ({error}): write the task that it means"
            self.source.manual(f"({one.name} {' '.join(one.arguments)})", remedy, job=job)
            return
        if given and recipe is not None:
            target = self._call(recipe, given)
        if as_need:
            job.need(target)
            self.source.exact(f"dependency {one.name}", job=job)
        elif recipe is not None:
            self._after(job, recipe, given)

    def _given(self, one: Dependency, recipe: Recipe | None, names: Names) -> dict[str, Value]:
        """The values of the parameters of a recipe that a call gives it. Raises Unknown."""
        values = [evaluate(said, names, self.folder) for said in one.arguments]
        parameters = recipe.parameters if recipe else []
        found: dict[str, Value] = {}
        for number, parameter in enumerate(parameters):
            if parameter.kind and values[number:]:
                joined = values[number]
                for more in values[number + 1 :]:
                    joined = Value(f"{joined.env} {more.env}")
                found[parameter.name] = Value(joined.env, joined.literal, joined.variables)
            elif number < len(values):
                found[parameter.name] = values[number]
        if any("${INPUT" in value.env or value.alone for value in found.values()):
            raise Unknown("it hands a parameter on")
        return found

    def _call(self, recipe: Recipe, given: Mapping[str, Value]) -> str:
        """The name of the task that is this recipe with these values."""
        key = (recipe.name, tuple(value.env for value in given.values()))
        if key not in self.given:
            name = "-".join([recipe.name, *(as_id(value.env) for value in given.values())])
            taken = {job.name for job in self.source.jobs} | set(self.recipes)
            number, base = 2, name
            while name in taken:
                name, number = f"{base}-{number}", number + 1
            self.given[key] = name
            self._job(recipe, name, given)
            self.source.changed(
                f"{recipe.name} {' '.join(v.env for v in given.values())}",
                "a task of its own, with these values in `env`",
                job=self.source.jobs[-1],
            )
        return self.given[key]

    def _after(self, job: Job, recipe: Recipe, given: Mapping[str, Value]) -> None:
        """Put the lines of a recipe that runs after this one behind its own."""
        inner = Job(job.name, recipe.line, file=job.file)
        names = self._parameters(inner, recipe, given)
        Body(self, inner, recipe, names).write()
        for one in recipe.before:
            self._dependency(job, one, names, as_need=True)
        job.steps += inner.steps
        job.comments += inner.comments
        job.keys["env"] = {**inner.keys.get("env", {}), **job.keys.get("env", {})}
        what = "its lines stand behind those of this task: what it depends on is done before both"
        self.source.changed(f"&& {recipe.name}", what, job=job)
        for more in recipe.after:
            if more.name in {recipe.name, job.name} or len(job.steps) > 200:
                continue
            self._dependency(job, more, names, as_need=False)


def _shell(said: str) -> list[str] | None:
    """`set shell` as zf has it: the words, with `-c` alone at the end."""
    words = [string(token) for token in re.findall(r"'[^']*'|\"[^\"]*\"", said)]
    if not words:
        return None
    last = words[-1]
    if re.fullmatch("-[a-z]*c[a-z]*", last) and last != "-c":
        words[-1:] = [f"-{last[1:].replace('c', '')}", "-c"]
    return words


def _of_dotenv(origin: Origin) -> Iterator[str]:
    """The names, and no values, of what is in the `.env` beside the file."""
    beside = origin.beside(".env")
    if not beside.unread:
        text = reading.text(beside.path, ".env")
        pattern = r"(?m)^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*="
        yield from dict.fromkeys(re.findall(pattern, text))


class _Attributes:
    """What is written above a recipe."""

    def __init__(self, source: Import, job: Job, recipe: Recipe) -> None:
        self._source, self._job, self._recipe = source, job, recipe

    def take(self) -> None:
        for name, said in self._recipe.attributes:
            self._one(name, said)

    def _one(self, name: str, said: str) -> None:
        source, job = self._source, self._job
        construct = f"[{name}]"
        if name == "group":
            job.keys.setdefault("tags", []).append(as_id(said))
            source.changed(construct, f"the tag `{as_id(said)}`", job=job)
        elif name == "doc":
            job.title = said
            source.exact(construct, job=job)
        elif name == "working-directory":
            job.keys["workdir"] = "/".join(filter(None, (source.workdir, said)))
            source.exact(construct, job=job)
        elif name == "confirm":
            remedy = "just asks before it runs and zf does not: remove this step if it may run"
            source.manual(construct, remedy, job=job)
        elif name == "no-cd":
            what = "it runs in the folder of the project, not where zf was called"
            source.changed(construct, what, job=job)
        elif name in _SYSTEMS and not {n for n, _ in self._recipe.attributes} & _OURS:
            remedy = f"it is for {name}: write what this system has in its place"
            source.manual(construct, remedy, job=job)
        elif name in _SYSTEMS or name in {"script", "positional-arguments"}:
            source.exact(construct, job=job)
        elif name in _ONLY_JUST:
            source.dropped(construct, "it is about just itself", job=job)
        else:
            source.manual(construct, "zf import does not know it: do what it says", job=job)
