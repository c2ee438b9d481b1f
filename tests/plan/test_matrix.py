"""Matrices: which instances there are, what they are called, and what needs on them mean."""

from __future__ import annotations

import json
import re
from itertools import product

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.support.plan_files import good, loaded, said
from zf.errors import ZfError
from zf.instances import matrix_variable
from zf.model import (
    TASK_PATTERN,
    Task,
    base_of,
    definition_sha256,
    is_task_id,
    recorded,
)
from zf.plan.graph import plan_phases, plan_task
from zf.plan.matrix.chosen import narrowed
from zf.plan.matrix.expand import ImpossibleMatrixError, Matrix, combinations, instances
from zf.plan.matrix.names import MAX_TAIL, name_of
from zf.variables import expand

TEST = Task("test", "A", ())


def named(**matrix):
    return [task.id for task in instances(TEST, Matrix(**matrix))]


def values(**matrix):
    return [dict(whole) for _, whole in combinations(Matrix(**matrix))]


class TestCombinations:
    def test_every_combination_the_last_axis_first(self):
        axes = {"py": ("3.11", "3.12"), "os": ("a", "b")}
        assert named(axes=axes) == [
            "test@py=3.11,os=a",
            "test@py=3.11,os=b",
            "test@py=3.12,os=a",
            "test@py=3.12,os=b",
        ]

    def test_the_example_of_github_for_include(self):
        """docs.github.com, workflow syntax, `jobs.<job_id>.strategy.matrix.include`."""
        found = values(
            axes={"fruit": ("apple", "pear"), "animal": ("cat", "dog")},
            include=(
                {"color": "green"},
                {"color": "pink", "animal": "cat"},
                {"fruit": "apple", "shape": "circle"},
                {"fruit": "banana"},
                {"fruit": "banana", "animal": "cat"},
            ),
        )
        assert found == [
            {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
            {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
            {"fruit": "pear", "animal": "cat", "color": "pink"},
            {"fruit": "pear", "animal": "dog", "color": "green"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ]

    def test_exclude_matches_in_part_and_comes_before_include(self):
        axes = {"py": ("1", "2"), "os": ("a", "b")}
        assert named(axes=axes, exclude=({"os": "b"},), include=({"py": "2", "os": "b"},)) == [
            "test@py=1,os=a",
            "test@py=2,os=a",
            "test@py=2,os=b",
        ]

    def test_a_list_of_instances_alone(self):
        assert named(include=({"name": "x", "size": "1"}, {"name": "y"})) == [
            "test@name=x,size=1",
            "test@name=y",
        ]

    @pytest.mark.parametrize(
        ("code", "matrix"),
        [
            ("ZF291", {"axes": {"a": tuple(map(str, range(257)))}}),
            ("ZF291", {"axes": {"a": tuple(map(str, range(17))), "b": tuple("abcdefghijklmnop")}}),
            ("ZF293", {"axes": {"a": ("1", "2")}, "exclude": ({"a": "3"},)}),
            ("ZF294", {"axes": {"a": ("1",)}, "exclude": ({"a": "1"},)}),
            ("ZF292", {"include": ({"a": "1"}, {"a": "1"})}),
        ],
    )
    def test_what_cannot_be(self, code, matrix):
        with pytest.raises(ImpossibleMatrixError) as caught:
            instances(TEST, Matrix(**matrix))
        assert caught.value.code == code


class TestNames:
    def test_what_cannot_stand_in_a_name_gets_a_form_that_can(self):
        found = named(axes={"v": ("a/b", "ä", "", "x" * 40, "1.", "A", "a", "ok+1_2.3-4")})
        assert found[-1] == "test@v=ok+1_2.3-4"
        for name in found[:-1]:
            assert re.fullmatch(r"test@v=[A-Za-z0-9.x-]{1,20}-[0-9a-f]{8}", name), name

    def test_a_value_cannot_take_the_form_of_another(self):
        (form,) = named(axes={"v": ("a/b",)})
        other = form.removeprefix("test@v=")
        found = named(axes={"v": ("a/b", other)})
        assert found[0] == form
        assert found[1].startswith(f"{form}-")

    def test_a_name_that_would_be_too_long_ends_in_what_stands_for_the_rest(self):
        long = "a_value_of_some_length"
        axes = {f"axis_number_{n}": (f"{long}_1", f"{long}_2") for n in range(5)}
        found = named(axes=axes)
        assert len(set(found)) == 32
        for name in found:
            assert re.fullmatch(r"test@(axis_number_\d=\w+,)+etc=[0-9a-f]{12}", name)
            assert len(name) <= len("test@") + MAX_TAIL

    def test_a_value_is_no_text_with_variables_in_it(self):
        (one,) = instances(TEST, Matrix({"v": ("${HOME}",)}))
        assert one.matrix == {"v": "${HOME}"}
        assert expand(one.env, {"HOME": "/root"}.get).values == {"MATRIX_V": "${HOME}"}

    def test_an_instance_has_its_values_as_variables(self):
        axes = {"py-version": ("3.10",), "shard": ("1", "2")}
        first, second = instances(TEST, Matrix(axes, counts={"shard": 2}))
        assert first.env == {
            "MATRIX_PY_VERSION": "3.10",
            "MATRIX_SHARD": "1",
            "MATRIX_SHARD_COUNT": "2",
        }
        assert second.matrix == {"py-version": "3.10", "shard": "2"}
        assert (second.base, second.title) == ("test", second.id)


texts = st.text(st.sampled_from("aA1.-_+/ é,=@"), max_size=40) | st.sampled_from(
    ["3.10", "3.1", "ubuntu-latest", "x-deadbeef", "x-DEADBEEF", "a.", "CON"]
)
axes = st.dictionaries(
    st.sampled_from(["py", "os", "a", "node-version", "x" * 64]),
    st.lists(texts, min_size=1, max_size=4, unique=True).map(tuple),
    min_size=1,
    max_size=4,
)


@given(axes)
def test_names_are_distinct_where_case_is_ignored_and_safe_as_folders(found):
    names = named(axes=found)
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert is_task_id(name)
        assert base_of(name) == "test"
        assert len(name.encode()) < 255
        assert not name.endswith((".", " "))
        assert not set(name) & set('/\\:*?"<>|\0 ')


@given(axes)
def test_names_lead_back_to_the_values(found):
    by_name = {task.id: task.matrix for task in instances(TEST, Matrix(found))}
    assert sorted(by_name.values(), key=str) == sorted(
        (dict(zip(found, row, strict=True)) for row in product(*found.values())), key=str
    )
    again = {task.id: task.matrix for task in instances(TEST, Matrix(found))}
    assert by_name == again


@given(axes, st.randoms())
def test_the_order_of_values_in_the_file_does_not_matter(found, chance):
    mixed = {axis: tuple(chance.sample(of, len(of))) for axis, of in found.items()}
    one = {task.id: definition_sha256(task) for task in instances(TEST, Matrix(found))}
    other = {task.id: definition_sha256(task) for task in instances(TEST, Matrix(mixed))}
    assert one == other


@given(axes, st.data())
def test_what_is_excluded_and_what_is_left_are_all(found, data):
    every = values(axes=found)
    out = data.draw(st.sampled_from(every))
    if len(every) > 1:
        left = values(axes=found, exclude=(out,))
        assert [one for one in every if one != out] == left


def matrix(text, task_id="test", more=""):
    return f"id: {task_id}\nphase: A\n{more}matrix: {text}\ncommands: [{{run: make}}]\n"


class TestFiles:
    def test_values_are_taken_as_they_are_written(self, tmp_path):
        text = '{py: [3.10, "3.11"], on: [yes, true, 0x1F], n: {count: 0x2}}'
        found = loaded(tmp_path, {"test": matrix(text)})
        assert found.problems == ()
        assert next(iter(found.flow.tasks)) == "test@py=3.10,on=0x1F,n=1"
        assert len(found.flow.tasks) == 12

    def test_a_need_means_all_instances_or_those_with_the_same_values(self, tmp_path):
        found = loaded(
            tmp_path,
            {
                "test": matrix("{py: [1, 2], os: [a, b]}"),
                "all": good("all", "test"),
                "one": "id: one\nphase: A\nneeds: ['test@py=1,os=b']\ncommands: [{run: x}]\n",
                "pack": matrix(
                    "{os: [b, a, c], exclude: [{os: c}]}",
                    "pack",
                    "needs: [{task: test, matrix: same, require: done}]\n",
                ),
            },
        )
        assert found.problems == ()
        needs = {task.id: [need.task for need in task.needs] for task in found.flow.tasks.values()}
        assert needs["all"] == [
            "test@py=1,os=a",
            "test@py=1,os=b",
            "test@py=2,os=a",
            "test@py=2,os=b",
        ]
        assert needs["one"] == ["test@py=1,os=b"]
        assert needs["pack@os=a"] == ["test@py=1,os=a", "test@py=2,os=a"]
        assert needs["pack@os=b"] == ["test@py=1,os=b", "test@py=2,os=b"]
        assert {need.require for need in found.flow.tasks["pack@os=a"].needs} == {"done"}

    @pytest.mark.parametrize(
        ("text", "place", "message"),
        [
            ("{py: 3.12}", "4:14", "error[ZF222]: 'py' in 'matrix' must be a list, found 3.12"),
            ("{py: [[1]]}", "4:15", "must be a text, a number or a boolean, found a list"),
            ("{1x: [a]}", "4:10", "error[ZF290]: '1x' is no name for an axis"),
            ("{from: [a]}", "4:16", "error[ZF222]: 'from' in 'matrix' must be text, found a list"),
            ("{etc: [a]}", "4:10", "error[ZF290]: 'etc' is no name for an axis"),
            ("{a-b: [x], a_b: [y]}", "4:20", "axes 'a-b' and 'a_b' set the same variable"),
            ("{s: {count: 2}, s_count: [y]}", "4:25", "set the same variable, MATRIX_S_COUNT"),
            ("{py: [3.1, '3.1']}", "4:20", "error[ZF292]: the axis has the value '3.1' twice"),
            ("{py: [1], exclude: [{pi: 1}]}", "4:30", "error[ZF293]: the matrix has no axis 'pi'"),
            ("{py: [1], exclude: [{py: 2}]}", "4:29", "error[ZF293]: this entry excludes no"),
            ("{py: [1], exclude: [{py: 1}]}", "4:9", "error[ZF294]: the matrix has no instance"),
            ("{include: [{a: 1}, {a: 1}]}", "4:9", "error[ZF292]: the instance a=1 comes twice"),
            ("{s: {count: 257}}", "4:21", "must be at most 256, found 257"),
            (
                "{a: {count: 99}, b: {count: 99}}",
                "4:9",
                "error[ZF291]: the matrix has 9801 instances",
            ),
            ("{}", "4:9", "error[ZF294]: the matrix has no instance"),
        ],
    )
    def test_what_is_wrong_is_told_at_its_place(self, tmp_path, text, place, message):
        told = said(tmp_path, {"test": matrix(text, more="title: t\n")})
        assert told.startswith(f"tasks/test/task.yaml:{place}: "), told
        assert message in told

    def test_a_variable_that_the_matrix_sets_cannot_be_set_beside_it(self, tmp_path):
        text = matrix("{py: [1]}", more="env: {MATRIX_PY: x}\n")
        assert "task.yaml:3:7: error[ZF297]: 'MATRIX_PY' is set by the matrix" in said(
            tmp_path, {"test": text}
        )

    @pytest.mark.parametrize(
        ("needs", "message"),
        [
            ("[test, 'test@py=1']", "error[ZF213]: needs 'test@py=1' twice"),
            ("['test@py=3']", "error[ZF210]: needs unknown task 'test@py=3'"),
            ("[{task: test, matrix: same}]", "error[ZF295]: 'x' has no matrix"),
            ("[{task: plain, matrix: same}]", "error[ZF295]: 'plain' has no matrix"),
        ],
    )
    def test_needs_that_cannot_be(self, tmp_path, needs, message):
        files = {
            "test": matrix("{py: [1, 2]}"),
            "plain": good("plain"),
            "x": f"id: x\nphase: A\nneeds: {needs}\ncommands: [{{run: make}}]\n",
        }
        assert message in said(tmp_path, files)

    def test_same_values_have_to_be_there(self, tmp_path):
        same = "needs: [{task: test, matrix: same}]\n"
        files = {"test": matrix("{py: [1, 2]}"), "x": matrix("{py: [1, 3]}", "x", same)}
        assert "no instance of 'test' has the same as 'x@py=3': py=3" in said(tmp_path, files)
        files["x"] = matrix("{os: [1]}", "x", same)
        assert "'x' and 'test' have no axis in common" in said(tmp_path, files)
        optional = same.replace("same}", "same, optional: true}")
        files["x"] = matrix("{py: [1, 3]}", "x", optional)
        found = loaded(tmp_path, files).flow
        assert found.tasks["x@py=3"].needs == ()

    def test_a_matrix_whose_file_is_wrong_is_not_blamed_through_others(self, tmp_path):
        same = "needs: [{task: test, matrix: same}]\n"
        broken = matrix("{py: [1, 2]}", more="titel: t\n")
        told = said(tmp_path, {"test": broken, "x": matrix("{py: [1]}", "x", same)})
        assert told.count("error[") == 1, told

    def test_an_instance_cannot_need_its_own_task(self, tmp_path):
        text = matrix("{py: [1, 2]}", more="needs: ['test@py=1']\n")
        assert "error[ZF211]: 'test@py=1' needs itself" in said(tmp_path, {"test": text})

    def test_a_condition_knows_the_axes(self, tmp_path):
        condition = "condition: matrix.pi == '1'\n"
        told = said(tmp_path, {"test": matrix("{py: [1]}", more=condition)})
        assert "'matrix.pi', which is not known here" in told
        assert "did you mean 'matrix.py'?" in told


def test_a_need_that_cannot_be_met_is_told_once_for_all_instances(tmp_path):
    files = {
        "test": matrix("{py: [1, 2, 3]}"),
        "last": matrix("{os: [a, b]}", "last", "needs: [test]\n").replace("phase: A", "phase: B"),
    }
    flow = loaded(tmp_path, files).flow
    with pytest.raises(ZfError) as caught:
        plan_phases(flow, ["B"], phase_timeout_s=1)
    (problem,) = caught.value.problems
    assert problem.message == "'last' needs 'test' of phase 'A', which is not in this run"


class TestChosen:
    @pytest.fixture
    def flow(self, tmp_path):
        return loaded(
            tmp_path,
            {
                "test": matrix("{py: [1, 2, 3], os: [a, b]}"),
                "lint": matrix("{py: [1]}", "lint"),
                "all": good("all", "test"),
                "both": good("both", "test", "lint"),
            },
        ).flow

    def test_instances_with_other_values_are_left_out(self, flow):
        found = narrowed(flow, {"py": ("1", "2"), "os": ("b",)})
        assert list(found.tasks) == ["all", "both", "lint@py=1", "test@py=1,os=b", "test@py=2,os=b"]
        assert [need.task for need in found.tasks["all"].needs] == [
            "test@py=1,os=b",
            "test@py=2,os=b",
        ]

    def test_an_instance_without_the_axis_of_the_others_is_left_out(self, tmp_path):
        files = {"test": matrix("{py: [1, 2], include: [{py: 2, os: a}]}"), "x": good("x")}
        found = narrowed(loaded(tmp_path, files).flow, {"os": ("a",)})
        assert list(found.tasks) == ["test@py=2", "x"]

    def test_a_need_of_which_no_instance_is_left_stays_unmet(self, flow):
        found = narrowed(flow, {"py": ("2",)})
        assert "lint@py=1" in [need.task for need in found.tasks["both"].needs]
        assert "lint@py=1" not in found.tasks
        with pytest.raises(ZfError, match="'both' needs 'lint', of which --matrix leaves no"):
            plan_phases(found, ["A"], phase_timeout_s=1)
        assert "test@py=2,os=a" in plan_task(found, "all", with_needs=True, phase_timeout_s=1).tasks

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"pi": ("1",)}, "no matrix has the axis 'pi'"),
            ({"py": ("1", "4")}, "no matrix has '4' on the axis 'py'"),
        ],
    )
    def test_what_there_is_not(self, flow, chosen, message):
        with pytest.raises(ZfError, match=re.escape(message)) as caught:
            narrowed(flow, chosen)
        assert caught.value.problems[0].code == "ZF160"

    def test_the_plan_of_a_task_is_that_of_all_its_instances(self, flow):
        alone = plan_task(flow, "test", with_needs=False, phase_timeout_s=1)
        assert set(map(base_of, alone.tasks)) == {"test"}
        assert len(alone.tasks) == 6
        one = plan_task(flow, "test@py=2,os=a", with_needs=False, phase_timeout_s=1)
        assert list(one.tasks) == ["test@py=2,os=a"]
        row = one.as_json()["tasks"][0]
        assert (row["base"], row["matrix"]) == ("test", {"py": "2", "os": "a"})


