"""What a look at a project proposes, as the whole zf.yaml, by what lies there and is installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.plan_files import said
from zf.adopt.looking import look
from zf.adopt.looking.folder import Folder
from zf.adopt.looking.requirements import pinned


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that answer when they are asked for their version."""
    programs = tmp_path / "bin"
    programs.mkdir()

    def has(*names: str) -> dict[str, str]:
        for name in names:
            path = programs / name
            path.write_text(f"#!/bin/sh\necho {sys.version_info.minor}\n")
            path.chmod(0o755)
        return {"PATH": str(programs)}

    return has


def proposed(root: Path, files: dict[str, str], environ: dict[str, str]) -> str:
    """The text, without the two lines every file of that kind begins with."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return look(str(root), environ).text().partition("needs.\n")[2]


CASES = {
    "python with extras": (
        ["python3"],
        {
            "pyproject.toml": (
                "[build-system]\n[project]\nname='x'\n"
                "optional-dependencies = {docs = ['sphinx'], test = ['pytest', 'ruff']}\n"
                "[tool.ruff]\n"
            ),
            "tests/test_x.py": "def test_x(): pass\n",
        },
        """\
# What is set up is not set up again until its sources change.
cached: true
defaults: {parallel_safe: true, timeout_sec: 1800}
tasks:
  setup:
    sources: [pyproject.toml]
    generates: [.venv]
    cache: true
    run: |
      python3 -m venv .venv
      .venv/bin/pip install --quiet --editable '.[test]'

  lint: {needs: [setup], run: .venv/bin/ruff check}
  test: {needs: [setup], run: . .venv/bin/activate && python -m pytest tests}
""",
    ),
    "python with a group and its own environment": (
        ["python3"],
        {
            "pyproject.toml": (
                "[build-system]\n[dependency-groups]\n"
                "base = ['pytest']\ntests = [{include-group = 'base'}, 'attrs']\n"
                "[tool.pytest.ini_options]\ntestpaths = ['tests']\n"
            ),
            "tests/test_x.py": "",
            ".venv/bin/python": "",
        },
        """\
# What is set up is not set up again until its sources change.
cached: true
defaults: {timeout_sec: 1800}
tasks:
  setup:
    sources: [pyproject.toml]
    generates: [.venv-zf]
    cache: true
    run: |
      python3 -m venv .venv-zf
      .venv-zf/bin/pip install --quiet --upgrade 'pip>=25.1'  # which knows --group
      .venv-zf/bin/pip install --quiet --editable . --group tests

  test: {needs: [setup], run: . .venv-zf/bin/activate && python -m pytest}
""",
    ),
    "python with requirements and unittest": (
        ["python3"],
        {
            "requirements.txt": "attrs\n",
            "test/test_x.py": "import unittest\n",
        },
        """\
# What is set up is not set up again until its sources change.
cached: true
defaults: {timeout_sec: 1800}
tasks:
  setup:
    sources: [requirements.txt]
    generates: [.venv]
    cache: true
    run: |
      python3 -m venv .venv
      .venv/bin/pip install --quiet --requirement requirements.txt

  test:
    needs: [setup]
    run: . .venv/bin/activate && python -m unittest discover -s test -t .
""",
    ),
    "python with nothing to install": (
        ["python3"],
        {"pyproject.toml": "[project]\nname = 'x'\n", "tests/test_x.py": "import unittest\n"},
        """\
defaults: {timeout_sec: 1800}
tasks:
  test: python3 -m unittest discover -s tests -t .
""",
    ),
    "python that is not there": (
        ["python3"],
        {"pyproject.toml": "[project]\nrequires-python = '>=3.99'\n", "test_x.py": "import pytest"},
        """\
defaults: {timeout_sec: 1800}
tasks:
  # What this project has cannot be run here, for the reasons below.
  hello: echo hello

  # Left out:
  # pytest: the project asks for Python >=3.99 with venv, which is not installed here
""",
    ),
    "npm with a lock file": (
        ["npm"],
        {
            "package.json": json.dumps(
                {"scripts": {"test": "jest", "lint": "eslint .", "build": "vite build --watch"}}
            ),
            "package-lock.json": "{}",
        },
        """\
# What is set up is not set up again until its sources change.
cached: true
defaults: {parallel_safe: true, timeout_sec: 1800}
tasks:
  install:
    sources: [package.json, package-lock.json]
    generates: [node_modules, '!node_modules/.cache']
    cache: true
    run: npm ci

  lint: {needs: [install], run: npm run lint}
  test: {needs: [install], run: npm test}

  # Left out:
  # build: `vite build --watch` does not end
""",
    ),
    "npm without packages": (
        ["npm"],
        {"package.json": json.dumps({"scripts": {"test": "node test.js"}})},
        "defaults: {timeout_sec: 1800}\ntasks:\n  test: npm test\n",
    ),
    "npm's placeholder": (
        ["npm"],
        {
            "package.json": json.dumps(
                {"scripts": {"test": 'echo "Error: no test specified" && exit 1'}}
            )
        },
        """\
