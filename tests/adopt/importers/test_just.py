"""Recipes of a justfile as tasks; the same edges as just's own dump has, and the same output."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import imported
from tests.support.program import Project

JUST = shutil.which("just", path=str(Path(sys.executable).parent)) or shutil.which("just")
needs_just = pytest.mark.skipif(JUST is None, reason="just is not installed")


def just(root, text, **files):
    return imported(root, "just", text, **files)


def own_edges(root):
    """What each recipe depends on before it runs, as just itself reads the file."""
    done = subprocess.run(
        [JUST, "--dump", "--dump-format", "json"], cwd=root, capture_output=True, check=True
    )
    recipes = json.loads(done.stdout)["recipes"]
    return {
        name: {d["recipe"] for d in one["dependencies"][: one["priors"]]}
        for name, one in recipes.items()
    }


GRAPH = """\
# Everything
all: lint build && report
    echo all

lint: fmt
    echo lint
fmt:
    echo fmt
[group('x')]
build: fmt (compile "a b" '1')
    echo build
compile what level='0':
    echo compile {{what}} "{{level}}" '{{what}}'
report:
    @echo report
[private]
_hidden:
    echo hidden
"""


@needs_just
def test_the_edges_are_those_of_just(tmp_path):
    done = just(tmp_path, GRAPH)
    named = {job.id: job for job in done.written.source.jobs}
    edges = {
        name: {"compile" if need.startswith("compile") else need for need in done.needs(name)}
        for name in done.flow.tasks
    }
    own = own_edges(tmp_path)
    # An id begins with a letter or a digit; a call with values is a task of its own.
    own["hidden"] = own.pop("_hidden")
    [given] = edges.keys() - own.keys()
    assert named[given].line == 12
    assert {name: needs for name, needs in edges.items() if name != given} == own


@needs_just
def test_what_is_printed_is_what_just_prints_in_its_order(tmp_path):
    project = Project(tmp_path / "project")
    (project.root / "tasks").rmdir()
    just(project.root, GRAPH)
    done = project.zf("run", "all", "--run-id", "r")
    assert done.code == 0, done.err
    started = [e for e in project.events("r") if e["type"] == "attempt_started"]
    told = ""
    for event in started:
        logs = project.proof("r", event["task"], "20-logs")
        told += "".join(log.read_text() for log in sorted(logs.glob("step-*.log")))
    own = subprocess.run([JUST, "all"], cwd=project.root, capture_output=True, check=True)
    assert told == own.stdout.decode()


def test_lines_have_shells_of_their_own_and_sigils_are_taken_off(tmp_path):
    done = just(
        tmp_path,
        "a:\n    x=1\n    @echo quiet\n    -false\n    @-echo both\n    if true; then \\\n"
        "      echo long; \\\n    fi\n    # only a comment\n",
    )
    assert done.runs("a") == [
        "x=1",
        "echo quiet",
        "false",
        "echo both",
        "if true; then \\\n  echo long; \\\nfi",
    ]
    assert [step.continue_on_error for step in done.flow.tasks["a"].steps] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert done.flow.tasks["a"].steps[0].shell == ("sh", "-u", "-c")


def test_values_are_variables_at_whatever_quotes_they_stand(tmp_path):
    done = just(
        tmp_path,
        'v := "1.2"\nd := "dist" / v\nodd := "a\'b; $(x)"\n'
        "a:\n    echo {{v}} \"{{v}}\" '{{v}}' 'x{{d}}' {{odd}} {{ v + '-' + d }}\n",
    )
    assert done.runs("a") == ['echo ${v} "${v}" "${v}" \'x\'"${d}"\'\' a\'b; $(x) 1.2-dist/1.2']
    assert done.flow.tasks["a"].env == {"v": "1.2", "d": "dist/1.2"}


def test_parameters_are_inputs_and_words(tmp_path):
    done = just(
        tmp_path,
        "a who greeting='hello':\n    echo {{greeting}} {{who}}\nt *rest:\n    pytest {{rest}} -x\n",
    )
    inputs = done.flow.project.inputs
    assert {*inputs} == {"who", "greeting"}
    assert inputs["greeting"].default == "hello"
    assert dict(done.flow.tasks["a"].env) == {
        "who": "${INPUT_WHO}",
        "greeting": "${INPUT_GREETING}",
    }
    assert done.runs("a")[0].startswith('test -n "$who"')
    assert done.runs("t") == ['pytest "$@" -x']


def test_parameters_of_one_name_and_two_defaults_are_two_inputs(tmp_path):
    done = just(
        tmp_path, "a x='1':\n    echo {{x}}\nb x='2':\n    echo {{x}}\nc x='1':\n    echo {{x}}\n"
    )
    assert {name: one.default for name, one in done.flow.project.inputs.items()} == {
        "x": "1",
        "b-x": "2",
    }


def test_what_runs_behind_a_recipe_has_its_needs_done_before_both(tmp_path):
    done = just(
        tmp_path, "a: b && c\n    echo a\nb:\n    echo b\nc: d\n    echo c\nd:\n    echo d\n"
    )
    assert done.needs("a") == {"b", "d"}
    assert done.runs("a") == ["echo a", "echo c"]
    assert "done before both" in done.said("changed")["&& c"]


def test_a_command_of_a_value_runs_where_the_value_is_used(tmp_path):
    done = just(tmp_path, "rev := `git rev-parse HEAD`\na:\n    echo {{rev}} '{{rev}}'\n")
    assert done.runs("a") == ['echo $(git rev-parse HEAD) "$(git rev-parse HEAD)"']


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("[confirm]\na:\n    rm x\n", "[confirm]"),
        ("[macos]\na:\n    open x\n", "[macos]"),
        ("x := if os() == 'y' { 'a' } else { 'b' }\na:\n    echo {{x}}\n", "echo {{x}}"),
        ("a:\n    echo {{uuid()}}\n", "echo {{uuid()}}"),
        ("a: b\n    true\n", "needs b"),
        ("a: (b uuid())\nb x:\n    echo {{x}}\n", "(b uuid())"),
        ("import 'gone.just'\na:\n    true\n", "import gone.just"),
        ("mod inner\na:\n    true\n", "mod inner"),
        ("[new-thing]\na:\n    true\n", "[new-thing]"),
    ],
)
def test_what_only_just_knows_is_a_step_that_fails(tmp_path, text, construct):
    done = just(tmp_path, text)
    assert construct in done.said("manual")
    [guarded] = [t for t in done.flow.tasks.values() if any(s.name == "By hand" for s in t.steps)]
    [step] = [step for step in guarded.steps if step.name == "By hand"]
    told = subprocess.run(["sh", "-c", step.run], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("justfile:")
    assert "# By hand (justfile:" in done.text


def test_other_files_systems_aliases_and_scripts(tmp_path):
    done = just(
        tmp_path,
        "set shell := ['bash', '-euc']\nset dotenv-load\nimport 'more.just'\nalias x := open\n"
        "[windows]\nopen:\n    start .\n[linux]\n[group('ui')]\nopen:\n    xdg-open .\n"
        'py:\n    #!/usr/bin/env python3\n    print("""a\n    b""")\n',
        **{"more.just": "far:\n    echo $SECRET_NAME\n", ".env": "SECRET_NAME=hidden\n"},
    )
    assert done.runs("open") == ["xdg-open ."]
    assert done.flow.tasks["open"].tags == ("ui",)
    assert done.needs("x") == {"open"}
    assert done.runs("far") == ["echo $SECRET_NAME"]
    assert done.flow.project.pass_env == ("SECRET_NAME",)
    assert "hidden" not in done.text + done.report
    assert done.flow.tasks["far"].steps[0].shell == ("bash", "-eu", "-c")
    assert done.flow.tasks["py"].steps[0].shell == ("python3",)
    assert done.runs("py") == ['print("""a\nb""")\n']


@pytest.mark.parametrize(
    ("usual", "following"),
    [
        ("build", "next: zf run build\n"),
        ("publish", "next: what IMPORT.md leaves to do by hand, then zf run publish\n"),
    ],
)
def test_what_comes_next_is_no_task_that_fails(project, usual, following):
    recipes = {"build": "build:\n    echo built\n", "publish": "[confirm]\npublish:\n    ls\n"}
    text = recipes.pop(usual)
    (project.root / "justfile").write_text("\n".join([text, *recipes.values()]))
    done = project.zf("import", "just")
    assert done.code == 0
    assert following in done.out + done.err
