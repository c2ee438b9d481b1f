"""Defaults and templates: what they give to tasks, and how mistakes in them are told."""

import pytest

from tests.support.plan_files import good, loaded, said, write
from zf.model import Need, Step
from zf.plan import places
from zf.plan.load import load

PROJECT = """\
defaults:
  phase: E
  timeout_sec: 60
  env: {A: default, B: default}
  pass_env: [HOME]
  resources: {cpu: 1}
templates:
  python:
    env: {B: python, C: python}
    pass_env+: [VIRTUAL_ENV]
    needs: [setup]
    commands:
    - make venv
    - {name: Test, run: pytest}
    max_retries: 1
  slow:
    timeout_sec: 900
    env: {C: slow}
    resources: {db: 1}
    needs+: [seed]
tasks:
  setup: make setup
  seed: make seed
  unit:
    use: python
    env: {A: own}
  system:
    use: [python, slow]
    needs+: [unit, seed]
    max_retries: 0
    pass_env: []
    artifacts+: ["*.xml"]
"""


def whole(root, text):
    write(root, {"zf.yaml": text})
    found = load(*places.find_root(str(root)), default_phase_timeout_s=3600)
    assert found.problems == ()
    return found.flow.tasks


def test_what_defaults_and_templates_give(tmp_path):
    tasks = whole(tmp_path, PROJECT)
    setup, unit, system = tasks["setup"], tasks["unit"], tasks["system"]
    assert (setup.phase, setup.timeout_s, setup.pass_env) == ("E", 60, ("HOME",))
    assert setup.env == {"A": "default", "B": "default"}
    assert setup.steps == (Step("step-0", "make setup", 22),)

    assert unit.env == {"A": "own", "B": "python", "C": "python"}
    assert unit.pass_env == ("HOME", "VIRTUAL_ENV")
    assert (unit.timeout_s, unit.max_retries, unit.needs) == (60, 1, (Need("setup"),))
    assert unit.steps == (Step("step-0", "make venv", 13), Step("Test", "pytest", 14))
    assert unit.resources == {"cpu": 1}

    assert system.env == {"A": "default", "B": "python", "C": "slow"}
    assert (system.timeout_s, system.max_retries, system.pass_env) == (900, 0, ())
    assert [need.task for need in system.needs] == ["setup", "seed", "unit"]
    assert system.resources == {"cpu": 1, "db": 1}
    assert system.artifacts == ("*.xml",)


def test_where_values_came_from_is_kept(tmp_path):
    tasks = whole(tmp_path, PROJECT)
    assert tasks["setup"].origins == {
        "phase": "zf.yaml:2",
        "timeout_sec": "zf.yaml:3",
        "env.A": "zf.yaml:4",
        "env.B": "zf.yaml:4",
        "pass_env": "zf.yaml:5",
        "resources.cpu": "zf.yaml:6",
    }
    assert tasks["system"].origins == {
        "phase": "zf.yaml:2",
        "timeout_sec": "zf.yaml:17",
        "env.A": "zf.yaml:4",
        "env.B": "zf.yaml:9",
        "env.C": "zf.yaml:18",
        "resources.cpu": "zf.yaml:6",
        "resources.db": "zf.yaml:19",
        "needs[0]": "zf.yaml:11",
        "needs[1]": "zf.yaml:20",
        "commands": "zf.yaml:12",
    }
    assert tasks["unit"].origins["pass_env[0]"] == "zf.yaml:5"
    assert tasks["unit"].origins["pass_env[1]"] == "zf.yaml:10"


def test_a_task_that_takes_nothing_has_no_origins(tmp_path):
    tasks = whole(tmp_path, "templates: {t: {run: x}}\ntasks:\n  a: {run: make, needs+: []}\n")
    assert tasks["a"].origins == {}


def test_defaults_of_a_file_are_for_its_tasks_and_come_after_those_of_the_project(tmp_path):
    files = {
        "zf.yaml": "defaults: {phase: A, timeout_sec: 1, env: {A: p, B: p}}\ntasks: {z: make}\n",
        "tasks/n.yaml": "defaults: {timeout_sec: 2, env: {B: n}}\ntasks: {n: make}\n",
        "x": "run: make\n",
    }
    tasks = loaded(tmp_path, files).flow.tasks
    assert {name: (task.timeout_s, dict(task.env)) for name, task in tasks.items()} == {
        "n": (2, {"A": "p", "B": "n"}),
        "x": (1, {"A": "p", "B": "p"}),
        "z": (1, {"A": "p", "B": "p"}),
    }
    assert tasks["n"].origins["env.A"] == "zf.yaml:1"
    assert tasks["n"].origins["env.B"] == "tasks/n.yaml:1"


