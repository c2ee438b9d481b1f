"""Environments of tox as tasks: factors, words, and a set-up that a cache keeps."""

import pytest

from tests.support.imports import imported
from zf.adopt.importers import write

INI = """\
[tox]
envlist = py{310,311}-{a,b}, lint

[testenv]
description = Test it
deps =
    pytest>=7
    a: attrs
    -r{toxinidir}/requirements.txt
extras = test
setenv =
    LEVEL = 1
    !b: ONLY = not-b
passenv = CI_*
commands =
    pytest {posargs:tests} --name={envname} "a b" '$HOME' *
    b: - coverage report \\
       --more
depends = lint

[testenv:lint]
skip_install = true
deps = ruff
changedir = src
commands = {[base]cmd} {env:WHAT:.}

[testenv:extra]
commands = ! false

[base]
cmd = ruff check
"""


def test_environments_are_two_tasks_each(tmp_path):
    done = imported(tmp_path, "tox", INI, **{"requirements.txt": "", "pyproject.toml": ""})
    names = {*done.flow.tasks}
    assert {"py310-a", "py311-b", "lint", "extra"} < names
    assert done.needs("py310-a") == {"py310-a-env", "lint"}
    up = done.flow.tasks["py310-a-env"]
    assert done.runs("py310-a-env") == [
        "python3.10 -m venv .venvs/py310-a",
        ".venvs/py310-a/bin/pip install 'pytest>=7' attrs -r requirements.txt -e '.[test]'",
    ]
    assert up.sources == ("tox.ini", "requirements.txt", "pyproject.toml")
    assert (up.generates, up.cache) == ((".venvs/py310-a",), True)
    assert done.runs("py310-a") == ["pytest ${@:-tests} --name=py310-a 'a b' '$HOME' '*'"]
    assert done.flow.tasks["py310-a"].env["ONLY"] == "not-b"
    b = done.flow.tasks["py310-b"]
    assert "ONLY" not in b.env
    assert (b.steps[1].run, b.steps[1].continue_on_error) == ("coverage report --more", True)
    assert b.pass_env == ("CI_*",)
    assert done.runs("lint") == ["ruff check ${WHAT:-.}"]
    assert done.flow.tasks["lint"].workdir == "src"
    assert "WHAT" in done.flow.tasks["lint"].pass_env
    assert done.runs("lint-env")[1] == ".venvs/lint/bin/pip install ruff"
    assert done.runs("extra") == ["! false"]


def test_toml_says_the_same(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.tox]\nenv_list = ["3.12", "lint"]\n[tool.tox.env_run_base]\npackage = "skip"\n'
        'commands = [["pytest", { replace = "posargs", default = ["tests"], extend = true }, "a b"]]\n'
        '[tool.tox.env.lint]\ndeps = ["ruff"]\ncommands = [["ruff", "check"]]\nset_env = { A = "1" }\n'
    )
    written = write("tox", str(tmp_path / "pyproject.toml"), None)
    jobs = {job.name: job for job in written.source.jobs}
    assert [step.run for step in jobs["3.12"].steps] == ["pytest ${@:-tests} 'a b'"]
    assert [step.run for step in jobs["lint env"].steps][1:] == [".venvs/lint/bin/pip install ruff"]
    assert jobs["lint"].keys["env"]["A"] == "1"


@pytest.mark.parametrize(
    ("said", "construct"),
    [
        ("commands = {distdir}/x", "commands: {distdir}/x"),
        ("commands = {[gone]x}", "commands: {[gone]x}"),
        ("commands = x 'open", "commands: x 'open"),
        ("commands = x {posargs:{env:Y}}", "commands: x {posargs:{env:Y}}"),
        ("changedir = /tmp", "changedir: /tmp"),
        ("install_command = pip {packages}", "install_command of a"),
    ],
)
def test_what_only_tox_knows_is_a_step_that_fails(tmp_path, said, construct):
    done = imported(tmp_path, "tox", f"[tox]\nenvlist = a\n[testenv]\n{said}\n")
    assert construct in done.said("manual")
    assert any(step.name == "By hand" for step in done.flow.tasks["a"].steps)
