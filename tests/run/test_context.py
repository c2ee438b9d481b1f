"""What conditions may look at, and what is never told of it."""

from __future__ import annotations

from tests.support.simulated import task
from zf.model import Project
from zf.plan.conditions.condition import FACTS, parse
from zf.plan.conditions.verdict import Needs, evaluate
from zf.run.schedule.context import condition_contexts

SOURCE = {"commit": "c0ffee", "branch": None, "tag": "v1", "dirty": True}
CI = {"system": "GITLAB_CI", "event": "push", "actor": None}
ENVIRON = {
    "CI_BRANCH": "main",
    "SHARED": "outside",
    "DEPLOY_TOKEN": "tok-123456",
    "URL": "https://x/?t=tok-123456",
    "PROXY": "http://user:pass@proxy:80",
    "INTERNAL": "quiet",
    "PIN_TOKEN": "abc",
    "LETTERS": "abcdef",
}


def seen_by(condition: str, *, source=SOURCE, **more):
    asking = task("a", condition=condition, title="", **more)
    project = Project(secrets=("INTERNAL",))
    found = condition_contexts(
        [asking, task("b")], ENVIRON, project, run="r1", max_jobs=3, source=source, ci=CI
    )
    assert list(found) == ["a"]
    return evaluate(parse(condition), found["a"], Needs())


def test_variables_are_those_of_zf_and_the_tasks_own_win():
    found = seen_by(
        "${CI_BRANCH} == 'main' && ${SHARED} == 'own' && ${NOPE:-} == ''", env={"SHARED": "own"}
    )
    assert found.value is True
    assert found.operands == {"${CI_BRANCH}": "main", "${SHARED}": "own", "${NOPE:-}": ""}


def test_every_fact_is_there():
    told = {fact: seen_by(f"{fact} == {fact}").operands[fact] for fact in FACTS}
    assert told == {
        "run.actor": "",
        "run.branch": "",
        "run.commit": "c0ffee",
        "run.dirty": True,
        "run.event": "push",
        "run.id": "r1",
        "run.max_jobs": 3,
        "run.tag": "v1",
        "task.id": "a",
        "task.phase": "A",
        "task.title": "a",
    }


def test_whether_the_tree_is_dirty_may_be_unknown():
    found = seen_by("run.dirty", source={"commit": None, "branch": None, "dirty": None})
    assert found.error == "run.dirty is not known here"


def test_secrets_are_used_but_not_told():
    hidden = ["DEPLOY_TOKEN", "URL", "PROXY", "INTERNAL", "OWN"]
    for name in hidden:
        found = seen_by(f"${{{name}}} != ''", env={"OWN": "x"}, secrets=("OWN",))
        assert found.value is True
        assert found.operands == {f"${{{name}}}": "(hidden)"}


def test_a_value_that_merely_holds_a_very_short_secret_is_told():
    assert seen_by("${LETTERS} != ''").operands == {"${LETTERS}": "abcdef"}
