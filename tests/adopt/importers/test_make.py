"""Rules of a makefile as tasks; the same edges as make's own database has."""

import re
import shutil
import subprocess

import pytest

from tests.support.imports import Imported, imported
from tests.support.program import Project
from zf.adopt.importers import write
from zf.errors import ZfError

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(root, text, **files):
    return imported(root, "make", text, **files)


def own_edges(root):
    """What each target needs that a rule makes, as make itself reads the file."""
    done = subprocess.run(
        ["make", "-pnrR", "-f", "Makefile"], cwd=root, capture_output=True, text=True, check=True
    )
    files = done.stdout.partition("\n# Files\n")[2]
    edges = {}
    for block in files.split("\n\n"):
        first = next((line for line in block.split("\n") if line and line[0] != "#"), "")
        if "# Not a target" in block or not re.match(r"[^\s.#][^:=]*:", first):
            continue
        name, _, needs = first.partition(":")
        edges[name] = {*needs.lstrip(":").replace("|", " ").split()}
    return {name: {n for n in needs if n in edges} for name, needs in edges.items()}


GRAPH = """\
OBJS = main.o util.o
TOP := $(addsuffix .txt,one two)
MODE ?= fast
.PHONY: all clean check
all: prog docs ## Build everything
prog: $(OBJS) | build
	echo link $@ from $^ first $<
main.o util.o: %.o: %.c common.h
	echo compile $< to $@ stem $* in $(@D)
build:
	@echo made
docs: $(TOP)
$(TOP): ; @echo text $@ $(MODE) $$HOME
clean:
	-false
	@for i in a b; do \\
	echo $$i; \\
	done
check: clean all
	echo $(words $(OBJS)) $(OBJS:.o=.c)
check: build
"""
FILES = {"main.c": "", "util.c": "", "common.h": ""}


@needs_make
def test_the_edges_are_those_of_make(tmp_path):
    done = make(tmp_path, GRAPH, **FILES)
    assert done.edges() == own_edges(tmp_path)


@needs_make
def test_with_eval_they_are_too(tmp_path):
    make(tmp_path, GRAPH, **FILES)
    out = tmp_path / "out"
    written = write("make", str(tmp_path / "Makefile"), str(out), evaluate=True)
    for name in ("zf.yaml", "IMPORT.md"):
        (tmp_path / name).unlink()
        (out / name).rename(tmp_path / name)
    again = Imported(tmp_path, written)
    assert again.edges() == own_edges(tmp_path)


@needs_make
def test_what_is_printed_is_what_make_prints_in_its_order(tmp_path):
    project = Project(tmp_path / "project")
    (project.root / "tasks").rmdir()
    make(project.root, GRAPH, **FILES)
    done = project.zf("run", "check", "--run-id", "r")
    assert done.code == 0, done.err
    told = ""
    for event in project.events("r"):
        if event["type"] == "attempt_started":
            logs = project.proof("r", event["task"], "20-logs")
            told += "".join(log.read_text() for log in sorted(logs.glob("step-*.log")))
    own = subprocess.run(["make", "-s", "check"], cwd=project.root, capture_output=True, check=True)
    assert told == own.stdout.decode()


def test_files_are_what_a_cache_needs_and_the_outside_has_a_say(tmp_path):
    done = make(tmp_path, GRAPH, **FILES)
    task = done.flow.tasks["main.o"]
    assert (task.sources, task.generates, task.cache) == (("main.c", "common.h"), ("main.o",), True)
    assert done.runs("one.txt") == ["echo text one.txt ${MODE} $HOME"]
    assert done.flow.tasks["one.txt"].env == {"MODE": "${MODE:-fast}"}
    assert "MODE" in done.flow.project.pass_env
    assert done.flow.tasks["all"].title == "Build everything"
    assert done.written.source.usual == ["all"]


def test_a_command_runs_where_its_value_is_used(tmp_path):
    done = make(tmp_path, "V := $(shell git describe)\na:\n\techo $(V) '$(V)' \"$(V)\"\n")
    assert done.runs("a") == ['echo $(git describe) "$(git describe)" "$(git describe)"']


@pytest.mark.parametrize(
    ("text", "construct"),
    [
        ("a:\n\techo $(wildcard *.c)\n", "echo $(wildcard *.c)"),
        ("a:\n\techo $?\n", "echo $?"),
        ("%.o: %.c\n\tcc $<\na: x.o\n\ttrue\n", "%.o: %.c"),
        ("a: x.o\n\ttrue\n", "needs x.o"),
        ("a: $(wildcard *.x)\n\ttrue\n", "a: $(wildcard *.x)"),
        ("include gone.mk\na:\n\ttrue\n", "include gone.mk"),
        ("$(eval b: ; true)\na:\n\ttrue\n", "$(eval b: ; true)"),
        ("ifeq ($(shell uname),Darwin)\na:\n\ttrue\nendif\n", "a"),
        ("a: b\n\ttrue\nb: a\n\ttrue\n", "needs a"),
        ("x: b c\ny: c b\nb: ; true\nc: ; true\n", "needs c b"),
    ],
)
def test_what_only_make_knows_is_a_step_that_fails(tmp_path, text, construct):
    done = make(tmp_path, text)
    assert construct in done.said("manual")
    assert any(step.name == "By hand" for t in done.flow.tasks.values() for step in t.steps)


def test_conditions_come_out_as_where_nothing_is_set_outside(tmp_path):
    done = make(
        tmp_path,
        "ifeq ($(OS),Windows_NT)\nRM = del\nelse ifdef X\nRM = x\nelse\nRM = rm\nendif\n"
        "ifndef Y\na:\n\t$(RM) b\nendif\n",
    )
    assert done.runs("a") == ["rm b"]


def test_shells_defines_includes_and_variables_of_one_target(tmp_path):
    done = make(
        tmp_path,
        "SHELL = /bin/bash\n.SHELLFLAGS = -euo pipefail -c\nexport LEVEL := 3\ninclude more.mk\n-include .env\n"
        "define two\necho 1\necho 2\nendef\na: WHO = me\na:\n\t$(two)\n\techo $(WHO)\nb:\n\techo $(WHO)\n",
        **{"more.mk": "far: a\n\t@echo far\n"},
    )
    assert done.runs("a") == ["echo 1", "echo 2", "echo me"]
    assert done.runs("b") == ["echo ${WHO}"]
    assert done.needs("far") == {"a"}
    task = done.flow.tasks["a"]
    assert task.steps[0].shell == ("bash", "-euo", "pipefail", "-c")
    assert task.env["LEVEL"] == "3"
    assert "-include .env" not in done.text


@needs_make
def test_without_eval_nothing_is_run_and_with_it_a_broken_file_is_said(tmp_path):
    make(tmp_path, "X := $(shell touch ran)\na:\n\techo $(X)\n")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "Makefile").write_text("no separator\n")
    with pytest.raises(ZfError, match="make -pn does not read Makefile"):
        write("make", str(tmp_path / "Makefile"), str(tmp_path / "out"), evaluate=True)
