"""A justfile as text -> its settings, assignments, aliases and recipes, with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zf.adopt.importers.just.values import Unknown, string, tokens
from zf.lean.records import Struct, field

_ASSIGNMENT = re.compile(
    r"(?:(export|eager|lazy)\s+)?([A-Za-z_][A-Za-z0-9_-]*)\s*:=\s*(.*)", re.DOTALL
)
_SETTING = re.compile(r"set\s+([a-z-]+)\s*(?::=\s*(.*))?", re.DOTALL)
_ALIAS = re.compile(r"alias\s+([A-Za-z_][\w-]*)\s*:=\s*([A-Za-z_][\w:-]*)")
_IMPORT = re.compile(r"import(\?)?\s+(['\"])(.*)\2")
_MODULE = re.compile(r"mod(\?)?\s+([A-Za-z_][\w-]*)")
_HEADER = re.compile(r"(@)?([A-Za-z_][A-Za-z0-9_-]*)(?=[\s:])(.*)", re.DOTALL)
_ATTRIBUTE = re.compile(
    r"\s*([a-z-]+)\s*(?:\(([^()]*)\)|:\s*('[^']*'|\"[^\"]*\"))?\s*(?:,|$)", re.DOTALL
)


class Parameter(Struct):
    """A parameter: `kind` is `*` or `+` for one that takes many; `default` as it is written."""

    name: str
    kind: str = ""
    default: str | None = None
    exported: bool = False


class Dependency(Struct):
    """A recipe that another runs, and the expressions that it gives it."""

    name: str
    arguments: list[str] = field(default_factory=list)


class Recipe(Struct):
    """A recipe; `body` has its lines with their numbers, without their indent."""

    name: str
    line: int
    doc: str = ""
    quiet: bool = False
    attributes: list[tuple[str, str]] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    before: list[Dependency] = field(default_factory=list)
    after: list[Dependency] = field(default_factory=list)
    body: list[tuple[int, str]] = field(default_factory=list)
    wrong: str = ""

    def has(self, attribute: str) -> bool:
        """Whether it has an attribute of this name."""
        return any(name == attribute for name, _ in self.attributes)


class Justfile(Struct):
    """All that one file says, in its order; what is not known is in `odd`, with its line."""

    settings: dict[str, tuple[str, int]] = field(default_factory=dict)
    assignments: dict[str, tuple[str, int]] = field(default_factory=dict)
    exports: set[str] = field(default_factory=set)
    aliases: dict[str, tuple[str, int]] = field(default_factory=dict)
    imports: list[tuple[str, int, bool]] = field(default_factory=list)
    modules: list[tuple[str, int]] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    odd: list[tuple[str, int]] = field(default_factory=list)


def parse(text: str) -> Justfile:
    """What a justfile says. Never raises: what cannot be read is `odd`."""
    found = Justfile()
    doc = ""
    attributes: list[tuple[str, str]] = []
    recipe: Recipe | None = None
    for number, line in _logical(text):
        if line[:1] in {" ", "\t"} or not line.strip():
            if recipe is not None:
                recipe.body.append((number, line))
            continue
        if line.startswith("#"):
            doc = line.lstrip("#! ").strip()
            continue
        if line.startswith("[") and line.rstrip().endswith("]"):
            attributes += _attributes(line.strip()[1:-1])
            continue
        recipe = None if _statement(found, line, number) else _recipe(line, number)
        if recipe is not None:
            recipe.doc, recipe.attributes = doc, attributes
            found.recipes.append(recipe)
        doc, attributes = "", []
    for one in found.recipes:
        one.body = _dedented(one.body)
    return found


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those that go on joined: at a backslash outside of bodies, and in
    strings and backticks of several lines.
    """
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if line[:1] not in {" ", "\t", "#", ""}:
            while at < len(lines) and (line.endswith("\\") or _is_open(line)):
                line = f"{line.removesuffix(chr(92))}\n{lines[at]}"
                at += 1
        yield start + 1, line


