"""Writes the tables of fields in conventions/PROOFS_CONVENTION.md from the JSON Schemas.

Run it (`./dev python tests/support/proof_tables.py`) after a change of a schema; a test compares.
"""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
PAGE = ROOT / "conventions" / "PROOFS_CONVENTION.md"
PLACE = re.compile(r"(<!-- fields: ([\w-]+)(?: (\w+))? -->\n)(?:\|.*\n)*")
WORDS = {
    r"^([0-9a-f]{32})?$": "trace id, or empty",
    r"^[0-9a-f]{32}$": "32 hex digits",
    r"^[0-9a-f]{64}$": "SHA-256",
    r"^([0-9a-f]{64})?$": "SHA-256, or empty",
    r"^sha256:[0-9a-f]{64}$": "`sha256:` and SHA-256",
    r"^(?:sha256:[0-9a-f]{64})?$": "`sha256:` and SHA-256, or empty",
    r"^([0-9a-f]{32}|)$": "32 hexadecimal digits, or empty",
    r"^(mount|mount\+landlock|unknown|none: .+)$": "`mount`, `mount+landlock`, `unknown`, `none: ` and a reason",
    r"^(sandbox|container|none: .+)$": "`sandbox`, `container`, `none: ` and a reason",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$": "time",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$": "id",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(?:@[A-Za-z0-9_=,.+-]{1,100})?$": "task id",
    r"^[0-9a-f]{40}([0-9a-f]{24})?$": "git object",
}
NAMES = {"string": "text", "integer": "whole number", "array": "list", "boolean": "true or false"}


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def kind(field: dict) -> str:
    """The type of a field in a word or two."""
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return "see there"
    types = field.get("type", [])
    types = [types] if isinstance(types, str) else types
    values = [value for value in field.get("enum", []) if value is not None]
    null = "null" in types or None in field.get("enum", [])
    if "pattern" in field:
        word = WORDS[field["pattern"]]
    elif values and len(values) < 8:
        said = (value if isinstance(value, str) else json.dumps(value) for value in values)
        word = ", ".join(f"`{value}`" for value in said)
    elif len(several := [name for name in types if name != "null"]) > 1:
        word = ", ".join(NAMES.get(name, name) for name in several)
    elif field.get("items"):
        word = f"list of {kind(field['items'])}s" if "properties" not in field["items"] else "list"
    elif types:
        word = NAMES.get(next(t for t in types if t != "null"), types[0])
    else:
        word = "any value"
    return f"{word}, null" if null else word


def rows(fields: dict, prefix: str = "") -> list[tuple[str, str, str]]:
    """Field, type and meaning of every field, those inside others after them."""
    found = []
    for name, field in fields["properties"].items():
        optional = name not in fields.get("required", ())
        found.append(
            (
                f"`{prefix}{name}`",
                kind(field) + (", optional" if optional else ""),
                field["description"],
            )
        )
        inner, path = field, f"{prefix}{name}"
        if "items" in field:
            inner, path = field["items"], f"{path}[]"
        elif isinstance(field.get("additionalProperties"), dict):
            inner, path = field["additionalProperties"], f"{path}.*"
        if "properties" in inner:
            found += rows(inner, f"{path}.")
    return found


def table(name: str, part: str | None) -> str:
    fields = schema(name)
    if part:
        fields = fields["$defs"][part]
        envelope = {"seq", "prev", "wall", "mono", "run"}
        if part != "run_started":
            left = {k: v for k, v in fields["properties"].items() if k not in {*envelope, "type"}}
            fields = {**fields, "properties": left}
    lines = ["| field | type | meaning |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(fields)]
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """The page with its tables as the schemas have them."""
    return PLACE.sub(lambda place: place[1] + table(place[2], place[3]), page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
