"""Inputs: what may be declared, and what becomes of what is given."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.plan_files import good, loaded, said
from zf.errors import Problem, ZfError
from zf.inputs import Given, Input, Words, differs, salted, text_of, told, variable, without_values
from zf.lean.records import replace
from zf.model import Project, definition_sha256
from zf.plan.inputs import arguments
from zf.plan.inputs.check import (
    MAX_BYTES,
    MAX_NUMBER,
    Declared,
    InputError,
    Said,
    check,
    value_of,
)
from zf.plan.inputs.given import Kept, resolve

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_-]{0,20}\Z")
# Everything that a shell, a template or a log could take for more than a text.
HOSTILE = st.sampled_from(
    [
        "$(touch x)",
        "`id`",
        "'; rm -rf / #",
        '"',
        "a\nb",
        "\x1b[31m",
        "${HOME}",
        "{{.X}}",
        "\\",
        "--",
    ]
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40) | HOSTILE
ENTRIES = TEXTS.filter(lambda text: text and "\n" not in text)


def numbers(kind):
    if kind == "int":
        return st.integers(-MAX_NUMBER, MAX_NUMBER)
    return st.decimals(-(10**9), 10**9, places=6, allow_nan=False).map(float)


def project(**inputs):
    return Project(inputs=inputs)


def values(declared, *said):
    found = check({name: Declared(one) for name, one in declared.items()}, said)
    return {name: given.value for name, given in found.values.items()}, found.problems


# One value.


@given(value=numbers("int"))
@example(value=-0)
def test_a_whole_number_is_read_as_it_is_shown(value):
    assert value_of(Input(type="int"), text_of(value)) == value


@given(value=numbers("number"))
def test_so_is_any_number(value):
    found = value_of(Input(type="number"), text_of(value))
    assert found == value
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text_of(found))


@given(text=TEXTS)
def test_a_text_stays_what_it_is(text):
    assert value_of(Input(), text) == text


@given(listed=st.lists(ENTRIES, max_size=5))
def test_a_list_is_what_its_entries_are_however_it_is_given(listed):
    declared = Input(type="list")
    assert value_of(declared, tuple(listed)) == tuple(listed)
    assert value_of(declared, json.dumps(listed)) == tuple(listed)
    assert text_of(tuple(listed)).split("\n") == (listed or [""])
    if listed and not any("," in entry for entry in listed) and listed[0][:1] != "[":
        assert value_of(declared, ",".join(listed)) == tuple(listed)


@given(kind=st.sampled_from(["string", "int", "number", "bool", "choice", "list"]), text=TEXTS)
def test_whatever_is_taken_is_taken_again_as_steps_and_proofs_have_it(kind, text):
    """What resume and rerun go by."""
    declared = Input(type=kind, options=("a", "b") if kind == "choice" else ())
    try:
        value = value_of(declared, text)
    except InputError:
        return
    again = value if isinstance(value, tuple) else text_of(value)
    assert value_of(declared, again) == value
    assert "\0" not in text_of(value)


@pytest.mark.parametrize(
    ("declared", "text", "reason"),
    [
        (Input(), "a\0b", "holds NUL, which is no text for a program"),
        (Input(), "\udcff", "holds bytes that are no UTF-8, which is no text for a program"),
        (Input(), "x" * (MAX_BYTES + 1), f"is longer than {MAX_BYTES} bytes"),
        (Input(), "é" * (MAX_BYTES // 2 + 1), f"is longer than {MAX_BYTES} bytes"),
        (Input(), "x" * 1_000_000, f"is longer than {MAX_BYTES} bytes"),
        (Input(required=True), "", "is required, and must not be empty"),
        (Input(pattern="v[0-9]+"), "v1 ", "'v1 ' is not of the form v[0-9]+"),
        (Input(pattern="v[0-9]+"), "v1\n", "'v1\n' is not of the form v[0-9]+"),
        (Input(pattern="a|b"), "ab", "'ab' is not of the form a|b"),
        (Input(pattern="a|b", secret=True), "ab", "the value is not of the form a|b"),
        (Input(type="int"), "4.0", "'4.0' is not a whole number"),
        (Input(type="int"), "4_0", "'4_0' is not a whole number"),
        (Input(type="int"), "٤", "'٤' is not a whole number"),
        (Input(type="int"), " 4", "' 4' is not a whole number"),
        (Input(type="int"), "", "'' is not a whole number"),
        (Input(type="int"), str(MAX_NUMBER + 1), f"'{MAX_NUMBER + 1}' is not a whole number"),
        (Input(type="int", least=1), "0", "0 is less than 1"),
        (Input(type="number", most=0.5), "0.75", "0.75 is more than 0.5"),
        (Input(type="number"), "1e3", "'1e3' is not a number"),
        (Input(type="number"), "nan", "'nan' is not a number"),
        (Input(type="bool"), "yes", "'yes' is neither true nor false"),
        (Input(type="choice", options=("a", "b")), "c", "'c' is none of a, b"),
        (Input(type="choice", options=("a", "b")), "A", "'A' is none of a, b"),
        (Input(type="list"), "a,,b", "has an empty entry"),
        (Input(type="list"), ("a\nb",), "has an entry of several lines"),
        (Input(type="list"), "[1]", "begins like a list in JSON, and is none of texts"),
        (Input(type="list"), "[" * 100_000, "begins like a list in JSON, and is none of texts"),
        (Input(type="list", options=("a",)), "a,b", "'b' is none of a"),
        (Input(type="list", pattern="[a-z]"), "a,1", "'1' is not of the form [a-z]"),
        (Input(), ("a",), "is a list, but must be one value"),
    ],
)
def test_why_a_value_is_none(declared, text, reason):
    with pytest.raises(InputError) as error:
        value_of(declared, text)
    assert str(error.value) == reason


# All of them.


@pytest.mark.parametrize(
    ("sources", "value"),
    [
        (("flag", "file", "variable"), "flag"),
        (("variable", "file"), "file"),
        (("variable",), "variable"),
        ((), "default"),
    ],
)
def test_the_best_source_wins_whatever_comes_first(sources, value):
    declared = {"x": Input(default="default")}
    given = [Said("x", source, source, source) for source in sources]
    for order in (given, given[::-1]):
        assert values(declared, *order) == ({"x": value}, [])


def test_a_bad_value_is_told_though_another_comes_first():
    declared = {"n": Input(type="int")}
    given = Said("n", "1", "flag", "-i n"), Said("n", "x", "variable", "ZF_INPUT_N")
    _, (problem,) = values(declared, *given)
    assert problem.message == "ZF_INPUT_N: 'x' is not a whole number"


def test_all_problems_are_told_at_once_each_with_its_place():
    declared = {
        "env": Input(type="choice", options=("dev", "prod")),
        "jobs": Input(type="int", most=8),
        "name": Input(required=True, description="What it is called"),
    }
    _, problems = values(
        declared,
        Said("env", "prd", "flag", "-i env"),
        Said("jobs", "9", "variable", "ZF_INPUT_JOBS"),
        Said("envv", "dev", "file", "envv", Problem("", "", "in.yaml", 3)),
    )
    assert problems[-1].render() == (
        "error[ZF272]: input 'name' is required: What it is called\n"
        "  hint: give -i name=..., or set ZF_INPUT_NAME"
    )
    assert [(p.code, p.file, p.message, p.hint) for p in problems] == [
        ("ZF270", "in.yaml", "envv: there is no such input", "did you mean 'env'?"),
        ("ZF271", None, "-i env: 'prd' is none of dev, prod", "did you mean 'prod'?"),
        ("ZF271", None, "ZF_INPUT_JOBS: 9 is more than 8", None),
        (
            "ZF272",
            None,
            "input 'name' is required: What it is called",
            "give -i name=..., or set ZF_INPUT_NAME",
        ),
    ]


def test_once_but_for_lists_which_add_up():
    flags = [Said("x", text, "flag", "-i x") for text in ("a,b", "c")]
    assert values({"x": Input(type="list")}, *flags) == ({"x": ("a", "b", "c")}, [])
    _, (problem,) = values({"x": Input()}, *flags)
    assert problem.message == "-i x: it is given more than once"


@pytest.mark.parametrize(
    ("kind", "empty"), [("string", ""), ("int", ""), ("bool", False), ("list", ()), ("choice", "")]
)
def test_what_is_not_given_is_empty(kind, empty):
    assert values({"x": Input(type=kind, options=("a",))}) == ({"x": empty}, [])


def test_many_large_ones_are_too_many():
    declared = {f"x{n}": Input(default="x" * MAX_BYTES) for n in range(9)}
    _, (problem,) = values(declared)
    assert problem.message == "the inputs together are longer than 524288 bytes"


@given(
    declared=st.dictionaries(
        NAMES, st.sampled_from(["string", "int", "bool", "list", "number"]), max_size=4
    ),
    said=st.lists(
        st.tuples(NAMES, TEXTS, st.sampled_from(["flag", "file", "variable"])), max_size=6
    ),
)
def test_there_is_a_value_of_the_right_type_or_a_problem(declared, said):
    inputs = {name: Declared(Input(type=kind)) for name, kind in declared.items()}
    given = [Said(name, text, source, f"{source} {name}") for name, text, source in said]
    found = check(inputs, given)
    assert check(inputs, given) == found
    assert set(found.values) == set(declared)
    errors = [p for p in found.problems if p.severity == "error"]
    kinds = {"string": str, "int": int, "bool": bool, "list": tuple, "number": (int, float)}
    for name, one in found.values.items():
        right = isinstance(one.value, kinds[declared[name]]) or one.value == ""
        assert right or errors
        if one.source != "default" and not errors:
            assert (name, one.source) in {(n, s) for n, _, s in said}
    unknown = {n for n, _, s in said if n not in declared and s != "variable"}
    assert len([p for p in errors if p.code == "ZF270"]) >= len(unknown)


# From outside.


def resolved(declared, *flags, environ=None, file=None, phases=("A",), kept=None):
    inputs, problems = resolve(declared, phases, Words(flags, file), environ or {}, kept)
    return {name: (one.value, one.source) for name, one in inputs.items()}, problems


def refused(*args, **keys):
    with pytest.raises(ZfError) as error:
        resolved(*args, **keys)
    return [problem.render() for problem in error.value.problems]


def test_a_variable_is_upper_case_and_counts_as_unset_where_it_is_empty():
    one = project(**{"dry-run": Input(type="bool"), "b": Input(default="d")})
    environ = {"ZF_INPUT_DRY_RUN": "true", "ZF_INPUT_B": "", "INPUT_B": "x"}
    expected = {"dry-run": (True, "variable"), "b": ("d", "default")}
    assert resolved(one, environ=environ) == (expected, [])


def test_a_variable_for_nothing_is_a_warning_as_it_may_be_meant_for_another_project():
    values, (warning,) = resolved(project(env=Input()), environ={"ZF_INPUT_ENVV": "x"})
    assert values == {"env": ("", "default")}
    assert (warning.severity, warning.message, warning.hint) == (
        "warning",
        "ZF_INPUT_ENVV: there is no such input",
        "did you mean 'env'?",
    )


def test_a_file_is_taken_as_it_is_written(tmp_path):
    path = tmp_path / "in.yaml"
    path.write_text("version: 1.10\nn: 4\nfiles: [a, 1.0]\nyes: True\n")
    declared = project(
        version=Input(), n=Input(type="int"), files=Input(type="list"), yes=Input(type="bool")
    )
    values, _ = resolved(declared, file=str(path))
    assert values == {
        "version": ("1.10", "file"),
        "n": (4, "file"),
        "files": (("a", "1.0"), "file"),
        "yes": (True, "file"),
    }
    path.write_text(json.dumps({"version": "x", "n": 5}))
    assert resolved(declared, file=str(path))[0]["n"] == (5, "file")


def test_a_problem_in_a_file_is_shown_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.yaml").write_text("n: x\nm: {a: 1}\n")
    declared = project(n=Input(type="int"), m=Input())
    assert refused(declared, file=str(tmp_path / "in.yaml")) == [
        (
            "in.yaml:2:4: error[ZF271]: m: must be a text, a number, true or false, or a list of such\n"
            "  2 | m: {a: 1}\n"
            "    |    ^^^^^^"
        ),
        (
            "in.yaml:1:4: error[ZF271]: n: 'x' is not a whole number\n"
            "  1 | n: x\n"
            "    |    ^ write it in plain digits, such as 8080"
        ),
    ]
    (told,) = refused(declared, file=str(tmp_path / "gone.yaml"))
    assert told.startswith("gone.yaml: error[ZF271]: there is no such file")
    (tmp_path / "list.yaml").write_text("- a\n")
    (told,) = refused(declared, file=str(tmp_path / "list.yaml"))
    assert "a file of inputs is a mapping of their names to values" in told


def phased(tmp_path):
    text = """
