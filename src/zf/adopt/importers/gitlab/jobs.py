"""The keys of one job of GitLab -> those of its task."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

from zf.adopt.importers.model import Import, Job, Step
from zf.adopt.importers.names import as_id, is_variable
from zf.adopt.importers.reading import Map, as_list, as_map, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.instances import matrix_variable
from zf.model import RESERVED_ENV
from zf.plan.files.patterns import INSIDE
from zf.variables import is_allowed

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_]\w*)\}|\$([A-Za-z_]\w*)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AFTER_S = 300
_MOST_INSTANCES = 256
_ELSEWHERE = {
    "except",
    "inherit",
    "needs",
    "only",
    "rules",
    "stage",
    "variables",
    "when",
    "before_script",
    "start_in",
}
_DROPPED = {
    "cache": "what is there stays there: see `cache` of tasks",
    "coverage": "it is a number that GitLab shows",
    "dependencies": "all tasks run in one folder: what another left is where it left it",
    "environment": "deployments are listed by GitLab",
    "interruptible": "which pipeline ends another is GitLab's",
    "tags": "tasks run on this machine",
}
_BY_HAND = {
    "services": "start them in a step or with Docker Compose, and end them in `cleanup`",
    "trigger": "zf starts no other pipeline: write a step that does",
    "release": "write a step that makes the release",
    "secrets": "get them in a step, or set them before zf starts, with `pass_env`",
    "id_tokens": "get the token in a step",
}


def take(source: Import, job: Job, said: Map, variables: Map) -> None:
    """Put all keys into the task, and say what became of each."""
    _variables(source, job, said, variables)
    for key, value in said.items():
        line = said.line_of(key)
        if key in _DROPPED:
            source.dropped(key, _DROPPED[key], line=line, job=job)
        elif key in _BY_HAND:
            source.manual(f"{key}: {shown(value)}", _BY_HAND[key], line=line, job=job)
        elif key in _KEYS:
            _KEYS[key](source, job, value, line)
        elif key not in _ELSEWHERE | {"script", "after_script"}:
            remedy = "zf import does not know this key: do what it says"
            source.manual(f"{key}: {shown(value)}", remedy, line=line, job=job)
    _scripts(source, job, said)


def shown(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Map):
        return ", ".join(f"{key}: {shown(one)}" for key, one in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, list) else as_text(value) or ""


def _lines(value: Any, depth: int = 0) -> list[str]:
    """The lines of a script: lists in it are put in."""
    if isinstance(value, list) and depth < 12:
        return [line for one in value for line in _lines(one, depth + 1)]
    text = as_text(value) or ""
    return [text.rstrip("\n")] if text.strip() else []


def _scripts(source: Import, job: Job, said: Map) -> None:
    script = _lines(said.get("before_script")) + _lines(said.get("script"))
    if any("$[[" in line for line in script):
        remedy = "write it with what the inputs of the pipeline are"
        source.manual("script with $[[ ... ]]", remedy, line=said.line_of("script"), job=job)
    elif script:
        text = "\n".join(script)
        job.steps.append(Step(f"{text}\n" if "\n" in text else text))
        source.exact("script", line=said.line_of("script"), job=job)
    after = _lines(said.get("after_script"))
    if after:
        text = "\n".join(after)
        keys = {"continue_on_error": True}
        job.cleanup.append(Step(f"{text}\n" if "\n" in text else text, keys=keys))
        job.keys["cleanup_timeout_sec"] = _AFTER_S
        source.exact("after_script", line=said.line_of("after_script"), job=job)


def _variables(source: Import, job: Job, said: Map, variables: Map) -> None:
    """Variables of the pipeline and of the job; `$OTHER` in them names another."""
    own = as_map(said.get("variables"))
    known = {**variables, **own}
    env: dict[str, str] = {}
    for name, value in known.items():
        line = own.line_of(name) if name in own else variables.line_of(name)
        text = as_text(value.get("value") if isinstance(value, Map) else value)
        if text is None or not is_variable(name) or name in RESERVED_ENV:
            source.manual(f"variable {name}", "zf sets no such variable", line=line, job=job)
            continue
        is_raw = isinstance(value, Map) and value.get("expand") is False
        env[name] = text.replace("${", "$${") if is_raw else _expanded(job, text, known)
    if own:
        source.exact(f"variables {', '.join(own)}", line=said.line_of("variables"), job=job)
    if env:
        job.keys["env"] = {**env, **job.keys.get("env", {})}


def _expanded(job: Job, text: str, known: dict[str, Any]) -> str:
    def put(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        if name in known:
            return f"${{{name}}}"
        if not is_allowed(name):
            listed = job.keys.setdefault("pass_env", [])
            if name not in listed and name not in RESERVED_ENV:
                listed.append(name)
        return f"${{{name}:-}}"

    # What is no variable of GitLab's stays as it is.
    parts, at = [], 0
    for found in _VARIABLE.finditer(text):
        parts += [text[at : found.start()].replace("${", "$${"), put(found)]
        at = found.end()
    return "".join([*parts, text[at:].replace("${", "$${")])


def _image(source: Import, job: Job, value: Any, line: int) -> None:
    what = "the task runs on this machine, which must have what the image has"
    source.changed(f"image: {shown(value)}", what, line=line, job=job)


def _allow_failure(source: Import, job: Job, value: Any, line: int) -> None:
    codes = as_list(value.get("exit_codes")) if isinstance(value, Map) else []
    if codes and all(isinstance(one, int) and 0 < one < 256 for one in codes):
        job.keys["allow_failure"] = {"exit_codes": codes}
    elif value is True:
        job.keys["allow_failure"] = True
    source.exact("allow_failure", line=line, job=job)


def _retry(source: Import, job: Job, value: Any, line: int) -> None:
    many = value.get("max") if isinstance(value, Map) else value
    if not isinstance(many, int) or many < 0:
        source.changed("retry", "left out", line=line, job=job)
        return
    if many:
        job.keys["max_retries"] = many
    codes = as_list(value.get("exit_codes")) if isinstance(value, Map) else []
    if codes and all(isinstance(one, int) and 0 < one < 256 for one in codes):
        job.keys["retry_on"] = {"exit_codes": codes}
    if isinstance(value, Map) and "when" in value:
        what = "after any end: zf has no such kinds of failure"
        source.changed(f"retry when {shown(value['when'])}", what, line=line, job=job)
    else:
        source.exact(f"retry: {many}", line=line, job=job)


def _timeout(source: Import, job: Job, value: Any, line: int) -> None:
    text = (as_text(value) or "").lower()
    found = re.findall(r"(\d{1,7})\s*(s|m|h|d|w)[a-z]*", text)
    seconds = sum(int(many) * _UNITS[unit] for many, unit in found)
    if re.fullmatch(r"\d{1,8}", text.strip()):
        seconds = int(text)
    if seconds:
        job.keys["timeout_sec"] = seconds
        source.exact(f"timeout: {text}", line=line, job=job)
    else:
        source.changed(f"timeout: {text}", "left out", line=line, job=job)


def _group(source: Import, job: Job, value: Any, line: int) -> None:
    name = as_id(as_text(value) or "")
    job.keys["concurrency"] = name
    source.changed(f"resource_group: {shown(value)}", f"the group `{name}`", line=line, job=job)


def _parallel(source: Import, job: Job, value: Any, line: int) -> None:
    env = job.keys.setdefault("env", {})
    if isinstance(value, int):
        if 1 < value <= _MOST_INSTANCES:
            job.keys["matrix"] = {"node": {"count": value}}
            env |= {"CI_NODE_INDEX": "${MATRIX_NODE}", "CI_NODE_TOTAL": str(value)}
        source.exact(f"parallel: {value}", line=line, job=job)
        return
    try:
        job.keys["matrix"] = _matrix(as_map(value).get("matrix"))
        names = [n for n in job.keys["matrix"] if n != "include"]
        names += [n for one in job.keys["matrix"].get("include", ()) for n in one]
        env |= {name: f"${{{matrix_variable(name)}}}" for name in dict.fromkeys(names)}
        source.exact("parallel: matrix", line=line, job=job)
    except Unsayable as error:
        remedy = f"write it as `matrix` (zf has no values like {error})"
        source.manual("parallel", remedy, line=line, job=job)


def _matrix(said: Any) -> dict[str, Any]:
    """Entries of `parallel: matrix`, each a product, all together. Raises Unsayable."""
    entries: list[dict[str, list[str]]] = []
    for one in as_list(said):
        entry: dict[str, list[str]] = {}
        for name, value in as_map(one).items():
            values = [as_text(each) for each in as_list(value)]
            if not values or None in values or not is_variable(name) or len(name) > 60:
                raise Unsayable(f"{name}: {shown(value)}")
            entry[name] = [str(each) for each in dict.fromkeys(values)]
        entries.append(entry)
    if not entries or not all(entries):
        raise Unsayable(shown(said))
    if len(entries) == 1:
        return dict(entries[0])
    listed = [
        dict(zip(entry, values, strict=True))
        for entry in entries
        for values in product(*entry.values())
    ]
    if len(listed) > _MOST_INSTANCES or len({*map(len, listed)}) > 1:
        raise Unsayable("entries of several forms")
    return {"include": listed}


def _artifacts(source: Import, job: Job, value: Any, line: int) -> None:
    said = as_map(value)
    try:
        paths = [_path(job, one) for one in as_list(said.get("paths"))]
        junit = [_path(job, one) for one in as_list(as_map(said.get("reports")).get("junit"))]
    except Unsayable as error:
        remedy = f"write the path as a glob in `artifacts` (zf has none like {error})"
        source.manual("artifacts", remedy, line=line, job=job)
        return
    if paths:
        job.keys["artifacts"] = list(dict.fromkeys(paths))
        source.exact("artifacts", line=line, job=job)
    if junit:
        job.keys["reports"] = {"junit": list(dict.fromkeys(junit))}
        source.exact("artifacts: reports: junit", line=line, job=job)
    for key in said:
        if key not in {"paths", "reports", "when", "name"}:
            why = "artifacts are what `paths` names, and stay as long as the proof"
            source.dropped(f"artifacts: {key}", why, line=line, job=job)
    for key in as_map(said.get("reports")):
        if key != "junit":
            source.dropped(f"artifacts: reports: {key}", "GitLab shows it", line=line, job=job)


def _path(job: Job, said: Any) -> str:
    """A glob of an artifact, with variables of the job in it. Raises Unsayable."""
    text = as_text(said) or ""
    env = job.keys.get("env", {})

    def put(found: re.Match[str]) -> str:
        name = found[1] or found[2] or ""
        if name == "CI_PROJECT_DIR":
            return "."
        value = env.get(name)
        if value is None or "$" in value:
            raise Unsayable(text)
        return str(value)

    path = re.sub(r"^(\./)+", "", _VARIABLE.sub(put, text)).rstrip("/") or "."
    if not re.search(INSIDE, path) or "$" in path:
        raise Unsayable(text)
    return path


_KEYS = {
    "allow_failure": _allow_failure,
    "artifacts": _artifacts,
    "image": _image,
    "parallel": _parallel,
    "resource_group": _group,
    "retry": _retry,
    "timeout": _timeout,
}
