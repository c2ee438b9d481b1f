"""Values of a matrix in paths and globs: what is put there, as what, and what is refused."""

from __future__ import annotations

import os
import re
from fnmatch import translate

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.support.plan_files import good, loaded, said
from zf.model import Task, definition_sha256
from zf.plan.caching.globs import matching
from zf.plan.matrix.paths import placed

ALL = """\
id: test
phase: A
matrix: {py: ["3.11", "3.12"], s: {count: 2}}
sources: ["src/${MATRIX_PY}/**", "!src/${MATRIX_PY}/x"]
generates: [".venv-${MATRIX_PY}"]
workdir: "w/${MATRIX_PY}"
artifacts: [a, {path: "b-${MATRIX_S}-of-${MATRIX_S_COUNT}.xml", required: true}]
reports: {junit: ["junit-${MATRIX_PY}.xml"]}
allow_secrets_in: ["${MATRIX_PY}.txt"]
commands: [{run: make, workdir: "${MATRIX_PY}"}]
cleanup: [{run: make, workdir: "c-${MATRIX_PY}"}]
"""


def matrix(text: str, more: str) -> str:
    return f"id: test\nphase: A\n{more}\nmatrix: {text}\ncommands: [{{run: make}}]\n"


class TestWhatIsPut:
    def test_every_path_of_an_instance_has_its_values(self, tmp_path):
        found = loaded(tmp_path, {"test": ALL})
        assert [problem.code for problem in found.problems] == []
        task = found.flow.tasks["test@py=3.12,s=2"]
        assert task.sources == ("src/3.12/**", "!src/3.12/x")
        assert task.generates == (".venv-3.12",)
        assert task.workdir == "w/3.12"
        assert task.artifacts == ("a", "b-2-of-2.xml")
        assert task.required_artifacts == ("b-2-of-2.xml",)
        assert task.reports == {"junit": ("junit-3.12.xml",)}
        assert task.allow_secrets_in == ("3.12.txt",)
        assert (task.steps[0].workdir, task.cleanup[0].workdir) == ("3.12", "c-3.12")

    def test_the_images_of_an_instance_have_its_values(self, tmp_path):
        more = 'container: "python:${MATRIX_PY}-slim"\n'
        more += 'services: [{name: db, image: "postgres:${MATRIX_PG}", ports: [5432]}]'
        found = loaded(tmp_path, {"test": matrix("{py: ['3.12'], pg: [15, 16]}", more)})
        assert [problem.code for problem in found.problems] == []
        images = [(t.container["image"], t.services[0].image) for t in found.flow.tasks.values()]
        assert images == [("python:3.12-slim", f"postgres:{pg}") for pg in (15, 16)]

    def test_an_image_that_names_what_the_matrix_does_not_set_is_told(self, tmp_path):
        more = 'services: [{name: db, image: "postgres:${MATRIX_PH}", ports: [5432]}]'
        told = said(tmp_path, {"test": matrix("{pg: [15]}", more)})
        assert "error[ZF298]: nothing is put for MATRIX_PH" in told
        assert "did you mean 'MATRIX_PG'?" in told

    def test_an_instance_is_the_task_that_says_the_same_without_a_variable(self, tmp_path):
        asked = loaded(tmp_path, {"test": matrix("{py: [1]}", 'generates: ["v-${MATRIX_PY}"]')})
        written = loaded(tmp_path, {"test": matrix("{py: [1]}", 'generates: ["v-1"]')})
        name = "test@py=1"
        assert definition_sha256(asked.flow.tasks[name]) == definition_sha256(
            written.flow.tasks[name]
        )

    def test_a_template_says_it_for_all_that_use_it(self, tmp_path):
        text = """\
templates: {venv: {generates: [".venv-${MATRIX_PY}"]}}
tasks:
  a: {use: venv, matrix: {py: [1, 2]}, run: make}
  b: {use: venv, matrix: {py: [3]}, run: make}
"""
        found = loaded(tmp_path, {"zf.yaml": text})
        assert [task.generates for task in found.flow.tasks.values()] == [
            (".venv-1",),
            (".venv-2",),
            (".venv-3",),
        ]

    def test_what_only_some_instances_have_has_a_default(self, tmp_path):
        text = matrix(
            "{py: [1, 2], include: [{py: 2, x: y}]}", "generates: ['${MATRIX_X:-none}', '$${A}']"
        )
        found = loaded(tmp_path, {"test": text})
        assert found.problems == ()
        generated = [task.generates for task in found.flow.tasks.values()]
        assert generated == [("none", "${A}"), ("y", "${A}")]

    def test_a_value_with_slashes_leads_down(self, tmp_path):
        text = matrix("{dir: [src/a]}", "sources: ['${MATRIX_DIR}/**']\nworkdir: '${MATRIX_DIR}'")
        (task,) = loaded(tmp_path, {"test": text}).flow.tasks.values()
        assert (task.sources, task.workdir) == (("src/a/**",), "src/a")


