"""Words on the command line mean what typer takes them for, without what typer imports for it."""

import subprocess
import sys
from typing import Annotated, Literal

import pytest
import typer

from zf.cli import main
from zf.cli.groups import VERBS
from zf.cli.words import Verb, Verbs

RUN = """
import sys
from zf.cli.main import run
code = run(sys.argv[1:])
print(code, "pydantic" in sys.modules)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["validate"],
        ["list"],
        ["run-task", "a", "--run-id", "r"],
        ["run-phase", "A", "-j", "2", "--output", "group", "--run-id", "r"],
        ["-C", ".", "status", "--json"],
    ],
    ids=" ".join,
)
def test_pydantic_is_not_imported(words, project):
    project.task("a", "true")
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=project.root, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 False", done


def program(**how):
    app = typer.Typer(rich_markup_mode=None, add_completion=False, **how)

    @app.callback()
    def _options(place: Annotated[str | None, typer.Option("-C")] = None) -> None:
        print(repr(place))

    @app.command("verb")
    def _verb(
        names: Annotated[list[str] | None, typer.Argument()] = None,
        also: Annotated[list[str] | None, typer.Option("--also")] = None,
        mode: Annotated[Literal["plain", "live"], typer.Option("--mode")] = "plain",
        count: Annotated[int, typer.Option("-n", min=1)] = 20,
        step: Annotated[int | None, typer.Option("--step")] = None,
        flag: Annotated[bool, typer.Option("--flag")] = False,
    ) -> None:
        print(repr((names, also, mode, count, step, flag)))

    return app


@pytest.mark.parametrize(
    "line",
    [
        "verb",
        "verb a b 3",
        "-C x verb",
        "verb --also a --also b",
        "verb --mode live",
        "verb --mode other",
        "verb -n 3 --step 4",
        "verb -n 0",
        "verb -n x",
        "verb --flag a",
        "verb --unknown",
        "",
    ],
)
def test_a_command_line_means_what_it_means_to_typer(line, capsys):
    told = []
    for made, cls in ((program(), None), (program(cls=Verbs), Verb)):
        for command in made.registered_commands:
            command.cls = cls
        with pytest.raises(SystemExit) as left:
            made(args=line.split(), prog_name="p")
        told.append((left.value.code, *capsys.readouterr()))
    assert told[0] == told[1]
    assert told[0][1] or told[0][2]


@pytest.mark.parametrize("verb", VERBS)
def test_only_the_verb_that_is_named_is_made_ready(verb):
    """To make all of them ready takes longer than most of them run."""
    ready = main.program([verb, "--help"]).registered_commands
    assert [command.name for command in ready] == [verb]


def test_no_other_verb_is_even_imported():
    code = "import sys; from zf.cli.main import program; program(['verify']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    families = {name for name in done.stdout.split() if name.startswith("zf.cli.verbs.")}
    assert families == {"zf.cli.verbs.proof"}


def test_all_verbs_are_made_ready_where_none_is_named():
    assert len(main.program(["--help"]).registered_commands) == len(VERBS)
