"""The keys of a task in a Taskfile that are not about its commands."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from zf.adopt.importers.model import Import, Job, Step
from zf.adopt.importers.reading import Map, Seq, as_list, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.taskfile.values import Scope, script, text
from zf.plan.files.patterns import GLOB

# What only says how Task calls, lists or prints a task.
_OF_TASK = {
    "aliases",
    "desc",
    "failfast",
    "internal",
    "label",
    "method",
    "output",
    "prefix",
    "run",
    "short",
    "silent",
    "summary",
    "use_gitignore",
    "watch",
}
_HERE = {"linux", "linux/amd64", "linux/arm64", "amd64", "arm64"}
_ELSEWHERE = {"cmd", "cmds", "deps", "dir", "env", "vars", "ignore_error"}


def long(said: Any) -> Map:
    """A task in its long form."""
    if isinstance(said, Map):
        return said
    found = Map()
    if said is not None:
        found["cmds"] = said if isinstance(said, Seq) else Seq()
        if not isinstance(said, Seq):
            found["cmds"].append(said)
    return found


def flags(key: str, words: list[str]) -> list[str]:
    """`set` and `shopt` as words of bash's command line."""
    if key == "shopt":
        return [part for word in words for part in ("-O", word)]
    return [part for word in words for part in ((f"-{word}",) if len(word) == 1 else ("-o", word))]


def is_here(platforms: Any) -> bool:
    """Whether what is for these platforms is for Linux."""
    return not platforms or any(as_text(one) in _HERE for one in as_list(platforms))


def take(source: Import, job: Job, said: Map, scope: Scope, folder: str) -> None:
    """Say what becomes of each key, and put what zf has into the task."""
    job.title = as_text(said.get("desc")) or ""
    for key in said:
        line = said.line_of(key)
        if key in {"desc", "summary"}:
            source.exact(key, line=line, job=job)
        elif key in _OF_TASK:
            why = "it is about Task itself: how it lists, prints or calls a task"
            source.dropped(key, why, line=line, job=job)
        elif key == "prompt":
            remedy = "Task asks before it runs and zf does not: remove this step if it may run"
            source.manual(f"prompt: {as_text(said[key])}", remedy, line=line, job=job)
        elif key == "interactive":
            what = "its steps have no terminal"
            source.changed(key, what, line=line, job=job)
        elif key == "dotenv":
            what = "zf reads no .env: load it before, as in `set -a; . ./.env; set +a; zf run`"
            source.changed(key, what, line=line, job=job)
        elif key in {"set", "shopt"}:
            words = [as_text(one) or "" for one in as_list(said[key])]
            job.keys["shell"] = ["bash", *flags(key, words), "-c"]
            source.exact(f"{key}: {', '.join(words)}", line=line, job=job)
        elif key == "requires":
            _requires(source, job, said, scope)
        elif key == "preconditions":
            _preconditions(source, job, said, scope)
        elif key not in _ELSEWHERE | {"sources", "generates", "status", "platforms"}:
            remedy = "zf import does not know this key: do what it says"
            source.manual(f"{key}: {as_text(said[key])}", remedy, line=line, job=job)
    _files(source, job, said, scope, folder)


def _requires(source: Import, job: Job, said: Map, scope: Scope) -> None:
    """Variables without which a task does not run: those that nothing sets are inputs."""
    line = said.line_of("requires")
    for one in as_list(as_map(said["requires"]).get("vars")):
        name = as_text(one.get("name") if isinstance(one, Map) else one) or ""
        if scope.find(name) is not None or not re.fullmatch(r"\w+", name):
            source.exact(f"requires {name}", line=line, job=job)
            continue
        variable = scope.ask(name, "")
        remedy = f"give it: -i {name}=VALUE"
        test = f'test -n "${variable}"'
        known = as_list(one.get("enum")) if isinstance(one, Map) else []
        if known:
            words = "|".join(shlex.quote(as_text(word) or "") for word in known)
            test = f'case "${variable}" in {words}) ;; *) false ;; esac'
        job.steps.append(Step(f"{test} || {{ echo {shlex.quote(remedy)} >&2; exit 1; }}"))
        source.changed(f"requires {name}", "an input, and a step that asks", line=line, job=job)


def _preconditions(source: Import, job: Job, said: Map, scope: Scope) -> None:
    for one in as_list(said["preconditions"]):
        command = as_text(one.get("sh") if isinstance(one, Map) else one) or ""
        line = one.line if isinstance(one, Map) else said.line_of("preconditions")
        message = as_text(one.get("msg")) if isinstance(one, Map) else ""
        construct = f"precondition {command}"
        env = job.keys.setdefault("env", {})
        try:
            test = script(command, scope, env)
            if message:
                told = shlex.quote(text(message, scope))
                test = f"{{ {test}\n}} || {{ echo {told} >&2; exit 1; }}"
            job.steps.append(Step(test))
            source.exact(construct, line=line, job=job)
        except Unsayable as error:
            remedy = f"write it as a step ({error})"
            source.manual(construct, remedy, line=line, job=job)


def _files(source: Import, job: Job, said: Map, scope: Scope, folder: str) -> None:
    """`sources` and `generates`, with a cache: Task does not run what is up to date."""
    if "sources" not in said:
        if "generates" in said:
            source.dropped("generates", "it has no `sources`", job=job)
        return
    line = said.line_of("sources")
    workdir = job.keys.get("workdir", folder)
    try:
        sources = [_glob(one, scope, workdir) for one in as_list(said["sources"])]
        generates = [_glob(one, scope, workdir) for one in as_list(said.get("generates"))]
    except Unsayable as error:
        what = f"it runs each time, as zf has no such path: {error}"
        source.changed("sources", what, line=line, job=job)
        return
    if not sources:
        return
    job.keys["sources"] = sources
    if generates:
        job.keys["generates"] = generates
    job.keys["cache"] = True
    source.project["cached"] = True
    what = "the same, with `cache`: an earlier run counts while what is in the files is the same"
    source.changed("sources", what, line=line, job=job)


def _glob(said: Any, scope: Scope, workdir: str) -> str:
    """A path of a Taskfile as zf has it. Raises Unsayable."""
    sign = ""
    if isinstance(said, Map) and "exclude" in said:
        said, sign = said["exclude"], "!"
    path = text(as_text(said) or "", scope)
    whole = os.path.normpath(os.path.join(workdir, path)) if path else ""
    if not re.search(GLOB, whole) or "{" in whole or whole.startswith("!"):
        raise Unsayable(path or str(said))
    return sign + whole
