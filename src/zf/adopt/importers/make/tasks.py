"""The targets of a makefile -> tasks, line by line; with `--eval`, of what make itself knows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

from zf.adopt.importers.make.parsing import Rule
from zf.adopt.importers.make.rules import Makefile, Target, matched
from zf.adopt.importers.make.values import MARKED, Unknown, Variable, shown
from zf.adopt.importers.model import Import, Job, Origin, Step
from zf.adopt.importers.names import is_variable
from zf.adopt.importers.scripts import Meant, Unsayable, put
from zf.errors import ZfError
from zf.model import RESERVED_ENV
from zf.plan.files.patterns import GLOB
from zf.variables import is_allowed

NAMES = ("GNUmakefile", "makefile", "Makefile")
_SHELL = ["sh", "-c"]
_EVAL_S = 60
# What make makes of a source by rules of its own.
_BUILT_IN = (".o", ".a", ".out")


def read(origin: Origin) -> Import:
    """What the rules of a makefile come to."""
    source = Import("make", origin.file, inherits=True, in_order=True)
    whole = Makefile(source)
    if origin.evaluate:
        whole.take(_database(origin), origin)
        source.changed("the whole file", "as `make -pn` printed it", job=None)
    else:
        whole.read(origin)
    return _Importer(source, whole, origin).result()


def _database(origin: Origin) -> str:
    """What `make -pn` prints of the file: its variables and rules, and nothing that it knows by
    itself.
    """
    command = ["make", "-pnrR", "-f", os.path.basename(origin.path)]
    folder = os.path.dirname(origin.path) or "."
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=_EVAL_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise ZfError("make is not installed", code="ZF683", hint="leave out --eval") from None
    except subprocess.TimeoutExpired:
        why = f"make -pn took more than {_EVAL_S} seconds"
        raise ZfError(why, code="ZF683", hint="leave out --eval") from None
    text = done.stdout.decode(errors="replace")
    _, found, database = text.partition("\n# Make data base")
    database = database.partition("\n")[2]
    if not found or re.search(r":\d+: \*\*\*", done.stderr.decode(errors="replace")):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"make -pn does not read {origin.file}: {(said or ['it says nothing'])[-1]}"
        raise ZfError(why, code="ZF683", hint="mend it, or leave out --eval")
    return "\n".join(_of_the_file(database))


def _of_the_file(database: str) -> Iterator[str]:
    """The lines of make's database that are the file's own: not its environment, its defaults, or
    files that are no targets.
    """
    skips = False
    for line in database.split("\n"):
        if line.startswith("# Not a target"):
            skips = True
        elif re.match("# (environment|default|automatic|'override' directive)", line):
            skips = not line.startswith("# 'override'")
        elif line.startswith("# makefile"):
            skips = False
        elif not line.strip():
            skips = False
            yield ""
        elif not line.startswith("#") and not skips:
            yield line


class _Importer:
    """Makes tasks of the targets."""

    def __init__(self, source: Import, whole: Makefile, origin: Origin) -> None:
        self.source, self.whole, self.origin = source, whole, origin
        self.values = whole.values
        self.folder = os.path.dirname(origin.path) or "."

    def result(self) -> Import:
        self._shell()
        self._exports()
        for target in self.whole.targets.values():
            self.source.jobs.append(self._job(target))
        for rule in dict.fromkeys(map(id, self.whole.patterns)):
            self._pattern(next(one for one in self.whole.patterns if id(one) == rule))
        self._variables()
        self._goal()
        return self.source

    def _shell(self) -> None:
        shell = [*_SHELL]
        said = self.values.named.get("SHELL")
        flags = self.values.named.get(".SHELLFLAGS")
        try:
            if said is not None:
                words = MARKED.sub("", self.values.expand(said.said, {})).split()
                shell[:1] = [words[0].rsplit("/", 1)[-1] if "/bin/" in words[0] else words[0]]
            if flags is not None:
                shell[1:] = _flags(self.values.expand(flags.said, {}).split())
        except (Unknown, IndexError):
            what = "`sh` runs the recipes: `shell` of zf.yaml says otherwise"
            self.source.changed("SHELL", what, job=None)
        self.source.project["shell"] = shell

    def _exports(self) -> None:
        names = dict(self.whole.exported)
        if self.whole.exports_all:
            names |= {name: one.line for name, one in self.values.named.items()}
        for name, line in names.items():
            if not is_variable(name) or name in RESERVED_ENV or name == "SHELL":
                continue
            try:
                value = self.values.expand(f"$({name})", {})
            except Unknown as error:
                self.source.changed(f"export {name}", f"not exported: {error}", line=line, job=None)
                continue
            if name not in self.values.named:
                continue
            if MARKED.search(value):
                what = "not exported, as a command tells what it is: write it into `env`"
                self.source.changed(f"export {name}", what, line=line, job=None)
                continue
            env = self.source.defaults.setdefault("env", {})
            env[name] = value.replace("${", "$${")
            self.source.exact(f"export {name}", line=line, job=None)

    def _variables(self) -> None:
        for name, one in self.values.named.items():
            if name in {"SHELL", ".SHELLFLAGS", ".DEFAULT_GOAL", "MAKEFLAGS"}:
                self.source.exact(name, line=one.line, job=None)
                continue
            construct = f"{name} = {shown(one.said)}"
            if one.reason:
                what = f"{one.reason}: recipes that use it have a step that fails"
            elif one.weak:
                what = "a variable of the outside, with this default"
            else:
                what = "written where it is used; `make NAME=...` has no like"
            self.source.changed(construct, what, line=one.line, job=None)

    def _goal(self) -> None:
        goal = self.values.named.get(".DEFAULT_GOAL", Variable(""))
        named = [goal.said] if goal.said in self.whole.targets else []
        first = [one for one in self.whole.targets if not one.startswith(".")]
        self.source.usual = named or first[:1]

    def _pattern(self, rule: Rule) -> None:
        job = Job(f"rule {rule.targets}", rule.number)
        self.source.jobs.append(job)
        remedy = "write a task for each file that it makes, and need that"
        self.source.manual(f"{rule.targets}: {rule.prerequisites}", remedy, job=job)

    def _job(self, target: Target) -> Job:
        job = Job(target.name, target.line, target.file, title=target.title)
        self.source.exact(f"rule {target.name}", job=job)
        for construct, remedy, line in target.odd:
            if remedy:
                self.source.manual(construct, remedy, line=line, job=job)
            else:
                what = "for this target alone, not for what it needs"
                self.source.changed(construct, what, line=line, job=job)
        sources = [one for one in target.prerequisites if not self._need(job, one)]
        for one in target.order_only:
            if self._need(job, one):
                self.source.exact(f"| {one}", job=job)
        self._cache(job, target, sources)
        _Recipe(self, job, target).write()
        return job

    def _need(self, job: Job, name: str) -> bool:
        """Whether a rule makes what is needed, and so a task; if so, it is needed."""
        if name in self.whole.targets:
            job.need(name)
            return True
        if "%" in name or os.path.exists(os.path.join(self.folder, name)):
            return False
        rule = matched(name, self.whole.patterns)
        if rule is not None:
            job.need(f"rule {rule.targets}")
            what = f"made by the rule for `{rule.targets}`, which is to be written out"
            self.source.changed(f"needs {name}", what, job=job)
            return True
        if name.endswith(_BUILT_IN):
            remedy = "make has a rule of its own for it: write a task that makes it, and need that"
            self.source.manual(f"needs {name}", remedy, job=job)
            return True
        return False

    def _cache(self, job: Job, target: Target, sources: list[str]) -> None:
        """A target that is a file is made of files: it need not be made when none has changed."""
        if target.name in self.whole.phony or not target.recipe:
            return
        made = [one.name for one in job.needs if self._is_file(one.name)]
        paths = [self._path(one) for one in [*sources, *made]]
        if (
            not sources
            or not self._is_file(target.name)
            or None in (*paths, self._path(target.name))
        ):
            return
        job.keys["sources"] = paths
        job.keys["generates"] = [self._path(target.name)]
        job.keys["cache"] = True
        what = "made anew each time, or with `zf run --cached` when what is in a file has changed"
        self.source.changed(f"{target.name} as a file", what, job=job)

    def _is_file(self, name: str) -> bool:
        return name not in self.whole.phony and bool(re.search(r"[./]", name))

    def _path(self, name: str) -> str | None:
        path = "/".join(filter(None, (self.origin.workdir, name)))
        has_glob = any(char in path for char in "*?[]!{}")
        return path if re.search(GLOB, path) and not has_glob and "\ue000" not in path else None


def _flags(words: list[str]) -> list[str]:
    """`.SHELLFLAGS` with `-c` alone at the end."""
    if words and re.fullmatch("-[a-z]*c[a-z]*", words[-1]) and words[-1] != "-c":
        words[-1:] = [f"-{words[-1][1:].replace('c', '')}", "-c"]
    elif "-c" not in words:
        words = [re.sub("^-([a-z]*)c([a-z]*)$", r"-\1\2", word) for word in words] + ["-c"]
    return words


class _Recipe:
    """The lines of a recipe as steps: each has a shell of its own."""

    def __init__(self, importer: _Importer, job: Job, target: Target) -> None:
        self._importer, self._job, self._target = importer, job, target
        self._source = importer.source
        self._own = {**target.own, **self._automatic()}

    def _automatic(self) -> dict[str, str]:
        needs = self._target.prerequisites
        known = {
            "@": self._target.name,
            "<": (needs or [""])[0],
            "^": " ".join(needs),
            "+": " ".join(needs),
            "|": " ".join(self._target.order_only),
        }
        if self._target.stem:
            known["*"] = self._target.stem
        for sign, value in tuple(known.items()):
            words = value.split()
            known[f"{sign}D"] = " ".join(os.path.dirname(one) or "." for one in words)
            known[f"{sign}F"] = " ".join(map(os.path.basename, words))
        return known

    def write(self) -> None:
        steps: list[Step] = []
        for number, line in self._target.recipe:
            steps += self._line(number, line)
        if ".ONESHELL" in self._importer.whole.special and len(steps) > 1:
            self._job.steps.append(Step("\n".join(step.run for step in steps) + "\n"))
        else:
            self._job.steps += steps

    def _line(self, number: int, line: str) -> list[Step]:
        text = line.strip()
        if not text or text.startswith("#"):
            return []
        try:
            expanded = self._expanded(text)
        except (Unknown, Unsayable) as error:
            why = str(error) if isinstance(error, Unknown) else "no variable can stand there"
            remedy = f"write the line as a step ({why})"
            self._source.manual(text, remedy, line=number, job=self._job)
            return []
        return [*self._steps(number, expanded)]

    def _expanded(self, text: str) -> str:
        """The line as a shell has it. Raises Unknown or Unsayable."""
        values = self._importer.values
        values.asks_outside = True
        try:
            return put(values.expand(text, self._own), MARKED, self._meant)
        except (Unknown, Unsayable):
            values.asks_outside = False
            return put(values.expand(text, self._own), MARKED, self._meant)
        finally:
            values.asks_outside = False

    def _steps(self, number: int, expanded: str) -> Iterator[Step]:
        for one in _separate(expanded):
            sigils = re.match(r"[@+\-\s]*", one)
            assert sigils is not None  # it matches nothing, too
            said = one[sigils.end() :].strip()
            if not said or said.startswith("#"):
                continue
            step = Step(said)
            if "-" in sigils[0]:
                step.keys["continue_on_error"] = True
                self._source.exact(f"-{said}", line=number, job=self._job)
            if re.match(r"make\b", said):
                what = "it calls make: what that does is no task of zf's"
                self._source.changed(said, what, line=number, job=self._job)
            yield step

    def _meant(self, found: re.Match[str]) -> Meant:
        if found[2] is not None:
            return "command", found[2]
        name = found[1]
        if name in self._importer.values.named:
            self._default(name)
        return "variable", name

    def _default(self, name: str) -> None:
        """Give a variable of the outside its default. Raises Unknown, Unsayable."""
        values = self._importer.values
        values.asks_outside = False
        default = values.expand(f"$({name})", self._own)
        values.asks_outside = True
        if MARKED.search(default) or {*"{}"} & {*default} or name in RESERVED_ENV:
            raise Unsayable(name)
        self._job.keys.setdefault("env", {})[name] = f"${{{name}:-{default}}}"
        passed = self._source.project.setdefault("pass_env", [])
        if name not in passed and not is_allowed(name):
            passed.append(name)


def _separate(expanded: str) -> list[str]:
    """The lines of what a recipe line came to: a `define` has several."""
    found = [""]
    for line in expanded.split("\n"):
        found[-1] += line
        if line.endswith("\\"):
            found[-1] += "\n"
        else:
            found.append("")
    return [one for one in found if one.strip()]
