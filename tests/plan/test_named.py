"""What the words of `zf run` name, and what these bring with them."""

import pytest

from tests.support.flows import flow, refusal
from tests.support.plan_files import loaded
from zf.model import Phase
from zf.plan.graph import plan_named, plan_phases

FLOW = """
B: compile
B: docs
T: unit <- compile
T: e2e <- compile
D: deploy <- unit
D: notes
L: lint
"""
STATED = {"L": Phase(), "D": Phase(needs=("T",)), "T": Phase(max_jobs=2)}


def run(*words, **phases):
    return plan_named(flow(FLOW, **phases), words, phase_timeout_s=60)


def order(*words, **phases):
    return [phase.name for phase in run(*words, **phases).phases]


def test_no_word_names_everything_and_phases_run_in_the_order_they_need():
    assert set(run().tasks) == {"compile", "docs", "unit", "e2e", "deploy", "notes", "lint"}
    assert order() == ["B", "L", "T", "D"]
    # Else in the order of zf.yaml, and what it does not list after that, by name.
    assert order(L=Phase(), T=Phase()) == ["L", "B", "T", "D"]
    assert order(T=Phase(), D=Phase(), L=Phase()) == ["L", "B", "T", "D"]
    assert order(B=Phase(needs=("L",))) == ["L", "B", "T", "D"]


def test_a_phase_brings_the_tasks_that_its_tasks_need():
    made = run("D")
    assert set(made.tasks) == {"compile", "unit", "deploy", "notes"}
    assert {p.name: p.whole for p in made.phases} == {"B": False, "T": False, "D": True}
    assert made.needs == "checked"


def test_a_phase_brings_the_phases_that_it_is_said_to_need_as_a_whole():
    made = run("D", **STATED)
    assert set(made.tasks) == {"compile", "unit", "e2e", "deploy", "notes"}
    assert {p.name: p.whole for p in made.phases} == {"B": False, "T": True, "D": True}
    far = {"D": Phase(needs=("T",)), "T": Phase(needs=("L",))}
    assert "lint" in run("D", **far).tasks


def test_a_task_brings_the_tasks_that_it_needs_and_no_phase():
    assert set(run("deploy", **STATED).tasks) == {"compile", "unit", "deploy"}
    assert set(run("lint", "unit", **STATED).tasks) == {"compile", "unit", "lint"}
    assert set(run("B", "unit").tasks) == {"compile", "docs", "unit"}


def test_the_order_of_the_words_means_nothing():
    assert run("D", "lint").as_json() == run("lint", "D", "D", "phase:D").as_json()


def test_a_word_that_names_nothing_and_one_that_names_two_things():
    both = flow("a: b\nb: a <- b")
    assert refusal(plan_named, both, ["a", "c"], phase_timeout_s=60) == [
        "error[ZF111]: 'a' is a phase and a task (of phase 'b')\n  hint: write phase:a or task:a",
        (
            "error[ZF112]: unknown phase or task 'c'\n"
            "  hint: known phases: a, b; `zf list` shows every task"
        ),
    ]
    assert set(plan_named(both, ["phase:a"], phase_timeout_s=60).tasks) == {"b"}
    assert set(plan_named(both, ["task:a"], phase_timeout_s=60).tasks) == {"a", "b"}


@pytest.mark.parametrize(
    ("word", "guess"),
    [("unti", "unit' (phase T)"), ("deploi", "deploy' (phase D)"), ("task:e2", "e2e' (phase T)")],
)
def test_the_nearest_name_is_suggested(word, guess):
    [told] = refusal(plan_named, flow(FLOW), [word], phase_timeout_s=60)
    assert told.endswith(f"  hint: did you mean '{guess}?")


def test_a_phase_is_no_task_and_a_task_no_phase():
    for word in ("task:D", "phase:unit", "phase:", "task:"):
        [told] = refusal(plan_named, flow(FLOW), [word], phase_timeout_s=60)
        assert f"unknown phase or task '{word}'" in told


def test_a_project_without_tasks():
    assert refusal(plan_named, flow(""), [], phase_timeout_s=60) == [
        "error[ZF102]: there is nothing to run\n  hint: the project has no tasks yet"
    ]


def test_run_phase_refuses_an_order_against_what_phases_need():
    stated = flow("A: a\nB: b\nC: c", A=Phase(needs=("B",)))
    assert refusal(plan_phases, stated, ["A", "C", "B"], phase_timeout_s=60) == [
        (
            "error[ZF104]: phase 'A' needs phase 'B', which this run does only after it\n"
            "  hint: zf run A C B"
        )
    ]
    made = plan_phases(stated, ["C", "B", "A"], phase_timeout_s=60)
    assert [phase.name for phase in made.phases] == ["C", "B", "A"]
    # Alone it runs, as ever: only `zf run` brings the other one.
    assert set(plan_phases(stated, ["A"], phase_timeout_s=60).tasks) == {"a"}


def test_the_refusal_points_at_what_the_phase_needs(tmp_path):
    text = "phases:\n  A:\n    title: First\n    needs: [B]\n  B: {}\n"
    text += "tasks:\n  a: {phase: A, run: x}\n  b: {phase: B, run: x}\n"
    flow = loaded(tmp_path, {"zf.yaml": text}).flow
    [told] = refusal(plan_phases, flow, ["A", "B"], phase_timeout_s=60)
    assert told.startswith("zf.yaml:4: error[ZF104]: phase 'A' needs phase 'B'")


def test_what_phases_need_is_in_the_plan_where_any_phase_says_it():
    assert [p.needs for p in run("D").phases] == [None, None, None]
    said = run(**STATED).as_json()["phases"]
    assert {p["name"]: (p["needs"], p.get("max_jobs")) for p in said} == {
        "B": ([], None),
        "L": ([], None),
        "T": ([], 2),
        "D": (["T"], None),
    }
    # Through a phase that is not in the plan, too.
    far = {"D": Phase(needs=("T",)), "T": Phase(needs=("L",))}
    assert {p.name: p.needs for p in run("notes", "lint", **far).phases} == {"L": (), "D": ("L",)}
