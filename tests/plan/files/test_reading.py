"""Files of several tasks: in zf.yaml, in tasks/NAME.yaml, and what is wrong with them."""

import pytest

from tests.support.plan_files import good, loaded, said, write
from zf.errors import ZfError
from zf.model import Need, Step, Task, definition_sha256
from zf.plan import places
from zf.plan.files import reading
from zf.plan.load import load

FIVE = """\
tasks:
  lint: ruff check
  types: mypy src
  build: {needs: [lint, types], run: python -m build}
  test:
    needs: [build]
    commands: [pytest -q, {name: Report, run: coverage report}]
  publish: {needs: [build, test], run: twine upload dist/*}
"""


def whole(root, text):
    """The tasks of a project that is one file."""
    write(root, {"zf.yaml": text})
    found = load(*places.find_root(str(root)), default_phase_timeout_s=3600)
    assert found.problems == ()
    return found.flow.tasks


def wrong(root, text):
    write(root, {"zf.yaml": text})
    found = load(*places.find_root(str(root)), default_phase_timeout_s=3600)
    return "\n".join(problem.render() for problem in found.problems)


def test_a_project_of_one_file(tmp_path):
    tasks = whole(tmp_path, FIVE)
    assert tasks == {
        "build": Task(
            "build",
            "main",
            (Step("step-0", "python -m build", 4),),
            title="build",
            needs=(Need("lint"), Need("types")),
            file="zf.yaml",
            line=4,
        ),
        "lint": Task(
            "lint", "main", (Step("step-0", "ruff check", 2),), title="lint", file="zf.yaml", line=2
        ),
        "publish": Task(
            "publish",
            "main",
            (Step("step-0", "twine upload dist/*", 8),),
            title="publish",
            needs=(Need("build"), Need("test")),
            file="zf.yaml",
            line=8,
        ),
        "test": Task(
            "test",
            "main",
            (Step("step-0", "pytest -q", 7), Step("Report", "coverage report", 7)),
            title="test",
            needs=(Need("build"),),
            file="zf.yaml",
            line=5,
        ),
        "types": Task(
            "types", "main", (Step("step-0", "mypy src", 3),), title="types", file="zf.yaml", line=3
        ),
    }
    assert [need.line for need in tasks["publish"].needs] == [8, 8]


def test_tasks_of_all_three_places(tmp_path):
    found = loaded(
        tmp_path,
        {
            "zf.yaml": "tasks: {a: {phase: A, run: make}}\n",
            "tasks/more.yaml": "tasks:\n  b: {phase: B, needs: [a, c], commands: [make]}\n",
            "c": "phase: A\ncleanup:\n- rm -r x\nrun: |\n  make\n",
        },
    )
    assert found.problems == ()
    tasks = found.flow.tasks
    assert {name: (task.file, task.line) for name, task in tasks.items()} == {
        "a": ("zf.yaml", 1),
        "b": ("tasks/more.yaml", 2),
        "c": ("tasks/c/task.yaml", 1),
    }
    assert tasks["c"].steps == (Step("step-0", "make\n", 4),)
    assert tasks["c"].cleanup == (Step("cleanup-0", "rm -r x", 3),)


def test_a_list_of_steps_is_a_task(tmp_path):
    tasks = whole(tmp_path, "tasks:\n  a:\n  - make\n  - name: Two\n    run: make test\n")
    assert tasks["a"].steps == (Step("step-0", "make", 3), Step("Two", "make test", 4))


