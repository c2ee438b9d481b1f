"""What a caller of the other tool gives it -> inputs of runs, each declared once."""

from __future__ import annotations

from typing import Any

from zf.adopt.importers.model import Import
from zf.adopt.importers.names import as_input, as_variable
from zf.redact.secret_forms import is_secret_name


def ask(source: Import, name: str, default: str | None, owner: str, **keys: Any) -> str:
    """The name of an input for what `owner` calls so; None: it has no default. Tasks whose
    defaults differ have inputs of their own.
    """
    entry: dict[str, Any] = {**keys} if default is None else {"default": default, **keys}
    made = as_input(name)
    number = 2
    while not _is_free(source, made, entry):
        base = as_input(f"{owner}-{name}")
        made = base if number == 2 else as_input(f"{base[:60]}-{number}")
        number += 1
    if default is not None and is_secret_name(variable_of(made)):
        entry["secret"] = False
    source.inputs[made] = entry
    return made


def written(source: Import) -> dict[str, Any]:
    """The inputs as zf.yaml has them: one that only has a default is that."""
    return {
        name: entry["default"] if set(entry) == {"default"} else entry
        for name, entry in source.inputs.items()
    }


def _is_free(source: Import, made: str, entry: dict[str, Any]) -> bool:
    """Whether an input may be called so: it is the same, or no other has its variable."""
    variable = as_variable(made).upper()
    same = [one for one in source.inputs if as_variable(one).upper() == variable]
    known = {k: v for k, v in source.inputs.get(made, {}).items() if k != "secret"}
    return not same or (
        same == [made] and known == {k: v for k, v in entry.items() if k != "secret"}
    )


def variable_of(name: str) -> str:
    """The variable in which steps have an input."""
    return f"INPUT_{as_variable(name).upper()}"
