"""The map of the source names every module, and every module says what it is for."""

import ast

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
