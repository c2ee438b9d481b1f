"""`include`: further files of tasks and templates."""

import os

import pytest

from tests.support.plan_files import loaded, said

TASKS = "tasks: {%s: make}\n"


def test_included_files_are_read_and_what_they_include(tmp_path):
    files = {
        "zf.yaml": "include: [ci/a.yaml]\ntasks: {z: make}\n",
        "ci/a.yaml": f"include: [ci/b.yaml]\n{TASKS % 'a'}",
        "ci/b.yaml": "templates: {t: {run: make}}\n",
        "tasks/n.yaml": "include: [./ci//c.yaml]\ntasks: {n: {use: t}}\n",
        "ci/c.yaml": "# nothing yet\n",
    }
    found = loaded(tmp_path, files)
    assert found.problems == ()
    assert {name: task.file for name, task in found.flow.tasks.items()} == {
        "a": "ci/a.yaml",
        "n": "tasks/n.yaml",
        "z": "zf.yaml",
    }
    assert found.flow.tasks["n"].origins == {"commands": "ci/b.yaml:1"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"zf.yaml": "include:\n- ci/tsks.yaml\n", "ci/tasks.yaml": ""},
            (
                "zf.yaml:2:3: error[ZF244]: there is no file 'ci/tsks.yaml' in the project\n"
                "  2 | - ci/tsks.yaml\n"
                "    |   ^^^^^^^^^^^^ did you mean 'ci/tasks.yaml'?"
            ),
        ),
        (
            {"zf.yaml": "include: [link.yaml]\n"},
            (
                "zf.yaml:1:11: error[ZF244]: 'link.yaml' leads out of the project\n"
                "  1 | include: [link.yaml]\n"
                "    |           ^^^^^^^^^ include files of the project"
            ),
        ),
        (
            {"zf.yaml": "include: [../x.yaml]\n"},
            (
                "zf.yaml:1:11: error[ZF227]: entry 1 of 'include' is '../x.yaml', which does not stay"
                " inside the project\n"
                "  1 | include: [../x.yaml]\n"
                "    |           ^^^^^^^^^ write a path from the project root, without '..'"
            ),
        ),
        (
            {"zf.yaml": "include: [a.yaml, ./a.yaml]\n", "a.yaml": TASKS % "a"},
            (
                "zf.yaml:1:19: error[ZF245]: './a.yaml' is included by zf.yaml already\n"
                "  1 | include: [a.yaml, ./a.yaml]\n"
                "    |                   ^^^^^^^^ remove it"
            ),
        ),
        (
            {"zf.yaml": "include: [tasks/a.yaml]\n", "tasks/a.yaml": TASKS % "a"},
            (
                "zf.yaml:1:11: error[ZF245]: 'tasks/a.yaml' is read anyway\n"
                "  1 | include: [tasks/a.yaml]\n"
                "    |           ^^^^^^^^^^^^ remove it"
            ),
        ),
        (
            {"zf.yaml": "include: [tasks/x/task.yaml]\n", "x": "run: make\n"},
            (
                "zf.yaml:1:11: error[ZF245]: 'tasks/x/task.yaml' is a task, which is read anyway\n"
                "  1 | include: [tasks/x/task.yaml]\n"
                "    |           ^^^^^^^^^^^^^^^^^ remove it"
            ),
        ),
        (
            {
                "zf.yaml": "include: [a.yaml]\n",
                "a.yaml": "include: [b.yaml]\n",
                "b.yaml": "include: [zf.yaml]\n",
            },
            (
                "b.yaml:1:11: error[ZF245]: files include each other in a circle:"
                " zf.yaml -> a.yaml -> b.yaml -> zf.yaml\n"
                "  1 | include: [zf.yaml]\n"
                "    |           ^^^^^^^ remove it"
            ),
        ),
        (
            {"zf.yaml": "include: [a.yaml]\n", "a.yaml": "tasks: {a: {rn: make}}\n"},
            (
                "a.yaml:1:12: error[ZF221]: the task 'a' lacks the key 'commands'\n"
                "  1 | tasks: {a: {rn: make}}\n"
                "    |            ^ add `run: make test`\n"
                "a.yaml:1:13: error[ZF220]: unknown key 'rn' in the task 'a'\n"
                "  1 | tasks: {a: {rn: make}}\n"
                "    |             ^^ did you mean 'run'?"
            ),
        ),
    ],
    ids=["missing", "a link out", "outside", "twice", "read anyway", "a task", "a circle", "bad"],
)
def test_what_cannot_be_included(tmp_path, files, expected):
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "out.yaml").write_text(TASKS % "o")
    os.symlink("../out.yaml", project / "link.yaml")
    assert said(project, files) == expected


def test_a_path_that_no_file_can_have(tmp_path):
    found = said(tmp_path, {"zf.yaml": 'include: ["a\\0b"]\ntasks: {a: make}\n'})
    assert "zf.yaml:1:11: error[ZF205]" in found


def test_a_long_chain_is_followed_without_looking_back_over_it(tmp_path, monkeypatch):
    many = 40
    files = {f"{i}.yaml": f"include: [{i + 1}.yaml]\n" for i in range(many)}
    files |= {"zf.yaml": "include: [0.yaml]\n", f"{many}.yaml": TASKS % "a"}
    real, asked = os.path.realpath, []
    monkeypatch.setattr(os.path, "realpath", lambda path: asked.append(path) or real(path))
    assert loaded(tmp_path, files).problems == ()
    assert len(asked) < 5 * many
