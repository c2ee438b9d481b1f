"""Files that mean harm, or are only broken: refused in a sentence, or imported so that what they
say is text.
"""

import os
import re
import subprocess

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tests.support.imports import NAMES, Imported, imported
from zf.adopt import importers
from zf.adopt.importers import IMPORTERS, write
from zf.cli.verbs.imports import TOOLS
from zf.errors import ZfError

YAML = ("github", "gitlab", "taskfile")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
NASTY = (
    "x'; touch ran; '\"$(touch ran)`touch ran`\n# no comment\n\x1b]0;title\x07{{ }} | <b>*[y](z)*"
)


def test_the_command_line_knows_all_of_them():
    assert tuple(sorted(IMPORTERS)) == TOOLS


@pytest.mark.parametrize("tool", ["github", "make", "npm"])
def test_a_file_that_is_not_there_is_named_as_it_was_typed(tmp_path, tool):
    with pytest.raises(ZfError, match=f"there is no file {tmp_path}/nothing/here"):
        write(tool, f"{tmp_path}/nothing/here", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_without_such_a_file_says_what_it_would_be_called(tmp_path):
    with pytest.raises(ZfError, match="there is no GNUmakefile, makefile or Makefile in"):
        write("make", str(tmp_path), str(tmp_path))


@pytest.mark.parametrize("tool", YAML)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]\n",
        "[" * 100_000,
        "- " * 5000,
        "a: {b: 'c",
        "{",
        "jobs: 3",
        "\0",
        "\ufeffa: b",
    ],
)
def test_yaml_that_means_harm_is_refused(tmp_path, tool, text):
    path = tmp_path / "file.yml"
    path.write_text(text)
    with pytest.raises(ZfError):
        write(tool, str(path), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tool", sorted(IMPORTERS))
def test_files_that_are_none_are_refused(tmp_path, tool):
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(50 << 20)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    (tmp_path / "latin").write_bytes(b"a: \xff\n")
    for name in ("big", "pipe", "link", "latin", "gone"):
        with pytest.raises(ZfError):
            write(tool, str(tmp_path / name), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def files(nasty):
    """For each tool a file whose names, titles and commands are this text."""
    import json  # noqa: PLC0415 - for quoting alone

    said = json.dumps(nasty)
    one = nasty.replace("\n", " ").replace("\x1b", "").replace("\x07", "").replace("#", "")
    return {
        "github": f"name: {said}\njobs: {{{said}: {{name: {said}, steps: [{{name: {said}, uses: {said}}}]}}}}",
        "gitlab": f"{said}: {{script: 'true', services: [{said}], stage: {said}}}\nstages: [{said}]",
        "just": f"# {one}\n[confirm({json.dumps(one)})]\na:\n    true\n",
        "make": f"a: ## {one}\n\techo $(wildcard {one})\n",
        "npm": json.dumps(
            {"scripts": {nasty: "true", "b": "echo $npm_config_x"}, "workspaces": [nasty]}
        ),
        "taskfile": f"version: '3'\ntasks: {{{said}: {{desc: {said}, prompt: {said}, cmds: ['true']}}}}",
        "tox": f"[tox]\nenvlist = a\n[testenv]\ndescription = {one}\ncommands = {{no}} {one}\n",
    }


@pytest.mark.parametrize("tool", sorted(IMPORTERS))
def test_names_and_titles_are_text_wherever_they_come_to_stand(tmp_path, tool):
    done = imported(tmp_path, tool, files(NASTY)[tool])
    guards = [s.run for t in done.flow.tasks.values() for s in t.steps if s.name == "By hand"]
    assert guards
    for script in guards:
        told = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=False)
        assert told.returncode == 1
        assert b"\x1b" not in told.stderr
    assert not (tmp_path / "ran").exists()
    for line in done.text.splitlines():
        assert line.startswith(("#", " ")) or line.split(":")[0].isidentifier() or not line
    assert "\x1b" not in done.text + done.report
    assert "<b>" not in re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", done.report)


def test_nothing_that_is_there_is_overwritten_and_nothing_half_is_left(tmp_path):
    (tmp_path / "justfile").write_text("a:\n    true\n")
    for name in ("zf.yaml", "IMPORT.md"):
        out = tmp_path / f"out-{name}"
        out.mkdir()
        (out / name).symlink_to("nowhere")
        with pytest.raises(ZfError, match="is not overwritten") as refused:
            write("just", str(tmp_path), str(out))
        assert refused.value.exit_code == 2
        assert os.listdir(out) == [name]
    (tmp_path / "file").touch()
    with pytest.raises(ZfError, match="cannot write"):
        write("just", str(tmp_path), str(tmp_path / "file/deeper"))
    (tmp_path / "mine/tasks/x").mkdir(parents=True)
    (tmp_path / "mine/tasks/x/task.yaml").touch()
    with pytest.raises(ZfError, match="is a project of zf already"):
        write("just", str(tmp_path), str(tmp_path / "mine"))


def test_a_second_file_that_cannot_be_written_takes_the_first_away(tmp_path, monkeypatch):
    (tmp_path / "justfile").write_text("a:\n    true\n")
    (tmp_path / "out").mkdir()
    # It comes to be there between the look and the writing.
    looked = importers._refuse_what_is_there

    def look(folder):
        looked(folder)
        (tmp_path / "out/IMPORT.md").write_text("mine")

    monkeypatch.setattr(importers, "_refuse_what_is_there", look)
    with pytest.raises(ZfError, match=r"cannot write .*IMPORT.md"):
        write("just", str(tmp_path), str(tmp_path / "out"))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["IMPORT.md"]
    assert (tmp_path / "out/IMPORT.md").read_text() == "mine"


def test_paths_are_those_of_the_folder_that_is_written_to(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/justfile").write_text("a:\n    pwd\n")
    written = write("just", str(tmp_path / "sub"), f"{tmp_path}/sub/../")
    done = Imported(tmp_path, written)
    assert done.flow.tasks["a"].workdir == "sub"
    assert "sub/justfile:1" in done.report


PIECES = {
    "github": [
        "jobs:",
        "  a:",
        "    steps:",
        "      - run: x",
        "${{ matrix.a }}",
        "if: ",
        "needs: [a]",
    ],
    "gitlab": [
        "a:",
        "  script: x",
        "stages: [a]",
        "  rules: [{if: $A}]",
        "!reference [a]",
        "  extends: a",
    ],
    "just": [
        "a:",
        "    echo {{x}}",
        "x := 'y'",
        "[private]",
        "b *c='d': a && a",
        "set shell := ['x']",
    ],
    "make": [
        "a: b | c",
        "\techo $@",
        "X := $(X)",
        "ifeq (a,b)",
        "endif",
        "define x",
        "%.o: %.c",
        "$(call",
    ],
    "npm": ['{"scripts": {', '"a": "npm run b"', '"b": "x"', "}}", ","],
    "taskfile": [
        "tasks:",
        "  a: x",
        "  b: {cmds: [{task: a}]}",
        "{{.X | default",
        "vars: {X: '{{.X}}'}",
    ],
    "tox": [
        "[tox]",
        "envlist = a{b,c}",
        "[testenv]",
        "commands = x {posargs}",
        "{[tox]x}",
        "[testenv:a]",
    ],
}


@pytest.mark.parametrize("tool", sorted(IMPORTERS))
@settings(max_examples=60)
@given(data=st.data())
def test_no_text_makes_an_importer_fall_over(tmp_path_factory, tool, data):
    piece = st.one_of(st.sampled_from(PIECES[tool]), st.text(max_size=12))
    text = data.draw(st.lists(piece, max_size=12).map("\n".join))
    root = tmp_path_factory.mktemp("fuzz")
    path = root / NAMES[tool]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        written = write(tool, str(path), str(root / "out"))
    except ZfError:
        return
    Imported(root / "out", written)


OUTSIDE = {
    "make": ("Makefile", "include {0}\ninclude link\n-include {0}\nall:\n\ttrue\n"),
    "just": ("justfile", "import '{0}'\nimport 'link'\nimport? '{0}'\nall:\n  true\n"),
    "gitlab": (
        ".gitlab-ci.yml",
        'include: [{{local: ../secret}}, {{local: link}}]\nall: {{script: ["true"]}}\n',
    ),
    "taskfile": (
        "Taskfile.yml",
        "version: '3'\nincludes: {{a: '{0}', b: link, c: {{taskfile: '{0}', optional: true}}}}\ntasks: {{all: x}}\n",
    ),
}


@pytest.mark.parametrize("tool", OUTSIDE)
def test_no_file_outside_of_the_project_is_read(tmp_path, tool):
    """Neither by its path nor by a link: what it says would stand in zf.yaml."""
    secret = tmp_path / "secret"
    secret.write_text(
        {"make": "TOLD = yes\ntold:\n\techo $(TOLD)\n", "just": "told:\n  echo\n"}.get(
            tool, "version: '3'\ntold: {script: [echo]}\ntasks: {told: echo}\n"
        )
    )
    name, text = OUTSIDE[tool]
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / name).write_text(text.format(secret))
    (folder / "link").symlink_to(secret)
    written = write(tool, str(folder), None)
    assert "told" not in written.project
    assert "the file is outside of the project, and is not read: " in written.report


def test_files_of_the_same_repository_are_read(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "common.mk").write_text("told:\n\techo told\n")
    (tmp_path / "part").mkdir()
    (tmp_path / "part/Makefile").write_text("include ../common.mk\nall: told\n\ttrue\n")
    assert "told:" in write("make", f"{tmp_path}/part", None).project
