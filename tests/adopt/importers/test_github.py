"""Workflows of GitHub Actions as tasks: jobs, matrices, conditions, expressions and actions."""

import os
import subprocess
from textwrap import dedent

import pytest

from tests.support.imports import imported
from tests.support.program import Project
from zf.adopt.importers import write
from zf.errors import ZfError

HEAD = "on: push\njobs:\n"


def workflow(root, jobs, head=HEAD):
    text = dedent(jobs)
    return imported(root, "github", head + "".join(f"  {line}\n" for line in text.split("\n")))


def test_jobs_are_tasks_with_their_edges_and_steps(tmp_path):
    done = workflow(
        tmp_path,
        """
        build:
          runs-on: ubuntu-latest
          timeout-minutes: 10
          env: {LEVEL: 3}
          steps:
            - uses: actions/checkout@v4
            - {name: Build it, run: make, working-directory: ./src}
            - {run: make check, continue-on-error: true, timeout-minutes: 1}
        test 1:
          needs: build
          steps: [{run: "a\\nb\\n"}]
        """,
    )
    assert done.edges() == {"build": set(), "test-1": {"build"}}
    assert done.runs("build") == ["make", "make check"]
    task = done.flow.tasks["build"]
    assert (task.timeout_s, dict(task.env)) == (600, {"LEVEL": "3"})
    assert [(s.name, s.workdir, s.continue_on_error, s.timeout_s) for s in task.steps] == [
        ("Build it", "src", False, None),
        ("step-1", "", True, 60),
    ]
    assert "uses actions/checkout@v4" in done.said("dropped")


def test_a_matrix_is_a_matrix_and_its_values_are_variables(tmp_path):
    done = workflow(
        tmp_path,
        """
        test:
          runs-on: ${{ matrix.os }}
          strategy:
            fail-fast: false
            matrix:
              py: [3.10, '3.12']
              os: [ubuntu-latest, windows-latest]
              exclude: [{py: 3.10, os: windows-latest}]
              include: [{py: 3.13, os: ubuntu-latest, extra: x}]
          env: {V: "${{ matrix.py }}-a", E: "${{ matrix.extra }}"}
          steps:
            - run: echo ${{ matrix.py }} "${{matrix.py}}" '${{ matrix.py }}'
        """,
    )
    assert {*done.flow.tasks} == {
        "test@py=3.10,os=ubuntu-latest",
        "test@py=3.12,os=ubuntu-latest",
        "test@py=3.12,os=windows-latest",
        "test@py=3.13,os=ubuntu-latest,extra=x",
    }
    one = "test@py=3.10,os=ubuntu-latest"
    assert done.runs(one)[-1] == 'echo ${MATRIX_PY} "${MATRIX_PY}" "${MATRIX_PY}"'
    assert done.flow.tasks[one].env["V"] == "${MATRIX_PY}-a"
    # An instance that is for another system fails, and the others do not.
    [guard] = [step for step in done.flow.tasks[one].steps if step.name == "By hand"]
    assert guard.condition == "matrix.os in ('windows-latest')"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("github.ref == 'refs/heads/main'", "run.branch == 'main'"),
        ("${{ github.event_name != 'push' }}", "run.event != 'push'"),
        ("startsWith(github.ref, 'refs/tags/v1.')", "run.tag =~ '^v1\\.'"),
        ("startsWith(github.ref, 'refs/tags')", "run.tag != ''"),
        ("github.ref_type == 'tag' && !(env.X == 'a')", "run.tag != '' && ${X:-} != 'a'"),
        ("contains(github.event_name, 'pull')", "'pull' in run.event"),
        (
            'contains(fromJSON(\'["a", "b"]\'), github.actor)',
            "run.actor in ('a', 'b')",
        ),
        ("endsWith(github.repository, '/zf')", "${GITHUB_REPOSITORY:-} =~ '/zf$'"),
        ("always() && needs.a.result == 'failure'", "always() && status('a') == 'failure'"),
        ("failure() || cancelled()", "failure() || cancelled()"),
        ("contains(needs.*.result, 'failure')", "failure()"),
        ("needs.a.outputs.x == '1'", "needs['a'].x == '1'"),
        ("vars.GO && (github.sha || false)", "${GO:-} != '' && (run.commit != '' || false)"),
        ("!cancelled()", "!cancelled()"),
    ],
)
def test_conditions_say_the_same(tmp_path, said, meant):
    done = workflow(
        tmp_path,
        f"""
        a:
          outputs: {{x: "${{{{ steps.s.outputs.x }}}}"}}
          steps: [{{id: s, run: 'echo x=1 >> "$GITHUB_OUTPUT"'}}]
        b:
          needs: [a]
          if: {said if said.startswith("$") else '"' + said.replace('"', chr(92) + '"') + '"'}
          steps: [{{run: "true"}}]
        """,
    )
    assert done.flow.tasks["b"].condition == meant
    assert done.flow.tasks["a"].outputs == ("x",)


