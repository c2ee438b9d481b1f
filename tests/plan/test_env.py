"""Values of variables that name others: what they may name, and what is not set where a run begins."""

import pytest

from tests.support.plan_files import good, loaded, said
from zf.model import Project, Step, Task
from zf.plan.steps.env import check, check_here, lacking, lacking_of_project
from zf.plan.steps.problems import unset

WITH_ENV = """\
id: x
phase: A
pass_env: ["APP_*"]
required_env: [TOKEN, HOOK]
env: {URL: "http://${APP_HOST}:${APP_PORT:-80}", LONG: "${APP_LONG}"}
commands:
  - run: make
    env: {WHERE: "${URL}/${APP_PATH}"}
"""


def task(env=None, steps=(), **more):
    return Task("x", "A", steps or (Step("step-0", "make", 1),), env=env or {}, **more)


@pytest.mark.parametrize(
    "env",
    [
        {"A": "${B}", "B": "x"},
        {"PATH": "/opt/bin:${PATH}"},
        {"A": "${PATH} ${HOME} ${LC_ALL}"},
        {"A": "${ZENFLOW_ROOT}/${TASK_ID} ${ARTIFACTS_DIR} ${ATTEMPT}"},
        {"A": "${PASSED} ${AWS_KEY} ${OF_PROJECT} ${NEEDED:-none}"},
        {"A": "$${ANYTHING} $HOME $$ {x} ${B:-${}", "B": "1"} | {"A": "$${ANYTHING} $HOME $$ {x}"},
        {"A": "${A_2}", "A_2": "${PASSED}"},
    ],
)
def test_what_a_value_may_name(env):
    project = Project(pass_env=("OF_*",))
    one = task(env, pass_env=("PASSED", "AWS_*"), required_env=("NEEDED",))
    assert [*check(one, project)] == []


@pytest.mark.parametrize(
    ("env", "code", "at", "length"),
    [
        ({"A": "x${OTHER}"}, "ZF262", 1, 8),
        ({"A": "${OTHER:-default}"}, "ZF262", 0, 17),
        ({"A": "${NEEDS_DIR}"}, "ZF262", 0, 12),
        ({"A": "${STEP_INDEX}"}, "ZF262", 0, 13),
        ({"A": "${ZF_COOKIE}"}, "ZF262", 0, 12),
        ({"A": "${A}"}, "ZF262", 0, 4),
        ({"A": "x${"}, "ZF261", 1, 2),
        ({"A": "${}"}, "ZF261", 0, 2),
        ({"A": "${1A}"}, "ZF261", 0, 2),
        ({"A": "${PATH:?gone}"}, "ZF261", 0, 2),
        ({"A": "${PATH:-${HOME}}"}, "ZF261", 0, 2),
        ({"A": "${{ input.x }}"}, "ZF261", 0, 2),
        ({"A": "${B}", "B": "${A}"}, "ZF263", 0, 0),
    ],
)
def test_what_it_may_not_name_is_found_where_it_stands(env, code, at, length):
    found = [*check(task(env), Project())]
    assert [(one.code, one.loc, one.at, one.length) for one in found] == [
        (code, ("env", "A"), at, length)
    ]


def test_a_step_may_name_what_its_task_sets_and_no_other_step_may():
    steps = (
        Step("step-0", "make", 1, env={"A": "${OF_TASK} ${OWN}", "OWN": "x"}),
        Step("step-1", "make", 2, env={"B": "${OWN}"}),
    )
    found = [*check(task({"OF_TASK": "y", "C": "${OWN}"}, steps), Project())]
    assert [(one.code, one.loc) for one in found] == [
        ("ZF262", ("env", "C")),
        ("ZF262", ("commands", 1, "env", "B")),
    ]


def test_a_circle_of_a_hundred_and_a_chain_of_ten_thousand():
    circle = {f"V{n}": f"${{V{(n + 1) % 100}}}" for n in range(100)}
    assert [one.code for one in check(task(circle), Project())] == ["ZF263"]
    chain = {f"V{n}": f"${{V{n + 1}}}" for n in range(10_000)} | {"V10000": "end"}
    assert [*check(task(chain), Project())] == []
    assert [*check_here(task(chain), {}.get)] == []


