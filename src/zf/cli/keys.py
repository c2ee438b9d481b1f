"""`zf help keys`: the keys of task.yaml and zf.yaml in a terminal, out of the JSON Schema that
`zf schema` prints, each with an example of how it is written.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zf.plan.files.forms import json_schema
from zf.report.words import Style

_WIDTH = 80
# A value of more is told in words, not as a range.
_LARGE = 1_000_000


class Kind(NamedTuple):
    """Keys that may stand in one place, by their JSON Schema."""

    of: str
    heading: str
    keys: Mapping[str, Any]


def kinds() -> tuple[Kind, ...]:
    """The kinds of keys, in the order in which they are listed."""
    task, project = json_schema("task")["properties"], json_schema("project")["properties"]
    step = _mapping_in(task["commands"])
    phase = next(iter(project["phases"]["patternProperties"].values()))
    return (
        Kind("task", "Keys of a task: task.yaml, and what stands below `tasks:`", task),
        Kind("step", "Keys of a step: an entry of `commands`, or of `cleanup`", step),
        Kind("project", "Keys of the project: zf.yaml", project),
        Kind("phase", "Keys of a phase: an entry of `phases` in zf.yaml", phase["properties"]),
    )


def page(style: Style) -> str:
    """Every key, kind by kind."""
    pieces = []
    for kind in kinds():
        own = {name: schema for name, schema in kind.keys.items() if not name.endswith("+")}
        told = [_told(kind.of, name, schema, style) for name, schema in own.items()]
        pieces.append(f"{style.paint(kind.heading, 'bold')}\n\n" + "\n".join(told))
    rest = "zf help KEY tells of one key, and of the keys inside it.\n"
    return "\n".join([*pieces, rest])


def one(key: str, style: Style) -> str:
    """What is to be said of a key, in every place where it may stand; empty where there is none."""
    return "\n".join(
        f"{style.paint(f'{key}, a key of {place}', 'bold')}\n\n{_told(of, key, schema, style)}"
        + "".join(f"\n{line}" for line in _inside(schema, style))
        for of, place, schema in _places(key)
    )


def names() -> list[str]:
    """Every key that `one` knows."""
    found = dict.fromkeys(name for kind in kinds() for name in kind.keys)
    for kind in kinds():
        for schema in kind.keys.values():
            found |= dict.fromkeys(_mapping_in(schema))
    return list(found)


def _places(key: str) -> Iterator[tuple[str, str, Any]]:
    """Where a key may stand: of which kind it is, in words, and its schema."""
    every = kinds()
    for kind in every:
        if key in kind.keys:
            yield kind.of, f"a {kind.of}", kind.keys[key]
    for kind in every[:1] + every[2:3]:
        for name, schema in kind.keys.items():
            inner = _mapping_in(schema)
            if key in inner and name not in _SHOWN_AS_KINDS and not name.endswith("+"):
                yield name, f"`{name}`, of a {kind.of}", inner[key]


# What there is more of by an s.
_PLAIN = {"a name", "a text", "a single value"}
# Whose own keys are a kind.
_SHOWN_AS_KINDS = {"commands", "cleanup", "phases", "tasks", "templates", "defaults"}


def _told(of: str, name: str, schema: Mapping[str, Any], style: Style) -> str:
    """How a key is written, what it may hold, and what it means."""
    first, *more = example(of, name, schema).split("\n")
    first = style.paint(first[: len(name)], "bold") + first[len(name) :]
    lines = [f"  {line}" for line in (first, *more)]
    holds = f"{_capital(_holds(schema))}.{_default(schema)}"
    for text in (holds, str(schema.get("description", ""))):
        lines += textwrap.wrap(
            text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
        )
    return "\n".join(lines) + "\n"


def example(of: str, name: str, schema: Mapping[str, Any]) -> str:
    """How a key is written: its own example, or some value that it may have."""
    return EXAMPLES.get(of, {}).get(name) or f"{name}: {_some(schema)}"


def _inside(schema: Mapping[str, Any], style: Style) -> Iterator[str]:
    """The keys of the mapping that a key holds."""
    inner = _mapping_in(schema)
    if inner:
        yield f"  {style.paint('Inside it', 'bold')}\n"
    for name, of in inner.items():
        text = f"{_capital(_holds(of))}.{_default(of)} {of.get('description', '')}"
        wrapped = textwrap.wrap(
            text, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8, break_on_hyphens=False
        )
        yield "\n".join([f"    {style.paint(name, 'bold')}", *wrapped]) + "\n"


def _default(schema: Mapping[str, Any]) -> str:
    """What holds where a key is not written; nothing where that goes without saying."""
    default = schema.get("default")
    if isinstance(default, bool):
        return f" Default: `{str(default).lower()}`."
    if not default and default != 0:
        return ""
    if isinstance(default, (list, tuple)):
        return f" Default: `[{', '.join(map(str, default))}]`."
    return f" Default: `{default}`."


def _some(schema: Mapping[str, Any]) -> str:
    """A value that such a key may have."""
    if "oneOf" in schema:
        return _some(schema["oneOf"][0])
    if schema.get("type") == "array":
        return f"[{_some(schema.get('items', {}))}]"
    words = schema.get("enum", [schema.get("const")])
    known = {"boolean": "true", "integer": str(schema.get("minimum", 1)), "number": "1"}
    return str(words[0]) if words[0] is not None else known.get(str(schema.get("type")), "...")


def _holds(schema: Mapping[str, Any]) -> str:
    """What a key may hold, in words."""
    if "oneOf" in schema:
        told = dict.fromkeys(map(_holds, schema["oneOf"]))
        return " or ".join(told)
    if "enum" in schema or "const" in schema:
        words = [f"`{word}`" for word in schema.get("enum", [schema.get("const")])]
        return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return "a single value" if "array" not in kind else "a value"
    if kind == "array":
        item = _holds(schema.get("items", {}))
        return f"a list of {item[2:]}s" if item in _PLAIN else f"a list, each entry {item}"
    if kind == "object":
        return _mapping(schema)
    if kind in {"integer", "number"}:
        return _number(schema, "a whole number" if kind == "integer" else "a number")
    if kind == "boolean":
        return "`true` or `false`"
    return "a name" if str(schema.get("pattern", "")).startswith("^[A-Za-z") else "a text"


def _number(schema: Mapping[str, Any], word: str) -> str:
    least, most = schema.get("minimum"), schema.get("maximum", _LARGE + 1)
    if "exclusiveMinimum" in schema:
        word += f" above {schema['exclusiveMinimum']}"
    if least is not None and most <= _LARGE:
        return f"{word} from {least} to {most}"
    if least:
        return f"{word} from {least}"
    return f"{word} up to {most}" if most <= _LARGE else word


def _mapping(schema: Mapping[str, Any]) -> str:
    if schema.get("properties"):
        return f"a mapping with {', '.join(f'`{name}`' for name in schema['properties'])}"
    values = [*schema.get("patternProperties", {}).values()]
    if isinstance(schema.get("additionalProperties"), dict):
        values.append(schema["additionalProperties"])
    if not values or _mapping_in(values[0]):
        return "a mapping by name"
    return f"a mapping, for each name {_holds(values[0])}"


def _mapping_in(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keys of the mapping that a value is, may be, or has as its entries; none without any."""
    if schema.get("properties"):
        found: Mapping[str, Any] = schema["properties"]
        return found
    more = schema.get("additionalProperties")
    values = [*schema.get("oneOf", []), *schema.get("patternProperties", {}).values()]
    values += [one for one in (schema.get("items"), more) if isinstance(one, dict)]
    return next(filter(None, map(_mapping_in, values)), {})


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# How each key is written, by kind. A test holds each against its form.
EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "task": {
        "id": "id: 20-test",
        "title": "title: Run the unit tests",
        "phase": "phase: B",
        "use": "use: python",
        "tags": "tags: [quick, nightly]",
        "needs": "needs: [10-build]",
        "matrix": 'matrix: {python: ["3.11", "3.12"]}',
        "condition": "condition: env.CI == 'true'",
        "parallel_safe": "parallel_safe: true",
        "timeout_sec": "timeout_sec: 600",
        "silence_timeout_sec": "silence_timeout_sec: 120",
        "queue_timeout_sec": "queue_timeout_sec: 900",
        "deadline_sec": "deadline_sec: 3600",
        "start_after": "start_after: 30",
        "allow_failure": "allow_failure: {exit_codes: [42]}",
        "allow_timeout": "allow_timeout: true",
        "max_retries": "max_retries: 2",
        "retry_delay_sec": "retry_delay_sec: 5",
        "retry_max_delay_sec": "retry_max_delay_sec: 60",
        "retry_on": "retry_on: [timeout, lost]",
        "resources": "resources: {mem_mb: 2048, db: 1}",
        "priority": "priority: 10",
        "concurrency": "concurrency: deploy",
        "workdir": "workdir: web",
        "env": "env: {PORT: 8080, URL: 'http://localhost:${PORT}'}",
        "pass_env": "pass_env: [HOME, AWS_*]",
        "required_env": "required_env: [SLACK_HOOK]",
        "secrets": "secrets: [DEPLOY_KEY]",
        "allow_secrets_in": "allow_secrets_in: [report.html]",
        "shell": "shell: python",
        "run": "run: make test",
        "sources": "sources: [src/**, pyproject.toml]",
        "generates": "generates: [dist/]",
        "sandbox": "sandbox: true",
        "container": "container: debian:12",
        "executor": "executor: far",
        "labels": "labels: [gpu]",
        "approval": "approval: {by: [ann@example.org]}",
        "repeat": "repeat: {interval_sec: 5, limit: 60}",
        "cache": "cache: true",
        "nice": "nice: 10",
        "memory_mb": "memory_mb: 2048",
        "cpus": "cpus: 1.5",
        "pids_max": "pids_max: 200",
        "open_files": "open_files: 1024",
        "services": "services: [{name: web, run: ./serve $SVC_WEB_PORT, ports: [http]}]",
        "commands": "commands:\n  - name: Test\n    run: make test",
        "skip_exit_codes": "skip_exit_codes: [77]",
        "cleanup": "cleanup: [docker compose down]",
        "cleanup_timeout_sec": "cleanup_timeout_sec: 30",
        "leave_running": "leave_running: true",
        "max_log_bytes": "max_log_bytes: 10000000",
        "log_tail": "log_tail: 40",
        "outputs": "outputs: [version]",
        "artifacts": "artifacts: [dist/*.whl]",
        "reports": "reports: {junit: [build/*.xml]}",
        "budget": "budget: {llm_cost_usd: 2.5}",
        "budget_required": "budget_required: true",
        "metrics_strict": "metrics_strict: true",
    },
    "step": {
        "name": "name: Unit tests",
        "run": "run: make test",
        "shell": "shell: [node]",
        "env": "env: {DEBUG: 1}",
        "workdir": "workdir: web",
        "timeout_sec": "timeout_sec: 60",
        "if": "if: always()",
        "continue_on_error": "continue_on_error: true",
    },
    "project": {
        "pass_env": "pass_env: [HOME]",
        "required_env": "required_env: [SLACK_HOOK]",
        "secrets": "secrets: [DEPLOY_KEY]",
        "secrets_in_artifacts": "secrets_in_artifacts: warn",
        "shell": "shell: [zsh, -e]",
        "max_jobs": "max_jobs: 8",
        "grace_sec": "grace_sec: 10",
        "budget": "budget: {llm_cost_usd: 10}",
        "sign": "sign: true",
        "shield": "shield: always",
        "cached": "cached: true",
        "resources": "resources: {db: 2}",
        "throttle": "throttle: {cpu_percent: 90}",
        "approvers": "approvers: {allowed_signers: ci/allowed_signers}",
        "container_engine": "container_engine: podman",
        "executors": "executors:\n  far: {start: [ssh, far, zf, agent], slots: 4}",
        "notify": "notify:\n  ops: {type: webhook, url_env: OPS_HOOK}",
        "inputs": "inputs:\n  env: {options: [dev, prod], default: dev}",
        "on_end": "on_end:\n  - {when: failure, run: ./tell}",
        "phases": "phases:\n  B: {title: Tests, needs: [A]}",
        "schedules": 'schedules:\n  nightly: {cron: "0 2 * * *", tz: Europe/Berlin, phases: [E]}',
        "webhooks": "webhooks:\n  push: {verify: github, secret_env: HOOK_SECRET, phases: [E]}",
        "reconcile": "reconcile:\n  main: {git_ref: main, input: commit, phases: [E]}",
        "queue": "queue: {max_runs: 2}",
        "include": "include: [ci/tasks.yaml]",
        "defaults": "defaults: {timeout_sec: 60}",
        "templates": "templates:\n  python: {pass_env: [VIRTUAL_ENV]}",
        "tasks": "tasks:\n  test: make test",
        "server": "server: {hosts: [ci.example.org], behind_proxy: true}",
    },
    "phase": {
        "title": "title: Unit tests",
        "timeout_sec": "timeout_sec: 1800",
        "budget": "budget: {llm_cost_usd: 5}",
        "needs": "needs: [A]",
        "max_jobs": "max_jobs: 2",
        "protected": "protected: true",
        "services": "services: [{name: web, run: ./serve $SVC_WEB_PORT, ports: [http]}]",
        "inputs": "inputs:\n  env: {options: [dev, prod]}",
        "on_end": "on_end:\n  - {when: always, run: ./tidy-up}",
    },
}
