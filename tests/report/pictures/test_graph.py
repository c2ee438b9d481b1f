"""The graph: which boxes stand for which tasks, and what they look like."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

import pytest

from tests.support.courses import layered
from tests.support.report_samples import SEED, B, blocked, facts_of, failed, plan, seed_facts
from zf.events import Event
from zf.report.facts import Facts, Fold
from zf.report.pictures.folding import MOST_BOXES, fold
from zf.report.pictures.graph import figure


def drawn(facts: Facts) -> ET.Element:
    svg, _ = figure(facts)
    return ET.fromstring(svg)


def test_a_box_and_a_link_for_each_task_and_a_line_for_each_need() -> None:
    root = drawn(seed_facts())
    assert {a.get("href") for a in root.iter("a")} == {f"#task-{name}" for name in SEED}
    needs = [path for path in root.iter("path") if "need" in (path.get("class") or "")]
    assert len(needs) == 4
    # The way of the failure is told from the others.
    assert sum("bad" in (path.get("class") or "") for path in needs) == 3


def test_a_state_is_told_by_a_word_a_shape_and_a_class() -> None:
    root = drawn(seed_facts())
    (seed,) = (a for a in root.iter("a") if a.get("href") == "#task-40-seed-database")
    assert [e.text for e in seed.iter("text")] == ["◷ 40-seed-database"]
    assert next(seed.iter("rect")).get("class") == "box timeout"
    told = next(seed.iter("title")).text
    assert told == "40-seed-database: timeout, step 'Seed' ran past timeout_sec (3s)"


def test_no_picture_where_nothing_needs_anything() -> None:
    assert figure(facts_of("a")) == figure(facts_of("a b c")) == ("", [])


def test_a_need_that_others_imply_has_no_line_and_that_is_said() -> None:
    facts = facts_of({"a": "", "b": "a", "c": "a b"})
    assert list(fold(facts).lines) == [(0, 1), (1, 2)]
    assert figure(facts)[1] == [
        "Each box stands right of all it needs; 1 need that others imply not drawn."
    ]


def wide(victims: int = 0) -> tuple[Mapping[str, str], Sequence[Event]]:
    """400 tasks in two rows; the failed one holds up `victims` of the second."""
    needs = {f"build-{n:03}": "" for n in range(200)}
    needs |= {f"test-{n:03}": f"build-{n:03}" for n in range(200)}
    held = [f"test-{n:03}" for n in range(100, 100 + victims)]
    needs |= dict.fromkeys(held, "build-100")
    told: list[Event] = [failed("build-100")]
    told += [blocked(name, **{"build-100": "failure"}) for name in held]  # type: ignore[arg-type]
    return needs, told


def test_many_tasks_are_folded_by_what_their_ids_begin_with() -> None:
    needs, _ = wide()
    folded = fold(facts_of(needs))
    assert [(box.label, len(box.tasks)) for box in folded.boxes] == [
        ("build-… 200 tasks", 200),
        ("test-… 200 tasks", 200),
    ]
    assert list(folded.lines) == [(0, 1)]


@pytest.mark.parametrize("victims", [1, 40, 90])
def test_what_failed_and_what_it_held_up_is_never_folded(victims: int) -> None:
    facts = facts_of(*wide(victims))
    boxes = fold(facts).boxes
    alone = [name for box in boxes if len(box.tasks) == 1 or not box.label for name in box.tasks]
    held = [task.id for task in facts.tasks.values() if task.status == B]
    assert len(held) == victims
    assert set(alone) == {"build-100", *held}
    assert figure(facts)[1][1].endswith(
        "; what failed, what led there and what it held up is not folded."
    )


def test_with_more_victims_than_a_picture_can_hold_that_is_said() -> None:
    needs = {f"build-{n:03}": "" for n in range(2)}
    needs |= {f"test-{n:03}": "build-000" for n in range(900)}
    held = [blocked(f"test-{n:03}", **{"build-000": "failure"}) for n in range(900)]  # type: ignore[arg-type]
    facts = facts_of(needs, [failed("build-000"), *held])
    folded = fold(facts)
    assert len(folded.boxes) <= MOST_BOXES
    assert ("build-000",) in [box.tasks for box in folded.boxes]
    # 119 of them stand in a block, the others are one box.
    assert sorted(len(box.tasks) for box in folded.boxes) == [1, 1, 119, 781]
    assert "781 tasks of them folded all the same" in figure(facts)[1][-1]


def test_a_tangle_is_folded_without_circles_and_nothing_is_lost() -> None:
    run = layered(900, failing=["unit-0450", "lint-0450", "e2e-0450", "build-0450"])
    fold_ = Fold(run.plan)
    for line in run.lines:
        fold_.apply(line.event)
    folded = fold(fold_.facts)
    assert sorted(name for box in folded.boxes for name in box.tasks) == sorted(fold_.facts.tasks)
    assert len(folded.boxes) <= MOST_BOXES
    of = {name: place for place, box in enumerate(folded.boxes) for name in box.tasks}
    for name, task in fold_.facts.tasks.items():
        for need in task.needs:
            assert of[need] <= of[name]


def test_a_deep_graph_of_tasks_named_alike_is_not_folded_into_one_box() -> None:
    """Its picture had no line, and the page said that no task needs another one."""
    needs = {f"t{n:04}": f"t{n - 2:04}" if n >= 2 else "" for n in range(800)}
    folded = fold(facts_of(needs))
    assert [len(box.tasks) for box in folded.boxes] == [134, 134, 132, 134, 134, 132]
    assert list(folded.lines) == [(n, n + 1) for n in range(5)]


def test_a_plan_whose_needs_go_round_in_a_circle_is_drawn_all_the_same() -> None:
    assert len(list(drawn(facts_of({"a": "b", "b": "a", "c": "b"})).iter("a"))) == 3


def test_what_a_task_says_of_itself_is_escaped() -> None:
    facts = Fold(plan({"a": "", "b": "a"}, a="</svg><script>\u202ex")).facts
    svg, _ = figure(facts)
    assert "<script>" not in svg
    assert "&lt;/svg&gt;&lt;script&gt;\\u202ex" in svg


def test_tasks_of_one_place_stand_in_a_block_each_with_its_own_link() -> None:
    needs = {"a": "", "z": ""} | {f"t{n}": "a" for n in range(23)}
    needs["end"] = " ".join(f"t{n}" for n in range(23)) + " z"
    root = drawn(facts_of(needs, [failed("a"), blocked("t7", a="failure")]))  # type: ignore[arg-type]
    assert len(list(root.iter("a"))) == len(needs)
    needs_drawn = [p for p in root.iter("path") if "need" in (p.get("class") or "")]
    assert len(needs_drawn) == 3
    sides = [p for p in root.iter("path") if p.get("class") == "side"]
    assert len(sides) == 1
    corners = {(r.get("x"), r.get("y")) for a in root.iter("a") for r in a.iter("rect")}
    assert len(corners) == len(needs)
    assert len({x for a in root.iter("a") for r in a.iter("rect") for x in [r.get("x")]}) == 5
    told = "boxes between two bars need the same, and are needed by the same"
    assert figure(facts_of(needs))[1] == [f"Each box stands right of all it needs; {told}."]
