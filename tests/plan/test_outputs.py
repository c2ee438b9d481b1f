"""What task files may take of needs, and what an output of a need is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.plan_files import good, loaded, said
from zf.model import Need, recalled, recorded
from zf.plan.outputs.values import split, value_of

BUILD = "id: build\nphase: A\noutputs: [version, digest]\ncommands: [{run: x}]\n"


def takes(reference: str, more: str = "needs: [build]\n") -> str:
    return f"id: x\nphase: A\n{more}env: {{V: {{from: {reference}}}}}\ncommands: [{{run: x}}]\n"


def test_what_is_taken_is_in_the_task_and_survives_being_recorded(tmp_path):
    flow = loaded(tmp_path, {"build": BUILD, "x": takes("build.version")}).flow
    task = flow.tasks["x"]
    assert (task.env, task.env_from) == ({}, {"V": "build.version"})
    assert flow.tasks["build"].outputs == ("version", "digest")
    for one in flow.tasks.values():
        again = recalled(recorded(one))
        assert (again.outputs, again.env_from) == (one.outputs, one.env_from)
    assert "env_from" not in recorded(flow.tasks["build"])


def test_an_id_with_dots_is_told_from_its_output(tmp_path):
    files = {
        "tasks/a.b-1/task.yaml": BUILD.replace("build", "a.b-1"),
        "x": takes("a.b-1.version", "needs: [a.b-1]\n"),
    }
    assert loaded(tmp_path, files).problems == ()
    assert split("a.b-1.version") == ("a.b-1", "version")


SHOWN = """\
tasks/x/task.yaml:4:17: error[ZF283]: 'V' takes 'verson' of 'build', which declares no such output
  4 | env: {V: {from: build.verson}}
    |                 ^^^^^^^^^^^^ did you mean 'build.version'?"""
UNSOUND = good("x") + "outputs: [a.b]\n"
ASKS = "condition: needs.build.{} == '1'\n"
WRONG = {
    "an output that is written otherwise": (takes("build.verson"), "ZF283", SHOWN),
    "an output that is not declared": (
        takes("build.sums"),
        "ZF283]: 'V' takes 'sums' of 'build', which declares no such output",
        "add it to `outputs` of 'build'",
    ),
    "a task that is not needed": (
        takes("build.version", ""),
        "ZF282]: 'V' takes an output of 'build', which 'x' does not need",
        "add it to `needs`",
    ),
    "a task that is written otherwise": (
        takes("biuld.version"),
        "ZF282]: 'V' takes an output of the unknown task 'biuld'",
        "did you mean 'build.version'?",
    ),
    "the task itself": (
        takes("x.version"),
        "ZF282]: 'V' takes an output of 'x', which 'x' does not need",
        "a task cannot take its own output",
    ),
    "no output": (
        takes("build"),
        "ZF281]: 'from' in 'V' in 'env' is 'build', which names no output",
        "write the task, a dot and the output, such as build.version",
    ),
    "another key": (
        takes("build.version, form: a"),
        "ZF220]: unknown key 'form' in 'V' in 'env'",
        "did you mean 'from'?",
    ),
    "no reference": (
        takes("build.version").replace("{from: build.version}", "{}"),
        "ZF221]: 'V' in 'env' lacks the key 'from'",
        "add `from: build.version`",
    ),
    "an output of a bad name": (
        UNSOUND,
        "ZF280]: entry 1 of 'outputs' is 'a.b', which is not a valid name for an output",
        "letters, digits, '_' and '-', at most 64 of them, and no digit or '-' first",
    ),
    "a condition on an output that is written otherwise": (
        good("x", "build") + ASKS.format("verson"),
        "ZF260]: the condition asks for 'needs.build.verson', which is not known here",
        "did you mean 'needs.build.version'?",
    ),
    "a condition on an output of a task that is not needed": (
        good("x") + ASKS.format("version"),
        "ZF260]: the condition asks for 'needs.build.version', which is not known here",
        "add 'build' to `needs`",
    ),
    "a condition on how a need ended, as on an output": (
        good("x", "build") + ASKS.format("status"),
        "ZF260]: the condition asks for 'needs.build.status', which is not known here",
        "how a task ended is status('build'), such as 'success' or 'failure'",
    ),
}


@pytest.mark.parametrize("which", WRONG)
def test_what_is_wrong_is_told_where_it_stands(tmp_path, which):
    text, *told = WRONG[which]
    found = said(tmp_path, {"build": BUILD, "x": text})
    assert found.count("error[") == 1, found
    assert all(part in found for part in told), found


def test_a_file_that_cannot_be_read_is_not_blamed_through_others(tmp_path):
    broken = "id: build\nphase: A\noutputs: 7\ncommands: [{run: x}]\n"
    with_condition = good("y", "build") + "condition: needs.build.version == '1'\n"
    problems = loaded(
        tmp_path, {"build": broken, "x": takes("build.version"), "y": with_condition}
    ).problems
    assert [(p.code, p.file) for p in problems] == [("ZF222", "tasks/build/task.yaml")]


NEEDS = [
    *(Need(f"test@py={v}", matrix="all") for v in ("3.10", "3.11", "3.12")),
    Need("tester"),
]


def test_of_a_matrix_an_output_is_an_object_by_instance():
    handed = {
        "test@py=3.12": {"result": "ok"},
        "test@py=3.11": {"result": 'a "quoted" one'},
        "test@py=3.10": {},
        "test@py=3.9": {"result": "not needed"},
        "tester": {"result": "no instance"},
    }
    told = value_of("test", "result", NEEDS, handed)
    assert told == '{"test@py=3.11":"a \\"quoted\\" one","test@py=3.12":"ok"}'
    assert value_of("test@py=3.12", "result", NEEDS, handed) == "ok"
    assert value_of("test", "other", NEEDS, handed) is None
    assert value_of("tester", "result", NEEDS, handed) == "no instance"
    assert value_of("gone", "result", NEEDS, handed) is None


def test_of_the_one_instance_with_the_same_values_it_is_the_value():
    handed = {"test@py=3.11": {"result": "ok"}, "test@py=3.12": {"result": "bad"}}
    same = [Need("test@py=3.11", matrix="same")]
    assert value_of("test", "result", same, handed) == "ok"
    assert value_of("test", "other", same, handed) is None
    assert value_of("test", "result", same, {}) is None
    several = [*same, Need("test@py=3.12", matrix="same")]
    told = '{"test@py=3.11":"ok","test@py=3.12":"bad"}'
    assert value_of("test", "result", several, handed) == told


@settings(max_examples=100)
@given(
    st.dictionaries(st.from_regex(r"\Atest@[a-z]=[0-9a-z.]{1,5}\Z"), st.text(), min_size=1),
    st.randoms(),
)
def test_no_instance_is_lost_and_the_order_of_their_ends_does_not_matter(values, random):
    handed = {name: {"v": value} for name, value in values.items()}
    needs = [Need(name, matrix="all") for name in values]
    shuffled = list(handed.items())
    random.shuffle(shuffled)
    told = value_of("test", "v", needs, handed)
    assert json.loads(told) == values
    assert value_of("test", "v", needs[::-1], dict(shuffled)) == told


MATRIX = BUILD.replace("outputs:", "matrix: {py: [3.11, 3.12]}\noutputs:")


def test_outputs_of_a_matrix_and_of_one_instance_may_be_taken(tmp_path):
    more = 'W: {from: "build@py=3.11.version"}'
    task = takes("build.version").replace("}}", "}, " + more + "}")
    asks = "condition: needs['build@py=3.12'].version == needs.build.digest\n"
    assert loaded(tmp_path, {"build": MATRIX, "x": task + asks}).problems == ()


def test_an_output_of_an_instance_that_is_not_there(tmp_path):
    found = said(tmp_path, {"build": MATRIX, "x": takes('"build@py=3.110.version"')})
    assert "ZF282]: 'V' takes an output of the unknown task 'build@py=3.110'" in found
    assert "did you mean 'build@py=3.11.version'?" in found
