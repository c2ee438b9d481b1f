"""What zf writes about tasks outside of workers, without secrets and with every id as it was."""

import pytest

from zf.model import Project, Step, Task
from zf.redact.redactor import Redactor

OWN, PASSED = "correct-horse-battery", "hunter2hunter2"
ONE = Task("one", "A", (Step("say", f"echo {PASSED}"),), title=f"Is {OWN}", env={"INNOCENT": OWN})
OTHER = Task("other", "A", (Step("s", "true"),), env={"API_KEY": OWN, "PIN_KEY": "1234"})


@pytest.fixture
def redactor():
    return Redactor((ONE, OTHER), {"NAMED": PASSED}, Project(secrets=("NAM*",)))


def test_what_is_a_secret_of_one_task_is_hidden_in_all(redactor):
    shown = redactor.task(ONE)
    assert (shown.title, shown.env["INNOCENT"]) == ("Is ***", "***")
    assert shown.steps[0].run == "echo ***"
    assert (shown.id, shown.phase) == ("one", "A")


def test_a_task_without_any_is_shown_as_it_is(redactor):
    plain = Task("plain", "A", (Step("s", "true"),))
    assert redactor.task(plain) is plain


def test_names_that_only_a_task_gives_count():
    task = Task("t", "A", (Step("s", f"echo {PASSED}"),), secrets=("DOOR",))
    assert Redactor((task,), {"DOOR": PASSED}, Project()).task(task).steps[0].run == "echo ***"
    assert Redactor((ONE,), {"DOOR": PASSED}, Project()).task(task).steps[0].run != "echo ***"


def test_of_a_plan_only_free_text_is_touched():
    secrets = {"DB_PASSWORD": "test", "API_TOKEN": "a-token-of-ours"}
    plan = {
        "schema": "zf/plan/v2",
        "phases": [{"name": "test", "title": "a test"}],
        "tasks": [
            {
                "id": "a-token-of-ours",
                "title": "with a-token-of-ours",
                "file": "tasks/a-token-of-ours/task.yaml",
                "needs": [{"task": "test"}],
                "steps": [{"name": "the test", "line": 1}],
            }
        ],
    }
    redactor = Redactor((), secrets, Project())
    shown = redactor.plan(plan)
    assert shown["phases"] == [{"name": "test", "title": "a ***"}]
    (task,) = shown["tasks"]
    assert (task["title"], task["steps"]) == ("with ***", [{"name": "the ***", "line": 1}])
    kept = ("id", "file", "needs")
    assert [task[key] for key in kept] == [plan["tasks"][0][key] for key in kept]
    assert plan["tasks"][0]["title"] == "with a-token-of-ours"
    harmless = {"phases": [], "tasks": []}
    assert redactor.plan(harmless) is harmless


def test_a_condition_may_hold_one(redactor):
    task = Task("one", "A", (Step("s", "true"),), condition=f"${{NAMED}} == '{PASSED}'")
    assert redactor.task(task).condition == "${NAMED} == '***'"
    assert redactor.defined(task).condition == "${NAMED} == '***'"