def test_values_that_multiply_are_refused_before_they_fill_the_memory():
    env = {"V0": "x" * 100} | {f"V{n}": f"${{V{n - 1}}}" * 10 for n in range(1, 30)}
    assert [*check(task(env), Project())] == []
    first, *_ = check_here(task(env), {}.get)
    assert (first.code, first.loc) == ("ZF264", ("env", "V4"))
    assert first.message == "'V4' has no value: its value is longer than 128 KiB"


def told(root, environ):
    """What is said at the start of a run with this environment."""
    flow = loaded(root, {"x": WITH_ENV}).flow
    one = flow.tasks["x"]
    found = [*lacking(one, environ), *check_here(one, environ.get)]
    return "\n".join(problem.render() for problem in unset(str(root), one, found))


def test_what_is_not_set_is_told_at_once_with_its_places(tmp_path):
    assert told(tmp_path, {"TOKEN": "", "APP_HOST": "h", "APP_LONG": "x" * 200_000}) == (
        "tasks/x/task.yaml:4:16: error[ZF265]: task 'x' requires TOKEN, which is empty\n"
        "  4 | required_env: [TOKEN, HOOK]\n"
        "    |                ^^^^^ set TOKEN before zf is started\n"
        "tasks/x/task.yaml:4:23: error[ZF265]: task 'x' requires HOOK, which is not set\n"
        "  4 | required_env: [TOKEN, HOOK]\n"
        "    |                       ^^^^ set HOOK before zf is started\n"
        "tasks/x/task.yaml:5:56: error[ZF264]:"
        " 'LONG' has no value: its value is longer than 128 KiB\n"
        '  5 | env: {URL: "http://${APP_HOST}:${APP_PORT:-80}", LONG: "${APP_LONG}"}\n'
        "    |                                                        ^^^^^^^^^^^^^\n"
        "tasks/x/task.yaml:8:18: error[ZF264]: 'WHERE' has no value: ${APP_PATH} is not set\n"
        '  8 |     env: {WHERE: "${URL}/${APP_PATH}"}\n'
        "    |                  ^^^^^^^^^^^^^^^^^^^^"
        " set it, or give a default: ${NAME:-default}"
    )


def test_when_all_is_set_nothing_is_said(tmp_path):
    environ = dict.fromkeys(("TOKEN", "HOOK", "APP_HOST", "APP_LONG", "APP_PATH"), "x")
    assert told(tmp_path, environ) == ""


def test_a_value_that_the_task_gives_is_enough():
    one = task({"TOKEN": "${OTHER}"}, required_env=("TOKEN",))
    assert [*lacking(one, {})] == []


def test_the_project_may_require_variables_of_every_run():
    project = Project(required_env=("A", "B"))
    found = [*lacking_of_project(project, {"A": "x", "B": ""})]
    assert [(one.loc, one.message) for one in found] == [
        (("required_env", 1), "the project requires B, which is empty")
    ]


def test_numbers_and_booleans_are_taken_as_they_are_written(tmp_path):
    env = "{PORT: 8080, V: 1.10, T: true, F: False, X: 0x1F, E: 1e3, M: -0, S: '007', N: .inf}"
    step = "  - {run: make, env: {A: 1.20, B: no}}\n"
    text = good("x").replace("commands: [{run: make}]", f"env: {env}\ncommands:\n{step}")
    one = loaded(tmp_path, {"x": text}).flow.tasks["x"]
    assert dict(one.env) == {
        "PORT": "8080",
        "V": "1.10",
        "T": "true",
        "F": "False",
        "X": "0x1F",
        "E": "1e3",
        "M": "-0",
        "S": "007",
        "N": ".inf",
    }
    assert dict(one.steps[0].env) == {"A": "1.20", "B": "no"}


def test_a_bad_reference_is_told_with_its_place(tmp_path):
    text = good("x") + 'env: {URL: "http://${HOST"}\n'
    assert said(tmp_path, {"x": text}) == (
        "tasks/x/task.yaml:5:20: error[ZF261]:"
        " 'URL' has a '${' that is no ${NAME} or ${NAME:-default}\n"
        '  5 | env: {URL: "http://${HOST"}\n'
        "    |                    ^^ write ${NAME} or ${NAME:-default};"
        " $${ stands for the characters ${"
    )