def test_lines_are_those_of_the_task_s_own_file(tmp_path):
    """Reports name a step by the file of its task, so a line of another file would mislead."""
    files = {
        "zf.yaml": "templates:\n  t:\n    needs: [y]\n    commands: [make]\n",
        "x": "id: x\nuse: t\nneeds+:\n- z\ncleanup: [make]\n",
        "y": "run: make\n",
        "z": "run: make\n",
    }
    task = loaded(tmp_path, files).flow.tasks["x"]
    assert [step.line for step in task.steps] == [1]
    assert [step.line for step in task.cleanup] == [5]
    assert [need.line for need in task.needs] == [1, 4]
    assert task.origins == {"needs[0]": "zf.yaml:3", "commands": "zf.yaml:4"}


def test_a_script_of_the_task_replaces_the_steps_of_a_template(tmp_path):
    tasks = whole(
        tmp_path,
        "templates: {t: {commands: [one, two]}, u: {run: three}}\n"
        "tasks: {a: {use: t, run: own}, b: {use: [t, u]}, c: {use: [u, t]}}\n",
    )
    assert {name: [step.run for step in task.steps] for name, task in tasks.items()} == {
        "a": ["own"],
        "b": ["three"],
        "c": ["one", "two"],
    }
    assert tasks["a"].origins == {}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"zf.yaml": "templates: {python: {run: x}}\ntasks:\n  a: {use: [python, pyton]}\n"},
            (
                "zf.yaml:3:21: error[ZF243]: unknown template 'pyton'\n"
                "  3 |   a: {use: [python, pyton]}\n"
                "    |                     ^^^^^ did you mean 'python'?"
            ),
        ),
        (
            {"zf.yaml": "tasks:\n  a: {use: python, run: x}\n"},
            (
                "zf.yaml:2:12: error[ZF243]: unknown template 'python'\n"
                "  2 |   a: {use: python, run: x}\n"
                "    |            ^^^^^^ write it in zf.yaml, below `templates:`"
            ),
        ),
        (
            {"zf.yaml": "templates: {t: {run: x}}\n", "tasks/n.yaml": "templates: {t: {run: x}}\n"},
            (
                "tasks/n.yaml:1:13: error[ZF242]: template 't' is in two files\n"
                "  1 | templates: {t: {run: x}}\n"
                "    |             ^ the first is in zf.yaml:1: rename one"
            ),
        ),
        (
            {"zf.yaml": "templates:\n  t:\n    timout_sec: 5\n", "x": "use: t\n"},
            (
                "zf.yaml:3:5: error[ZF220]: unknown key 'timout_sec' in the template 't'\n"
                "  3 |     timout_sec: 5\n"
                "    |     ^^^^^^^^^^ did you mean 'timeout_sec'?"
            ),
        ),
        (
            {"zf.yaml": "defaults:\n  timeout_sec: 0\n  use: t\n", "x": "phase: A\n"},
            (
                "zf.yaml:2:16: error[ZF225]: 'timeout_sec' must be greater than 0, found 0\n"
                "  2 |   timeout_sec: 0\n"
                "    |                ^ it is in seconds\n"
                "zf.yaml:3:3: error[ZF220]: unknown key 'use' in the defaults\n"
                "  3 |   use: t\n"
                "    |   ^^^ `zf schema` lists all"
            ),
        ),
        (
            {"zf.yaml": "defaults: {needs: [y], needs+: [z]}\n", "y": good("y"), "z": good("z")},
            (
                "zf.yaml:1:24: error[ZF241]: 'needs+' and 'needs' stand in one place\n"
                "  1 | defaults: {needs: [y], needs+: [z]}\n"
                "    |                        ^^^^^^ put all in 'needs'"
            ),
        ),
        (
            {
                "zf.yaml": "templates:\n  t:\n    needs+: [gone]\n    condition: status('y') == 'failure'\n"
                "    timeout_sec: 9999\n",
                "x": good("x", "y").replace("phase", "use: t\nphase"),
                "y": good("y"),
                "z": "use: t\nphase: A\nrun: make\n",
            },
            (
                "zf.yaml:3:14: error[ZF210]: needs unknown task 'gone'\n"
                "  3 |     needs+: [gone]\n"
                "    |              ^^^^\n"
                "zf.yaml:4:24: error[ZF231]: the condition asks for the status of 'y', which 'z' does not"
                " need\n"
                "  4 |     condition: status('y') == 'failure'\n"
                "    |                        ^ add it to `needs`, as {task: y, require: done} if it may fail"
            ),
        ),
        (
            {"zf.yaml": "templates:\n  t: {timeout_sec: 9999}\n", "x": "use: t\nrun: make\n"},
            (
                "zf.yaml:2:20: warning[ZF217]: timeout_sec 9999 is more than phase 'main' may take (3600 s)\n"
                "  2 |   t: {timeout_sec: 9999}\n"
                "    |                    ^^^^ the phase's timeout will strike first"
            ),
        ),
    ],
    ids=[
        "a misspelt template",
        "no template",
        "two templates",
        "a bad template",
        "bad defaults",
        "a list twice",
        "what comes of a template",
        "a warning",
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path, files, expected):
    assert said(tmp_path, files) == expected