def test_a_line_more_above_does_not_change_a_task_of_a_shared_file(tmp_path):
    before = {name: definition_sha256(task) for name, task in whole(tmp_path, FIVE).items()}
    after = whole(tmp_path, f"# Why\n{FIVE}")
    assert after["lint"].line == 3
    assert {name: definition_sha256(task) for name, task in after.items()} == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "tasks:\n  a:\n    timeout_secs: 5\n    run: make\n",
            "zf.yaml:3:5: error[ZF220]: unknown key 'timeout_secs' in the task 'a'\n"
            "  3 |     timeout_secs: 5\n"
            "    |     ^^^^^^^^^^^^ did you mean 'timeout_sec'?",
            id="unknown key",
        ),
        pytest.param(
            "tasks:\n  a: {commands: [{run: make, nmae: x}]}\n",
            "zf.yaml:2:30: error[ZF220]: unknown key 'nmae' in entry 1 of 'commands'\n"
            "  2 |   a: {commands: [{run: make, nmae: x}]}\n"
            "    |                              ^^^^ did you mean 'name'?",
            id="unknown key of a step",
        ),
        pytest.param(
            "tasks:\n  a: [make, {nmae: x}]\n",
            "zf.yaml:2:13: error[ZF221]: entry 2 of 'commands' lacks the key 'run'\n"
            "  2 |   a: [make, {nmae: x}]\n"
            "    |             ^ add `run: make test`\n"
            "zf.yaml:2:14: error[ZF220]: unknown key 'nmae' in entry 2 of 'commands'\n"
            "  2 |   a: [make, {nmae: x}]\n"
            "    |              ^^^^ did you mean 'name'?",
            id="a list of steps",
        ),
        pytest.param(
            "tasks:\n  a:\n  b: 5\n",
            "zf.yaml:2:5: error[ZF222]: 'a' in 'tasks' must be a mapping (`key: value`), found nothing\n"
            "  2 |   a:\n"
            "    |     ^ write a script, a list of steps, or keys such as `run: make test`\n"
            "zf.yaml:3:6: error[ZF222]: 'b' in 'tasks' must be a mapping (`key: value`), found 5\n"
            "  3 |   b: 5\n"
            "    |      ^ write a script, a list of steps, or keys such as `run: make test`",
            id="no task",
        ),
        pytest.param(
            "tasks:\n  a: {needs: [b]}\n",
            "zf.yaml:2:6: error[ZF221]: the task 'a' lacks the key 'commands'\n"
            "  2 |   a: {needs: [b]}\n"
            "    |      ^ add `run: make test`\n"
            "zf.yaml:2:15: error[ZF210]: needs unknown task 'b'\n"
            "  2 |   a: {needs: [b]}\n"
            "    |               ^",
            id="nothing to do",
        ),
        pytest.param(
            "tasks:\n  a: {run: make, commands: [make]}\n",
            "zf.yaml:2:7: error[ZF241]: 'run' and 'commands' stand in one place\n"
            "  2 |   a: {run: make, commands: [make]}\n"
            "    |       ^^^ put all in 'commands'",
            id="two forms",
        ),
        pytest.param(
            "tasks:\n  a: {id: b, run: make}\n",
            "zf.yaml:2:11: error[ZF214]: id 'b' differs from its key 'a'\n"
            "  2 |   a: {id: b, run: make}\n"
            "    |           ^ remove it, or rename the key",
            id="another id",
        ),
        pytest.param(
            "tasks:\n  'a b': make\n",
            "zf.yaml:2:3: error[ZF216]: 'a b' in 'tasks' is not a valid name\n"
            "  2 |   'a b': make\n"
            "    |   ^^^^^ start with a letter or digit; letters, digits, '.', '_' and '-' may follow",
            id="no id",
        ),
        pytest.param(
            "tasks:\n  a: {phase: A, run: make}\n  b: make\n",
            "zf.yaml:3:6: error[ZF221]: the task 'b' lacks the key 'phase', which other tasks have\n"
            "  3 |   b: make\n"
            "    |      ^^^^ add `phase: A`, or say it for all in `defaults`",
            id="a phase for some",
        ),
        pytest.param(
            "tasks:\n  a: {needs: [b], run: make}\n  b: {needs: [a], run: make}\n",
            "zf.yaml:2:15: error[ZF212]: tasks need each other in a circle: a -> b -> a\n"
            "  2 |   a: {needs: [b], run: make}\n"
            "    |               ^ remove one of: a needs b (zf.yaml:2); b needs a (zf.yaml:3)",
            id="a circle",
        ),
        pytest.param(
            "tasks:\n  a: {condition: status('b') == 'failure', run: make}\n  b: make\n",
            "zf.yaml:2:26: error[ZF231]: the condition asks for the status of 'b', which 'a' does not"
            " need\n"
            "  2 |   a: {condition: status('b') == 'failure', run: make}\n"
            "    |                          ^ add it to `needs`, as {task: b, require: done} if it may fail",
            id="a condition",
        ),
        pytest.param(
            "tasks:\n  a: {timeout_sec: 9999, run: make}\n",
            "zf.yaml:2:20: warning[ZF217]: timeout_sec 9999 is more than phase 'main' may take (3600 s)\n"
            "  2 |   a: {timeout_sec: 9999, run: make}\n"
            "    |                    ^^^^ the phase's timeout will strike first",
            id="a warning",
        ),
        pytest.param(
            "tasks:\n  a: make\n  a: make\n",
            "zf.yaml:3:3: error[ZF207]: key 'a' is given twice\n"
            "  3 |   a: make\n"
            "    |   ^ the first is in line 2",
            id="twice in one mapping",
        ),
        pytest.param(
            "task:\n  a: make\ntasks: []\n",
            "zf.yaml:1:1: error[ZF220]: unknown key 'task' in the project file\n"
            "  1 | task:\n"
            "    | ^^^^ did you mean 'tasks'?\n"
            "zf.yaml:3:8: error[ZF222]: 'tasks' must be a mapping (`key: value`), found a list\n"
            "  3 | tasks: []\n"
            "    |        ^^",
            id="no tasks",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path, text, expected):
    assert wrong(tmp_path, text) == expected


