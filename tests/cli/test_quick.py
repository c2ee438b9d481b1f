"""A plain command line means the same with and without the command-line parser."""

import subprocess
import sys

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from zf.cli import quick
from zf.cli.main import program

COMMANDS = typer.main.get_command(program()).commands
OPTIONS = sorted(
    {word for c in COMMANDS.values() for p in c.params for word in (*p.opts, *p.secondary_opts)}
    - {"name", "task", "phases", "run", "words"}
)
ODD = (
    "-",
    "--",
    "-2",
    "-j4",
    "--run-id=x",
    "--output=group",
    "--resource=a=1",
    "--fail-fast=now",
    "-h",
    "--help",
    "--nothing",
    "",
)
VALUES = ("A", "b.c", "2", "a=1", "group", "prefix", "quiet", "auto", "live", "plain", "json")
WORDS = st.sampled_from([*OPTIONS, *ODD, *VALUES])


def agrees(words):
    """Whether the words are plain; if they are, the parser must say the same of them."""
    plain = quick.read(words)
    if plain is None:
        return False
    context = COMMANDS[plain.verb].make_context(plain.verb, list(words[1:]))
    meant = dict(plain.typed)
    if plain.verb == "run":
        meant["words"] = list(plain.named) or ()
    elif plain.verb == "run-phase":
        meant["phases"] = list(plain.named)
    elif plain.verb == "rerun":
        meant |= {"run": plain.named[0]} if plain.named else {}
    else:
        (meant["task"],) = plain.named
    given = {**context.params, "arguments": context.meta.get("arguments", [])}
    meant.setdefault("arguments", [])
    for name, value in given.items():
        if name == "arguments":
            assert value == list(meant.pop(name))
        elif name in meant:
            assert value == meant.pop(name)
        else:
            assert context.get_parameter_source(name).name == "DEFAULT"
    assert not meant
    return True


@given(
    verb=st.sampled_from(["run", "run-phase", "run-task", "rerun"]),
    words=st.lists(WORDS, max_size=7),
)
@settings(max_examples=400)
def test_plain_words_mean_what_the_parser_takes_them_for(verb, words):
    agrees([verb, *words])


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run A b --fail-fast -j2",
        "run --run-id r task:a",
        "rerun --failed",
        "rerun latest --from a --downstream -j2",
        "rerun r --only tag(x) --sign",
        "run-task a",
        "run-task tasks/a/task.yaml --with-needs --no-retries --json",
        "run-task --output quiet a --progress plain --grace 1 --poll-interval 0.5 --no-sign",
        "run-phase A B --run-id r -j 2 --fail-fast --phase-timeout 9 --sign --key k",
        "run-phase A -j 1 --max-jobs 2 --resource a=1 --resource b=2 --upstream latest",
        "run-phase --deadline 5 --dry-run A",
        "run-phase --fail-fast=now A",
        "run-phase --fail-fast=off A",
        "run-phase A -i env=prod --input jobs=4 --inputs in.yaml -- -k login --help",
        "run-task a -- a -- b",
        "run -- a",
        "run A -i a=b -- -x",
        "run-phase A -j2 --run-id=r --resource=a=1 --upstream=latest --output=quiet",
    ],
)
def test_what_is_plain(line):
    assert agrees(line.split())


@pytest.mark.parametrize(
    "line",
    [
        "",
        "validate",
        "run-task",
        "run-task a b",
        "run-phase --sign",
        "run-phase A -h",
        "run-phase A -C .",
        "run-phase A -j",
        "run-phase A -j -1",
        "run-phase A -j=2",
        "run-phase A -j2x",
        "run-phase A --run-id=",
        "run-phase A --run-id=-r",
        "run-phase A --run-id -j2",
        "run-phase A --sign=yes",
        "run-phase A --fail-fast=later",
        "run-phase A --output loud",
        "run-phase -- A",
        "run-task a --fail-fast",
        "rerun --failed -- r",
        "rerun -- --allow-host",
        "rerun a b",
        "-C . run-task a",
    ],
)
def test_what_is_left_to_the_parser(line):
    assert quick.read(line.split()) is None


def test_a_plain_run_does_without_the_parser(project):
    project.task("a", "true")
    code = "import sys\nfrom zf.cli import quick\nprint(quick.run(sys.argv[1:]), 'typer' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "run-task", "a"],
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_shell_completion_is_left_to_the_parser(monkeypatch):
    monkeypatch.setenv("_ZF_COMPLETE", "complete_bash")
    assert quick.run(["run-task", "a"]) is None
