"""What is compiled or imported late is the same as at once."""

import re
import subprocess
import sys

import pytest

from zf.lean import lazy


def test_every_method_is_that_of_the_compiled_one():
    mine, real = lazy.pattern(r"(a)(b)?"), re.compile(r"(a)(b)?")
    for method in ("match", "fullmatch", "search"):
        found, expected = getattr(mine, method)("ab"), getattr(real, method)("ab")
        assert found.groups() == expected.groups()
        assert getattr(mine, method)("b") is None
    assert mine.findall("ab a") == real.findall("ab a")
    assert [m.start() for m in mine.finditer("ab a")] == [0, 3]
    assert mine.sub("x", "ab a") == "x x"
    assert mine.split("ab-a") == real.split("ab-a")
    assert mine.pattern == real.pattern
    assert mine.groups == 2


def test_flags_and_bytes():
    assert lazy.pattern(rb"^a", re.MULTILINE).findall(b"a\na") == [b"a", b"a"]


def test_it_is_compiled_once_and_not_before_it_is_asked(monkeypatch):
    compiled = []
    monkeypatch.setattr(
        lazy, "_compile", lambda *args, real=re.compile: compiled.append(args) or real(*args)
    )
    mine = lazy.pattern("late")
    assert compiled == []
    assert mine.match("late")
    assert mine.search("too late")
    assert compiled == [("late", 0)]


def test_a_mistake_shows_when_it_is_used():
    with pytest.raises(re.error):
        lazy.pattern("(").match("")


def test_what_others_compile_meanwhile_waits_too_and_works():
    at_once = re.compile
    with lazy.compiling():
        found = re.compile("a+")
        assert type(found) is lazy._Lazy
        assert found.match("aa")
    assert re.compile is at_once


def test_a_module_is_imported_when_it_is_asked():
    program = (
        "import sys; from zf.lean import lazy; late = lazy.module('colorsys')\n"
        "assert 'colorsys' not in sys.modules\n"
        "assert late.rgb_to_hsv is sys.modules['colorsys'].rgb_to_hsv"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_expression_of_zf_compiles():
    """What `re.compile` would have said when the module was imported."""
    program = (
        "import importlib, pkgutil, zf; from zf.lean.lazy import _Lazy\n"
        "count = 0\n"
        "for found in pkgutil.walk_packages(zf.__path__, 'zf.'):\n"
        "    for value in vars(importlib.import_module(found.name)).values():\n"
        "        if isinstance(value, _Lazy):\n"
        "            value.search; count += 1\n"
        "assert count > 20, count"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
