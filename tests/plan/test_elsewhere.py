"""Words of other systems: what is told of each can be written as it stands, and none is right here."""

import re

import pytest
import yaml

from tests.support.plan_files import loaded, said
from zf.plan.caching.keys import CACHE
from zf.plan.files.forms import ONE_TASK, project_keys
from zf.plan.files.project_keys import PHASE
from zf.plan.schema import ARTIFACT, CONCURRENCY, NEED
from zf.plan.steps.keys import CLEANUP, STEP
from zf.plan.yaml import elsewhere

# Where the words stand, and the files they would be in: a word's entry takes the place of WORD.
REST = "\n  build: 'true'\n  setup: 'true'"
PLACES = [
    (ONE_TASK, elsewhere._OF_TASKS, f"tasks:\n  t: {{WORD}}{REST}\ntemplates: {{template: {{}}}}"),
    (STEP, elsewhere._OF_STEPS, f"tasks:\n  t: {{commands: [{{WORD}}]}}{REST}"),
    (project_keys(), elsewhere._OF_PROJECTS, f"WORD\ntasks: {REST}"),
    (PHASE, elsewhere._OF_PHASES, f"phases: {{p: {{WORD}}, build: {{}}}}\ntasks: {REST}"),
    (NEED, elsewhere._OF_NEEDS, f"tasks:\n  t: {{run: make, needs: [{{WORD}}]}}{REST}"),
    (CACHE, elsewhere._OF_CACHES, f"tasks:\n  t: {{run: make, cache: {{WORD}}}}{REST}"),
    (ARTIFACT, elsewhere._OF_ARTIFACTS, f"tasks:\n  t: {{run: make, artifacts: [{{WORD}}]}}{REST}"),
    (
        CONCURRENCY,
        elsewhere._OF_GROUPS,
        f"tasks:\n  t: {{run: make, concurrency: {{group: g, WORD}}}}{REST}",
    ),
]
ROWS = [
    pytest.param(keys, word, text, id=f"{n}-{word}")
    for n, (keys, words, text) in enumerate(PLACES)
    for word in words
]
VALUES = ["build", "[build]", "2", "true", "{NAME: value}", "{a: {b: [c]}}"]


@pytest.mark.parametrize(("keys", "words"), [place[:2] for place in PLACES])
def test_a_word_that_is_right_here_has_no_row(keys, words):
    assert not {*words} & {*keys}


@pytest.mark.parametrize(("keys", "word", "text"), ROWS)
def test_what_is_told_is_what_can_be_written(tmp_path, keys, word, text):
    # A value which no form can take over, so that the row's own example is told.
    told = said(tmp_path, {"zf.yaml": text.replace("WORD", f'"{word}": {{a: {{b: [c]}}}}')})
    assert "did you mean" not in told
    assert "known keys" not in told
    form = re.search(r"`(\w+)` is the name here: (.*)", told)
    if form is None:
        assert re.search(r"\^ .*(`.+`|leave it out|beside|as a task)", told), told
        return
    assert form[2].startswith(f"{form[1]}: ")
    if form[1] in {"tasks", "include"} or (keys in (STEP, CLEANUP) and form[1] == "matrix"):
        return  # beside the tasks that are there, of a file that is not, of the task
    needs_run = keys in (STEP, ONE_TASK) and form[1] not in {"run", "commands"}
    entry = form[2] + ", run: make" * needs_run
    found = loaded(tmp_path, {"zf.yaml": text.replace("WORD", entry)})
    # A file whose tasks have no phase, and phases that have no task, are the test's own.
    assert all("phase" in one.message for one in found.problems), found.problems


@pytest.mark.parametrize("word", elsewhere._OF_TASKS)
def test_a_value_that_is_taken_over_is_still_yaml(tmp_path, word):
    for value in (
        "build",
        "[build, setup]",
        "2",
        "'5m'",
        "true",
        '"it\'s"',
        "{NAME: value}",
        "²",
        "9" * 5000,
    ):
        told = said(tmp_path, {"zf.yaml": f'tasks:\n  t: {{"{word}": {value}}}{REST}'})
        if form := re.search(r"is the name here: (.*)", told):
            assert len(yaml.safe_load(form[1])) == 1


def test_a_script_in_another_systems_words_is_not_told_to_be_missing(tmp_path):
    assert "lacks" not in said(tmp_path, {"zf.yaml": "tasks: {t: {script: make}}"})
    assert "lacks" not in said(tmp_path, {"zf.yaml": "tasks: {t: {commands: [{cmd: make}]}}"})
    assert "lacks" in said(tmp_path, {"zf.yaml": "tasks: {t: {stage: make}}"})


def test_a_word_that_is_right_is_no_word_of_others(tmp_path):
    right = "tasks: {t: {commands: [{name: a, if: run.dirty, run: make}], needs: [], tags: [x]}}"
    assert said(tmp_path, {"zf.yaml": right}) == ""
