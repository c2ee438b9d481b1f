"""Matrices whose instances are an output of a need: what files may say, and what outputs may list."""

from __future__ import annotations

import json
from itertools import product

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.support.plan_files import loaded, said
from tests.support.simulated import task
from zf.errors import ZfError
from zf.model import Need, definition_sha256, recorded
from zf.model import recalled as task_of
from zf.plan.draw import dot, mermaid, text
from zf.plan.graph import plan_phases, plan_task
from zf.plan.matrix.chosen import narrowed
from zf.plan.matrix.dynamic import UnusableError, listed, recalled, told_of


def good(name, more=""):
    return f"id: {name}\nphase: A\n{more}commands: [{{run: make}}]\n"


PLAN = good("plan", more="outputs: [list, pys]\n")


def later(matrix="{from: plan.list}", more="", needs="plan"):
    return good("test", more=f"needs: [{needs}]\nmatrix: {matrix}\n{more}")


def base(said, **more):
    return task("test", ["plan"], matrix_from=said, **more)


def names(said, value, **more):
    found = listed(base(said, **more), {"plan.list": json.dumps(value), "plan.pys": '["3.11"]'})
    return [one.id for one in found.tasks]


class TestFiles:
    def test_it_is_loaded_as_one_task_that_says_what_lists_its_instances(self, tmp_path):
        found = loaded(
            tmp_path, {"plan": PLAN, "test": later("{from: plan.list, fail_fast: true}")}
        )
        assert found.problems == ()
        test = found.flow.tasks["test"]
        assert (test.matrix_from, test.matrix_fail_fast) == ({"from": "plan.list"}, True)
        assert recorded(test)["matrix_from"] == {"from": "plan.list"}
        assert task_of(recorded(test)).matrix_from == {"from": "plan.list"}

    def test_axes_of_outputs_stand_beside_others(self, tmp_path):
        said = "{py: {from: plan.pys}, os: [a, b], s: {count: 2}, exclude: [{py: 1, os: a}]}"
        found = loaded(tmp_path, {"plan": PLAN, "test": later(said)})
        assert found.problems == ()
        assert found.flow.tasks["test"].matrix_from == {
            "py": {"from": "plan.pys"},
            "os": ["a", "b"],
            "s": {"count": 2},
            "exclude": [{"py": "1", "os": "a"}],
        }

    @pytest.mark.parametrize(
        ("matrix", "place", "message"),
        [
            ("{from: plan}", "4:16", "'from' in 'matrix'"),
            ("{from: plan.other}", "4:16", "error[ZF283]: the matrix takes 'other' of 'plan'"),
            ("{from: lint.list}", "4:16", "error[ZF282]: the matrix takes an output of 'lint'"),
            ("{from: plann.list}", "4:16", "did you mean 'plan.list'?"),
            ("{a: {from: plan.no}}", "4:20", "error[ZF283]"),
            ("{from: plan.list, py: [1]}", "4:27", "error[ZF296]: 'py' cannot stand beside `from`"),
            ("{from: plan.list, include: [{a: 1}]}", "4:27", "error[ZF296]"),
            ("{a: {from: plan.list, count: 2}}", "4:31", "unknown key 'count'"),
            ("{a: {form: plan.list}}", "4:14", "error[ZF220]"),
            ("{a: {from: plan.list}, exclude: [{b: 1}]}", "4:43", "error[ZF293]"),
            ("{a-b: {from: plan.list}, a_b: [y]}", "4:34", "set the same variable"),
        ],
    )
    def test_what_is_wrong_is_told_at_its_place(self, tmp_path, matrix, place, message):
        told = said(tmp_path, {"plan": PLAN, "lint": good("lint"), "test": later(matrix)})
        assert f"tasks/test/task.yaml:{place}: " in told, told
        assert message in told

    def test_of_a_matrix_no_list_can_be_taken(self, tmp_path):
        plan = good("plan", more="outputs: [list]\nmatrix: {a: [1]}\n")
        told = said(tmp_path, {"plan": plan, "test": later()})
        assert "error[ZF296]: the matrix takes an output of 'plan', of which each instance" in told

    def test_variables_and_conditions_may_name_what_the_list_will_have(self, tmp_path):
        more = "env: {V: 'x${MATRIX_PY}'}\ncondition: matrix.py == '3.11'\nartifacts: ['${MATRIX_PY}/*']\n"
        for matrix in ("{from: plan.list}", "{py: {from: plan.pys}}"):
            assert loaded(tmp_path, {"plan": PLAN, "test": later(matrix, more)}).problems == ()
        other = "{os: {from: plan.pys}}"
        assert "ZF298" in said(tmp_path, {"plan": PLAN, "test": later(other, more)})
        told = said(tmp_path, {"plan": PLAN, "test": later(other, more.partition("artifacts")[0])})
        assert "ZF262" in told
        assert "ZF260" in told

    def test_same_needs_a_list_on_both_sides(self, tmp_path):
        files = {"plan": PLAN, "test": later()}
        same = good(
            "u", more="needs: [plan, {task: test, matrix: same}]\nmatrix: {from: plan.list}\n"
        )
        assert loaded(tmp_path, {**files, "u": same}).problems == ()
        static = good("u", more="needs: [{task: test, matrix: same}]\nmatrix: {item: [a]}\n")
        assert "known too late to have the same values" in said(tmp_path, {**files, "u": static})
        apart = good(
            "u", more="needs: [plan, {task: v, matrix: same}]\nmatrix: {os: {from: plan.pys}}\n"
        )
        v = good("v", more="matrix: {item: [a]}\n")
        assert "no axis in common" in said(tmp_path, {"plan": PLAN, "u": apart, "v": v})

    def test_the_plan_says_when_its_instances_are_known(self, tmp_path):
        flow = loaded(tmp_path, {"plan": PLAN, "test": later()}).flow
        plan = plan_phases(flow, ["A"], phase_timeout_s=60)
        assert plan.dynamic == ("test",)
        assert "test  needs plan; instances known when plan.list is; alone" in text(plan)
        assert "instances known when plan.list is" in mermaid(plan)
        assert "instances known when plan.list is" in dot(plan)

    def test_alone_it_cannot_be_run(self, tmp_path):
        flow = loaded(tmp_path, {"plan": PLAN, "test": later()}).flow
        with pytest.raises(ZfError) as caught:
            plan_task(flow, "test", with_needs=False, phase_timeout_s=60)
        assert caught.value.problems[0].code == "ZF162"
        assert plan_task(flow, "test", with_needs=True, phase_timeout_s=60).dynamic == ("test",)

    def test_a_value_that_only_a_run_knows_may_be_chosen(self, tmp_path):
        flow = loaded(tmp_path, {"plan": PLAN, "test": later("{py: {from: plan.pys}}")}).flow
        assert narrowed(flow, {"py": ["9"]}).partly == {"A"}
        with pytest.raises(ZfError, match="no matrix has the axis 'os'"):
            narrowed(flow, {"os": ["a"]})