defaults: {timeout_sec: 1800}
tasks:
  # What this project has cannot be run here, for the reasons below.
  hello: echo hello

  # Left out:
  # test: package.json has only npm's placeholder
""",
    ),
    "pnpm that is not there": (
        ["npm"],
        {"package.json": '{"scripts": {"test": "x"}}', "pnpm-lock.yaml": "", "run.sh": "true"},
        """\
defaults: {timeout_sec: 1800}
tasks:
  syntax: for script in run.sh; do bash -n "$script"; done

  # Left out:
  # test: pnpm is not installed here (corepack enable pnpm)
""",
    ),
    "go": (
        ["go"],
        {"go.mod": "module x\n", "x_test.go": ""},
        "defaults: {parallel_safe: true, timeout_sec: 1800}\ntasks:\n  vet: go vet ./...\n  test: go test ./...\n",
    ),
    "cargo": (
        ["cargo"],
        {
            "Cargo.toml": "[package]\n",
            "Cargo.lock": "",
            ".github/workflows/ci.yml": "run: cargo fmt --check",
        },
        """\
defaults: {parallel_safe: true, timeout_sec: 1800}
tasks:
  fmt: cargo fmt --check
  test: cargo test --locked
""",
    ),
    "make": (
        ["make"],
        {"Makefile": "all: x\n\nx.o: x.c\nCC := gcc\ntest: all\n\t./x\n", "x.c": ""},
        "defaults: {timeout_sec: 1800}\ntasks:\n  build: make\n  test: {needs: [build], run: make test}\n",
    ),
    "make of what is not there": (
        ["make"],
        {"Makefile": "test: vet\n\ttrue\n\nvet:\n\t@$(GO) vet\n\nlint:\n\tsh lint.sh\n"},
        """\
defaults: {timeout_sec: 1800}
tasks:
  lint: make lint

  # Left out:
  # test: go is not installed here
""",
    ),
    "task of what is not there": (
        ["task"],
        {
            "Taskfile.yml": "tasks:\n  build:\n    cmd: >-\n      go build\n  test:\n    cmds: [ls]\n"
        },
        """\
defaults: {timeout_sec: 1800}
tasks:
  test: task test

  # Left out:
  # build: go is not installed here
""",
    ),
    "just that is not there": (
        [],
        {"justfile": "test:\n  true\nlint PATH:\n  true\n"},
        """\
defaults: {timeout_sec: 1800}
tasks:
  # What this project has cannot be run here, for the reasons below.
  hello: echo hello

  # Left out:
  # test: just is not installed here (pip install rust-just)
""",
    ),
    "Taskfile": (
        ["task"],
        {"Taskfile.yml": "version: '3'\ntasks:\n  test:\n    cmds: [true]\n  deploy: x\n"},
        "defaults: {timeout_sec: 1800}\ntasks:\n  test: task test\n",
    ),
    "two kinds": (
        ["npm", "go"],
        {"package.json": '{"scripts": {"test": "x"}}', "go.mod": "module x", "x_test.go": ""},
        """\
defaults: {parallel_safe: true, timeout_sec: 1800}
tasks:
  test-js: npm test
  vet: go vet ./...
  test-go: go test ./...
""",
    ),
    "parts": (
        ["npm", "go"],
        {"web/package.json": '{"scripts": {"test": "x"}}', "api/go.mod": "module x"},
        """\
defaults: {parallel_safe: true, timeout_sec: 1800}
tasks:
  api-vet: {workdir: api, run: go vet ./...}
  api-build: {workdir: api, run: go build ./...}
  web-test: {workdir: web, run: npm test}
""",
    ),
    "submodules that are not there": (
        ["make"],
        {"Makefile": "test:\n\ttrue\n", ".gitmodules": '[submodule "x"]\n\tpath = lib/x\n'},
        """\
defaults: {timeout_sec: 1800}
tasks:
  submodules: git submodule update --init --recursive
  test: {needs: [submodules], run: make test}
""",
    ),
    "uv's own list": (
        ["python3"],
        {
            "pyproject.toml": "[build-system]\n[tool.uv]\ndev-dependencies = ['pytest', 'syrupy>=4']\n",
            "test_x.py": "",
        },
        """\
# What is set up is not set up again until its sources change.
cached: true
defaults: {timeout_sec: 1800}
tasks:
  setup:
    sources: [pyproject.toml]
    generates: [.venv]
    cache: true
    run: |
      python3 -m venv .venv
      .venv/bin/pip install --quiet --editable . pytest 'syrupy>=4'

  test: {needs: [setup], run: . .venv/bin/activate && python -m pytest}
""",
    ),
    "nothing": (
        [],
        {"README": "x"},
        """\
tasks:
  # Nothing was found that zf knows how to check: put your own command here.
  hello: echo hello
