"""Variables and templates of a Taskfile, worked out as far as that can be done without Task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from zf.adopt.importers.names import as_variable
from zf.adopt.importers.reading import Map, as_text
from zf.adopt.importers.scripts import Meant, Unsayable, is_plain, put
from zf.lean.records import Struct, field
from zf.model import RESERVED_ENV
from zf.variables import is_allowed

TEMPLATE = re.compile(r"\{\{-?\s*((?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^}\"`]|\}(?!\}))*?)\s*-?\}\}")
_NAME = re.compile(r"\.([A-Za-z_]\w*)")
_DEFAULT = re.compile(
    r"\.([A-Za-z_]\w*)\s*\|\s*default\s+(\"(?:[^\"\\]|\\.)*\"|`[^`]*`|-?[0-9.]+|true|false|\.\w+)"
    r"|default\s+(\"(?:[^\"\\]|\\.)*\"|`[^`]*`|-?[0-9.]+|true|false|\.\w+)\s+\.([A-Za-z_]\w*)"
)
_SYSTEM = {
    "OS": "uname -s | tr A-Z a-z",
    "ARCH": "uname -m",
    "numCPU": "nproc",
}
_MOST_DEPTH = 30


class Scope(Struct):
    """What `{{.NAME}}` means at a place: `own` hides `outer`. A variable that is nowhere is asked
    for, by `ask`, as a run's input with this default; `fixed` are those that Task itself sets.
    """

    own: Mapping[str, Any]
    ask: Callable[[str, str], str]
    outer: Scope | None = None
    fixed: Mapping[str, Meant] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Any, Scope] | None:
        """The value as it is written, and the scope in which it is to be worked out."""
        if name in self.own:
            return self.own[name], self
        return self.outer.find(name) if self.outer else None

    def special(self, name: str) -> Meant:
        """What Task itself says of a name."""
        found = self.fixed.get(name)
        return found if found or self.outer is None else self.outer.special(name)


def script(text: str, scope: Scope, env: dict[str, str]) -> str:
    """A command with variables in place of its templates; `env` gains what those need. Raises
    Unsayable.
    """
    return put(text, TEMPLATE, lambda found: _meant(found[1], scope, env, found[0]))


def text(value: str, scope: Scope) -> str:
    """A text whose templates are all known. Raises Unsayable."""

    def known(found: re.Match[str]) -> str:
        meant = _value(found[1], scope, 0)
        if meant is None or meant[0] != "literal":
            raise Unsayable(found[0])
        return meant[1]

    return TEMPLATE.sub(known, value)


def of_env(value: Any, scope: Scope) -> str:
    """A value of `env` as zf has it. Raises Unsayable."""
    said = as_text(value)
    if said is None:
        raise Unsayable(_shown(value))

    def put_in(found: re.Match[str]) -> str:
        meant = _value(found[1], scope, 0)
        if meant is not None and meant[0] == "literal":
            return meant[1].replace("${", "$${")
        if meant is not None and meant[0] == "variable":
            return f"${{{meant[1]}}}"
        raise Unsayable(found[0])

    return TEMPLATE.sub(put_in, said.replace("${", "$${"))


def items(value: Any, scope: Scope) -> list[str]:
    """The entries of a list, or the words of a text. Raises Unsayable."""
    if isinstance(value, list):
        return [text(as_text(one) or "", scope) for one in value]
    return text(as_text(value) or "", scope).split()


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (Map, list)) else str(value)


def _meant(said: str, scope: Scope, env: dict[str, str], whole: str) -> Meant:
    """What stands for a template in a script."""
    meant = _value(said, scope, 0)
    if meant is None:
        raise Unsayable(whole)
    named = _NAME.fullmatch(said)
    is_fixed = named is not None and scope.special(named[1]) is not None
    if meant[0] == "literal" and named and not is_fixed and is_plain(meant[1]) and meant[1]:
        name = as_variable(named[1])
        if is_allowed(name) or name in RESERVED_ENV:
            return meant
        value = meant[1].replace("${", "$${")
        if env.setdefault(name, value) == value:
            return "variable", name
    return meant


def _value(said: str, scope: Scope, depth: int) -> Meant:
    """What an expression in braces comes to; None: only Task knows."""
    if depth > _MOST_DEPTH:
        return None
    said = said.strip()
    if said.startswith("/*"):
        return "literal", ""
    if match := _NAME.fullmatch(said):
        return _named(match[1], scope, None, depth)
    if match := _DEFAULT.fullmatch(said):
        name, default = match[1] or match[4], match[2] or match[3]
        return _named(name, scope, default, depth)
    if said in _SYSTEM:
        return "command", _SYSTEM[said]
    if said == "exeExt":
        return "literal", ""
    if re.fullmatch(r"\"(?:[^\"\\]|\\.)*\"|`[^`]*`", said):
        return "literal", _string(said)
    return None


def _string(said: str) -> str:
    return said[1:-1] if said[0] == "`" else re.sub(r"\\(.)", r"\1", said[1:-1])


def _named(name: str, scope: Scope, default: str | None, depth: int) -> Meant:
    fixed = scope.special(name)
    if fixed is not None:
        return fixed
    found = scope.find(name)
    if found is None:
        if default is not None and default.startswith("."):
            inner = _named(default[1:], scope, None, depth + 1)
            if inner is None or inner[0] != "literal":
                return None
            return "variable", scope.ask(name, inner[1])
        return "variable", scope.ask(name, _default(default))
    value, inside = found
    return _worked_out(name, value, inside, default, depth)


def _default(default: str | None) -> str:
    if default is None:
        return ""
    return _string(default) if default[:1] in {'"', "`"} else default


def _worked_out(name: str, value: Any, scope: Scope, default: str | None, depth: int) -> Meant:
    """A variable's value. One that means itself means what is around."""
    if isinstance(value, Map):
        command = value.get("sh")
        if isinstance(command, str) and set(value) == {"sh"}:
            return _command(command, scope, depth)
        return None
    if isinstance(value, list):
        return None
    said = as_text(value) or ""
    outer = Scope(
        {key: one for key, one in scope.own.items() if key != name},
        scope.ask,
        scope.outer,
        scope.fixed,
    )
    single = TEMPLATE.fullmatch(said.strip())
    if single:
        return _value(single[1], outer, depth + 1)
    try:
        whole = TEMPLATE.sub(lambda found: _literal(found, outer, depth), said)
    except Unsayable:
        return None
    return "literal", whole or _default(default)


def _literal(found: re.Match[str], scope: Scope, depth: int) -> str:
    meant = _value(found[1], scope, depth + 1)
    if meant is None or meant[0] != "literal":
        raise Unsayable(found[0])
    return meant[1]


def _command(command: str, scope: Scope, depth: int) -> Meant:
    """What a command prints, with its own templates known or variables."""

    def meant(found: re.Match[str]) -> Meant:
        return _value(found[1], scope, depth + 1)

    try:
        return "command", put(command.strip(), TEMPLATE, meant)
    except Unsayable:
        return None