# Of one file name's characters, those that mean something in a glob above all.
NAMES = st.text(st.sampled_from("ab*?[]!\\^-# .{}$"), min_size=1, max_size=6).filter(
    lambda name: name not in {".", ".."} and "${" not in name
)


class TestAValueIsText:
    @given(NAMES, NAMES)
    def test_a_glob_with_a_value_names_what_is_called_so_and_nothing_else(self, value, other):
        task = Task("", "", (), sources=("${MATRIX_X}",), artifacts=("${MATRIX_X}",))
        one = placed(task, {"MATRIX_X": value})
        spec = matching(one.sources)
        assert spec.match_file(value)
        assert spec.match_file(f"{value}/below")
        assert spec.match_file(other) == (value == other)
        glob = re.compile(translate(one.artifacts[0]))
        assert glob.match(value)
        assert bool(glob.match(other)) == (value == other)

    @given(st.text(st.sampled_from("a./*!"), max_size=8))
    def test_no_path_leaves_the_project(self, value):
        task = Task("", "", (), generates=("${MATRIX_X}/b",), workdir="${MATRIX_X}")
        try:
            one = placed(task, {"MATRIX_X": value})
        except ValueError:
            return
        for path in (*one.generates, one.workdir):
            whole = os.path.normpath(f"/root/{path}")
            assert whole == "/root" or whole.startswith("/root/"), path

    def test_a_value_cannot_take_files_out(self, tmp_path):
        text = matrix("{x: ['!b']}", "sources: ['**', '${MATRIX_X}']")
        (task,) = loaded(tmp_path, {"test": text}).flow.tasks.values()
        assert matching(task.sources).match_file("b")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("text", "more", "place", "message"),
        [
            ("{py: [1]}", "workdir: 'a/${HOME}'", "3:13", "nothing is put for HOME in a path"),
            ("{py: [1]}", "workdir: 'a/${HOME:-b}'", "3:13", "nothing is put for HOME in a path"),
            ("{py: [1]}", "generates: [a, '${MATRIX_PI}']", "3:17", "did you mean 'MATRIX_PY'?"),
            ("{py: [1]}", "artifacts: [{path: 'b-${MATRIX_O}'}]", "3:23", "for MATRIX_O"),
            (
                "{py: [1]}",
                "reports: {junit: ['${X}']}",
                "3:20",
                "what the matrix sets is ${MATRIX_PY}",
            ),
            ("{py: [1]}", "workdir: 'a${'", "3:12", "the path has a '${' that is no ${NAME}"),
            (
                "{py: [1, 2], include: [{py: 2, x: y}]}",
                "workdir: '${MATRIX_X}'",
                "3:11",
                "the instance MATRIX_PY=1 has no value for MATRIX_X",
            ),
            ("{d: [a, ..]}", "workdir: 'x/${MATRIX_D}'", "3:11", "MATRIX_D=.. is 'x/..', which"),
            ("{d: [/etc]}", "sources: ['${MATRIX_D}/x']", "3:12", "'/etc/x', which does not stay"),
            ("{d: ['']}", "workdir: '${MATRIX_D}'", "3:11", "is '', which does not stay in"),
        ],
    )
    def test_at_its_place(self, tmp_path, text, more, place, message):
        told = said(tmp_path, {"test": matrix(text, more)})
        assert told.startswith(f"tasks/test/task.yaml:{place}: error[ZF298]"), told
        assert message in told

    def test_once_for_all_instances(self, tmp_path):
        told = said(tmp_path, {"test": matrix("{d: [.., ../..]}", "workdir: '${MATRIX_D}'")})
        assert told.count("ZF298") == 1

    def test_a_step_is_pointed_at(self, tmp_path):
        text = "id: t\nphase: A\nmatrix: {d: [1]}\ncommands:\n- {run: x, workdir: '${X}'}\n"
        assert said(tmp_path, {"t": text}).startswith("tasks/t/task.yaml:5:22: error[ZF298]")

    def test_without_a_matrix_it_stands_for_itself_and_that_is_told(self, tmp_path):
        text = good("t").replace("needs: []", "artifacts: [a, 'b-${MATRIX_PY}']")
        found = loaded(tmp_path, {"t": text})
        (problem,) = found.problems
        assert problem.render().startswith("tasks/t/task.yaml:3:16: warning[ZF298]: nothing is put")
        assert found.flow.tasks["t"].artifacts == ("a", "b-${MATRIX_PY}")
