"""Tasks of a Taskfile as tasks: dependencies, calls, templates, files, and what is included."""

import subprocess

import pytest

from tests.support.imports import imported
from tests.support.program import Project

HEAD = "version: '3'\n"


def taskfile(root, text, **files):
    return imported(root, "taskfile", HEAD + text, **files)


def test_dependencies_are_needs_and_run_side_by_side(tmp_path):
    done = taskfile(
        tmp_path,
        "tasks:\n  default: {deps: [a, b], cmds: [echo c]}\n  a: echo a\n  b: [echo 1, echo 2]\n",
    )
    assert done.edges() == {"default": {"a", "b"}, "a": set(), "b": set()}
    assert done.runs("b") == ["echo 1", "echo 2"]
    assert done.flow.tasks["a"].parallel_safe
    assert done.flow.tasks["a"].steps[0].shell == ("bash", "-c")
    assert done.written.source.usual == ["default"]


def test_calls_that_come_first_are_needs_and_others_stand_where_they_are(tmp_path):
    done = taskfile(
        tmp_path,
        "tasks:\n"
        "  all: {cmds: [{task: build}, {task: test}, echo all]}\n"
        "  build: {cmds: [echo build]}\n"
        "  test: {deps: [build], cmds: [echo test]}\n"
        "  clean: {deps: [stop], cmd: echo clean}\n"
        "  stop: echo stop\n"
        "  again: {cmds: [{task: clean}, {task: build}, echo again]}\n"
        "  given: {cmds: [echo 1, {task: say, vars: {WORD: hi}}, echo 2]}\n"
        "  say: {vars: {WORD: '{{.WORD | default \"none\"}}'}, cmd: 'echo {{.WORD}}'}\n",
    )
    assert done.needs("all") == {"build", "test"}
    assert done.runs("all") == ["echo all"]
    assert done.needs("again") == {"clean"}
    assert done.runs("again") == ["echo build", "echo again"]
    assert done.runs("given") == ["echo 1", "echo ${WORD}", "echo 2"]
    assert done.flow.tasks["given"].steps[1].env == {"WORD": "hi"}
    assert done.runs("say") == ["echo ${INPUT_WORD}"]
    assert done.flow.project.inputs["WORD"].default == "none"


def test_tasks_that_call_each_other_close_no_circle(tmp_path):
    done = taskfile(
        tmp_path, "tasks:\n  a: {cmds: [{task: b}]}\n  b: {cmds: [{task: a}]}\n  c: {deps: [c]}\n"
    )
    assert "By hand" in {step.name for step in done.flow.tasks["a"].steps}
    assert "needs c" in done.said("manual")


def test_templates_are_variables_values_and_commands(tmp_path):
    done = taskfile(
        tmp_path,
        "vars: {A: x, B: '{{.A}}/y', C: {sh: git describe}, D: 'a;b'}\n"
        "tasks:\n"
        "  t:\n"
        "    cmds:\n"
        "      - echo {{.A}} '{{.B}}' \"{{.C}}\" {{.D}} {{.CLI_ARGS}} {{.TASK}}{{exeExt}}\n",
    )
    assert done.runs("t") == ['echo ${A} "${B}" "$(git describe)" a;b "$@" t']
    assert done.flow.tasks["t"].env == {"A": "x", "B": "x/y"}