@pytest.mark.parametrize(
    "said",
    ["github.event.pull_request.draft == false", "hashFiles('x') != ''", "a b", "'", "matrix.no"],
)
def test_conditions_that_only_github_can_answer_are_guards(tmp_path, said):
    quoted = said.replace("'", "''")
    done = workflow(
        tmp_path, f"a:\n  if: '{quoted}'\n  steps: [{{run: x, if: '{quoted}'}}, {{run: y}}]"
    )
    assert done.flow.tasks["a"].condition is None or not done.flow.tasks["a"].condition
    assert [step.name for step in done.flow.tasks["a"].steps][:2] == ["By hand", "By hand"]
    assert f"if: {said}" in done.said("manual")


def test_secrets_outputs_and_inputs_are_variables(tmp_path):
    done = workflow(
        tmp_path,
        """
        a:
          outputs: {tag: "${{ steps.v.outputs.tag }}", other: "${{ github.sha }}"}
          steps:
            - {id: v, run: "echo tag=1 >> $GITHUB_OUTPUT"}
            - run: echo "${{ steps.v.outputs.tag }}" ${{ github.workspace }}
        b:
          needs: a
          env: {TOKEN: "${{ secrets.TOKEN }}", KEY: "${{ secrets.OTHER }}"}
          steps:
            - run: deploy ${{ needs.a.outputs.tag }} --to "${{ inputs.where }}" ${{ secrets.PW }}
        """,
        head="on:\n  workflow_dispatch:\n    inputs:\n      where: {type: choice, options: [x, y], default: x}\n"
        "      really: {type: boolean}\njobs:\n",
    )
    a, b = done.flow.tasks["a"], done.flow.tasks["b"]
    assert done.runs("a")[0] == "echo tag=1 >> $ZF_OUTPUT"
    assert "sed -n 's/^tag=//p' \"$ZF_OUTPUT\"" in done.runs("a")[1]
    assert done.runs("a")[1].endswith(" ${ZENFLOW_ROOT}")
    assert a.outputs == ("tag", "other")
    assert done.runs("b") == ['deploy ${A_TAG} --to "${INPUT_WHERE}" ${PW}']
    assert dict(b.env_from) == {"A_TAG": "a.tag"}
    assert dict(b.env) == {"KEY": "${OTHER:-}"}
    assert {*b.pass_env} == {"TOKEN", "OTHER", "PW"} == {*b.secrets}
    assert done.flow.project.inputs["where"].options == ("x", "y")


def test_a_value_is_never_run(tmp_path):
    """What GitHub puts into the text of a script is the content of a variable here."""
    project = Project(tmp_path / "project")
    (project.root / "tasks").rmdir()
    workflow(
        project.root,
        """
        a:
          steps: [{run: 'echo "${{ inputs.title }}" ${{ inputs.title }}'}]
        """,
        head="on:\n  workflow_dispatch:\n    inputs: {title: {type: string}}\njobs:\n",
    )
    done = project.zf(
        "run", "a", "--run-id", "r", "-i", "title=$(touch ran) `touch ran`; touch ran"
    )
    assert done.code == 0, done.err
    assert not (project.root / "ran").exists()
    assert project.log("r", "a").startswith(b"$(touch ran) `touch ran`; touch ran ")


