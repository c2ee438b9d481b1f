"""Generated projects: what their tasks come to is what the rules say, always the same, and does not
depend on the order of tasks, templates and files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.lean.records import replace
from zf.model import Task
from zf.plan.load import load

IDS = [f"t{number}" for number in range(6)]
TEMPLATES = ["p", "q", "r"]
NAMES = ["A", "B", "C"]


def layers(*, template: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """What defaults, a template or a task may say; needs point at earlier tasks only later on."""
    return st.fixed_dictionaries(
        {},
        optional={
            "timeout_sec": st.integers(1, 99),
            "max_retries": st.integers(0, 3),
            "parallel_safe": st.booleans(),
            "workdir": st.sampled_from([".", "src"]),
            "env": st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["x", "y", "z"])),
            "resources": st.dictionaries(st.sampled_from(["cpu", "db"]), st.integers(1, 2)),
            "pass_env": st.lists(st.sampled_from(NAMES), unique=True),
            "artifacts+": st.lists(st.sampled_from(["*.a", "*.b"]), unique=True),
            "secrets+": st.lists(st.sampled_from(NAMES), unique=True),
            **({"commands": st.just(["make", {"name": "two", "run": "test"}])} if template else {}),
        },
    )


@st.composite
def projects(draw: st.DrawFn) -> dict[str, Any]:
    """The parts of a project, before they are put into files."""
    tasks = {}
    for number, name in enumerate(IDS[: draw(st.integers(1, len(IDS)))]):
        said = draw(layers())
        if used := draw(st.lists(st.sampled_from(TEMPLATES), max_size=3)):
            said["use"] = used
        earlier = IDS[:number]
        key = draw(st.sampled_from(["needs", "needs+"]))
        said[key] = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        said["run"] = f"make {name}"
        tasks[name] = said
    return {
        "defaults": draw(layers()),
        "file_defaults": draw(layers()),
        "templates": {name: draw(layers(template=True)) for name in TEMPLATES},
        "tasks": tasks,
        # In zf.yaml, in a file of several, or in a folder of its own.
        "places": {name: draw(st.sampled_from("zfd")) for name in tasks},
    }


def written(
    project: Mapping[str, Any], order: list[str], file: str
) -> dict[str, Mapping[str, Any]]:
    """The files, their entries in this order."""
    tasks, places = project["tasks"], project["places"]
    here = [name for name in order if name in tasks]
    templates = {name: project["templates"][name] for name in order if name in TEMPLATES}
    files: dict[str, Mapping[str, Any]] = {
        "zf.yaml": {
            "templates": templates,
            "tasks": {name: tasks[name] for name in here if places[name] == "z"},
            "defaults": project["defaults"],
        },
        f"tasks/{file}.yaml": {
            "tasks": {name: tasks[name] for name in here if places[name] == "f"},
            "defaults": project["file_defaults"],
        },
    }
    for name in here:
        if places[name] == "d":
            files[f"tasks/{name}/task.yaml"] = tasks[name]
    return files


def loaded(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    with tempfile.TemporaryDirectory() as root:
        for name, said in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(said, sort_keys=False))
        found = load(root, root, default_phase_timeout_s=3600)
        assert found.problems == (), found.problems
        assert found.flow is not None
        return dict(found.flow.tasks)


def without_places(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The tasks without what says where they stand."""
    return {
        name: replace(
            task,
            file="",
            line=0,
            origins={},
            steps=tuple(replace(step, line=0) for step in task.steps),
        )
        for name, task in tasks.items()
    }


def expected(project: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The rules once more, written down as plainly as can be."""
    said: dict[str, Any] = {}
    below = [project["defaults"]]
    if project["places"][name] == "f":
        below.append(project["file_defaults"])
    own = project["tasks"][name]
    for layer in [*below, *(project["templates"][used] for used in own.get("use", ())), own]:
        for key, value in layer.items():
            if key.endswith("+"):
                had = said.get(key[:-1], [])
                said[key[:-1]] = had + [one for one in value if one not in had]
            elif key in {"env", "resources"}:
                said[key] = said.get(key, {}) | value
            else:
                said[key] = value
    return said


def check(project: Mapping[str, Any], shuffled: list[str]) -> None:
    order = [*TEMPLATES, *IDS]
    first = loaded(written(project, order, "shared"))
    for name, task in first.items():
        wanted = expected(project, name)
        assert task.timeout_s == wanted.get("timeout_sec", 300)
        assert task.max_retries == wanted.get("max_retries", 0)
        assert task.parallel_safe == wanted.get("parallel_safe", False)
        assert task.workdir == wanted.get("workdir", ".")
        assert dict(task.env) == wanted.get("env", {})
        assert dict(task.resources) == wanted.get("resources", {})
        assert list(task.pass_env) == wanted.get("pass_env", [])
        assert list(task.artifacts) == wanted.get("artifacts", [])
        assert list(task.secrets) == wanted.get("secrets", [])
        assert [need.task for need in task.needs] == wanted.get("needs", [])
        assert [step.run for step in task.steps] == [f"make {name}"]
    assert loaded(written(project, order, "shared")) == first
    other = loaded(written(project, shuffled, "another"))
    assert without_places(other) == without_places(first)


@settings(max_examples=25, deadline=None)
@given(projects(), st.permutations([*TEMPLATES, *IDS]))
def test_what_tasks_come_to_is_what_the_rules_say(project, shuffled):
    check(project, shuffled)


@pytest.mark.campaign
@settings(max_examples=10_000, deadline=None)
@given(projects(), st.permutations([*TEMPLATES, *IDS]))
def test_what_tasks_of_many_projects_come_to_is_what_the_rules_say(project, shuffled):
    check(project, shuffled)
