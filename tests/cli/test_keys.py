"""`zf help`: of verbs, of all keys, and of one."""

import jsonschema
import pytest
import yaml

from zf.cli import keys
from zf.plan.files.forms import json_schema
from zf.report.words import PLAIN

KINDS = keys.kinds()
KEYS = [(kind.of, name) for kind in KINDS for name in kind.keys if not name.endswith("+")]


@pytest.mark.parametrize(("kind", "name"), KEYS)
def test_every_key_has_an_example_that_is_of_its_form(kind, name):
    [own] = [one for one in KINDS if one.of == kind]
    example = yaml.safe_load(keys.example(kind, name, own.keys[name]))
    assert [*example] == [name]
    schema = {"type": "object", "properties": own.keys, "additionalProperties": False}
    whole = {name: part for name, part in json_schema("project").items() if name == "$defs"}
    jsonschema.validate(example, whole | schema)


def test_there_is_no_example_of_a_key_that_is_gone():
    assert {(k, n) for k, named in keys.EXAMPLES.items() for n in named} <= set(KEYS)


def test_the_page_has_every_key_and_fits_80_columns():
    page = keys.page(PLAIN)
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    for kind in KINDS:
        assert kind.heading in page
    for _, name in KEYS:
        assert f"\n  {name}:" in page
    assert (
        """
  retry_on: [timeout, lost]
      A list, each entry `failure`, `timeout`, `lost`, `node`, `preempted`,
      `evicted`, `oom`, `walltime` or `unreachable` or a mapping with
      `exit_codes`. Default: `[failure, timeout, lost]`.
      After which ends the task is tried again; or after which exit codes of
      failures.
"""
        in page
    )


def test_one_key_is_told_in_every_place_with_what_is_inside(project):
    told = project.zf("help", "needs")
    assert told.code == 0
    assert told.out.startswith("needs, a key of a task\n\n  needs: [10-build]\n")
    assert (
        "\n    optional\n        `true` or `false`. Default: `false`. Whether the need" in told.out
    )
    assert "\nneeds, a key of a phase\n" in told.out
    assert "optional, a key of `needs`, of a task" in project.zf("help", "optional").out
    assert project.zf("help", "keys").out == keys.page(PLAIN)


@pytest.mark.parametrize("name", keys.names())
def test_every_key_can_be_asked_for(name):
    told = keys.one(name, PLAIN)
    assert told
    assert max(map(len, told.splitlines())) <= 80


def test_a_verb_is_told_as_its_own_page_does(project):
    env = {"COLUMNS": "80"}
    assert project.zf("help", "seal", env=env).out == project.zf("seal", "--help", env=env).out
    assert project.zf("help", env=env).out == project.zf("--help", env=env).out
    both = project.zf("help", "shell", env=env)
    assert both.out.startswith(project.zf("shell", "--help", env=env).out)
    assert both.out.endswith("zf help keys shell tells of the key `shell`.\n")
    assert "shell, a key of a step" in project.zf("help", "keys", "shell").out


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["verfy"], "did you mean 'verify'?"),
        (["timeout-sec"], "did you mean 'timeout_sec'?"),
        (["deps"], "`needs` is the name here"),
        (["zzzzzz"], "zf help keys"),
        (["keys", "nedds"], "did you mean 'needs'?"),
        (["needs", "needs"], "help keys WORD"),
    ],
)
def test_what_is_unknown_is_answered_with_what_may_be_meant(project, words, hint):
    refused = project.zf("help", *words)
    assert refused.code == 2
    assert hint in refused.err


def test_help_is_offered_verbs_and_keys(project):
    words = {"COMP_WORDS": "zf help time", "COMP_CWORD": "2"}
    told = project.zf(env={"_ZF_COMPLETE": "complete_bash", **words})
    assert (told.out, told.err) == ("timeout_sec\n", "")