inputs: {all: x}
phases:
  A: {inputs: {a: {required: true}, both: 1}}
  B: {inputs: {b: {required: true}, both: 1}}
"""
    tasks = {name: good(name, phase=name.upper()) for name in ("a", "b")}
    found = loaded(tmp_path, {"zf.yaml": text, **tasks})
    assert found.problems == ()
    return found.flow.project


def test_an_input_of_a_phase_counts_when_that_runs(tmp_path):
    one = phased(tmp_path)
    inputs, _ = resolve(one, ("A",), Words(("a=1",)), {"ZF_INPUT_B": "for other runs"})
    assert {name: given.phases for name, given in inputs.items()} == {
        "all": (),
        "a": ("A",),
        "both": ("A",),
    }
    inputs, _ = resolve(one, ("A", "B"), Words(("a=1", "b=2")), {})
    assert inputs["both"].phases == ("A", "B")
    assert refused(one, "a=1", "b=1") == [
        "error[ZF270]: -i b: this is an input of phase B, which is not run"
    ]


# Words for tasks.


def test_arguments_are_those_of_the_tasks_that_are_named(tmp_path):
    flow = loaded(tmp_path, {"a": good("a"), "b": good("b", phase="B")}).flow
    found = arguments.given(flow, arguments.of_phases(flow, ("B",)), ["-k", "x"])
    assert (found.tasks["a"], found.tasks["b"].arguments) == (flow.tasks["a"], ("-k", "x"))
    digests = [definition_sha256(each.tasks["b"]) for each in (flow, found)]
    assert digests[0] != digests[1]
    assert arguments.given(flow, {"b"}, []) == flow
    planned = {"tasks": [{"id": "a"}, {"id": "b", "arguments": True}]}
    recorded = {"run_id": "r", "arguments": ["-k", "x"]}
    assert arguments.kept(flow, planned, recorded) == found
    assert arguments.kept(flow, planned, {"run_id": "r"}) == flow


@pytest.mark.parametrize("words", [["x" * (MAX_BYTES + 1)], ["x" * MAX_BYTES] * 9])
def test_arguments_that_no_program_could_be_given_are_refused(tmp_path, words):
    flow = loaded(tmp_path, {"a": good("a")}).flow
    with pytest.raises(ZfError) as error:
        arguments.given(flow, {"a"}, words)
    assert error.value.problems[0].render() == (
        "error[ZF276]: the arguments are longer than 65536 bytes, or 524288 together\n"
        "  hint: give the path of a file instead"
    )


def test_arguments_that_held_a_secret_cannot_be_had_again(tmp_path):
    flow = loaded(tmp_path, {"a": good("a")}).flow
    with pytest.raises(ZfError, match="held a secret"):
        arguments.kept(flow, {"tasks": []}, {"run_id": "r", "arguments": ["-p", "x***"]})


# Kept from an earlier run.


def as_kept(inputs, **keys):
    return Kept("r1", {name: given.as_json() for name, given in inputs.items()}, **keys)


def test_a_later_run_keeps_them_and_a_flag_may_only_say_the_same():
    one = project(env=Input(default="dev"), n=Input(type="number"), files=Input(type="list"))
    first, _ = resolve(one, ("A",), Words(("env=prod", "n=0.10", "files=a,b")), {})
    kept = as_kept(first)
    environ = {"ZF_INPUT_ENV": "dev"}  # for other runs
    assert resolve(one, ("A",), Words(("env=prod",)), environ, kept)[0].keys() == first.keys()
    again, _ = resolve(one, ("A",), Words(), environ, kept)
    assert {n: (g.value, g.source) for n, g in again.items()} == {
        "env": ("prod", "flag"),
        "n": (0.1, "flag"),
        "files": (("a", "b"), "flag"),
    }
    assert refused(one, "env=dev", kept=kept) == [
        "error[ZF275]: -i env: run r1 has 'prod', which it keeps\n  hint: a new run takes another"
    ]


def test_a_secret_one_is_given_again_and_must_be_the_same():
    one = project(token=Input(secret=True, required=True))
    first, _ = resolve(one, ("A",), Words(("token=hunter2",)), {})
    kept = as_kept(first)
    assert "hunter2" not in repr((first, kept))
    again, _ = resolve(one, ("A",), Words(), {"ZF_INPUT_TOKEN": "hunter2"}, kept)
    assert again["token"].as_json() == first["token"].as_json()
    assert refused(one, kept=kept) == [
        (
            "error[ZF275]: input 'token' of run r1 is hidden, so its proof does not have it\n"
            "  hint: give it again: set ZF_INPUT_TOKEN, or -i token=..."
        )
    ]
    (told,) = refused(one, "token=other", kept=kept)
    assert "-i token: this is not the value that run r1 had" in told
    assert "other" not in told.replace("another", "")


def test_what_zf_yaml_declares_otherwise_by_now_is_told():
    one = project(n=Input(type="int", default=4), gone=Input(default="x"))
    first, _ = resolve(one, ("A",), Words(), {})
    now = project(n=Input(type="int", most=3), new=Input())
    told = refused(now, kept=as_kept(first, exact=True))
    assert [line.split("\n")[0] for line in told] == [
        "error[ZF275]: input 'gone' of run r1 is not declared any more",
        (
            "error[ZF275]: input 'n' of run r1 is no value of what zf.yaml declares now:"
            " 4 is more than 3"
        ),
        "error[ZF275]: input 'new' was not declared when run r1 began",
    ]
    more, _ = resolve(project(**one.inputs, new=Input()), ("A",), Words(), {}, as_kept(first))
    assert set(more) == {"n", "gone", "new"}


@pytest.mark.parametrize(
    "recorded",
    [[], {"x": 1}, {"x": {}}, {"x": {"value": {}, "source": "flag"}},
     {"x": {"value": [1], "source": "flag"}}, {"x": {"value": 1, "source": "who"}},
     {"x": {"source": "flag", "salt": "0", "salted_sha256": 0}}],
)  # fmt: skip
def test_a_run_json_of_another_form_is_refused(recorded):
    with pytest.raises(ZfError, match="does not say what its inputs were"):
        Kept.of({"run_id": "r", "inputs": recorded})


# What a proof says.


@given(text=TEXTS)
def test_what_is_hidden_is_found_by_one_that_knows_it(text):
    given = Given(text, "flag", hidden=True, salt="0" * 32)
    recorded = given.as_json()
    assert recorded["salted_sha256"] == salted(text, "0" * 32)
    assert differs(recorded, [text]) is None
    assert differs(recorded, [f"{text}x"]) == "another, which is hidden"
    assert differs(recorded, [text, text]) is not None


@pytest.mark.parametrize(
    ("value", "same", "other"),
    [
        ("prod", ["prod"], ["Prod"]),
        (True, ["true"], ["1"]),
        (4, ["4.0"], ["5"]),
        (0.5, ["0.50"], ["x"]),
        (("a", "b"), ["a,b"], ["b,a"]),
        (("a", "b"), ["a", "b"], ["[1"]),
        ((), [""], ["a"]),
    ],
)
def test_what_differs(value, same, other):
    recorded = Given(value).as_json()
    assert differs(recorded, same) is None
    assert differs(recorded, other) is not None
    assert differs(None, same) == "no such input"
    assert differs({"salt": 1}, same) == "another, which is hidden"


def test_a_recorded_command_line_has_no_value_that_is_hidden():
    hidden = {"token": Given("12", hidden=True), "env": Given("12"), "none": Given("", hidden=True)}
    words = ["zf", "-i", "token=12", "-itoken=12", "--input=token=12", "env=12", "none="]
    assert without_values(words, hidden) == [
        *("zf", "-i", "token=***", "-itoken=***", "--input=token=***", "env=12", "none=")
    ]


def test_what_people_are_told():
    run = {
        "inputs": {
            "env": {"value": "x" * 500, "source": "flag"},
            "files": {"value": ["a"], "source": "file"},
            "n": {"value": 4, "source": "default"},
            "t": {"salt": "", "salted_sha256": "", "source": "variable"},
        },
        "arguments": ["-k", "a b"],
    }
    line = f'inputs: env={"x" * 200}..., files=["a"], t=(hidden)'
    assert told(run) == (line, "arguments: -k 'a b'")
    assert "n=4" in told(run, every=True)[0]
    assert told({"inputs": 1, "arguments": {}}) == () == told({})


@given(name=NAMES)
def test_a_variable_is_one(name):
    assert re.fullmatch(r"INPUT_[A-Z0-9_]+", variable(name))


# Declarations. Their messages are in messages.md.


def test_the_short_form_is_a_default_that_says_of_which_type(tmp_path):
    text = 'inputs: {a: dev, b: false, c: 4, d: 0.50, e: [x, 1.10], f: "8080", g: {default: 2}}\n'
    found = loaded(tmp_path, {"a": good("a"), "zf.yaml": text}).flow.project.inputs
    assert {name: (one.type, one.default) for name, one in found.items()} == {
        "a": ("string", "dev"),
        "b": ("bool", False),
        "c": ("int", 4),
        "d": ("number", 0.5),
        "e": ("list", ("x", "1.10")),
        "f": ("string", "8080"),
        "g": ("int", 2),
    }


def test_a_default_is_taken_as_it_is_written(tmp_path):
    text = "inputs: {a: {type: string, default: 1.10}, b: {options: ['1', '2'], default: 1}}\n"
    found = loaded(tmp_path, {"a": good("a"), "zf.yaml": text}).flow.project.inputs
    assert (found["a"].default, found["b"].type, found["b"].default) == ("1.10", "choice", "1")


def test_without_inputs_nothing_is_there(tmp_path):
    found = loaded(tmp_path, {"a": good("a"), "zf.yaml": "phases: {A: {title: x}}\n"}).flow
    assert found.project == replace(found.project, inputs={})


TEMPLATES = """id: a
phase: A
commands:
  - run: |
      echo ${{ inputs.env }} {{.ENV}} {{.Name}}
      echo "{{ .CLI_ARGS }}" $[[ inputs.other ]]