class TestListed:
    @pytest.mark.parametrize(
        ("said", "value", "expected"),
        [
            ({"from": "plan.list"}, ["a", 3.10, True], ["item=a", "item=3.1", "item=true"]),
            ({"from": "plan.list"}, [{"a": 1, "b": "x"}, {"a": 2}], ["a=1,b=x", "a=2"]),
            ({"from": "plan.list"}, {"a": [1, 2], "b": [3]}, ["a=1,b=3", "a=2,b=3"]),
            (
                {"from": "plan.list"},
                {"a": [1, 2], "include": [{"a": 3}], "exclude": [{"a": 1}, {"a": 9}]},
                ["a=2", "a=3"],
            ),
            ({"from": "plan.list"}, {"include": [{"a": 3}]}, ["a=3"]),
            ({"a": {"from": "plan.list"}, "b": ["x"]}, [1, 2], ["a=1,b=x", "a=2,b=x"]),
            ({"a": {"from": "plan.list"}, "s": {"count": 2}}, [1], ["a=1,s=1", "a=1,s=2"]),
            (
                {"a": {"from": "plan.list"}, "py": {"from": "plan.pys"}},
                [1, 2],
                ["a=1,py=3.11", "a=2,py=3.11"],
            ),
            ({"a": {"from": "plan.list"}, "include": [{"a": "9"}]}, [], ["a=9"]),
            ({"from": "plan.list"}, [], []),
            ({"from": "plan.list"}, {}, []),
            ({"a": {"from": "plan.list"}, "b": ["x"]}, [], []),
        ],
    )
    def test_what_is_listed_are_its_instances(self, said, value, expected):
        assert names(said, value) == [f"test@{one}" for one in expected]

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("", "is no JSON"),
            ("[1,", "is no JSON: Expecting value"),
            ('{"a": [1], "a": [2]}', "a key occurs twice"),
            ("[NaN]", "NaN is no value"),
            ("[" * 100_000, "no JSON"),
            ("3", "neither a list nor a mapping"),
            ("null", "neither a list nor a mapping"),
            ('"a"', "neither a list nor a mapping"),
            ("[null]", "no single value"),
            ("[[1]]", "no single value"),
            ('["a", {"a": 1}]', "no single value"),
            ("[{}]", "an instance without values"),
            ('{"a": 1}', "'a' of 'plan.list' is no list"),
            ('{"include": 1}', "'include' of 'plan.list' is no list of mappings"),
            ('{"from": ["x"]}', "is no name for an axis"),
            ('[{"a b": 1}]', "is no name for an axis"),
            ('[{"etc": 1}]', "is no name for an axis"),
            ('[{"a-b": 1, "a_b": 1}]', "set the same variable"),
            ('{"a": [1], "exclude": [{"b": 1}]}', "exclude names 'b', which is no axis"),
            ('["a", "a"]', "has 'a' twice"),
            ('["3", 3]', "has '3' twice"),
            ('[{"a": 1}, {"a": 1}]', "comes twice"),
            (json.dumps([*range(257)]), "257 instances, at most 256"),
            (json.dumps(["x" * 1001]), "more than 1000 characters"),
            (json.dumps(["a\0"]), "no variable can hold"),
            (json.dumps(["\ud800"]), "no variable can hold"),
            ('["a***"]', "holds a secret"),
            ('[{"v": 1}]', "'MATRIX_V' is set by the matrix, and in `env`"),
        ],
    )
    def test_what_cannot_be_used_says_why(self, value, message):
        with pytest.raises(UnusableError) as caught:
            listed(base({"from": "plan.list"}, env={"MATRIX_V": "1"}), {"plan.list": value})
        assert message in str(caught.value)
        assert len(str(caught.value)) < 300

    def test_however_deep_it_is_nested_says_why(self):
        # As deep as can be read is more than can be written again, to be quoted.
        for depth in range(900, 1100):
            value = f'[{{"a": {"[" * depth}{"]" * depth}}}]'
            with pytest.raises(UnusableError, match=r"no single value|nested too deeply"):
                listed(base({"from": "plan.list"}), {"plan.list": value})

    def test_an_output_that_is_not_there(self):
        with pytest.raises(UnusableError, match="'plan' handed on no output 'list'"):
            listed(base({"from": "plan.list"}), {})

    def test_an_instance_has_its_values_as_a_static_one_has(self):
        said = {"v": {"from": "plan.list"}, "s": {"count": 2}}
        own = base(said, env={"A": "${MATRIX_V}"}, artifacts=("${MATRIX_V}/*",))
        (one, _) = listed(own, {"plan.list": '["a*"]'}).tasks
        assert one.env["MATRIX_V"] == "a*"
        assert one.env["MATRIX_S_COUNT"] == "2"
        assert one.artifacts == ("a[*]/*",)
        assert (one.base, one.matrix, one.matrix_from) == ("test", {"v": "a*", "s": "1"}, {})

    def test_a_path_that_would_leave_the_project_is_refused(self):
        own = base({"from": "plan.list"}, workdir="${MATRIX_ITEM}")
        with pytest.raises(UnusableError, match="does not stay in the project"):
            listed(own, {"plan.list": '["../x"]'})

    def test_of_those_that_are_chosen_the_others_are_counted(self):
        found = listed(base({"from": "plan.list"}), {"plan.list": "[1, 2, 3]"}, {}, {"item": ["2"]})
        assert ([one.id for one in found.tasks], len(found.every)) == (["test@item=2"], 3)

    def test_same_values_are_found_and_have_to_be_there(self):
        needs = (Need("plan"), Need("u", matrix="same"))
        own = task("test", needs, matrix_from={"from": "plan.list"})
        known = {"u": {"u@item=1": {"item": "1"}, "u@item=2": {"item": "2"}}}
        found = listed(own, {"plan.list": "[2, 1]"}, known).tasks
        assert [[n.task for n in one.needs] for one in found] == [
            ["plan", "u@item=2"],
            ["plan", "u@item=1"],
        ]
        with pytest.raises(UnusableError, match="no instance of 'u' has the same values"):
            listed(own, {"plan.list": "[3]"}, known)


