"""Regular expressions that are compiled, and modules that are imported, when they are first asked
something.

Compiling the expressions of all modules took 4 ms of every run's start, and most runs ask few of
them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, AnyStr

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


def module(name: str) -> Any:
    """A module that most runs do without; its type is for an import under TYPE_CHECKING to say."""
    return _Module(name)


class _Module:
    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        __import__(self.__name__)
        return getattr(sys.modules[self.__name__], name)


class _Lazy:
    def __init__(self, text: Any, flags: int) -> None:
        self.pattern = text
        self.flags = flags

    def __getattr__(self, name: str) -> Any:
        """What is not there yet: the first time, any method; put here, so that it is found next."""
        compiled = _compile(self.pattern, self.flags)
        self.__dict__ |= {method: getattr(compiled, method) for method in _METHODS}
        return getattr(compiled, name)
