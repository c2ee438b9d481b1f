"""package.json -> tasks: scripts, the hooks around them, and the scripts that they call."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from zf.adopt.importers import reading
from zf.adopt.importers.model import Import, Job, Origin, Step, reaches
from zf.adopt.importers.reading import Map
from zf.errors import Problem, ZfError

NAMES = ("package.json",)
SHELL = ["sh", "-c"]
# What npm runs by itself at other verbs than `npm run`.
_LIFE = {
    "dependencies",
    "install",
    "postinstall",
    "postpack",
    "postprepare",
    "postpublish",
    "prepack",
    "prepare",
    "prepublish",
    "prepublishOnly",
    "preinstall",
    "preprepare",
    "publish",
}
_SHORT = ("test", "start", "stop", "restart")
_CALL = re.compile(
    r"\s*(npm|yarn|pnpm|bun)\s+(?:(run|run-script)\s+)?(?:(?:-s|--silent)\s+)?([^\s&|;<>()$'\"`\\-]"
    r"[^\s&|;<>()$'\"`\\]*)\s*(?:&&(.*))?$",
    re.DOTALL,
)
_MANY = re.compile(r"(run-s|run-p|npm-run-all2?)((?:\s+[^\s&|;<>()$'\"`\\]+)+)\s*")
_PACKAGE = re.compile(r"npm_(?:package|config)_[A-Za-z0-9_]+")


def read(origin: Origin) -> Import:
    """What the scripts of a package come to."""
    text = reading.text(origin.path, origin.file)
    source = Import("npm", origin.file, project={"shell": [*SHELL]}, inherits=True)
    folder = "/".join(filter(None, ("${ZENFLOW_ROOT}", origin.workdir, "node_modules/.bin")))
    source.defaults["env"] = {"PATH": f"{folder}:${{PATH}}"}
    said = _parsed(text, origin.file)
    scripts = {n: s for n, s in reading.as_map(said.get("scripts")).items() if isinstance(s, str)}
    lines = _lines(text, scripts)
    jobs = {n: Job(n, lines.get(n, 0)) for n in scripts}
    source.jobs += jobs.values()
    _beside(source, said, text)
    calls = {name: _Calls(script, scripts) for name, script in scripts.items()}
    needs = _needs(scripts, calls)
    for name, job in jobs.items():
        _write(source, job, scripts, calls[name], needs[name])
        _variables(source, job, said)
    return source


def _parsed(text: str, file: str) -> Map:
    def made(pairs: list[tuple[str, Any]]) -> Map:
        found = Map()
        found.update(pairs)
        return found

    try:
        found = json.loads(text, object_pairs_hook=made)
    except json.JSONDecodeError as error:
        problem = Problem("ZF680", f"no JSON: {error.msg}", file, error.lineno, error.colno)
        raise ZfError("", problems=(problem,)) from None
    except (RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ZfError(f"{file} cannot be imported: {why}", code="ZF680") from None
    if not isinstance(found, Map):
        raise ZfError(f"{file} holds no object", code="ZF680", hint="name a package.json")
    return found


def _lines(text: str, scripts: Mapping[str, str]) -> dict[str, int]:
    """The line of each script: of its key, the first after `"scripts"`."""
    found: dict[str, int] = {}
    inside = False
    for number, line in enumerate(text.split("\n"), start=1):
        inside = inside or '"scripts"' in line
        for key in re.findall(r'"((?:[^"\\]|\\.)*)"\s*:', line) if inside else ():
            if key in scripts:
                found.setdefault(key, number)
    return found


def _beside(source: Import, said: Map, text: str) -> None:
    """What a package says beside its scripts, as far as it is about running something."""
    line = text[: text.find('"workspaces"')].count("\n") + 1
    if said.get("workspaces"):
        job = Job("workspaces", line)
        source.jobs.append(job)
        remedy = "import each package with zf import npm, and call it with zf -C FOLDER run"
        source.manual("workspaces", remedy, job=job)
    for key in ("dependencies", "devDependencies"):
        if said.get(key):
            why = "npm run does not install them either: npm ci does"
            source.dropped(key, why, job=None)
    if "scripts" not in said:
        source.dropped("package.json", "it has no scripts", job=None)


class _Calls:
    """The scripts that a script calls before anything else, and what comes after them."""

    def __init__(self, script: str, scripts: Mapping[str, str]) -> None:
        self.in_order: list[tuple[str, str]] = []  # each with the text from it on
        self.any_order: list[str] = []
        many = _MANY.fullmatch(script)
        if many and (named := _many(many, scripts)):
            self.in_order = [(name, "") for name in named[0]]
            self.any_order = named[1]
            return
        rest: str | None = script
        while rest and (found := _CALL.fullmatch(rest)) and _is_call(found, scripts):
            self.in_order.append((found[3], rest.strip()))
            rest = found[4]
        self.rest = (rest or "").strip()

    rest = ""


def _is_call(found: re.Match[str], scripts: Mapping[str, str]) -> bool:
    program, verb, name = found[1], found[2], found[3]
    return name in scripts and bool(verb or name in _SHORT or program in {"yarn", "pnpm"})


def _many(found: re.Match[str], scripts: Mapping[str, str]) -> tuple[list[str], list[str]] | None:
    """What npm-run-all is told to run: one after the other, or in any order; None if not plain."""
    together = found[1] == "run-p"
    names: list[str] = []
    for word in shlex.split(found[2]):
        if word in {"-p", "--parallel"} and not names:
            together = True
        elif word in {"-s", "--sequential", "--serial", "-l", "-n", "--silent"} and not names:
            continue
        elif word.startswith("-") or not (chosen := _matching(word, scripts)):
            return None
        else:
            names += chosen
    return ([], names) if together else (names, [])


def _matching(word: str, scripts: Mapping[str, str]) -> list[str]:
    """Scripts of a name or pattern of npm-run-all: `*` stays within colons."""
    if "*" not in word:
        return [word] if word in scripts else []
    parts = word.split(":")
    return [
        name
        for name in scripts
        if (len(name.split(":")) == len(parts) or parts[-1] == "**")
        and all(fnmatchcase(a, b) for a, b in zip(name.split(":"), parts, strict=False))
    ]


def _needs(scripts: Mapping[str, str], calls: Mapping[str, _Calls]) -> dict[str, list[str]]:
    """Edges: hooks, and calls whose order the other edges already imply; none closes a circle."""
    needs: dict[str, list[str]] = {name: [] for name in scripts}

    def add(name: str, need: str) -> bool:
        if need == name or reaches(needs, need, name):
            return False
        if need not in needs[name]:
            needs[name].append(need)
        return True

    for name in scripts:
        if f"pre{name}" in scripts:
            add(name, f"pre{name}")
        if name.startswith("post") and name[4:] in scripts:
            add(name, name[4:])
    before = {name: [*needs[name]] for name in scripts}
    for at_most in (1, len(scripts)):  # the first calls alone may imply the order of others
        for name in scripts:
            for one in calls[name].any_order:
                add(name, _whole(one, scripts))
            done = [*before[name]]
            for one, _ in calls[name].in_order[:at_most]:
                target = _whole(one, scripts)
                is_after = all(b == target or reaches(needs, target, b) for b in done)
                if not is_after or not add(name, target):
                    break
                done.append(target)
    return needs


def _whole(name: str, scripts: Mapping[str, str]) -> str:
    """The task that has run once `npm run NAME` is over."""
    return f"post{name}" if f"post{name}" in scripts else name


def _write(
    source: Import, job: Job, scripts: Mapping[str, str], calls: _Calls, needs: list[str]
) -> None:
    script = scripts[job.name]
    for need in needs:
        job.need(need)
    source.exact(f"scripts.{job.name}", job=job)
    if job.name in _LIFE:
        source.changed(
            f"{job.name} as a hook", "npm runs it by itself at times, zf if told", job=job
        )
    if f"post{job.name}" in scripts:
        what = f"`zf run post{job.name}` runs both: a task does not start what comes after it"
        source.changed(f"scripts.post{job.name}", what, job=job)
    rest = _rest(source, job, scripts, calls, needs, script)
    if rest:
        job.steps.append(Step(rest))
    elif not script.strip():
        source.dropped(f"scripts.{job.name}", "it is empty", job=job)


def _rest(
    source: Import,
    job: Job,
    scripts: Mapping[str, str],
    calls: _Calls,
    needs: list[str],
    script: str,
) -> str:
    """What is left to run when the calls that are needs are taken away."""
    many = calls.any_order or (calls.in_order and not calls.in_order[0][1])
    listed = [*calls.any_order, *(name for name, _ in calls.in_order)]
    if many and any(_whole(name, scripts) not in needs for name in listed):
        return script
    for name, rest in calls.in_order:
        if not many and _whole(name, scripts) not in needs:
            return rest
    for name in listed:
        what = f"a need: in one run `{name}` runs once, however many call it"
        source.changed(f"call of {name}", what, job=job)
    return "" if many else calls.rest


def _variables(source: Import, job: Job, said: Map) -> None:
    """What npm puts into the environment, as far as the package says it."""
    for name in dict.fromkeys(_PACKAGE.findall(" ".join(step.run for step in job.steps))):
        key = name.removeprefix("npm_package_")
        if key in {"name", "version"} and isinstance(value := said.get(key), str):
            job.keys.setdefault("env", {})[name] = value.replace("${", "$${")
            source.changed(name, f"written out, as it is now: {value}", job=job)
        else:
            remedy = f"npm sets {name} and zf does not: write its value, and remove this step"
            source.manual(name, remedy, job=job, first=True)
