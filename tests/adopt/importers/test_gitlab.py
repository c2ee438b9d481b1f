"""Pipelines of GitLab as tasks: stages, needs, rules, what jobs extend, and their keys."""

import json
import shutil
import subprocess

import pytest

from tests.support import tools
from tests.support.imports import imported
from tests.support.program import Project

LOCAL = shutil.which("gitlab-ci-local", path=str(tools.NPM / ".bin"))


def pipeline(root, text, **files):
    return imported(root, "gitlab", text, **files)


def test_stages_are_phases_where_no_job_has_needs(tmp_path):
    done = pipeline(
        tmp_path,
        "stages: [lint, test]\ndefault: {before_script: [echo before]}\n"
        "b: {stage: test, script: [echo b, echo c], after_script: [echo after]}\n"
        "a: {stage: lint, script: echo a, before_script: []}\n.hidden: {script: x}\n",
    )
    assert {name: task.phase for name, task in done.flow.tasks.items()} == {
        "a": "lint",
        "b": "test",
    }
    assert list(done.flow.project.phases) == ["lint", "test"]
    assert done.runs("b") == ["echo before\necho b\necho c\n"]
    assert done.runs("a") == ["echo a"]
    [after] = done.flow.tasks["b"].cleanup
    assert (after.run, after.continue_on_error) == ("echo after", True)


GRAPH = """\
stages: [build, test, deploy]
build-a: {stage: build, script: [a]}
build-b: {stage: build, script: [b], rules: [{if: $B}]}
test-a: {stage: test, needs: [build-a], script: [t]}
test-b: {stage: test, script: [t]}
early: {stage: deploy, needs: [], script: [e]}
last: {stage: deploy, script: [l]}
"""


def test_needs_are_written_out_where_a_job_has_some(tmp_path):
    done = pipeline(tmp_path, GRAPH)
    assert done.edges() == {
        "build-a": set(),
        "build-b": set(),
        "test-a": {"build-a"},
        "test-b": {"build-a", "build-b"},
        "early": set(),
        "last": {"build-a", "build-b", "test-a", "test-b"},
    }
    # A job that is no part of this pipeline keeps no other from running.
    assert done.flow.tasks["test-b"].condition == (
        "success() && status('build-b') in ('success', 'skipped')"
    )


@pytest.mark.skipif(LOCAL is None, reason="gitlab-ci-local is not installed")
def test_the_edges_are_those_of_gitlab_ci_local(tmp_path):
    done = pipeline(tmp_path, GRAPH)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        [LOCAL, "--list-json"], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    # Of a job without needs it says the stage alone.
    told = {job["name"]: job["needs"] for job in json.loads(listed.stdout) if "needs" in job}
    assert told.keys() == {"test-a", "early"}
    for name, needs in told.items():
        assert done.edges()[name] == {need["job"] for need in needs}


def test_a_failed_job_blocks_the_stages_after_it_and_a_skipped_one_does_not(tmp_path):
    project = Project(tmp_path / "project")
    (project.root / "tasks").rmdir()
    pipeline(
        project.root,
        GRAPH.replace("[b]", "['false']")
        .replace("[a]", "[true]")
        .replace("[t]", "[true]")
        .replace("[e]", "[true]")
        .replace("[l]", "[true]"),
    )
    assert project.zf("run", "--run-id", "without").code == 0
    assert project.status("without", "last")["status"] == "success"
    project.env["B"] = "1"
    assert project.zf("run", "--run-id", "with").code == 1
    assert project.status("with", "test-a")["status"] == "success"
    assert project.status("with", "last")["status"] != "success"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("rules: [{if: '$CI_COMMIT_BRANCH == \"main\"'}]", '${CI_COMMIT_BRANCH:-} == "main"'),
        ("rules: [{if: $A, when: never}, {when: on_success}]", "!(${A:-} != '')"),
        (
            "rules: [{if: $A, when: never}, {if: '$B =~ /^v\\d/'}]",
            "!(${A:-} != '') && ${B:-} =~ '^v\\d'",
        ),
        (
            "rules: [{if: $A}, {if: '$B == null && ($C || $D)'}]",
            "${A:-} != '' || (${B:-} == '' && (${C:-} != '' || ${D:-} != ''))",
        ),
        ("only: [main, tags]", "${CI_COMMIT_REF_NAME:-} == 'main' || ${CI_COMMIT_TAG:-} != ''"),
        ("except: [schedules]", "!(${CI_PIPELINE_SOURCE:-} == 'schedule')"),
        (
            "only: {refs: [/^v/], variables: [$X]}",
            "${CI_COMMIT_REF_NAME:-} =~ '^v' && ${X:-} != ''",
        ),
        ("when: manual", "input.run-a"),
        ("when: never", "false"),
    ],
)
def test_rules_are_conditions(tmp_path, said, meant):
    done = pipeline(tmp_path, f"a:\n  script: x\n  {said}\n")
    assert done.flow.tasks["a"].condition == meant


