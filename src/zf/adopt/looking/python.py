"""A Python project: an environment of its own that is set up once, its tests, and its linters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

from zf.adopt.looking import requirements
from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposed
from zf.adopt.looking.requirements import Wanted, ini, pinned
from zf.lean.records import Struct

_MANIFESTS = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", *requirements.FILES)
_SETUP_FILES = (
    *("pyproject.toml", "setup.py", "setup.cfg"),
    *("uv.lock", "poetry.lock", "requirements.txt"),
)
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test|tests)\.py$")
# The newest Python that is looked for, should the one called python3 be too old.
_NEWEST = 15
# What shells have for pip that a step does not see of itself; its noise is left out.
_OF_PIP = re.compile(r"(?:PIP|UV)_.*(?:INDEX|URL|LINKS|CERT|HOST|PROXY|CONFIG)")


class _Project(Struct, frozen=True):
    """What the rest is made of."""

    folder: Folder
    tests: str
    runner: str
    wanted: Wanted
    # The folder of the environment: the project's own is left as it is, if it has one.
    venv: str
    python: str

    def is_bare(self, pins: list[str]) -> bool:
        """Whether nothing has to be installed, beside these, so that any Python will do."""
        return not (pins or self.wanted.words or _itself(self.folder, self.wanted))


def look(folder: Folder) -> Found | None:
    if not folder.first(*_MANIFESTS):
        return None
    looked = tuple(folder.from_root(n) for n in (*_SETUP_FILES, "tox.ini") if folder.has(n))
    tests, runner = _tests(folder)
    python, why = _interpreter(folder)
    if why:
        left_out = (f"{runner or 'lint'}: {why}",)
        return Found(left_out=left_out, looked=looked)
    venv = ".venv" if not folder.has(".venv") else ".venv-zf"
    wanted = requirements.of_tests(folder, runner or "pytest")
    project = _Project(folder, tests, runner, wanted, venv, python)
    checks, pins, left = _checks(project)
    tasks = []
    needs = {}
    if checks and not project.is_bare(pins):
        setup = _set_up(project, pins)
        tasks = [Proposed(folder.prefix + "setup", {**_where(folder), **setup})]
        needs = {"needs": [tasks[0].name]}
    for name, run in checks.items():
        keys = {**needs, **_where(folder), "run": run}
        tasks.append(Proposed(folder.prefix + name, keys))
    return Found(tuple(tasks), tuple(left), looked, "python:3.13")


def _where(folder: Folder) -> dict[str, Any]:
    return {"workdir": folder.part} if folder.part else {}


def _tests(folder: Folder) -> tuple[str, str]:
    """Where the tests are, from the project's folder, and what runs them."""
    paths = [path for path in folder.files() if _TEST_FILE.search(path)]
    if not paths:
        return "", ""
    tops = {path.partition("/")[0] for path in paths if "/" in path}
    where = next((top for top in ("tests", "test", "testing") if top in tops), "")
    return where, "pytest" if _uses_pytest(folder, paths) else "unittest"


def _uses_pytest(folder: Folder, tests: list[str]) -> bool:
    tool = folder.toml("pyproject.toml").table("tool")
    if "pytest" in tool or folder.first("pytest.ini", ".pytest.ini", "conftest.py"):
        return True
    names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", *_MANIFESTS)
    if any("pytest" in folder.text(name) for name in names):
        return True
    some = [folder.text(path) for path in tests[:20]]
    return any(
        re.search(r"^(?:import pytest|from pytest|def test_)", text, re.MULTILINE) for text in some
    )


def _interpreter(folder: Folder) -> tuple[str, str]:
    """The Python that the project asks for, or why there is none."""
    said = folder.toml("pyproject.toml").table("project").text("requires-python")
    said = said or ini(folder.text("setup.cfg"), "options").get("python_requires", "")
    least = re.search(r">=? *3\.([0-9]{1,3})", said)
    below = re.search(r"< *3\.([0-9]{1,3})", said)
    low, high = int(least[1]) if least else 0, int(below[1]) if below else 1000
    for program in ("python3", *(f"python3.{n}" for n in range(_NEWEST, max(low, 8) - 1, -1))):
        minor = _minor_of(folder, program)
        if minor is not None and low <= minor < high:
            return program, ""
    return "", f"the project asks for Python {said or 3} with venv, which is not installed here"


def _minor_of(folder: Folder, program: str) -> int | None:
    """Which Python 3 a program is, if it can make environments."""
    # Alone (-I): a file of the project that is called venv.py is none of its business.
    said = folder.answer(program, "-Ic", "import sys, venv, ensurepip; print(sys.version_info[1])")
    return int(said) if said and said.strip().isdecimal() else None


def _checks(project: _Project) -> tuple[dict[str, str], list[str], list[str]]:
    """Tasks by name, what has to be installed for them, and what was left out."""
    checks: dict[str, str] = {}
    pins: list[str] = []
    left: list[str] = []
    for name, run, pin, why in _linters(project):
        if why:
            left.append(f"{name}: {why}")
        else:
            checks[name] = run
            pins += [pin] if pin else []
    if project.runner:
        checks["test"] = _run_tests(project)
    if project.runner == "pytest" and not re.search(r"\bpytest\b", project.wanted.names):
        pins.append("pytest")
    if "test" in checks:
        before = (
            project.python if project.is_bare(pins) else f". {project.venv}/bin/activate && python"
        )
        checks["test"] = f"{before} {checks['test']}"
    return checks, pins, left


