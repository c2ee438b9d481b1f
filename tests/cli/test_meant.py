"""A first word that is no verb is answered with the command that was meant, which works."""

import re
import shlex

import pytest

from zf.cli.main import program
from zf.cli.meant import _ELSEWHERE, refuse
from zf.errors import ZfError

VERBS = {command.name or command.callback.__name__ for command in program().registered_commands}
WORDS = [(word, command) for command, words in _ELSEWHERE.items() for word in words]


@pytest.fixture
def tasks(project):
    (project.root / "zf.yaml").write_text(
        "tasks:\n  test: {phase: checks, run: 'echo \"$@\"'}\n  both: {phase: both, run: 'true'}\n"
    )
    return project


def hint(project, *words):
    done = project.zf(*words)
    assert done.code == 2
    assert done.out == ""
    assert "has no verb" in done.err
    return re.search(r"hint: (.*)", done.err)[1]


def test_no_word_is_a_verb_or_in_two_rows():
    words = [word for word, _ in WORDS]
    assert len(words) == len({*words})
    assert not {*words} & VERBS


def test_what_is_told_is_a_verb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word, command in WORDS:
        if command.split()[0] in VERBS or command.startswith("-"):
            with pytest.raises(ZfError) as refused:
                refuse(word, [], VERBS)
            assert refused.value.problems[0].hint == f"zf {command} (`zf -h` lists every verb)"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["test"], "zf run test"),
        (["checks"], "zf run checks"),
        (["test", "--", "-k", "a b"], "zf run test -- -k 'a b'"),
        (["tset"], "zf run test"),
        (["both"], "zf run phase:both"),
    ],
    ids=str,
)
def test_a_task_or_phase_is_run_by_what_is_told(tasks, words, command):
    told = hint(tasks, *words)
    assert told.split(" (")[0] == command
    assert tasks.zf(*shlex.split(command)[1:]).code == 0


def test_a_verb_that_is_misspelt_keeps_its_words(tasks):
    assert hint(tasks, "verfy", "latest") == "did you mean `zf verify latest`?"
    assert hint(tasks, "qqqqq") == "zf -h (every verb in a sentence)"


def test_no_control_character_comes_through(tasks):
    done = tasks.zf("tset", "\x1b[31m", "a\nb")
    assert "zf run test (" in done.err
    assert "\x1b" not in done.err


def test_outside_of_a_project_the_words_are_answered_too(tasks):
    assert hint(tasks, "-C", "..", "ls") == "zf -C .. list (`zf -h` lists every verb)"
