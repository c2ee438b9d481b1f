"""pydantic's compiled validators, without the Python half of their package.

`import pydantic_core` takes 12 ms. 1 of them is the compiled module; the rest are eighty typed
dicts that tell type checkers what a schema may hold, and what these import. A run imports it twice,
in the process that loads the project and in the runner, which searches with it: 15 % of the time
before the first task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zf.lean.lazy import compiled_half

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError, SchemaError, SchemaValidator, ValidationError

__all__ = ["PydanticCustomError", "SchemaError", "SchemaValidator", "ValidationError"]

if not TYPE_CHECKING:
    _core = compiled_half("pydantic_core", "_pydantic_core")
    PydanticCustomError = _core.PydanticCustomError
    SchemaError = _core.SchemaError
    SchemaValidator = _core.SchemaValidator
    ValidationError = _core.ValidationError
