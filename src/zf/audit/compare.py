"""Two runs side by side: which tasks ended otherwise, which scripts, variables, artifacts differ.

Compares what the runs say of themselves, by their checksum lists; whether they say the truth is
`verify.py`'s question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zf.errors import printable
from zf.inputs import HIDDEN, is_hidden
from zf.lean.records import Struct, field
from zf.model import TASK_KEYS
from zf.proof import checksums
from zf.proof.bundle import Bundle
from zf.proof.checksums import MAX_LIST_BYTES
from zf.proof.journal import decode
from zf.proof.layout import ARTIFACTS, COMMANDS, ENV, LOGS, OUTPUTS, STATUS, TASK, TASK_LIST
from zf.proof.read import MAX_JSON_BYTES, first_step, grown_plan, run_json

# What zf itself sets names the run, so it is never the same twice.
_OF_THE_RUN = frozenset(
    {"RUN_ID", "PROOF_DIR", "ARTIFACTS_DIR", "COMPOSE_PROJECT_NAME", "ZF_COOKIE", "NEEDS_DIR"}
)
_EXPORT = re.compile(r"export ([A-Za-z_][A-Za-z0-9_]*)='((?:[^']|'\\'')*)'\n")
_OUTPUT = (f"{LOGS}/", f"{ARTIFACTS}/", OUTPUTS)
_PARTS = {"scripts": f"{COMMANDS}/", "artifacts": f"{ARTIFACTS}/"}
_OF_A_STEP = re.compile(rf"\A((?:{COMMANDS}|{LOGS})/(?:step|cleanup)-)(\d{{1,9}})(?=\.\w+\Z)")
_TOLD_BY_FILES = frozenset({"commands", "cleanup", "env", "file", "line"})
_MAX_ENV_BYTES = 64 * 1024 * 1024
# Comparing lines takes time that grows with their number squared.
_MAX_SCRIPT_BYTES = 256 * 1024
_MOST_CHANGES = 40

# What one of the two has, or both have differently; None is what is not there.
Pair = tuple[Any, Any]


class TaskChange(Struct, frozen=True):
    """How a task differs; `scripts` and `artifacts` by path, the others by name, in pairs."""

    status: Pair | None = None
    # What their files said differently, by key: only what both runs recorded.
    definition: Mapping[str, Pair] = field(default_factory=dict)
    scripts: Mapping[str, Pair] = field(default_factory=dict)
    env: Mapping[str, Pair] = field(default_factory=dict)
    artifacts: Mapping[str, Pair] = field(default_factory=dict)
    outputs: Mapping[str, Pair] = field(default_factory=dict)
    # How the scripts differ that both have, by path: lines as `diff -u` writes them.
    changes: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Comparison(Struct, frozen=True):
    """What differs between two runs: facts of the run by name, and tasks by id."""

    runs: tuple[str, str]
    facts: Mapping[str, Pair]
    tasks: Mapping[str, TaskChange]

    @property
    def same(self) -> bool:
        return not self.facts and not self.tasks

    def render(self) -> str:
        """One line per difference."""
        if self.same:
            return f"{self.runs[0]} and {self.runs[1]} differ in nothing that counts\n"
        lines = [f"{name}: {_shown(pair)}" for name, pair in self.facts.items()]
        for task, change in self.tasks.items():
            lines.append(f"{task}: {_shown(change.status) if change.status else ''}".rstrip(" "))
            lines += [f"  {key}: {_shown(pair)}" for key, pair in change.definition.items()]
            for path, pair in change.scripts.items():
                lines.append(f"  script {path}: {which(pair)}")
                lines += [f"    {line}" for line in change.changes.get(path, ())]
            lines += [f"  env {name}: {_shown(pair)}" for name, pair in change.env.items()]
            lines += [f"  output {name}: {_shown(pair)}" for name, pair in change.outputs.items()]
            lines += [f"  artifact {path}: {which(p)}" for path, p in change.artifacts.items()]
        return "".join(printable(line) + "\n" for line in lines)

    def as_json(self) -> dict[str, Any]:
        """The same for programs; digests stand for the contents of files."""
        return {
            "schema": "zf/diff/v1",
            "runs": list(self.runs),
            "same": self.same,
            "facts": {name: list(pair) for name, pair in self.facts.items()},
            "tasks": {
                task: {
                    "status": list(change.status) if change.status else None,
                    "definition": {key: list(pair) for key, pair in change.definition.items()},
                    "scripts": {path: list(pair) for path, pair in change.scripts.items()},
                    "changes": {path: list(told) for path, told in change.changes.items() if told},
                    "env": {name: list(pair) for name, pair in change.env.items()},
                    "artifacts": {path: list(pair) for path, pair in change.artifacts.items()},
                    "outputs": {name: list(pair) for name, pair in change.outputs.items()},
                }
                for task, change in self.tasks.items()
            },
        }


class _Side(Struct, frozen=True):
    """One of the two runs, and the number it gives the first step in its file names."""

    bundle: Bundle
    first_step: int


def compare(first: str, second: str) -> Comparison:
    """Compare the runs in two folders; ZfError when one of them cannot be read."""
    runs = run_json(first), run_json(second)
    facts = {
        name: (one, other)
        for name, one, other in zip(_FACTS, _facts(runs[0]), _facts(runs[1]), strict=True)
        if one != other
    }
    facts |= _given(*runs)
    with Bundle(first) as one_bundle, Bundle(second) as other_bundle:
        ids = sorted(_ids(first) | _ids(second))
        sides = _Side(one_bundle, first_step(runs[0])), _Side(other_bundle, first_step(runs[1]))
        tasks = {task: _task(*sides, task) for task in ids}
    return Comparison(
        (str(runs[0].get("run_id")), str(runs[1].get("run_id"))),
        facts,
        {task: change for task, change in tasks.items() if change != _SAME},
    )


def output(first: str, second: str, task: str) -> dict[str, Pair]:
    """Every log and artifact of a task in two runs, by path, with both digests."""
    numbers = [first_step(run_json(run_dir)) for run_dir in (first, second)]
    with Bundle(first) as one, Bundle(second) as other:
        lists = [
            {
                path: digest
                for path, digest in _listed(_Side(bundle, number), task).items()
                if path.startswith(_OUTPUT)
            }
            for bundle, number in zip((one, other), numbers, strict=True)
        ]
    paths = sorted(lists[0].keys() | lists[1].keys())
    return {path: (lists[0].get(path), lists[1].get(path)) for path in paths}


def read_env(data: bytes) -> dict[str, str]:
    """The recorded variables in an env.sh."""
    text = data.decode("utf-8", "surrogateescape")
    return {name: value.replace("'\\''", "'") for name, value in _EXPORT.findall(text)}


_FACTS = ("commit", "dirty", "diff_sha256", "zf", "python", "platform", "host", "user")
_SAME = TaskChange()


def _facts(run: Mapping[str, Any]) -> Iterator[Any]:
    source = run.get("source")
    for name in _FACTS[:3]:
        yield source.get(name) if isinstance(source, dict) else None
    yield from (run.get("zf_version"), run.get("python_version"))
    yield from (run.get(name) for name in _FACTS[5:])


def _given(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    """What the two were given differently: inputs, and arguments. Whether hidden inputs are alike
    cannot be said, as each has a salt of its own, unless that is the same.
    """
    inputs = [run.get("inputs") for run in (first, second)]
    one, other = (each if isinstance(each, dict) else {} for each in inputs)
    found: dict[str, Pair] = {}
    for name in sorted(one.keys() | other.keys()):
        pair = tuple(_input(each.get(name)) for each in (one, other))
        if pair[0] != pair[1]:
            found[f"input {name}"] = pair
    arguments = first.get("arguments"), second.get("arguments")
    return found if arguments[0] == arguments[1] else found | {"arguments": arguments}


def _input(recorded: Any) -> Any:
    """The value, or that it is hidden, of an input that is there."""
    if not isinstance(recorded, dict):
        return None
    return HIDDEN if is_hidden(recorded) else recorded["value"]


def _ids(run_dir: str) -> set[str]:
    return {task["id"] for task in grown_plan(run_dir)["tasks"]}


def _task(first: _Side, second: _Side, task: str) -> TaskChange:
    statuses = _status(first.bundle, task), _status(second.bundle, task)
    lists = _listed(first, task), _listed(second, task)
    env = {}
    # Of a task that ran in one of them alone, nothing has changed.
    if lists[0].get(ENV) != lists[1].get(ENV) and all(ENV in listed for listed in lists):
        env = _pairs(_env(first.bundle, task, lists[0]), _env(second.bundle, task, lists[1]))
    outputs = {}
    if lists[0].get(OUTPUTS) != lists[1].get(OUTPUTS):
        outputs = _pairs(_outputs(first.bundle, task), _outputs(second.bundle, task))
    parts = {
        part: _pairs(_below(lists[0], folder), _below(lists[1], folder))
        for part, folder in _PARTS.items()
    }
    return TaskChange(
        status=statuses if statuses[0] != statuses[1] else None,
        definition=_definition(first.bundle, second.bundle, task),
        env=env,
        outputs=outputs,
        changes={
            path: _changes(first, second, task, path)
            for path, pair in parts["scripts"].items()
            if None not in pair
        },
        **parts,
    )


def _changes(first: _Side, second: _Side, task: str, path: str) -> list[str]:
    """How a script of both differs, up to a number of lines; nothing for one too large to look."""
    from difflib import unified_diff  # noqa: PLC0415 - runs that are alike need none

    try:
        one, other = (
            side.bundle.read(
                f"{task}/{_as_written(side, _PARTS['scripts'] + path)}", _MAX_SCRIPT_BYTES
            )
            .decode("utf-8", "replace")
            .splitlines()
            for side in (first, second)
        )
    except OSError:
        return []
    # The first two lines name the files, which have one name.
    lines = list(unified_diff(one, other, n=1, lineterm=""))[2:]
    if len(lines) > _MOST_CHANGES:
        more = len(lines) - _MOST_CHANGES
        lines = [*lines[:_MOST_CHANGES], f"and {more} more {'line' if more == 1 else 'lines'}"]
    return lines


def _pairs(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, Pair]:
    return {
        key: (one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    }


def _below(listed: Mapping[str, str], folder: str) -> dict[str, str]:
    """What the list has below a folder; of the commands only the scripts, which have no times."""
    return {
        path[len(folder) :]: digest
        for path, digest in listed.items()
        if path.startswith(folder) and (folder != _PARTS["scripts"] or path.endswith(".sh"))
    }


def _status(bundle: Bundle, task: str) -> str | None:
    status = _object(bundle, f"{task}/{STATUS}")
    return None if status is None else str(status.get("status"))


def _outputs(bundle: Bundle, task: str) -> dict[str, str]:
    """What the task handed on, as far as it can be read."""
    said = _object(bundle, f"{task}/{OUTPUTS}") or {}
    return {name: value for name, value in said.items() if isinstance(value, str)}


def _definition(first: Bundle, second: Bundle, task: str) -> dict[str, Pair]:
    """What was recorded of the task file that no script, variable or name of a file tells."""
    one, other = (_object(bundle, f"{task}/{TASK}") or {} for bundle in (first, second))
    return {
        key: (one[key], other[key])
        for key in TASK_KEYS.values()
        if key not in _TOLD_BY_FILES and key in one and key in other and one[key] != other[key]
    }


def _object(bundle: Bundle, path: str) -> dict[str, Any] | None:
    try:
        value = decode(bundle.read(path, MAX_JSON_BYTES))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _listed(side: _Side, task: str) -> dict[str, str]:
    """What the task's list has, with steps counted from 0 also where the run counts from 1."""
    try:
        listed = checksums.parse(side.bundle.read(f"{task}/{TASK_LIST}", MAX_LIST_BYTES))
    except (OSError, ValueError):
        return {}
    if not side.first_step:
        return listed
    return {_OF_A_STEP.sub(_one_less, path): digest for path, digest in listed.items()}


def _as_written(side: _Side, path: str) -> str:
    """The path in the run itself of one that `_listed` gives."""
    return _OF_A_STEP.sub(lambda found: f"{found[1]}{int(found[2]) + side.first_step}", path)


def _one_less(found: re.Match[str]) -> str:
    return f"{found[1]}{int(found[2]) - 1}"


def _env(bundle: Bundle, task: str, listed: Mapping[str, str]) -> dict[str, str]:
    if ENV not in listed:
        return {}
    try:
        values = read_env(bundle.read(f"{task}/{ENV}", _MAX_ENV_BYTES))
    except OSError:
        return {}
    return {name: value for name, value in values.items() if name not in _OF_THE_RUN}


def _shown(pair: Pair) -> str:
    one, other = (
        "-" if value is None else value if isinstance(value, str) else json.dumps(value)
        for value in pair
    )
    return f"{one} -> {other}"


def which(pair: Pair) -> str:
    """In words, which of the two has a file, or whether they are alike."""
    one, other = pair
    if one == other:
        return "equal"
    if one is None:
        return "only in the second"
    return "only in the first" if other is None else "differs"