"""


def test_a_template_in_a_script_is_a_warning(tmp_path):
    assert said(tmp_path, {"a": TEMPLATES, "zf.yaml": "inputs: {env: dev, name: x}\n"}) == (
        """\
tasks/a/task.yaml:5:12: warning[ZF277]: zf puts nothing for ${{ inputs.env }}: bash gets the script as it is written
  5 |       echo ${{ inputs.env }} {{.ENV}} {{.Name}}
    |            ^^^^^^^^^^^^^^^^^ write "$INPUT_ENV"
tasks/a/task.yaml:5:30: warning[ZF277]: zf puts nothing for {{.ENV}}: bash gets the script as it is written
  5 |       echo ${{ inputs.env }} {{.ENV}} {{.Name}}
    |                              ^^^^^^^^ write "$INPUT_ENV"
tasks/a/task.yaml:6:13: warning[ZF277]: zf puts nothing for {{ .CLI_ARGS }}: bash gets the script as it is written
  6 |       echo "{{ .CLI_ARGS }}" $[[ inputs.other ]]
    |             ^^^^^^^^^^^^^^^ write "$@"
tasks/a/task.yaml:6:30: warning[ZF277]: zf puts nothing for $[[ inputs.other ]]: bash gets the script as it is written
  6 |       echo "{{ .CLI_ARGS }}" $[[ inputs.other ]]
    |                              ^^^^^^^^^^^^^^^^^^^ values come as variables: "$NAME\""""
    )