def test_files_status_and_the_rest_of_the_keys(tmp_path):
    done = taskfile(
        tmp_path,
        "env: {LEVEL: 1}\n"
        "tasks:\n"
        "  gen:\n"
        "    desc: Make it\n"
        "    dir: sub\n"
        "    sources: ['*.go', {exclude: x.go}]\n"
        "    generates: [out]\n"
        "    cmds: [{cmd: a, ignore_error: true}, {defer: b}, {cmd: c, platforms: [windows]}]\n"
        "  st: {status: [test -f x], cmds: [touch x]}\n"
        '  pre: {preconditions: [{sh: test -f no, msg: "it\'s gone"}], cmd: x}\n'
        "  loop: {cmds: [{for: [1, 2], cmd: 'echo {{.ITEM}}'}, {for: {matrix: {A: [x], B: [y, z]}}, cmd: 'echo {{.ITEM.A}}{{.ITEM.B}}'}]}\n",
    )
    gen = done.flow.tasks["gen"]
    assert (gen.title, gen.workdir, dict(gen.env)) == ("Make it", "sub", {"LEVEL": "1"})
    assert (gen.sources, gen.generates, gen.cache) == (
        ("sub/*.go", "!sub/x.go"),
        ("sub/out",),
        True,
    )
    assert done.flow.project.cached
    assert [(step.run, step.continue_on_error) for step in gen.steps] == [("a", True)]
    assert [step.run for step in gen.cleanup] == ["b"]
    assert done.runs("st") == ["if (test -f x); then exit 0; fi\ntouch x\n"]
    assert done.runs("loop") == ["echo 1", "echo 2", "echo xy", "echo xz"]
    told = subprocess.run(["bash", "-c", done.runs("pre")[0]], capture_output=True, check=False)
    assert (told.returncode, told.stderr) == (1, b"it's gone\n")


def test_what_is_included_has_names_variables_and_a_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/Taskfile.yml").write_text(
        HEAD
        + "vars: {V: own}\ntasks:\n  a: {deps: [b, ':root'], cmd: 'echo {{.V}} {{.W}}'}\n  b: echo b\n"
    )
    done = taskfile(
        tmp_path,
        "includes:\n  s: {taskfile: ./sub, dir: ./sub, vars: {W: given}}\n  o: {taskfile: gone.yml, optional: true}\n"
        "tasks: {root: echo r}\n",
    )
    assert done.edges() == {"s-a": {"s-b", "root"}, "s-b": set(), "root": set()}
    assert done.flow.tasks["s-a"].workdir == "sub"
    assert done.flow.tasks["s-a"].env == {"V": "own", "W": "given"}


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("tasks: {a: {prompt: Sure, cmd: x}}\n", "prompt: Sure"),
        ("tasks: {a: '{{if .X}}y{{end}}'}\n", "{{if .X}}y{{end}}"),
        ("tasks: {'a:*': x}\n", "task a:*"),
        ("tasks: {a: {dir: ../x, cmd: x}}\n", "dir: ../x"),
        ("tasks: {a: {env: {X: {sh: y}}, cmd: x}}\n", "env X"),
        ("includes: {a: 'https://x.y/z.yml'}\ntasks: {b: x}\n", "includes a: https://x.y/z.yml"),
        ("tasks: {a: {cmds: [{for: sources, cmd: x}]}}\n", "for: sources"),
        ("tasks: {a: {cmds: [x, {task: gone}]}}\n", "task: gone"),
        ("tasks: {a: {deps: [gone]}}\n", "needs gone"),
        ("tasks: {a: {newer: 1, cmd: x}}\n", "newer: 1"),
        ("tasks: {a: {if: x, cmd: x}}\n", "if: x"),
    ],
)
def test_what_only_task_knows_is_a_step_that_fails(tmp_path, text, construct):
    done = taskfile(tmp_path, text)
    assert construct in done.said("manual")
    assert any(step.name == "By hand" for t in done.flow.tasks.values() for step in t.steps)


def test_it_runs(tmp_path):
    project = Project(tmp_path / "project")
    (project.root / "tasks").rmdir()
    taskfile(
        project.root,
        "tasks:\n  a: {deps: [b], cmds: ['false || echo {{.WHO}} >> log', {defer: echo end >> log}]}\n  b: echo b >> log\n",
    )
    assert project.zf("run", "a", "-i", "WHO=me").code == 0
    assert (project.root / "log").read_text() == "b\nme\nend\n"