VALUES = st.lists(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers()),
    max_size=8,
    unique_by=str,
)


@settings(max_examples=100)
@given(VALUES, st.booleans())
def test_a_journal_tells_the_instances_that_there_are(values, escaped):
    """However the list is spelled, the instances are the same, and a journal leads back to them."""
    own = base({"from": "plan.list"}, env={"A": "1"})
    try:
        found = listed(own, {"plan.list": json.dumps(values, ensure_ascii=escaped)})
    except UnusableError:
        assert any("***" in str(v) or "\0" in str(v) for v in values)
        return
    again = listed(own, {"plan.list": json.dumps(values, indent=2)})
    assert found == again
    assert [one.matrix["item"] for one in found.tasks] == [str(value) for value in values]
    assert len({one.id.casefold() for one in found.tasks}) == len(values)
    for one in found.tasks:
        told = json.loads(json.dumps(told_of(one, own)))
        assert recalled(own, told) == one
        assert definition_sha256(recalled(own, told)) == definition_sha256(one)


@settings(max_examples=50)
@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 9), max_size=3, unique=True))
)
def test_a_whole_matrix_is_that_of_a_file(axes):
    own = base({"from": "plan.list"})
    found = listed(own, {"plan.list": json.dumps(axes)}).tasks
    rows = [dict(zip(axes, map(str, row), strict=True)) for row in product(*axes.values())]
    assert [one.matrix for one in found] == (rows if axes else [])
