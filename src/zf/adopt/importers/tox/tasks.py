"""The environments of tox -> a task that sets each up, kept by a cache, and one that runs it."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from zf.adopt.importers.model import Import, Job, Origin, Step
from zf.adopt.importers.names import as_id, is_variable
from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.tox import settings
from zf.adopt.importers.tox.settings import chosen
from zf.adopt.importers.tox.words import Words
from zf.model import RESERVED_ENV
from zf.plan.files.patterns import ENV_GLOB, INSIDE

NAMES = ("tox.ini", "tox.toml", "pyproject.toml")
_PYTHON = re.compile(r"(py|python)(\d)?\.?(\d+)?|pypy(\d)?\.?(\d+)?")
_PACKAGE = ("pyproject.toml", "setup.py", "setup.cfg")
_DROPPED = {
    "allowlist_externals": "zf runs whatever is on the PATH",
    "download": "it is about how tox makes environments",
    "ignore_errors": "",
    "isolated_build": "it is about how tox builds packages",
    "package_env": "it is about how tox builds packages",
    "parallel_show_output": "it is about what tox prints",
    "platform": "",
    "recreate": "it is about how tox makes environments",
    "sitepackages": "",
    "suicide_timeout": "",
    "system_site_packages": "",
    "wheel_build_env": "it is about how tox builds packages",
}
_KNOWN = {
    "base_python",
    "change_dir",
    "commands",
    "commands_post",
    "commands_pre",
    "dependency_groups",
    "depends",
    "deps",
    "description",
    "extras",
    "ignore_outcome",
    "labels",
    "package",
    "pass_env",
    "set_env",
    "skip_install",
    "use_develop",
}


def read(origin: Origin) -> Import:
    """What the environments of tox come to."""
    source = Import("tox", origin.file)
    said = settings.read(origin)
    source.project["cached"] = True
    importer = _Importer(source, said, origin)
    usual = said.envs()
    for env in [*usual, *said.others()]:
        importer.env(env)
    source.usual = usual
    source.runs_all = not said.others()
    source.exact(f"envlist: {', '.join(usual)}", line=said.lines.get("tox", 0), job=None)
    for key in sorted({*said.sections.get("tox", {})} - {"env_list"}):
        source.dropped(f"tox: {key}", "it is about tox itself", job=None)
    return source


class _Importer:
    def __init__(self, source: Import, said: settings.Settings, origin: Origin) -> None:
        self.source, self.said, self.origin = source, said, origin
        self.all = {*said.envs(), *said.others()}

    def env(self, env: str) -> None:
        """The two tasks of an environment."""
        line = self.said.lines.get(f"env:{env}", self.said.lines.get("base", 0))
        said = self.said.of(env)
        venv = f".venvs/{as_id(env)}"
        words = Words(self.said, env, self.origin.workdir, venv)
        self._set_up(env, said, words, venv, line)
        job = Job(env, line, title=_one(said.get("description"), env))
        self.source.jobs.append(job)
        self.source.exact(f"testenv {env}", job=job)
        job.need(f"{env} env")
        folder = "/".join(filter(None, ("${ZENFLOW_ROOT}", self.origin.workdir, venv)))
        job.keys["env"] = {"PATH": f"{folder}/bin:${{PATH}}", "VIRTUAL_ENV": folder}
        self._variables(job, said, words, env)
        self._where(job, said, words)
        self._keys(job, said, env)
        for key in ("commands_pre", "commands"):
            self._commands(job, said.get(key), words, env, key, job.steps)
        self._commands(job, said.get("commands_post"), words, env, "commands_post", job.cleanup)
        if words.passed:
            listed = job.keys.setdefault("pass_env", [])
            listed += [name for name in words.passed if name not in listed]

    def _set_up(self, env: str, said: dict[str, Any], words: Words, venv: str, line: int) -> None:
        job = Job(f"{env} env", line)
        self.source.jobs.append(job)
        job.steps.append(Step(f"{self._python(job, said, env)} -m venv {venv}"))
        sources = [os.path.basename(self.origin.file)]
        given: list[str] = []
        for dep in _listed(said.get("deps"), env):
            try:
                text = words.text(dep)
            except Unsayable as error:
                remedy = f"install it in this task (zf has no {error})"
                self.source.manual(f"deps {dep}", remedy, job=job)
                continue
            option = re.match(r"(-r|-c|--requirement|--constraint)[ =]?\s*(.+)", text)
            if option:
                given += [option[1], shlex.quote(option[2])]
                sources.append(option[2])
            else:
                given.append(shlex.quote(text))
        given += self._package(said, sources, env)
        if given:
            job.steps.append(Step(f"{venv}/bin/pip install {' '.join(given)}"))
        paths = [self._path(one) for one in dict.fromkeys(sources)]
        job.keys |= {
            "sources": [one for one in paths if re.search(INSIDE, one) and "{" not in one],
            "generates": [self._path(venv)],
            "cache": True,
        }
        what = "a task that makes the environment, kept while these files are the same"
        self.source.changed(f"deps of {env}", what, job=job)

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.origin.workdir, path))

    def _python(self, job: Job, said: dict[str, Any], env: str) -> str:
        """The interpreter of an environment, by what it says or by its name."""
        base = said.get("base_python")
        text = base[0] if isinstance(base, list) and base else base
        names = [chosen(text, env).strip()] if isinstance(text, str) else []
        for name in [*names, *env.split("-")]:
            match = _PYTHON.fullmatch(name.split("\n")[0].strip())
            if match and name.startswith("pypy"):
                return f"pypy{match[4] or 3}" + (f".{match[5]}" if match[5] else "")
            if match and match[2]:
                return f"python{match[2]}" + (f".{match[3]}" if match[3] else "")
        if names and names[0] and not _PYTHON.fullmatch(names[0].split("\n")[0]):
            what = "python3, whatever version that is"
            self.source.changed(f"basepython: {names[0]}", what, job=job)
        return "python3"

    def _package(self, said: dict[str, Any], sources: list[str], env: str) -> list[str]:
        """The project itself, unless it is not to be installed."""
        groups = _listed(said.get("dependency_groups"), env)
        if groups:
            sources.append("pyproject.toml")
        named = [f"--group {shlex.quote(one)}" for one in groups]
        return [*named, *self._own(said, env, sources)]

    def _own(self, said: dict[str, Any], env: str, sources: list[str]) -> list[str]:
        skipped = _true(said.get("skip_install"), env) or _one(said.get("package"), env) == "skip"
        if skipped or _true(self.said.sections.get("tox", {}).get("no_package"), env):
            return []
        if _true(self.said.sections.get("tox", {}).get("skipsdist"), env):
            return []
        folder = os.path.dirname(self.origin.path) or "."
        sources += [one for one in _PACKAGE if os.path.isfile(f"{folder}/{one}")]
        extras = ",".join(re.split(r"[\s,]+", "\n".join(_listed(said.get("extras"), env))))
        return ["-e", shlex.quote(f".[{extras}]") if extras else "."]

    def _variables(self, job: Job, said: dict[str, Any], words: Words, env: str) -> None:
        for name, value in _pairs(said.get("set_env"), env):
            construct = f"setenv {name}"
            if not is_variable(name) or name in RESERVED_ENV:
                self.source.manual(construct, "zf sets no such variable", job=job)
                continue
            try:
                job.keys["env"][name] = words.value(value)
                self.source.exact(construct, job=job)
            except Unsayable as error:
                remedy = f"set it in `env` (zf has no {error})"
                self.source.manual(construct, remedy, job=job)
        names = [one for said_ in _listed(said.get("pass_env"), env) for one in said_.split()]
        names = [one.strip(",") for one in names]
        good = [one for one in dict.fromkeys(names) if re.search(ENV_GLOB, one)]
        if good:
            job.keys["pass_env"] = good
            self.source.exact("passenv", job=job)

    def _where(self, job: Job, said: dict[str, Any], words: Words) -> None:
        folder = _one(said.get("change_dir"), job.name)
        if not folder:
            return
        try:
            path = self._path(words.path(folder))
        except Unsayable:
            path = ".."
        if re.search(INSIDE, path):
            job.keys["workdir"] = path
            self.source.exact(f"changedir: {folder}", job=job)
        else:
            remedy = "zf runs tasks in the project alone: write `workdir`"
            self.source.manual(f"changedir: {folder}", remedy, job=job)

    def _keys(self, job: Job, said: dict[str, Any], env: str) -> None:
        for key in said:
            if key in _DROPPED:
                if _DROPPED[key]:
                    self.source.dropped(key, _DROPPED[key], job=job)
                else:
                    self.source.changed(key, "left out: zf has no like", job=job)
            elif key not in _KNOWN:
                remedy = "zf import does not know this key: do what it says"
                self.source.manual(f"{key} of {env}", remedy, job=job)
        if _true(said.get("ignore_outcome"), env):
            job.keys["allow_failure"] = True
            self.source.exact("ignore_outcome", job=job)
        for label in _listed(said.get("labels"), env):
            job.keys.setdefault("tags", []).append(as_id(label))
        for line in _listed(said.get("depends"), env):
            for one in re.split(r"[\s,]+", line):
                for name in settings.expanded(one):
                    if name in self.all and name != env:
                        job.need(name)
                        what = "a need: the task does not run if that one fails"
                        self.source.changed(f"depends {name}", what, job=job)

    def _commands(
        self, job: Job, said: Any, words: Words, env: str, key: str, steps: list[Step]
    ) -> None:
        for written in _listed(said, env) if not isinstance(said, list) else said:
            text = " ".join(map(str, written)) if isinstance(written, list) else str(written)
            sign, line = "", written
            if isinstance(line, str) and line[:1] in {"-", "!"}:
                sign, line = line[0], line[1:].strip()
            elif isinstance(line, list) and line[:1] in (["-"], ["!"]):
                sign, line = line[0], line[1:]
            try:
                script = words.script(line)
            except Unsayable as error:
                remedy = f"write it as a step (zf has no {error})"
                self.source.manual(f"{key}: {text}", remedy, job=job)
                continue
            if not script:
                continue
            keys = {"continue_on_error": True} if sign == "-" else {}
            steps.append(Step(f"! {script}" if sign == "!" else script, keys=keys))
            self.source.exact(f"{key}: {text}", job=job)


def _listed(said: Any, env: str) -> list[str]:
    """The lines of a value that are for an environment, those that end in a backslash joined."""
    if isinstance(said, list):
        return [one for one in said if isinstance(one, str)]
    if not isinstance(said, str):
        return []
    lines = re.sub(r"\\\n\s*", " ", said).split("\n")
    kept = chosen("\n".join(line for line in lines if not line.strip().startswith("#")), env)
    return [line.strip() for line in kept.split("\n") if line.strip()]


def _pairs(said: Any, env: str) -> list[tuple[str, str]]:
    if isinstance(said, dict):
        return [(key, str(value)) for key, value in said.items() if not isinstance(value, dict)]
    found = []
    for line in _listed(said, env):
        name, sign, value = line.partition("=")
        if sign:
            found.append((name.strip(), value.strip()))
    return found


def _one(said: Any, env: str) -> str:
    return "\n".join(_listed(said, env)) if isinstance(said, str) else ""


def _true(said: Any, env: str) -> bool:
    return said is True or _one(said, env).lower() in {"true", "1", "yes", "on"}
