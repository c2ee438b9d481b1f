"""The form of the two files, task.yaml and zf.yaml: one row per key, and the way into `model`.

A new key is a row in `TASK` (or `STEP`, `PROJECT`, `PHASE`), a field in `model` and a line in the
function here that builds it; checks, messages, JSON Schema and editors follow from the row.

The rows are pydantic's core schemas, not BaseModel classes: importing pydantic's upper floor costs
60 ms, half of what a short run takes, and the values go on into `model`'s own classes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from zf.lean.record import field, record, replace
from zf.lean.validators import PydanticCustomError, SchemaValidator, ValidationError
from zf.model import (
    DEFAULT_CLEANUP_TIMEOUT_S,
    DEFAULT_MAX_LOG_BYTES,
    DEFAULT_RETRY_MAX_DELAY_S,
    DEFAULT_TIMEOUT_S,
    ID_PATTERN,
    RESERVED_ENV,
    Need,
    Phase,
    Project,
    Step,
    Task,
)
from zf.settings import (
    DEFAULT_GRACE_S,
    MAX_JOBS_LIMIT,
    MAX_SECONDS,
    MAX_TAIL_LINES,
    SHIELD_MODES,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# One of pydantic's core schemas.
Schema = Mapping[str, Any]

# Patterns are ECMAScript's and Rust's common ground: editors check them too.
ID = f"^{ID_PATTERN}$"
NOT_BLANK = r"\S"
ENV_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"
ENV_GLOB = r"^[A-Za-z0-9_*?\[\]!-]+$"
# One part of a path: anything but `..`; the first part is not empty, so the path is relative.
_PART = r"(?:\.|[^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)"
INSIDE = f"^{_PART}(?:/{_PART}?)*$"

MAX_GRACE_S = 3600
MAX_RETRIES = 1000
MAX_PRIORITY = 1_000_000
# More of anything than there can be, and exact in every reader of JSON.
MAX_AMOUNT = 2**53 - 1
# What says which of its two shapes a value has; no text of a file holds NUL.
_SHAPES = ("\0plain", "\0mapping")


@record
class Key:
    """One key of a file: what it may hold and what it means.

    A required key has an `example` for the message that misses it; `keys` are those of the
    mappings it holds.
    """

    schema: Schema
    means: str
    default: object = None
    required: bool = False
    example: str = ""
    keys: Mapping[str, Key] = field(default_factory=dict)


@record
class Form:
    """What one kind of file may say."""

    title: str
    keys: Mapping[str, Key]
    validator: SchemaValidator

    def errors(self, value: object) -> list[ErrorDetails]:
        """Everything that keeps `value` from being of this form."""
        try:
            self.validator.validate_python(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            for one in found:
                one["loc"] = tuple(part for part in one["loc"] if part not in _SHAPES)
            return found
        return []


def _schema(kind: str, **facts: Any) -> Schema:
    """A schema as pydantic wants it, which is a dict. Its own functions that make one would have
    to be imported first, which takes longer than reading 200 task files.
    """
    return {"type": kind} | {name: fact for name, fact in facts.items() if fact is not None}


_STR = _schema("str")
_BOOL = _schema("bool")


def _text(pattern: str) -> Schema:
    return _schema("str", pattern=pattern)


def _one_of(*words: str) -> Schema:
    return _schema("literal", expected=list(words))


def _whole(least: int, most: int) -> Schema:
    return _schema("int", ge=least, le=most)


def _table(keys: Schema, values: Schema, metadata: dict[str, Any] | None = None) -> Schema:
    return _schema("dict", keys_schema=keys, values_schema=values, metadata=metadata)


def _checked(plain: Schema, check: Callable[[str], str]) -> Schema:
    """What is of the plain form and passes the check."""
    function = {"type": "no-info", "function": check}
    return _schema("function-after", function=function, schema=plain)


def _list(item: Schema, min_length: int | None = None) -> Schema:
    return _schema("list", items_schema=item, min_length=min_length)


def _number(above: float | None = None, least: float | None = None, most: float = 0) -> Schema:
    return _schema("float", gt=above, ge=least, le=most, allow_inf_nan=False)


def _not_reserved(name: str) -> str:
    if name in RESERVED_ENV:
        raise PydanticCustomError("env_reserved", "reserved")
    return name


def _is_condition(text: str) -> str:
    from zf.plan.condition import ConditionError, parse  # noqa: PLC0415 - few tasks have one

    try:
        parse(text)
    except ConditionError as error:
        facts = {"message": str(error), "at": error.at, "length": error.length, "hint": error.hint}
        raise PydanticCustomError("condition", "{message}", facts) from None
    return text


def _either(plain: Schema, keys: Mapping[str, Key]) -> Schema:
    """A plain value, or a mapping with these keys."""
    choices = dict(zip(_SHAPES, (plain, _form(keys)), strict=True))
    return _schema(
        "tagged-union",
        choices=choices,
        discriminator=lambda value: _SHAPES[isinstance(value, dict)],
    )


def _form(keys: Mapping[str, Key]) -> Schema:
    fields = {
        name: _schema(
            "typed-dict-field",
            schema=key.schema,
            required=key.required,
            metadata=_for_editors(key),
        )
        for name, key in keys.items()
    }
    # Every mapping says so for itself: a typed dict does not hand down the mode it was asked in.
    config = {"strict": True}
    return _schema("typed-dict", fields=fields, extra_behavior="forbid", config=config)


def _for_editors(key: Key) -> dict[str, Any]:
    facts: dict[str, Any] = {"description": key.means}
    if key.default is not None:
        facts["default"] = key.default
    return {"pydantic_js_updates": facts}


# The function is not something an editor can run: the same rule in its language.
_NOT_RESERVED = {"pydantic_js_updates": {"propertyNames": {"not": {"enum": sorted(RESERVED_ENV)}}}}
_ENV_NAME = _checked(_text(ENV_NAME), _not_reserved)
_ENV_GLOBS = _list(_text(ENV_GLOB))

_AMOUNT = _whole(1, MAX_AMOUNT)
_EXIT_CODE = _whole(1, 255)

NEED: Mapping[str, Key] = {
    "task": Key(
        _STR,
        "The id of the needed task.",
        required=True,
        example="task: 10-build",
    ),
    "optional": Key(
        _BOOL,
        "Whether the need is dropped when its task is absent from the run.",
        default=False,
    ),
    "require": Key(
        _one_of("success", "done"),
        "What the task must have come to: `success`, or `done` for any end.",
        default="success",
    ),
}

EXIT_CODES: Mapping[str, Key] = {
    "exit_codes": Key(
        _list(_EXIT_CODE, min_length=1),
        "The exit codes of the failures that are meant.",
        required=True,
        example="exit_codes: [42]",
    ),
}

RETRY_WORDS = ("failure", "timeout", "lost")

STEP: Mapping[str, Key] = {
    "name": Key(
        _text(NOT_BLANK),
        "What the step is called in output and proofs. Default: `step-` and its number, from 0.",
    ),
    "run": Key(
        _text(NOT_BLANK),
        "The step's bash script, run with `bash --noprofile --norc -eo pipefail`.",
        required=True,
        example="run: make test",
    ),
}

ARTIFACT: Mapping[str, Key] = {
    "path": Key(
        _text(INSIDE),
        "A glob of files to copy into the proof, relative to the project root.",
        required=True,
        example="path: report/*.xml",
    ),
    "required": Key(
        _BOOL,
        "Whether the task fails when no file could be kept for it.",
        default=False,
    ),
}

TASK: Mapping[str, Key] = {
    "id": Key(
        _text(ID),
        "The task's name: letters, digits, `.`, `_`, `-`; the same as its folder's.",
        required=True,
        example="id: 10-build",
    ),
    "title": Key(_text(NOT_BLANK), "One line for people. Default: the id."),
    "phase": Key(
        _text(ID),
        "The phase the task belongs to: `zf run-phase E` runs every task with `phase: E`.",
        required=True,
        example="phase: A",
    ),
    "needs": Key(
        _list(_either(_STR, NEED)),
        "Ids of the tasks that must have succeeded before this one starts.",
        default=[],
        keys=NEED,
    ),
    "condition": Key(
        _checked(_text(NOT_BLANK), _is_condition),
        "An expression that decides whether the task runs; when false, the task is skipped.",
    ),
    "parallel_safe": Key(
        _BOOL,
        "Whether other tasks may run at the same time. When false, the task runs alone.",
        default=False,
    ),
    "timeout_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds the whole task may take, all its steps together.",
        default=DEFAULT_TIMEOUT_S,
    ),
    "silence_timeout_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds a step may go without any output before the task ends as `timeout`.",
    ),
    "queue_timeout_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds the task may wait for its turn, once nothing else keeps it from starting.",
    ),
    "deadline_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds from the start of the run by which the task must have ended.",
    ),
    "start_after": Key(
        _number(least=0, most=MAX_SECONDS),
        "Seconds from the start of the run before which the task does not start.",
        default=0,
    ),
    "allow_failure": Key(
        _either(_BOOL, EXIT_CODES),
        "Whether a failure, or one with these exit codes, is tolerated: a warning to dependents.",
        default=False,
        keys=EXIT_CODES,
    ),
    "allow_timeout": Key(
        _BOOL,
        "Whether a timeout is tolerated: a warning, and dependents go on.",
        default=False,
    ),
    "max_retries": Key(
        _whole(0, MAX_RETRIES),
        "How many more times the task may be tried.",
        default=0,
    ),
    "retry_delay_sec": Key(
        _number(least=0, most=MAX_SECONDS),
        "Seconds before the first retry; doubled each time, shortened by up to a tenth.",
        default=0,
    ),
    "retry_max_delay_sec": Key(
        _number(least=0, most=MAX_SECONDS),
        "Seconds that no retry waits longer than.",
        default=DEFAULT_RETRY_MAX_DELAY_S,
    ),
    "retry_on": Key(
        _either(_list(_one_of(*RETRY_WORDS), min_length=1), EXIT_CODES),
        "After which ends the task is tried again; or after which exit codes of failures.",
        default=list(RETRY_WORDS),
        keys=EXIT_CODES,
    ),
    "resources": Key(
        _table(_text(ID), _AMOUNT),
        "How much the task takes of what is scarce: `cpu`, `mem_mb`, and names of your own.",
        default={},
    ),
    "priority": Key(
        _whole(-MAX_PRIORITY, MAX_PRIORITY),
        "Tasks with a higher one start first when several could.",
        default=0,
    ),
    "concurrency": Key(
        _text(ID),
        "A group of tasks of which only one runs at a time, in whatever runs on this machine.",
    ),
    "workdir": Key(
        _text(INSIDE),
        "Where the steps run, relative to the project root and inside it.",
        default=".",
    ),
    "env": Key(
        _table(_ENV_NAME, _STR, _NOT_RESERVED),
        "Environment variables for the steps. Values are text: quote numbers and booleans.",
        default={},
    ),
    "pass_env": Key(
        _ENV_GLOBS,
        "Variables of zf's own environment that the steps may see: names, or globs like `AWS_*`.",
        default=[],
    ),
    "secrets": Key(
        _ENV_GLOBS,
        "Variables whose values are redacted wherever they appear: names or globs.",
        default=[],
    ),
    "allow_secrets_in": Key(
        _list(_text(INSIDE)),
        "Artifacts that may hold what would be redacted in output: names in the proof, or globs.",
        default=[],
    ),
    "commands": Key(
        _list(_form(STEP), min_length=1),
        "The steps, run in order; the first that fails ends the task.",
        required=True,
        example="commands: [{run: make test}]",
        keys=STEP,
    ),
    "cleanup": Key(
        _list(_form(STEP)),
        "Steps that run after the commands, however those ended.",
        default=[],
        keys=STEP,
    ),
    "cleanup_timeout_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds the cleanup may take, all its steps together.",
        default=DEFAULT_CLEANUP_TIMEOUT_S,
    ),
    "leave_running": Key(
        _BOOL,
        "Whether processes that outlive the steps stay until the run ends, not failing the task.",
        default=False,
    ),
    "max_log_bytes": Key(
        _whole(1, MAX_AMOUNT),
        "Bytes of each step's output that are kept; the rest is cut, counted and hashed.",
        default=DEFAULT_MAX_LOG_BYTES,
    ),
    "log_tail": Key(
        _whole(1, MAX_TAIL_LINES),
        "How many lines of a failed step's log are shown: the assertion of a test, and the end.",
    ),
    "artifacts": Key(
        _list(_either(_text(INSIDE), ARTIFACT)),
        "Globs of files to copy into the proof when the task ends, relative to the project root.",
        default=[],
        keys=ARTIFACT,
    ),
}

PHASE: Mapping[str, Key] = {
    "title": Key(_text(NOT_BLANK), "One line for people."),
    "timeout_sec": Key(
        _number(above=0, most=MAX_SECONDS),
        "Seconds the whole phase may take. A flag or variable wins over this.",
    ),
}

THROTTLE: Mapping[str, Key] = {
    "cpu_percent": Key(
        _number(above=0, most=100),
        "Above this load of the processors no new task starts.",
    ),
    "min_free_mem": Key(
        _number(least=0, most=MAX_AMOUNT),
        "With less free memory than this, in MB, no new task starts.",
    ),
}

PROJECT: Mapping[str, Key] = {
    "pass_env": Key(
        _ENV_GLOBS,
        "Variables of zf's own environment that every task's steps may see: names or globs.",
        default=[],
    ),
    "secrets": Key(
        _ENV_GLOBS,
        "Variables whose values are redacted wherever they appear: names or globs.",
        default=[],
    ),
    "secrets_in_artifacts": Key(
        _one_of("fail", "warn"),
        "Whether an artifact that is left out, as it holds a secret, fails its task.",
        default="fail",
    ),
    "max_jobs": Key(
        _whole(1, MAX_JOBS_LIMIT),
        "How many tasks may run at the same time. A flag or variable wins over this.",
    ),
    "grace_sec": Key(
        _number(least=0, most=MAX_GRACE_S),
        "Seconds between the polite signal that ends a task (TERM) and the final one (KILL).",
        default=DEFAULT_GRACE_S,
    ),
    "sign": Key(
        _BOOL,
        "Whether every run is signed when it is over. A flag wins over this.",
        default=False,
    ),
    "shield": Key(
        _one_of(*SHIELD_MODES),
        "Whether the proof is kept out of reach of steps while they run. A flag or variable wins"
        " over this.",
        default="auto",
    ),
    "resources": Key(
        _table(_text(ID), _whole(0, MAX_AMOUNT)),
        "How much there is of what tasks ask for. Default: the machine's own `cpu` and `mem_mb`.",
        default={},
    ),
    "throttle": Key(
        _form(THROTTLE),
        "How busy the machine may be: beyond it no new task starts while others run.",
        keys=THROTTLE,
    ),
    "phases": Key(
        _table(_text(ID), _form(PHASE)),
        "Titles and time limits of phases, by name.",
        default={},
        keys=PHASE,
    ),
}

TASK_FORM = Form("task file", TASK, SchemaValidator(_form(TASK)))
PROJECT_FORM = Form("project file", PROJECT, SchemaValidator(_form(PROJECT)))


def to_task(
    form: Mapping[str, Any],
    *,
    file: str,
    line: int,
    needs: tuple[Need, ...],
    step_lines: Sequence[int],
    cleanup_lines: Sequence[int] = (),
) -> Task:
    """The task a valid form describes, defaults filled in; lines come from beside the form."""
    artifacts = form.get("artifacts", ())
    task = Task(
        id=form["id"],
        phase=form["phase"],
        steps=_steps("step", form["commands"], step_lines),
        title=form.get("title") or form["id"],
        needs=needs,
        parallel_safe=form.get("parallel_safe", False),
        timeout_s=form.get("timeout_sec", DEFAULT_TIMEOUT_S),
        workdir=form.get("workdir", "."),
        env=form.get("env", {}),
        pass_env=tuple(form.get("pass_env", ())),
        artifacts=tuple(a if isinstance(a, str) else a["path"] for a in artifacts),
        required_artifacts=tuple(
            a["path"] for a in artifacts if not isinstance(a, str) and a.get("required")
        ),
        file=file,
        line=line,
    )
    # Most tasks say none of this, and a project may have 20 000 of them.
    if form.keys() <= _PLAIN_KEYS:
        return task
    allowed = form.get("allow_failure", False)
    retried = form.get("retry_on", RETRY_WORDS)
    return replace(
        task,
        secrets=tuple(form.get("secrets", ())),
        allow_secrets_in=tuple(form.get("allow_secrets_in", ())),
        cleanup=_steps("cleanup", form.get("cleanup", ()), cleanup_lines),
        cleanup_timeout_s=form.get("cleanup_timeout_sec", DEFAULT_CLEANUP_TIMEOUT_S),
        silence_timeout_s=form.get("silence_timeout_sec"),
        max_log_bytes=form.get("max_log_bytes", DEFAULT_MAX_LOG_BYTES),
        log_tail=form.get("log_tail"),
        leave_running=form.get("leave_running", False),
        allow_timeout=form.get("allow_timeout", False),
        allow_failure=allowed if isinstance(allowed, bool) else tuple(allowed["exit_codes"]),
        max_retries=form.get("max_retries", 0),
        retry_delay_s=form.get("retry_delay_sec", 0),
        retry_max_delay_s=form.get("retry_max_delay_sec", DEFAULT_RETRY_MAX_DELAY_S),
        retry_on=tuple(retried["exit_codes"] if isinstance(retried, dict) else retried),
        condition=form.get("condition", ""),
        resources=form.get("resources", {}),
        priority=form.get("priority", 0),
        concurrency=form.get("concurrency", ""),
        deadline_s=form.get("deadline_sec"),
        start_after_s=form.get("start_after", 0),
        queue_timeout_s=form.get("queue_timeout_sec"),
    )


_PLAIN_KEYS = {
    "id",
    "title",
    "phase",
    "needs",
    "parallel_safe",
    "timeout_sec",
    "workdir",
    "env",
    "pass_env",
    "commands",
    "artifacts",
}


def _steps(
    kind: str, listed: Sequence[Mapping[str, str]], lines: Sequence[int]
) -> tuple[Step, ...]:
    return tuple(
        Step(step.get("name") or f"{kind}-{number}", step["run"], line)
        for number, (step, line) in enumerate(zip(listed, lines, strict=True))
    )


def to_project(form: Mapping[str, Any], *, file: str) -> Project:
    """The project a valid form describes; None stays where the file is silent."""
    throttle = form.get("throttle", {})
    return Project(
        file=file,
        pass_env=tuple(form.get("pass_env", ())),
        secrets=tuple(form.get("secrets", ())),
        secrets_in_artifacts=form.get("secrets_in_artifacts", "fail"),
        max_jobs=form.get("max_jobs"),
        grace_s=form.get("grace_sec"),
        sign=form.get("sign"),
        shield=form.get("shield"),
        resources=form.get("resources", {}),
        throttle_cpu_percent=throttle.get("cpu_percent"),
        throttle_min_free_mem_mb=throttle.get("min_free_mem"),
        phases={
            name: Phase(phase.get("title", ""), phase.get("timeout_sec"))
            for name, phase in form.get("phases", {}).items()
        },
    )


def json_schema(which: Literal["task", "project"]) -> dict[str, Any]:
    """The JSON Schema of a task file or the project file, for editors and other programs."""
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - 60 ms, one verb needs it

    form = TASK_FORM if which == "task" else PROJECT_FORM
    body = GenerateJsonSchema().generate(_form(form.keys))
    _drop_titles(body)
    # Draft 7 is what editors know best, and nothing newer is used.
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"zf {form.title}",
    } | body


def _drop_titles(schema: dict[str, Any]) -> None:
    """Remove the titles pydantic makes up from the keys' names; close mappings of open names."""
    for key in schema.get("properties", {}).values():
        key.pop("title", None)
        _drop_titles(key)
    parts = (
        schema.get("items"),
        schema.get("additionalProperties"),
        *schema.get("patternProperties", {}).values(),
        *schema.get("oneOf", ()),
    )
    for inner in parts:
        if inner:
            _drop_titles(inner)
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
