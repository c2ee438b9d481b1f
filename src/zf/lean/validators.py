"""pydantic's compiled validators, without the Python half of their package.

`import pydantic_core` takes 12 ms. 1 of them is the compiled module; the rest are eighty typed
dicts that tell type checkers what a schema may hold, and what these import. A run imports it twice,
in the process that loads the project and in the runner, which searches with it: 15 % of the time
before the first task. So the compiled module is loaded by itself, under its own name: an import of
the package later, as by `zf schema`, gets this very module. Should a later pydantic be put
together differently, the package is imported as usual.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, ValidationError

__all__ = ["PydanticCustomError", "SchemaError", "SchemaValidator", "ValidationError"]

_NAME = "pydantic_core._pydantic_core"


def _compiled() -> Any:
    package = None if _NAME in sys.modules else PathFinder.find_spec("pydantic_core")
    if package is not None:
        spec = PathFinder.find_spec(_NAME, package.submodule_search_locations)
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return sys.modules.setdefault(_NAME, module)
    import pydantic_core  # noqa: PLC0415 - the last resort

    return pydantic_core


if not TYPE_CHECKING:
    _core = _compiled()
    PydanticCustomError = _core.PydanticCustomError
    SchemaError = _core.SchemaError
    SchemaValidator = _core.SchemaValidator
    ValidationError = _core.ValidationError
