"""Order, levels, chains and cycles: examples first, then what holds for every graph."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec import structs

from tests.support.flows import flow, refusal
from zf.model import Need, Phase, Step
from zf.plan import graph
from zf.plan.graph import (
    Met,
    PlannedPhase,
    definition_sha256,
    outside_needs,
    plan_phases,
    plan_selection,
    plan_task,
    script_sha256,
)
from zf.plan.recorded import plan_again


def plan(spec: str, *phases: str, **options) -> graph.Plan:
    return plan_phases(flow(spec), phases, phase_timeout_s=60, **options)


DIAMOND = """
A: top
A: left <- top
A: right <- top
A: bottom <- left right
A: alone
"""


def test_levels_and_order():
    diamond = plan(DIAMOND, "A")
    assert list(diamond.tasks) == ["alone", "top", "left", "right", "bottom"]
    assert diamond.level == {"alone": 0, "top": 0, "left": 1, "right": 1, "bottom": 2}
    assert diamond.chain == {"alone": 1, "top": 3, "left": 2, "right": 2, "bottom": 1}
    assert diamond.dependents() == {
        "alone": (),
        "top": ("left", "right"),
        "left": ("bottom",),
        "right": ("bottom",),
        "bottom": (),
    }


TWO_PHASES = """
A: build
A: lint <- build
B: test <- build
B: report <- test lint
"""


def test_phases_run_in_the_order_given_and_need_what_came_before():
    both = plan(TWO_PHASES, "A", "B")
    assert list(both.tasks) == ["build", "lint", "test", "report"]
    assert [phase.name for phase in both.phases] == ["A", "B"]
    assert both.level == {"build": 0, "lint": 1, "test": 1, "report": 2}
    # A chain ends with its phase: finishing `lint` early frees nothing of phase B.
    assert both.chain == {"build": 2, "lint": 1, "test": 2, "report": 1}


def test_a_phase_named_twice_runs_once():
    assert plan(TWO_PHASES, "A", "A").as_json() == plan(TWO_PHASES, "A").as_json()


def test_a_need_outside_the_run_is_refused_with_what_to_type():
    assert refusal(plan, TWO_PHASES, "B") == [
        (
            "tasks/report/task.yaml:3: error[ZF104]:"
            " 'report' needs 'lint' of phase 'A', which is not in this run"
        ),
        (
            "tasks/test/task.yaml:3: error[ZF104]:"
            " 'test' needs 'build' of phase 'A', which is not in this run\n"
            "  hint: zf run B (or build on an earlier run with --upstream RUN)"
        ),
    ]


CHAIN_OF_PHASES = """
setup: s
build: b <- s
test: t <- b
test: u <- b s
docs: d
"""


def test_the_command_advised_for_unmet_needs_runs_every_phase_that_they_take_and_is_told_once():
    told = refusal(plan, CHAIN_OF_PHASES, "test")
    assert len(told) == 3
    assert [problem.count("hint:") for problem in told] == [0, 0, 1]
    assert "  hint: zf run test (or " in told[-1]
    assert set(plan(CHAIN_OF_PHASES, "setup", "build", "test").tasks) == {"s", "b", "t", "u"}


def test_the_command_advised_for_unmet_needs_keeps_the_runs_that_meet_the_others():
    ways = {"upstream": {"s": "r1"}, "builds_on": ["r1", "latest"]}
    [*_, told] = refusal(plan, CHAIN_OF_PHASES, "test", **ways)
    assert told.endswith("  hint: zf run-phase build test --upstream r1 --upstream latest")
    assert set(plan(CHAIN_OF_PHASES, "build", "test", upstream={"s": "r1"}).tasks) == {
        *("b", "t", "u")
    }


def test_the_command_advised_for_a_selection_is_the_one_that_was_named_if_all_was_planned():
    given = flow(CHAIN_OF_PHASES)
    again = {"phase_timeout_s": 60, "again": "zf rerun r1 --failed"}
    [told] = refusal(graph.plan_selection, given, ["t"], unmet={"b"}, **again)
    assert told.endswith("  hint: zf rerun r1 --failed")
    [told] = refusal(graph.plan_selection, given, ["t"], **again)
    assert "  hint: zf run test (or " in told


def test_a_need_that_another_run_met():
    build, lint = Met("r1", "a" * 64, "b" * 64), Met("r1")
    upstream = {"build": build, "lint": lint, "surplus": Met("r0")}
    half = plan(TWO_PHASES, "B", upstream=upstream)
    assert list(half.tasks) == ["test", "report"]
    assert half.level == {"test": 0, "report": 1}
    assert half.upstream == {"build": build, "lint": lint}
    assert half.dependents() == {"test": ("report",), "report": ()}
    written = half.as_json()["upstream"]
    # As zf 0.1 wrote it, where there is no digest; such a run may have to be resumed.
    assert written == {
        "build": {"run": "r1", "head": "a" * 64, "task_sha256": "b" * 64},
        "lint": "r1",
    }
    assert plan_again(flow(TWO_PHASES), half.as_json(), run="r1") == half


def test_a_resumed_run_goes_by_the_times_that_it_was_begun_with():
    known = flow("A: x\nA: y <- x")
    plan = plan_phases(known, ["A"], phase_timeout_s=60)
    weighed = structs.replace(plan, weight_s={"x": 1.5, "y": 0.0})
    rows = weighed.as_json()["tasks"]
    assert [row["weight_s"] for row in rows] == [1.5, 0.0]
    assert plan_again(known, weighed.as_json(), run="r1") == weighed
    assert "weight_s" not in plan.as_json()["tasks"][0]


def test_a_part_of_a_phase_is_recorded_as_a_part():
    """Any way to run less than a phase: it must not pass for the phase."""
    known = flow("A: x\nA: y <- x\nB: z <- y")
    options = {"phase_timeout_s": 60}
    met = {"x": Met("r1"), "y": Met("r1")}
    for made, whole in (
        (plan_phases(known, ["A", "B"], **options), {"A": True, "B": True}),
        (plan_phases(known, ["B"], upstream=met, **options), {"B": True}),
        (plan_task(known, "x", with_needs=False, **options), {"A": False}),
        (plan_task(known, "z", with_needs=False, **options), {"B": True}),
        (plan_task(known, "y", with_needs=True, **options), {"A": True}),
        (plan_selection(known, ["y", "z"], upstream=met, **options), {"A": False, "B": True}),
    ):
        assert {p["name"]: p["whole"] for p in made.as_json()["phases"]} == whole
        # It stays so when a run is finished later, whatever tasks there are by then.
        grown = flow("A: x\nA: y <- x\nA: new\nB: z <- y")
        assert plan_again(grown, made.as_json(), run="r1") == made
    assert plan_task(known, "z", with_needs=False, **options).as_json()["needs"] == "not_checked"


def test_what_a_run_needs_from_outside():
    assert outside_needs(flow(TWO_PHASES), ["B"]) == {"build": ("test",), "lint": ("report",)}
    assert outside_needs(flow(TWO_PHASES), ["A", "B"]) == {}


def test_phases_in_the_wrong_order():
    assert refusal(plan, "B: x\nA: y <- x\nC: z", "C", "A", "B") == [
        (
            "tasks/y/task.yaml:3: error[ZF104]:"
            " 'y' needs 'x' of phase 'B', which this run does only after phase 'A'\n"
            "  hint: zf run C A B"
        )
    ]


def test_phases_that_need_each_other():
    assert refusal(plan, "A: x\nB: y <- x\nA: z <- y", "A", "B") == [
        (
            "error[ZF105]: phases need each other in a circle: A -> B -> A\n"
            "  hint: phases run one after the other: move a task to another phase"
        )
    ]


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        (
            ["build", "Q"],
            [
                (
                    "error[ZF102]: unknown phase 'build'\n"
                    "  hint: did you mean 'Build'? (known phases: Build, Test)"
                ),
                "error[ZF102]: unknown phase 'Q'\n  hint: known phases: Build, Test",
            ],
        ),
        (
            ["Build", "Tests"],
            [
                (
                    "error[ZF102]: unknown phase 'Tests'\n"
                    "  hint: did you mean 'Test'? (known phases: Build, Test)"
                )
            ],
        ),
    ],
)
def test_unknown_phases(phases, expected):
    assert refusal(plan, "Build: x\nTest: y", *phases) == expected


def test_a_project_without_tasks():
    assert refusal(plan, "", "A") == [
        "error[ZF102]: unknown phase 'A'\n  hint: the project has no tasks yet"
    ]


def test_one_task_alone():
    alone = plan_task(flow(TWO_PHASES), "report", with_needs=False, phase_timeout_s=60)
    assert list(alone.tasks) == ["report"]
    assert alone.needs == "not_checked"
    assert alone.level == {"report": 0}
    assert alone.phases == (PlannedPhase("B", "", 60, whole=False),)


def test_one_task_with_all_it_needs():
    chain = plan_task(flow(TWO_PHASES), "test", with_needs=True, phase_timeout_s=60)
    assert list(chain.tasks) == ["build", "test"]
    assert [phase.name for phase in chain.phases] == ["A", "B"]
    assert chain.needs == "checked"


def test_one_task_whose_phases_have_an_order_of_their_own():
    chain = plan_task(
        flow("Z: x\nB: y <- x\nB: w <- y\nA: z <- w x"), "z", with_needs=True, phase_timeout_s=1
    )
    assert [phase.name for phase in chain.phases] == ["Z", "B", "A"]


def test_an_unknown_task():
    known = flow(TWO_PHASES)
    options = {"with_needs": False, "phase_timeout_s": 1}
    assert refusal(plan_task, known, "reprot", **options) == [
        "error[ZF103]: unknown task 'reprot'\n  hint: did you mean 'report' (phase B)?"
    ]
    assert refusal(plan_task, known, "zzz", **options) == [
        "error[ZF103]: unknown task 'zzz'\n  hint: `zf list` shows every task"
    ]


@pytest.mark.parametrize(("forced", "expected"), [(False, (5, 60)), (True, (60, 60))])
def test_whose_phase_timeout_holds(forced, expected):
    known = flow(TWO_PHASES, A=Phase("Build", 5), B=Phase("Test"))
    options = {"phase_timeout_s": 60, "phase_timeout_forced": forced}
    both = plan_phases(known, ["A", "B"], **options)
    assert tuple(phase.timeout_s for phase in both.phases) == expected
    assert [phase.title for phase in both.phases] == ["Build", "Test"]
    one = plan_task(known, "lint", with_needs=False, **options)
    assert one.phases[0].timeout_s == expected[0]


def test_plan_json_whole():
    whole = plan("A: x\nA: y <- x", "A")
    assert whole.as_json() == {
        "schema": "zf/plan/v2",
        "phases": [{"name": "A", "title": "", "timeout_s": 60, "whole": True}],
        "needs": "checked",
        "upstream": {},
        "tasks": [
            {
                "id": name,
                "title": name.upper(),
                "phase": "A",
                "file": f"tasks/{name}/task.yaml",
                "line": 1,
                "sha256": definition_sha256(whole.tasks[name]),
                "script_sha256": script_sha256(whole.tasks[name]),
                "needs": needs,
                "parallel_safe": False,
                "timeout_s": 300,
                "level": level,
                "chain": chain,
                "steps": [{"name": "s", "line": 4}],
            }
            for name, needs, level, chain in (
                ("x", [], 0, 2),
                ("y", [{"task": "x", "optional": False, "require": "success"}], 1, 1),
            )
        ],
    }


acyclic = st.lists(st.sets(st.integers(0, 11), max_size=4), max_size=12).map(
    lambda found: [sorted(need for need in needs if need < n) for n, needs in enumerate(found)]
)


@given(acyclic, st.lists(st.sampled_from("AB"), min_size=12, max_size=12))
def test_the_order_of_a_plan_respects_every_need(edges, labels):
    spec = "\n".join(
        # Phase B may need phase A, not the other way round.
        f"{labels[n]}: t{n:02}"
        + "".join(
            (" <- " if first else " ") + f"t{need:02}"
            for first, need in (
                (i == 0, need)
                for i, need in enumerate(e for e in needs if labels[n] == "B" or labels[e] == "A")
            )
        )
        for n, needs in enumerate(edges)
    )
    known = flow(spec)
    phases = sorted({task.phase for task in known.tasks.values()})
    the_plan = plan_phases(known, phases, phase_timeout_s=1)
    assert set(the_plan.tasks) == set(known.tasks)
    place = {name: index for index, name in enumerate(the_plan.tasks)}
    dependents = the_plan.dependents()
    for name, task in the_plan.tasks.items():
        for need in task.needs:
            assert place[need.task] < place[name]
            assert the_plan.level[need.task] < the_plan.level[name]
            assert name in dependents[need.task]
        later = [d for d in dependents[name] if known.tasks[d].phase == task.phase]
        assert the_plan.chain[name] == 1 + max((the_plan.chain[d] for d in later), default=0)


# Plans made from an earlier run


def test_a_definition_changes_with_every_field():
    task = flow("A: x").tasks["x"]
    same = structs.replace(task)
    assert definition_sha256(same) == definition_sha256(task)
    changes = {
        "steps": (Step("s", "other", 4),),
        "env": {"A": "1"},
        "timeout_s": 1,
        "needs": (Need("y"),),
        "workdir": "x",
        "artifacts": ("a",),
    }
    digests = {
        definition_sha256(structs.replace(task, **{name: value})) for name, value in changes.items()
    }
    assert len(digests | {definition_sha256(task)}) == len(changes) + 1


def test_a_plan_again_is_the_plan():
    known = flow(TWO_PHASES)
    for first in (
        plan_phases(known, ["A", "B"], phase_timeout_s=7),
        plan_task(known, "test", with_needs=False, phase_timeout_s=7),
        plan_task(known, "test", with_needs=True, phase_timeout_s=7),
    ):
        assert plan_again(known, first.as_json(), run="r1") == first


def test_a_plan_is_not_made_again_from_other_task_files():
    first = plan_phases(flow("A: x\nA: y"), ["A"], phase_timeout_s=7).as_json()
    assert refusal(plan_again, flow("A: x\nA: z"), first, run="r1") == [
        (
            "error[ZF143]: the task files, or zf's reading of them, have changed since this run began: 'y'\n"
            "  hint: put the files back as they were; or zf seal r1, then zf rerun r1 --failed"
        )
    ]


def test_of_many_tasks_that_changed_a_few_are_named():
    """As all have when zf reads them differently."""
    many = "\n".join(f"A: t{number:04}" for number in range(2000))
    first = plan_phases(flow(many), ["A"], phase_timeout_s=7).as_json()
    [told] = refusal(plan_again, flow("A: x"), first, run="r1")
    assert "began: 't0000', 't0001', " in told
    assert "'t0009' and 1990 more\n" in told


def test_a_selection_takes_the_rest_from_an_earlier_run():
    known = flow("A: x\nA: y <- x\nB: z <- y")
    chosen = plan_selection(known, ["z", "y"], phase_timeout_s=7, upstream={"x": Met("r1")})
    assert list(chosen.tasks) == ["y", "z"]
    assert [phase.name for phase in chosen.phases] == ["A", "B"]
    assert chosen.upstream == {"x": Met("r1")}
    assert refusal(plan_selection, known, ["z"], phase_timeout_s=7)[0].startswith("tasks/z")
    assert refusal(plan_selection, known, ["nope"], phase_timeout_s=7)[0].startswith("error[ZF103]")


def test_an_optional_need_on_no_task_stands_in_nobodys_way():
    given = flow("A: x\nB: y")
    alone = structs.replace(given.tasks["y"], needs=(Need("gone", optional=True),))
    given = structs.replace(given, tasks={**given.tasks, "y": alone})
    assert set(plan_phases(given, ["B"], phase_timeout_s=60).tasks) == {"y"}
    assert set(plan_task(given, "y", with_needs=True, phase_timeout_s=60).tasks) == {"y"}
    assert set(graph.plan_selection(given, ["y"], phase_timeout_s=60).tasks) == {"y"}
    assert outside_needs(given, ["B"]) == {}


def test_an_optional_need_on_a_task_outside_the_run_is_dropped_unless_an_earlier_run_had_it():
    given = flow("A: x\nB: y")
    wanting = structs.replace(given.tasks["y"], needs=(Need("x", optional=True),))
    given = structs.replace(given, tasks={**given.tasks, "y": wanting})
    ways = [(plan_phases, ["B"]), (graph.plan_selection, ["y"])]
    for planned, names in ways:
        alone = planned(given, names, phase_timeout_s=60)
        assert (set(alone.tasks), alone.upstream) == ({"y"}, {})
        met = planned(given, names, phase_timeout_s=60, upstream={"x": Met("r1")})
        assert met.upstream == {"x": Met("r1")}
        [told] = refusal(planned, given, names, phase_timeout_s=60, unmet={"x"})
        assert "error[ZF104]: 'y' needs 'x' of phase 'A', which is not in this run" in told
    assert set(plan_task(given, "y", with_needs=True, phase_timeout_s=60).tasks) == {"x", "y"}
    assert plan_phases(given, ["A", "B"], phase_timeout_s=60).level == {"x": 0, "y": 1}
    [told] = refusal(plan_phases, given, ["B", "A"], phase_timeout_s=60)
    assert "which this run does only after phase 'B'" in told
