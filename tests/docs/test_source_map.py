"""The map of the source names every module, and every module says what it is for."""

import ast
import re
import tomllib

import pytest

from tests.support import source_map

MODULES = sorted(source_map.SOURCE.rglob("*.py"))


def test_the_page_is_what_the_modules_say():
    written = source_map.PAGE.read_text()
    assert written == source_map.page(), "write it anew: ./dev python tests/support/source_map.py"


def test_no_module_is_missing_because_its_folder_is_no_room():
    folders = {path.parent for path in MODULES}
    assert folders == {source_map.SOURCE, *source_map.rooms()}


@pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(source_map.SOURCE)) for path in MODULES]
)
def test_every_module_opens_with_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert source_map.first_sentence(path)


def test_a_module_without_a_docstring_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source_map, "ROOT", tmp_path)
    silent = tmp_path / "silent.py"
    silent.write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"silent.py does not say what it is for"):
        source_map.first_sentence(silent)


def test_a_module_that_calls_itself_pure_is_held_to_it():
    settings = tomllib.loads((source_map.ROOT / "pyproject.toml").read_text())
    [held] = [
        contract["source_modules"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith("The pure parts")
    ]
    for path in MODULES:
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        parts = ("zf", *path.relative_to(source_map.SOURCE).with_suffix("").parts)
        names = {".".join(parts[:length]) for length in range(2, len(parts) + 1)}
        assert not re.search(r"\bPure\b", said) or names & set(held), path


@pytest.mark.parametrize("room", source_map.rooms(), ids=str)
def test_a_room_can_be_taken_in_at_a_glance(room):
    modules = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 14


@pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(source_map.SOURCE)) for path in MODULES]
)
def test_a_module_holds_one_idea(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 450
    for one in ast.walk(ast.parse(text)):
        if isinstance(one, ast.ClassDef):
            methods = [each for each in one.body if isinstance(each, ast.FunctionDef)]
            assert len(methods) <= 30, one.name
