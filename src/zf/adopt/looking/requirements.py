"""What a Python project's tests need to be installed, as words for pip: from wherever it says so.

Dependency groups (PEP 735), extras, environments of Hatch, groups of Poetry and PDM, requirements
files and tox's `deps` are asked in this order; the first that names the test runner counts.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Any

from zf.adopt.looking.folder import Folder, Table
from zf.lean.records import Struct

_FOR_TESTS = ("tests", "test", "testing", "dev", "develop", "development", "all")
FILES = (
    "requirements-dev.txt",
    "requirements-test.txt",
    "requirements-tests.txt",
    "requirements_dev.txt",
    "requirements_test.txt",
    "dev-requirements.txt",
    "test-requirements.txt",
    "requirements/dev.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/testing.txt",
    "tests/requirements.txt",
)


class Wanted(Struct, frozen=True):
    """Words for `pip install`, the files they are from, and all names in them for a search."""

    words: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    names: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def of_tests(folder: Folder, runner: str) -> Wanted:
    """What the tests need beside the project itself."""
    found = list(_places(folder))
    for one in found:
        if re.search(rf"\b{runner}\b", one.names):
            return one
    return found[0] if found else Wanted()


def _places(folder: Folder) -> Iterator[Wanted]:
    project = folder.toml("pyproject.toml")
    yield from _groups(project)
    yield from _extras(project)
    yield from _setup_cfg(folder)
    tool = project.table("tool")
    yield from _hatch(tool)
    yield from _poetry(tool)
    yield from _listed(tool.table("pdm", "dev-dependencies"), _FOR_TESTS)
    yield from _listed(tool.table("uv"), ("dev-dependencies",))
    yield from _files(folder)
    yield from _tox(folder)


def _groups(project: Table) -> Iterator[Wanted]:
    groups = project.table("dependency-groups")
    for name in _FOR_TESTS:
        if name in groups:
            names = " ".join(_in_group(groups, name, 0))
            yield Wanted(("--group", name), ("pyproject.toml",), names, groups=(name,))


def _in_group(groups: Table, name: str, depth: int) -> Iterator[str]:
    for entry in groups.listed(name):
        if isinstance(entry, str):
            yield entry
        elif depth < 5:  # further down it says the same again
            yield from _in_group(groups, Table(entry).text("include-group"), depth + 1)


def _extras(project: Table) -> Iterator[Wanted]:
    extras = project.table("project", "optional-dependencies")
    for name in _FOR_TESTS:
        if name in extras:
            yield Wanted((), ("pyproject.toml",), " ".join(extras.texts(name)), extras=(name,))


def _setup_cfg(folder: Folder) -> Iterator[Wanted]:
    for name, value in ini(folder.text("setup.cfg"), "options.extras_require").items():
        if name in _FOR_TESTS:
            yield Wanted((), ("setup.cfg",), value, extras=(name,))


def _hatch(tool: Table) -> Iterator[Wanted]:
    envs = tool.table("hatch", "envs")
    for name in ("hatch-test", "test", "tests", "default"):
        env = envs.table(name)
        listed = [*env.texts("dependencies"), *env.texts("extra-dependencies")]
        features = tuple(env.texts("features"))
        if listed or features:
            names = " ".join((*listed, *features, *(["pytest"] if name == "hatch-test" else [])))
            words = tuple(map(quote, listed))
            yield Wanted(words, ("pyproject.toml",), names, extras=features)


def _poetry(tool: Table) -> Iterator[Wanted]:
    poetry = tool.table("poetry")
    groups = [poetry.table("group", name, "dependencies") for name in poetry.table("group")]
    both = [*groups, poetry.table("dev-dependencies")]
    for group in both:
        if "pytest" in group:
            words = tuple(quote(_requirement(group, name)) for name in group if name != "python")
            yield Wanted(words, ("pyproject.toml",), " ".join(words))


def _requirement(group: Table, name: str) -> str:
    """Poetry's `pytest = "^8.1"` as pip takes it."""
    said = group.text(name) or group.table(name).text("version")
    extras = ",".join(group.table(name).texts("extras"))
    name += f"[{extras}]" if extras else ""
    if caret := re.fullmatch(r"[\^~]([0-9]+)((?:\.[0-9]+)*)", said):
        return f"{name}>={caret[1]}{caret[2]}" + (
            f",<{int(caret[1][:9]) + 1}" if caret[1] != "0" else ""
        )
    if re.fullmatch(r"[0-9][\w.]*", said):
        return f"{name}=={said}"
    return name + said.replace(" ", "") if re.match(r"[<>=!~]=?[0-9]", said) else name


def _listed(groups: Table, names: Sequence[str]) -> Iterator[Wanted]:
    for name in names:
        if listed := groups.texts(name):
            yield Wanted(tuple(map(quote, listed)), ("pyproject.toml",), " ".join(listed))


def _files(folder: Folder) -> Iterator[Wanted]:
    for name in FILES:
        if text := folder.text(name):
            yield Wanted(("--requirement", quote(name)), (name,), text)


def _tox(folder: Folder) -> Iterator[Wanted]:
    deps = ini(folder.text("tox.ini"), "testenv").get("deps", "")
    lines = [line.partition(" #")[0].strip() for line in deps.splitlines()]
    words: list[str] = []
    texts: list[str] = []
    for line in lines:
        # What has a factor before it, or a substitution in it, is tox's own.
        if not line or "{" in line or re.match(r"[\w!,-]+: ", line):
            continue
        file = re.match(r"-r *(.*)", line)
        words += ["--requirement", quote(file[1])] if file else [quote(line)]
        texts += [folder.text(file[1])] if file else []
    if words:
        yield Wanted(tuple(words), ("tox.ini",), " ".join((*words, *texts)))


def ini(text: str, section: str) -> dict[str, str]:
    """A section of an INI file; empty if there is none, or the file is none."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
        return dict(parser[section]) if section in parser else {}
    except (configparser.Error, ValueError):
        return {}


def pinned(folder: Folder, repository: str) -> tuple[str, Any]:
    """The version at which pre-commit has a tool, and its hooks; nothing if it has not. Where a
    commit is named, its version stands behind it.
    """
    text = folder.text(".pre-commit-config.yaml")
    version = r"(?:[0-9a-f]{40}['\"]? *# *(?:frozen: *)?)?v?([\w.]+)"
    hooks = r"((?:.*\n)(?:(?!\s*-? *repo:).*\n?)*)"
    place = rf"https://github.com/{repository}(?:\.git)?"
    found = re.search(rf"repo: *['\"]?{place}['\"]?\s+rev: *['\"]?{version}{hooks}", text)
    return (found[1], found[2]) if found else ("", "")
