"""Scripts of a package.json as tasks: hooks, and calls of other scripts."""

import json
import shutil
import subprocess

import pytest

from tests.support.imports import imported
from tests.support.program import Project


def package(root, scripts, **more):
    return imported(root, "npm", json.dumps({"scripts": scripts, **more}, indent=2))


def test_a_script_is_a_task_run_by_the_shell_of_npm(tmp_path):
    done = package(tmp_path, {"lint": "eslint .", "lint:css": "stylelint '**/*.css'"})
    assert done.runs("lint") == ["eslint ."]
    assert done.runs("lint-css") == ["stylelint '**/*.css'"]
    assert "`lint-css`" in done.said("changed")["name lint:css"]
    assert done.flow.tasks["lint"].steps[0].shell == ("sh", "-c")


def test_hooks_are_edges_and_a_call_waits_for_the_hook_after_it(tmp_path):
    done = package(
        tmp_path,
        {
            "prebuild": "rm -rf dist",
            "build": "tsc",
            "postbuild": "ls dist",
            "release": "npm run build && npm publish",
        },
    )
    assert done.edges() == {
        "prebuild": set(),
        "build": {"prebuild"},
        "postbuild": {"build"},
        "release": {"postbuild"},
    }
    assert done.runs("release") == ["npm publish"]


def test_calls_are_needs_as_far_as_their_order_is_sure(tmp_path):
    done = package(
        tmp_path,
        {
            "clean": "rm -rf dist",
            "compile": "tsc",
            "test": "npm run compile && jest",
            "sure": "npm run compile && npm test && echo done",
            "reset": "npm run clean && npm run compile && echo done",
            "given": "npm run compile -- --watch",
        },
    )
    assert done.needs("sure") == {"compile", "test"}
    assert done.runs("sure") == ["echo done"]
    # `compile` alone must not begin to remove what is there, so it does not come to need `clean`.
    assert done.needs("reset") == {"clean"}
    assert done.runs("reset") == ["npm run compile && echo done"]
    assert done.needs("compile") == set()
    assert done.runs("given") == ["npm run compile -- --watch"]


def test_a_hook_before_comes_before_the_calls_of_its_script(tmp_path):
    done = package(
        tmp_path,
        {"clean": "rm -rf dist", "prebuild": "npm run clean", "build": "npm run c", "c": "tsc"},
    )
    assert done.needs("build") == {"prebuild"}
    assert done.runs("build") == ["npm run c"]


@pytest.mark.parametrize("script", ["run-p lint:*", "npm-run-all --parallel lint:a lint:b"])
def test_npm_run_all_is_needs(tmp_path, script):
    done = package(tmp_path, {"lint:a": "a", "lint:b": "b", "lint": script})
    assert done.needs("lint") == {"lint-a", "lint-b"}
    assert done.runs("lint") == ["exit 0"]


def test_scripts_that_call_each_other_close_no_circle(tmp_path):
    done = package(tmp_path, {"a": "npm run b", "b": "npm run a", "c": "npm run c && x"})
    assert done.edges() == {"a": {"b"}, "b": set(), "c": set()}
    assert done.runs("c") == ["npm run c && x"]


def test_variables_of_npm_are_written_out_or_a_guard(tmp_path):
    done = package(
        tmp_path,
        {"v": "echo $npm_package_version", "w": "echo $npm_config_registry"},
        version="1.2.3",
    )
    assert done.flow.tasks["v"].env["npm_package_version"] == "1.2.3"
    assert "npm sets npm_config_registry" in done.runs("w")[0]
    assert done.runs("w")[1] == "echo $npm_config_registry"


def test_workspaces_are_for_a_person(tmp_path):
    done = package(tmp_path, {"a": "true"}, workspaces=["packages/*"])
    assert "workspaces" in done.said("manual")
    assert done.runs("workspaces")[0].endswith("exit 1")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_what_runs_is_what_npm_runs(tmp_path):
    scripts = {
        "premake": "echo pre >> log",
        "make": "echo made by `basename $PWD` >> log; false || tool >> log",
        "postmake": "echo post >> log",
    }
    project = Project(tmp_path / "project")
    tool = project.root / "node_modules/.bin/tool"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o755)
    (project.root / "tasks").rmdir()
    package(project.root, scripts)
    assert project.zf("run", "postmake").code == 0
    told = (project.root / "log").read_text()
    (project.root / "log").unlink()
    subprocess.run(["npm", "run", "make"], cwd=project.root, check=True, capture_output=True)
    assert told == (project.root / "log").read_text()