def _is_open(line: str) -> bool:
    """Whether a string of several lines, or a parenthesis of an assignment, is not closed yet."""
    for quote in ('"""', "'''", "```"):
        if line.count(quote) % 2:
            return True
    if ":=" not in line:
        return False
    bare = re.sub(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|#.*", "", line)
    return bare.count("(") > bare.count(")") or bare.count("{") > bare.count("}")


def _statement(found: Justfile, line: str, number: int) -> bool:
    """Take in a line that is no recipe; whether it is none."""
    bare = line.strip()
    if match := _SETTING.fullmatch(bare):
        found.settings[match[1]] = (_uncommented(match[2] or "true"), number)
    elif match := _ALIAS.match(bare):
        found.aliases[match[1]] = (match[2], number)
    elif match := _IMPORT.match(bare):
        found.imports.append((match[3], number, bool(match[1])))
    elif (match := _MODULE.match(bare)) and not _HEADER_END.search(bare):
        found.modules.append((match[2], number))
    elif bare.startswith("unexport "):
        found.odd.append((bare, number))
    elif match := _ASSIGNMENT.fullmatch(bare):
        found.assignments[match[2]] = (_uncommented(match[3]), number)
        if match[1] == "export":
            found.exports.add(match[2])
    elif not _HEADER.match(bare):
        found.odd.append((bare, number))
    else:
        return False
    return True


_HEADER_END = re.compile(r":(?!=|:)")


def _uncommented(expression: str) -> str:
    """The expression without a comment behind it."""
    parts = re.findall(
        r"'''.*?'''|\"\"\".*?\"\"\"|'[^']*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|#[^\n]*|.",
        expression,
        flags=re.DOTALL,
    )
    return "".join(part for part in parts if not part.startswith("#")).strip()


def _attributes(inside: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(inside) and (match := _ATTRIBUTE.match(inside, at)):
        said = (match[2] or match[3] or "").strip()
        found.append((match[1], string(said) if said[:1] in {"'", '"'} and said else said))
        at = match.end()
    if inside[at:].strip():  # what is not read is told, and not passed over
        found.append((inside[at:].strip(), ""))
    return found


def _recipe(line: str, number: int) -> Recipe:
    match = _HEADER.match(line.strip())
    assert match is not None  # else it is a statement
    recipe = Recipe(match[2], number, quiet=bool(match[1]))
    try:
        _signature(recipe, _uncommented(match[3]))
    except Unknown as error:
        recipe.wrong = str(error)
    return recipe


def _signature(recipe: Recipe, said: str) -> None:
    """Parameters, the colon, and what runs before and after. Raises Unknown."""
    before, colon, rest = _split_at_colon(said)
    if not colon:
        raise Unknown("there is no colon")
    recipe.parameters = _parameters(before)
    target = recipe.before
    words = _words(rest)
    for word in words:
        if word == "&&":
            target = recipe.after
        elif word.startswith("("):
            name, *arguments = _words(word[1:-1])
            target.append(Dependency(name, arguments))
        else:
            target.append(Dependency(word))


def _split_at_colon(said: str) -> tuple[str, str, str]:
    """What stands before and behind the colon that ends the parameters."""
    depth, quote = 0, ""
    for at, char in enumerate(said):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"`":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == ":" and not depth:
            return said[:at], ":", said[at + 1 :]
    return said, "", ""


def _words(said: str) -> list[str]:
    """Words with blanks between them; strings, calls and parentheses are one word."""
    found = re.findall(
        r"(?:'[^']*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`|\((?:[^()'\"]|'[^']*'|\"(?:[^\"\\]|\\.)*\"|\([^()]*\))*\)"
        r"|[^\s'\"`()])+",
        said,
    )
    return [str(word) for word in found]


def _parameters(said: str) -> list[Parameter]:
    found: list[Parameter] = []
    for word in _words(re.sub(r"\s*=\s*", "=", said)):
        match = re.fullmatch(r"([*+])?(\$)?([A-Za-z_][A-Za-z0-9_-]*)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            raise Unknown(f"the parameter {word}")
        if match[4]:
            tokens(match[4])
        found.append(Parameter(match[3], match[1] or "", match[4], bool(match[2])))
    return found


def _dedented(body: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The lines without the indent that all have, and without empty ones at the end."""
    while body and not body[-1][1].strip():
        body = body[:-1]
    first = next((line for _, line in body if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    return [(number, line.removeprefix(indent)) for number, line in body]