def test_what_jobs_extend_refer_to_and_include(tmp_path):
    done = pipeline(
        tmp_path,
        "include: more.yml\nvariables: {URL: 'http://$HOST/${CI_JOB_ID}', HOST: h}\n"
        ".base: &base {image: x, variables: {A: 1, B: 2}, script: [base]}\n"
        "a:\n  extends: [.base, .more]\n  variables: {B: 3}\n"
        "b:\n  <<: *base\n  script: [!reference [.more, script], own]\n",
        **{"more.yml": ".more: {script: [more 1, more 2], retry: 2}\n"},
    )
    assert done.runs("a") == ["more 1\nmore 2\n"]
    assert done.runs("b") == ["more 1\nmore 2\nown\n"]
    a = done.flow.tasks["a"]
    assert a.max_retries == 2
    assert dict(a.env) == {"URL": "http://${HOST}/${CI_JOB_ID:-}", "HOST": "h", "A": "1", "B": "3"}


def test_the_keys_of_a_job(tmp_path):
    done = pipeline(
        tmp_path,
        "a:\n  script: x\n  timeout: 1h 30m\n  allow_failure: {exit_codes: [3]}\n  retry: {max: 1}\n"
        "  resource_group: prod\n  parallel: {matrix: [{OS: [a, b], V: 1}]}\n"
        "  artifacts: {paths: [dist/, $CI_PROJECT_DIR/x], reports: {junit: r.xml}}\n"
        "s: {script: 'echo $CI_NODE_INDEX', parallel: 3}\n",
    )
    assert {"a@OS=a,V=1", "a@OS=b,V=1", "s@node=3"} < {*done.flow.tasks}
    a = done.flow.tasks["a@OS=a,V=1"]
    assert (a.timeout_s, a.max_retries, a.concurrency) == (5400, 1, "prod")
    assert a.env["OS"] == "${MATRIX_OS}"
    assert {"dist", "x"} <= {*a.artifacts}
    assert done.flow.tasks["s@node=3"].env["CI_NODE_TOTAL"] == "3"


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("a: {script: x, services: [postgres]}\n", "services: postgres"),
        ("a: {trigger: other/project}\n", "trigger: other/project"),
        ("a: {script: x, rules: [{changes: [x]}]}\n", "rules"),
        ("a: {script: x, only: {changes: [x]}}\n", "only"),
        ("a: {script: x, extends: .gone}\n", "extends: .gone"),
        ("a: {script: [!reference [.gone, script]]}\n", "!reference .gone, script"),
        ("include: {remote: 'https://x.y'}\na: {script: x}\n", "include remote: https://x.y"),
        ("a: {script: x, needs: [gone]}\n", "needs gone"),
        ("a: {script: 'echo $[[ inputs.x ]]'}\n", "script with $[[ ... ]]"),
        ("a: {script: x, new: 1}\n", "new: 1"),
    ],
)
def test_what_only_gitlab_has_is_a_step_that_fails(tmp_path, text, construct):
    done = pipeline(tmp_path, text)
    assert construct in done.said("manual")
    assert any(step.name == "By hand" for t in done.flow.tasks.values() for step in t.steps)


def test_a_condition_that_is_too_deep_is_said_by_hand(tmp_path):
    done = pipeline(tmp_path, f"a: {{script: x, rules: [{{if: '{'!' * 3000}$A'}}]}}\n")
    assert "By hand" in str(done.flow.tasks["a"].steps)