def test_one_id_in_two_places(tmp_path):
    files = {
        "zf.yaml": "tasks:\n  x: make\n",
        "tasks/ci.yaml": "tasks:\n  y: make\n  x: make\n",
        "y": "run: make\nid: y\n",
    }
    assert said(tmp_path, files) == (
        "tasks/ci.yaml:3:6: error[ZF240]: two tasks are called 'x': in zf.yaml:2 and in tasks/ci.yaml:3\n"
        "  3 |   x: make\n"
        "    |      ^^^^ rename one of them, or remove it\n"
        "tasks/y/task.yaml:2:5: error[ZF240]: two tasks are called 'y': in tasks/ci.yaml:2 and in"
        " tasks/y/task.yaml:2\n"
        "  2 | id: y\n"
        "    |     ^ rename one of them, or remove it"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tasks/notes.yaml", "a: 1\n", "warning ZF219"),
        ("tasks/notes.yaml", "- {hosts: all, tasks: []}\n", "warning ZF219"),
        ("tasks/notes.yaml", "{{ template }}: [\n", "warning ZF219"),
        ("tasks/notes.yaml", "", "warning ZF219"),
        ("tasks/ci.yaml", "task:\n  a: make\n", "error ZF220"),
        ("tasks/ci.yml", "tasks: {a: make}\n", "error ZF219"),
        ("tasks/ci.yaml", "tasks: [\n", "error ZF206"),
        ("tasks/ci.yaml", "tasks: {a: {phase: A, run: make}}\nmax_jobs: 2\n", "error ZF220"),
    ],
)
def test_what_a_file_among_the_tasks_may_be(tmp_path, name, text, expected):
    found = loaded(tmp_path, {"x": good("x"), name: text}).problems
    assert [f"{p.severity} {p.code}" for p in found] == [expected]
    assert {p.file for p in found} == {name}


def test_a_folder_with_a_file_of_tasks_is_a_project(tmp_path):
    write(tmp_path, {"in/tasks/ci.yaml": "tasks: {a: make}\n", "x": good("x")})
    assert places.find_root(f"{tmp_path}/in")[0] == f"{tmp_path}/in"


@pytest.mark.parametrize("text", ["- name: Install\n", "- hosts: all\n  tasks: []\n"])
def test_tasks_of_another_program_are_none(tmp_path, text):
    write(tmp_path, {"in/tasks/main.yaml": text, "x": good("x")})
    assert places.find_root(f"{tmp_path}/in")[0] == str(tmp_path)


def test_a_task_is_named_by_a_file_that_holds_it_alone(tmp_path):
    write(tmp_path, {"zf.yaml": "tasks: {a: make}\n", "tasks/ci.yaml": "tasks: {b: ':', c: ':'}\n"})
    assert reading.task_at(f"{tmp_path}/zf.yaml") == (str(tmp_path), "a")
    with pytest.raises(ZfError, match=r"ci.yaml has 2 tasks") as caught:
        reading.task_at(f"{tmp_path}/tasks/ci.yaml")
    assert caught.value.problems[0].hint == "name one of them by its id: b, c"
    write(tmp_path, {"other.yaml": "tasks: {}\n"})
    with pytest.raises(ZfError, match=r"is not a task file of the project"):
        reading.task_at(f"{tmp_path}/other.yaml")


def test_a_project_of_one_file_that_cannot_be_read_lacks_no_folder(tmp_path):
    write(tmp_path, {"zf.yaml": "tasks: {a: make}\ninputs: {b: [}\n"})
    root = places.find_root(str(tmp_path))
    found = [one.render() for one in load(*root, default_phase_timeout_s=3600).problems]
    assert [one[:10] for one in found] == ["zf.yaml:2:"]