""",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_proposed(tmp_path, machine, case):
    programs, files, expected = CASES[case]
    root = tmp_path / "project"
    root.mkdir()
    assert proposed(root, files, machine(*programs)) == expected


@pytest.mark.parametrize("case", CASES)
def test_what_is_proposed_is_valid(tmp_path, machine, case):
    programs, files, _ = CASES[case]
    root = tmp_path / "project"
    root.mkdir()
    proposed(root, files, machine(*programs))
    text = look(str(root), machine()).text()
    assert said(tmp_path, {"zf.yaml": text}) == ""


def test_what_pip_needs_of_the_environment_is_passed_and_counts(tmp_path, machine):
    files = {"setup.py": "", "test_x.py": "import pytest"}
    environ = machine("python3") | {"PIP_INDEX_URL": "https://x", "PIP_NO_INPUT": "1"}
    root = tmp_path / "project"
    root.mkdir()
    text = proposed(root, files, environ)
    assert "pass_env: [PIP_INDEX_URL]" in text
    assert "cache: {env: [PIP_INDEX_URL]}" in text


def test_an_environment_that_git_would_see_is_hidden_from_it(tmp_path, machine):
    root = tmp_path / "project"
    root.mkdir()
    files = {"setup.py": "", "test_x.py": "import pytest"}
    environ = machine("python3")
    (tmp_path / "bin" / "git").symlink_to("/usr/bin/git")
    assert ".gitignore" not in proposed(root, files, environ)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    assert "echo '*' > .venv/.gitignore" in proposed(root, files, environ)
    assert ".gitignore" not in proposed(root, {".gitignore": ".venv/\n"}, environ)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "repo: https://github.com/astral-sh/ruff-pre-commit\n    rev: v0.1.2\n    hooks: x\n",
            "0.1.2",
        ),
        (
            f"repo: 'https://github.com/astral-sh/ruff-pre-commit'\n  rev: {'a' * 40}  # frozen: v0.3.4\n",
            "0.3.4",
        ),
        ("repo: https://github.com/other/ruff\n  rev: v1\n", ""),
    ],
)
def test_the_version_of_a_linter_is_that_of_pre_commit(tmp_path, text, version):
    (tmp_path / ".pre-commit-config.yaml").write_text(f"repos:\n- {text}")
    assert pinned(Folder(str(tmp_path), {}), "astral-sh/ruff-pre-commit")[0] == version


NAMES = [
    "pyproject.toml",
    "setup.cfg",
    "tox.ini",
    "package.json",
    "Makefile",
    "justfile",
    "Cargo.toml",
]
NAMES += ["requirements-dev.txt", ".pre-commit-config.yaml", "test_x.py", "go.mod", "Taskfile.yml"]
PIECES = st.sampled_from(
    [
        *("[project]", "[tool.ruff]", "[testenv]", "deps =", " -r ../../x", "\n", "{", "}", ":"),
        *('"scripts"', '{"scripts": {"test": [1]}}', "requires-python = 3", "\x00", "é\u2028"),
        *("[dependency-groups]\ndev=[{}]", "optional-dependencies = 5"),
        "[tool.poetry.group.x.dependencies]\npytest=['a']",
    ]
)


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(PIECES, max_size=6).map("".join)))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_whatever_is_in_the_files_something_valid_is_proposed(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("project")
    for name, text in files.items():
        (root / name).write_bytes(text.encode())
    text = look(str(root), dict(os.environ)).text()
    assert said(tmp_path_factory.mktemp("proposed"), {"zf.yaml": text}) == ""


def test_files_that_are_none_do_not_hold_it_up(tmp_path, machine):
    os.mkfifo(tmp_path / "package.json")
    (tmp_path / "pyproject.toml").symlink_to("/dev/zero")
    (tmp_path / "Makefile").mkdir()
    (tmp_path / "loop").symlink_to(".")
    assert "hello" in look(str(tmp_path), machine("npm", "python3", "make")).text()


def test_a_program_that_only_stands_for_one_is_not_there(tmp_path, machine):
    root = tmp_path / "project"
    root.mkdir()
    environ = machine("python3", "cargo")
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 127\n")
    (tmp_path / "bin" / "cargo").write_text("#!/bin/sh\nexit 1\n")
    files = {"Cargo.toml": "[package]", "setup.py": "", "test_x.py": "import pytest"}
    text = proposed(root, files, environ)
    assert "# cargo test: cargo is not installed here" in text
    assert "# pytest: the project asks for Python 3 with venv, which is not installed here" in text


def test_nothing_of_the_project_is_run(tmp_path, machine):
    root = tmp_path / "project"
    (root / "bin").mkdir(parents=True)
    evil = "#!/bin/sh\ntouch pwned\n"
    for name in ("npm", "venv.py", "bin/npm", "python3"):
        (root / name).write_text(evil)
        (root / name).chmod(0o755)
    (root / "venv.py").write_text("open('pwned', 'w')")
    environ = {"PATH": f"{root}/bin:{root}:{os.environ['PATH']}"}
    files = {"package.json": '{"scripts": {"test": "x"}}', "setup.py": "open('pwned', 'w')"}
    proposed(root, files | {"test_x.py": "import pytest"}, environ)
    assert not (root / "pwned").exists()