@pytest.mark.parametrize(
    ("job", "construct"),
    [
        ("steps: [{uses: some/thing@v1}]", "uses some/thing@v1"),
        ("steps: [{uses: ./.github/actions/x}]", "uses ./.github/actions/x"),
        ("uses: o/r/.github/workflows/x.yml@v1", "uses o/r/.github/workflows/x.yml@v1"),
        ("services: {db: {image: postgres}}", "services: db: image: postgres"),
        ("container: node:20", "container: node:20"),
        ("environment: production", "environment: production"),
        ("runs-on: macos-latest", "runs-on: macos-latest"),
        ("steps: [{run: dir, shell: pwsh}]", "run of step 1"),
        ("steps: [{run: 'echo X=1 >> $GITHUB_ENV'}]", "run of step 1: $GITHUB_ENV"),
        ("steps: [{run: 'echo ${{ github.event.x }}'}]", "run of step 1"),
        ("steps: [{run: \"cat <<'E'\\n${{ inputs.x }}\\nE\"}]", "run of step 1"),
        ("strategy: {matrix: '${{ fromJSON(x) }}'}", "matrix: ${{ fromJSON(x) }}"),
        ("strategy: {matrix: {a: [{b: 1}]}}", "matrix: a: b: 1"),
        ("steps: [{uses: actions/checkout@v4, with: {ref: x}}]", "uses actions/checkout@v4"),
        ("new-key: 1", "new-key: 1"),
    ],
)
def test_what_only_github_has_is_a_step_that_fails(tmp_path, job, construct):
    done = workflow(tmp_path, f"a:\n  {job}")
    assert construct in done.said("manual")
    [guard] = [step for step in done.flow.tasks["a"].steps if step.name == "By hand"]
    told = subprocess.run(["bash", "-ec", guard.run], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(".github/workflows/ci.yml:")
    assert "${{" not in guard.run  # zf would warn that it puts nothing there


def test_known_actions_have_something_in_their_place(tmp_path):
    done = workflow(
        tmp_path,
        """
        a:
          steps:
            - {uses: actions/setup-python@v5, with: {python-version: '3.12'}}
            - {uses: actions/setup-node@v4, with: {node-version: lts/*}}
            - {uses: actions/cache@v4, with: {path: x}}
            - {uses: actions/upload-artifact@v4, with: {name: d, path: dist/, if-no-files-found: error}}
        b:
          needs: a
          steps: [{uses: actions/download-artifact@v4, with: {name: d, path: dist}}]
        """,
    )
    assert done.runs("a") == ["python --version 2>&1 | grep -F ' 3.12'", "node --version"]
    assert done.flow.tasks["a"].required_artifacts == ("dist",)
    assert {"uses actions/cache@v4", "uses actions/download-artifact@v4"} <= {*done.said("dropped")}


def test_a_folder_has_one_workflow_or_one_is_to_be_named(tmp_path):
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text("jobs: {a: {steps: [{run: x}]}}")
    write("github", str(tmp_path), None)
    assert (tmp_path / "zf.yaml").exists()
    (folder / "b.yml").touch()
    with pytest.raises(ZfError, match="has 2 workflows") as refused:
        write("github", str(tmp_path), os.fspath(tmp_path / "out"))
    assert "a.yml" in (refused.value.problems[0].hint or "")


def test_folders_are_named_as_short_as_they_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZfError, match=r"^\.github/workflows has no workflow$"):
        write("github", ".", None)
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    (folder / "a b.yml").touch()
    (folder / "c.yml").touch()
    for path in (".", "./", ".github/workflows"):
        with pytest.raises(ZfError, match=r"^\.github/workflows has 2 workflows$") as refused:
            write("github", path, None)
        said = "name one: '.github/workflows/a b.yml' or .github/workflows/c.yml"
        assert refused.value.problems[0].hint == said


def test_what_is_another_tools_is_no_workflow(tmp_path):
    (tmp_path / ".gitlab-ci.yml").write_text("a: {script: [ls]}")
    with pytest.raises(ZfError, match="has no workflow"):
        write("github", str(tmp_path), None)
