"""What a task comes to, and which line said each part of it."""

from tests.support.plan_files import loaded, write
from zf.plan.resolve import explain

PROJECT = """\
defaults: {timeout_sec: 60, env: {A: default, B: default}}
templates:
  t:
    env: {B: template}
    needs: [first]
    pass_env: [HOME]
tasks:
  first: |
    make one
    make two
  own:
    use: t
    env: {A: own}
    needs+: [{task: other, require: done}]
    commands: [make, {name: Test, run: make test}]
    cleanup: [make clean]
"""


def parts(root, name, files):
    flow = loaded(root, files).flow
    return {
        part.key: (part.value, part.place) for part in explain.parts(str(root), flow.tasks[name])
    }


def test_every_part_has_the_line_that_said_it(tmp_path):
    files = {"zf.yaml": PROJECT, "other": "run: make\n"}
    said = {key: one for key, one in parts(tmp_path, "own", files).items() if one[1]}
    assert said == {
        "needs[0]": ("first", "zf.yaml:5"),
        "needs[1]": ({"task": "other", "require": "done"}, "zf.yaml:14"),
        "timeout_sec": (60, "zf.yaml:1"),
        "env.A": ("own", "zf.yaml:13"),
        "env.B": ("template", "zf.yaml:4"),
        "pass_env": (["HOME"], "zf.yaml:6"),
        "commands[0]": ({"name": "step-0", "run": "make"}, "zf.yaml:15"),
        "commands[1]": ({"name": "Test", "run": "make test"}, "zf.yaml:15"),
        "cleanup[0]": ({"name": "cleanup-0", "run": "make clean"}, "zf.yaml:16"),
    }


def test_a_text_and_a_file_of_its_own(tmp_path):
    files = {"zf.yaml": PROJECT, "other": "id: other\nrun: make\n"}
    script = {"name": "step-0", "run": "make one\nmake two\n"}
    assert parts(tmp_path, "first", files)["commands[0]"] == (script, "zf.yaml:8")
    alone = parts(tmp_path, "other", files)
    assert alone["commands[0]"] == ({"name": "step-0", "run": "make"}, "tasks/other/task.yaml:2")
    assert alone["env.A"] == ("default", "zf.yaml:1")


def test_what_nothing_says_is_a_default_of_zf(tmp_path):
    silent = {
        key for key, (_, place) in parts(tmp_path, "x", {"x": "run: make\n"}).items() if not place
    }
    found = parts(tmp_path, "x", {})
    assert found["phase"] == ("main", None)
    assert found["timeout_sec"] == (300, None)
    assert silent == found.keys() - {"commands[0]"}


def test_an_instance_of_a_matrix(tmp_path):
    files = {"zf.yaml": "tasks:\n  a: {matrix: {py: [1, 2]}, run: make}\n"}
    assert parts(tmp_path, "a@py=2", files)["matrix"] == ({"py": "2"}, "zf.yaml:2")


def test_what_a_task_keeps_in_several_fields_is_told_as_it_is_written(tmp_path):
    project = """\
tasks:
  build: {run: make, outputs: [v]}
  own:
    run: make
    needs: [build]
    env: {V: {from: build.v}, W: x}
    artifacts: [{path: a/*, required: true}, b]
    concurrency: {group: deploy, on_newer: cancel_running}
    sources: [a]
    cache: {tools: [python3 -V], check: content}
    allow_failure: {exit_codes: [3]}
    retry_on: {exit_codes: [4]}
"""
    said = parts(tmp_path, "own", {"zf.yaml": project})
    assert {key: one[0] for key, one in said.items() if one[1]} == {
        "commands[0]": {"name": "step-0", "run": "make"},
        "needs": ["build"],
        "env.V": {"from": "build.v"},
        "env.W": "x",
        "artifacts": [{"path": "a/*", "required": True}, "b"],
        "concurrency": {"group": "deploy", "on_newer": "cancel_running"},
        "sources": ["a"],
        "cache": {"tools": ["python3 -V"], "check": "content"},
        "allow_failure": {"exit_codes": [3]},
        "retry_on": {"exit_codes": [4]},
    }


def test_the_text_for_people(tmp_path):
    files = {"zf.yaml": PROJECT, "other": "run: make\n"}
    flow = loaded(tmp_path, files).flow
    lines = explain.text(str(tmp_path), flow.tasks["first"]).splitlines()
    assert (
        lines[:5]
        == [
            "first  zf.yaml:8",
            "  timeout_sec  60                      zf.yaml:1",
            "  env.A        default                 zf.yaml:1",
            "  env.B        default                 zf.yaml:1",
            "  commands[0]  make one\\nmake two      zf.yaml:8",
        ]
        or lines[:5]
    )
    assert "  by default:" in lines
    assert "    phase                main" in lines


def test_a_file_that_is_gone_explains_what_it_can(tmp_path):
    write(tmp_path, {"zf.yaml": PROJECT, "other": "run: make\n"})
    flow = loaded(tmp_path).flow
    (tmp_path / "zf.yaml").unlink()
    found = {part.key: part.place for part in explain.parts(str(tmp_path), flow.tasks["own"])}
    assert (found["env.B"], found["env.A"]) == ("zf.yaml:4", None)