def test_the_pattern_of_names_has_room_for_the_longest():
    longest = name_of("x" * 128, values := {"a": "y" * 32}, {"a": {"y" * 32: "y" * 32}}, values)
    assert re.fullmatch(TASK_PATTERN, longest)
    assert matrix_variable("node-version") == "MATRIX_NODE_VERSION"


# Whole projects

ids = st.sampled_from(["a", "b", "c", "d"])
words = st.sampled_from(["1", "2", "3.10", "x/y", "X", "x", "é"])
own_axes = st.dictionaries(
    st.sampled_from(["py", "os"]),
    st.lists(words, min_size=1, max_size=3, unique=True) | st.just({"count": 2}),
    max_size=2,
)
matrices = st.builds(
    lambda axes, more: axes | ({"include": more} if more else {}),
    own_axes,
    st.lists(st.dictionaries(st.sampled_from(["py", "os", "z"]), words, min_size=1), max_size=2),
)


@st.composite
def projects(draw):
    """Task files by id, each with or without a matrix, and with needs on those before it."""
    found = {}
    for name in draw(st.lists(ids, min_size=1, max_size=4, unique=True)):
        needs = [
            draw(st.sampled_from([other, {"task": other, "matrix": "same", "optional": True}]))
            for other in draw(
                st.lists(st.sampled_from(sorted(found)), unique=True) if found else st.just([])
            )
        ]
        found[name] = {"phase": "A", "commands": [{"run": "x"}]}
        found[name] |= {"needs": needs} if needs else {}
        found[name] |= {"matrix": of} if (of := draw(st.none() | matrices)) is not None else {}
    return found