def test_a_condition_may_name_inputs_that_its_task_knows_of(tmp_path):
    text = "inputs: {env: dev}\nphases: {A: {inputs: {a: x}}, B: {inputs: {b: x}}}\n"
    task = "id: {0}\nphase: {1}\ncondition: input.env == 'x' && input.{2} == 'y'\ncommands: [{{run: x}}]\n"
    files = {"zf.yaml": text, "a": task.format("a", "A", "a"), "b": task.format("b", "B", "b")}
    assert said(tmp_path, files) == ""
    told = said(tmp_path, files | {"b": task.format("b", "B", "a")})
    assert "error[ZF260]: the condition asks for 'input.a', which is not known here" in told
    # What a broken file declares is not known.
    broken = {"zf.yaml": "inputs: {env: {typ: int}}\n", "b": files["b"], "a": files["a"]}
    assert "ZF260" not in said(tmp_path, broken)


def test_a_task_may_not_set_the_variable_of_an_input(tmp_path):
    task = "id: a\nphase: A\nenv:\n  INPUT_ENV: x\n  INPUT_OTHER: y\ncommands: [{run: x}]\n"
    assert said(tmp_path, {"a": task, "zf.yaml": "inputs: {env: dev}\n"}) == (
        "tasks/a/task.yaml:4:3: error[ZF278]: 'INPUT_ENV' is what steps know the input 'env' as\n"
        "  4 |   INPUT_ENV: x\n"
        "    |   ^^^^^^^^^ choose another name"
    )
    task = "id: a\nphase: A\ncommands: [{run: x, env: {INPUT_ENV: y}}]\n"
    told = said(tmp_path, {"a": task})
    assert told.startswith("tasks/a/task.yaml:3:27: error[ZF278]: 'INPUT_ENV' is what steps")