def test_what_is_wrong_with_a_template_is_told_once(tmp_path):
    files = {"zf.yaml": "templates: {t: {needs: [gone], run: x}}\n"}
    files |= {f"x{number}": "use: t\n" for number in range(20)}
    assert [problem.code for problem in loaded(tmp_path, files).problems] == ["ZF210"]


def test_a_matrix_of_a_template(tmp_path):
    files = {
        "zf.yaml": 'templates:\n  t:\n    run: make\n    matrix: {py: ["3.11", 3.12]}\n',
        "tasks/n.yaml": "tasks:\n  a: {use: t}\n  b: {use: t, needs: [{task: a, matrix: same}]}\n",
    }
    tasks = loaded(tmp_path, files).flow.tasks
    assert list(tasks) == ["a@py=3.11", "a@py=3.12", "b@py=3.11", "b@py=3.12"]
    assert [need.task for need in tasks["b@py=3.12"].needs] == ["a@py=3.12"]
    assert tasks["b@py=3.12"].origins == {"commands": "zf.yaml:3", "matrix": "zf.yaml:4"}
    files["zf.yaml"] = 'templates:\n  t:\n    run: make\n    matrix: {py: ["3.11", 3.11]}\n'
    assert said(tmp_path, files) == (
        "zf.yaml:4:27: error[ZF292]: the axis has the value '3.11' twice\n"
        '  4 |     matrix: {py: ["3.11", 3.11]}\n'
        "    |                           ^^^^ the first is in line 4"
    )


def test_the_shell_of_the_nearest_place_is_that_of_a_step(tmp_path):
    tasks = whole(
        tmp_path,
        "shell: sh\n"
        "templates: {t: {shell: python}}\n"
        "tasks:\n"
        "  plain: make\n"
        "  both: {use: t, commands: [one, {run: two, shell: bash}], cleanup: [three]}\n"
        "  own: {use: t, shell: [zsh, -f], run: four}\n",
    )
    shells = {
        name: [step.shell for step in (*task.steps, *task.cleanup)] for name, task in tasks.items()
    }
    python = ("python3", "-u")
    assert shells == {
        "plain": [("sh", "-e")],
        "both": [python, (), python],
        "own": [("zsh", "-f")],
    }
    assert tasks["plain"].origins == {"shell": "zf.yaml:1"}
    assert tasks["both"].origins == {"shell": "zf.yaml:2"}
    assert tasks["own"].origins == {}


def test_without_a_shell_nothing_is_said_of_it(tmp_path):
    tasks = whole(tmp_path, "shell: bash\ntasks: {a: make, b: {shell: bash, run: make}}\n")
    assert [task.steps[0].shell for task in tasks.values()] == [(), ()]


def test_a_shell_that_is_no_word_for_one(tmp_path):
    assert said(tmp_path, {"zf.yaml": "defaults: {shell: zsh}\ntasks: {a: make}\n"}) == (
        "zf.yaml:1:19: error[ZF230]: 'shell' must be bash or sh or python, found the text 'zsh'\n"
        "  1 | defaults: {shell: zsh}\n"
        "    |                   ^^^ write a command line as a list: [zsh]"
    )