def _run_tests(project: _Project) -> str:
    folder, where = project.folder, project.tests
    if project.runner == "pytest":
        tool = folder.toml("pyproject.toml").table("tool", "pytest", "ini_options")
        is_said = "testpaths" in tool or any(
            "testpaths" in folder.text(name) for name in ("pytest.ini", "setup.cfg", "tox.ini")
        )
        return "-m pytest" + (f" {where}" if where and not is_said else "")
    if folder.has("manage.py"):
        return "manage.py test"
    return "-m unittest" + (f" discover -s {where} -t ." if where else "")


def _linters(project: _Project) -> Iterator[tuple[str, str, str, str]]:
    """The name of each linter that is configured, its command, what to install for it, and why it
    was left out.
    """
    folder, names = project.folder, project.wanted.names
    tool = folder.toml("pyproject.toml").table("tool")
    bin_folder = f"{project.venv}/bin"
    if "ruff" in tool or folder.first("ruff.toml", ".ruff.toml"):
        version, hooks = pinned(folder, "astral-sh/ruff-pre-commit")
        version = version or pinned(folder, "charliermarsh/ruff-pre-commit")[0]
        is_there = re.search(r"\bruff\b", names) is not None
        why = "pre-commit runs it on some files alone" if "exclude:" in hooks else ""
        if not version and not is_there:
            why = "no version of ruff is named, and newer ones find more"
        yield "lint", f"{bin_folder}/ruff check", "" if is_there else f"ruff=={version}", why
        if not why and "ruff-format" in hooks:
            yield "format", f"{bin_folder}/ruff format --check", "", ""
    if (
        "mypy" in tool
        and re.search(r"\bmypy\b", names)
        and {"files", "packages"} & {*tool.table("mypy")}
    ):
        yield "types", f"{bin_folder}/mypy", "", ""


def _set_up(project: _Project, pins: list[str]) -> dict[str, Any]:
    folder, wanted, venv = project.folder, project.wanted, project.venv
    files = [name for name in (*_SETUP_FILES, *wanted.sources) if folder.has(name)]
    lines = [*_installs(project, pins)]
    if not _is_ignored(folder, venv):
        lines.append(f"echo '*' > {venv}/.gitignore")
    keys: dict[str, Any] = {
        "sources": [folder.from_root(name) for name in dict.fromkeys(files)],
        "generates": [folder.from_root(venv)],
        "cache": True,
        "run": "\n".join(lines) + "\n" * (len(lines) > 1),
    }
    if passed := sorted(filter(_OF_PIP.fullmatch, folder.environ)):
        keys = {"pass_env": passed, **keys, "cache": {"env": passed}}
    return keys


def _installs(project: _Project, pins: list[str]) -> Iterator[str]:
    folder, wanted, venv = project.folder, project.wanted, project.venv
    if (
        folder.has("uv.lock")
        and folder.installed("uv")
        and (wanted.extras or wanted.groups or not wanted.words)
    ):
        more = [
            *(f" --extra {e}" for e in wanted.extras),
            *(f" --group {g}" for g in wanted.groups),
        ]
        yield f"UV_PROJECT_ENVIRONMENT={venv} uv sync --frozen{''.join(more)}"
        if pins:
            yield f"uv pip install --quiet --python {venv} {' '.join(pins)}"
        return
    yield f"{project.python} -m venv {venv}"
    if wanted.groups:
        yield f"{venv}/bin/pip install --quiet --upgrade 'pip>=25.1'  # which knows --group"
    words = [*_itself(folder, wanted), *wanted.words, *pins]
    if words:
        yield f"{venv}/bin/pip install --quiet {' '.join(words)}"


def _itself(folder: Folder, wanted: Wanted) -> list[str]:
    """The project as pip installs it, or what it needs if it is no package."""
    pyproject = folder.toml("pyproject.toml")
    is_package = folder.has("setup.py") or "build-system" in pyproject or bool(wanted.extras)
    if is_package or (folder.has("setup.cfg") and "[metadata]" in folder.text("setup.cfg")):
        extras = f"[{','.join(wanted.extras)}]" if wanted.extras else ""
        return ["--editable", f"'.{extras}'" if extras else "."]
    if folder.has("requirements.txt") and "requirements.txt" not in wanted.words:
        return ["--requirement", "requirements.txt"]
    listed = pyproject.table("project").texts("dependencies")
    return [*map(quote, listed)]


def _is_ignored(folder: Folder, venv: str) -> bool:
    """Whether git passes over the environment as it is, or this is no work tree of git."""
    if folder.answer("git", "rev-parse", "--is-inside-work-tree") is None:
        return True
    return folder.answer("git", "check-ignore", "--", folder.path(f"{venv}/bin")) is not None