def resolved_form(tmp_path, tasks):
    """What is said of every task, but for the lines in which it stands; and what is wrong."""
    (tmp_path / "zf.yaml").write_text(json.dumps({"tasks": tasks}))
    found = loaded(tmp_path)
    said_of = {}
    for name, task in (found.flow.tasks if found.flow else {}).items():
        said_of[name] = recorded(task) | {"line": 0, "commands": [s.run for s in task.steps]}
    return said_of, sorted((p.code, p.message) for p in found.problems)


def check_project(tmp_path, tasks, order):
    one = resolved_form(tmp_path, tasks)
    assert one == resolved_form(tmp_path, tasks)
    assert one == resolved_form(tmp_path, {name: tasks[name] for name in order})
    said_of, problems = one
    assert bool(said_of) != bool(problems)
    assert len({name.casefold() for name in said_of}) == len(said_of)
    for name, form in said_of.items():
        assert form.get("base", name) == base_of(name)
        assert {need["task"] for need in form["needs"]} <= said_of.keys() - {name}


@settings(max_examples=25)
@given(projects(), st.randoms())
def test_a_project_comes_to_the_same_in_any_order(tmp_path_factory, tasks, chance):
    check_project(tmp_path_factory.mktemp("p"), tasks, chance.sample([*tasks], len(tasks)))


@pytest.mark.campaign
@settings(max_examples=10_000)
@given(projects(), st.randoms())
def test_ten_thousand_projects_come_to_the_same_in_any_order(tmp_path_factory, tasks, chance):
    check_project(tmp_path_factory.mktemp("p"), tasks, chance.sample([*tasks], len(tasks)))
