"""Regular expressions that are compiled, and modules that are imported, when they are first asked
something; and the compiled half of a package without the rest of it.

Compiling the expressions of all modules took 4 ms of every run's start, and most runs ask few of
them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, AnyStr

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_compile = re.compile
_METHODS = ("match", "fullmatch", "search", "findall", "finditer", "split", "sub")


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Like `re.compile`; a mistake in the expression shows when it is used."""
    return _Lazy(text, flags)  # type: ignore[return-value]  # it becomes one


@contextmanager
def compiling() -> Iterator[None]:
    """Have what others import meanwhile compile its expressions like this, too."""
    at_once, re.compile = re.compile, pattern  # type: ignore[assignment]
    try:
        yield
    finally:
        re.compile = at_once


@contextmanager
def standing_in(others: Mapping[str, Any]) -> Iterator[None]:
    """Have what is imported meanwhile find these in the place of modules that are not there yet;
    None stands for one that is not installed.
    """
    new = {name: one for name, one in others.items() if name not in sys.modules}
    sys.modules |= new
    try:
        yield
    finally:
        for name in new:
            del sys.modules[name]


def module(name: str) -> Any:
    """A module that most runs do without; its type is for an import under TYPE_CHECKING to say."""
    return _Module(name)


def compiled_half(package: str, name: str) -> Any:
    """The compiled module of this name in a package, without the Python half of the package, which
    is not imported for it. An import of the package later gets this very module. Should a later
    package be put together differently, it is imported as usual.
    """
    whole = f"{package}.{name}"
    found = None if package in sys.modules else _spec_of(package)
    if found is not None and found.submodule_search_locations:
        # What the module itself needs of its package is found through this.
        bare = sys.modules[package] = ModuleType(package)
        bare.__path__ = found.submodule_search_locations
        try:
            __import__(whole)
        except ImportError:
            sys.modules.pop(whole, None)
        finally:
            del sys.modules[package]
    if whole not in sys.modules:
        __import__(whole)
    return sys.modules[whole]


def _spec_of(package: str) -> ModuleSpec | None:
    """Where an import of a package would find it. (`importlib`, which says that, takes 0.4 ms.)"""
    specs = (finder.find_spec(package, None) for finder in sys.meta_path)
    return next(filter(None, specs), None)


class _Module:
    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        __import__(self.__name__)
        # Put here, so that it is found at once the next time.
        found = self.__dict__[name] = getattr(sys.modules[self.__name__], name)
        return found


class _Lazy:
    def __init__(self, text: Any, flags: int) -> None:
        self.pattern = text
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: the first time, any method; put here, so that it is found next."""
        compiled = _compile(self.pattern, self.flags)
        self.__dict__ |= {method: getattr(compiled, method) for method in _METHODS}
        return getattr(compiled, name)
