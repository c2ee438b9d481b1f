"""Holds every JSON file of a proof against its schema; shared by the tests that make proofs."""

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
_LOADED = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
_REGISTRY = Registry().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in _LOADED.items()
)
# Which schema holds for which file of a run.
FILES = {
    r"run\.json": "run",
    r"plan\.json": "plan",
    r"blocked\.json": "blocked",
    r"attest/statement\.json": "statement",
    r"attest/test-result\.json": "test-result",
    r"[^/]+/(attempts/\d+/)?00-meta/task\.json": "recorded-task",
    r"[^/]+/(attempts/\d+/)?10-commands/commands\.json": "commands",
    r"[^/]+/(attempts/\d+/)?10-commands/\w+-\d+\.json": "step",
    r"[^/]+/(attempts/\d+/)?40-checksums/artifacts\.json": "artifacts",
    r"[^/]+/(attempts/\d+/)?99-summary/status\.json": "status",
    r"[^/]+/(attempts/\d+/)?30-outputs\.json": "outputs",
}
# Not in the form of a schema of ours: envelopes are DSSE's own.
OTHERS = r"attest/.*\.dsse\.json|[^/]+/(attempts/\d+/)?30-artifacts/.*"


def check(value: object, name: str) -> None:
    """Raise unless the value has the form of a schema, and the schema knows each of its keys."""
    schema = _LOADED[f"{name}.schema.json"]
    Draft202012Validator(schema, registry=_REGISTRY).validate(value)
    if name == "event":
        schema = schema["$defs"][value["type"]]
    unknown = set(_unknown(value, schema, ""))
    assert not unknown, f"{name}.schema.json does not describe {sorted(unknown)}"


def check_run(run: Path) -> int:
    """The same for every JSON file of a run; how many there were."""
    count = 0
    for path in run.rglob("*.json"):
        name = str(path.relative_to(run))
        if re.fullmatch(OTHERS, name):
            continue
        found = [schema for pattern, schema in FILES.items() if re.fullmatch(pattern, name)]
        assert len(found) == 1, f"no schema is for {name}"
        check(json.loads(path.read_text()), found[0])
        count += 1
    for line in (run / "events.jsonl").read_text().splitlines():
        check(json.loads(line), "event")
        count += 1
    return count


def _unknown(value: object, schema: dict, path: str):
    if "$ref" in schema and not schema["$ref"].startswith("#"):
        schema = _LOADED[schema["$ref"]]
    if isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            if key in schema["properties"]:
                yield from _unknown(item, schema["properties"][key], f"{path}.{key}")
            elif not isinstance(schema.get("additionalProperties"), dict):
                yield f"{path}.{key}"
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _unknown(item, schema["items"], f"{path}[]")
