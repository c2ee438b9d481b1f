"""What `${{ ... }}` comes to in scripts and values: a variable that zf or the task has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from zf.adopt.importers.github.expressions import TEMPLATE, Context, Node, Text, parse
from zf.adopt.importers.inputs import variable_of
from zf.adopt.importers.names import as_variable, is_variable
from zf.adopt.importers.scripts import Meant, Unsayable, put
from zf.instances import matrix_variable
from zf.lean.records import Struct, field
from zf.model import OUTPUT_PATTERN
from zf.variables import is_allowed

_OUTPUT = re.compile(OUTPUT_PATTERN)


class Around(Struct):
    """What expressions of a job can name; `keys` are those of its task, which gain what they need.

    `ids` has the id of every job, `outputs` what each hands on, `written` the steps of this job
    that write outputs, by their ids.
    """

    keys: dict[str, Any]
    axes: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    written: frozenset[str] = frozenset()

    def need(self, job: str, output: str = "") -> str:
        """The id of a needed job. Raises Unsayable if it is none, or has no such output."""
        if job not in self.needs or job not in self.ids:
            raise Unsayable(f"needs.{job}")
        if output and output not in self.outputs.get(job, ()):
            raise Unsayable(f"needs.{job}.outputs.{output}")
        return self.ids[job]

    def input(self, name: str) -> str:
        """The name of an input here; empty if there is none."""
        return self.inputs.get(name, ("", ""))[0]

    def is_bool(self, path: tuple[str, ...]) -> bool:
        """Whether such a value is true or false."""
        name = path[-1]
        is_input = path[0] == "inputs" or path[:3] == ("github", "event", "inputs")
        return is_input and self.inputs.get(name, ("", ""))[1] == "bool"

    def passes(self, name: str, *, secret: bool) -> None:
        """Let the steps see a variable of the outside."""
        if is_allowed(name):
            return
        for key in ("pass_env", "secrets") if secret else ("pass_env",):
            listed = self.keys.setdefault(key, [])
            if name not in listed:
                listed.append(name)


def script(text: str, around: Around) -> str:
    """A script with variables in place of its expressions. Raises Unsayable."""

    def meant(found: re.Match[str]) -> Meant:
        return _meant(parse(found[1]), around)

    return put(text, TEMPLATE, meant)


def known(text: str, around: Around) -> str:
    """A text in which only values of a matrix are not known, as `${MATRIX_X}`. Raises Unsayable."""

    def put_in(found: re.Match[str]) -> str:
        kind, value = _meant(parse(found[1]), around)
        if kind == "literal":
            return value
        if kind == "variable" and value.startswith("MATRIX_"):
            return f"${{{value}}}"
        raise Unsayable(found[0])

    return TEMPLATE.sub(put_in, text)


def of_env(text: str, around: Around) -> str:
    """A value of `env` as zf has it. Raises Unsayable."""

    def put_in(found: re.Match[str]) -> str:
        node = parse(found[1])
        kind, value = _meant(node, around)
        if kind == "literal":
            return value.replace("${", "$${")
        if kind == "command":
            raise Unsayable(found[0])
        is_outside = isinstance(node, Context) and node.path[0] in {"secrets", "vars", "github"}
        return f"${{{value}:-}}" if is_outside else f"${{{value}}}"

    parts: list[str] = []
    at = 0
    for found in TEMPLATE.finditer(text):
        parts += [text[at : found.start()].replace("${", "$${"), put_in(found)]
        at = found.end()
    return "".join([*parts, text[at:].replace("${", "$${")])


def of_github(rest: tuple[str, ...]) -> str:
    """The variable that GitHub sets for a value of its context, and zf lets through. Raises
    Unsayable.
    """
    name = f"GITHUB_{'_'.join(rest).upper()}"
    if len(rest) != 1 or not is_allowed(name):
        raise Unsayable(f"github.{'.'.join(rest)}")
    return name


def _meant(node: Node, around: Around) -> tuple[Any, str]:
    if isinstance(node, Text):
        return "literal", "" if node.value == "null" and node.kind == "word" else node.value
    if not isinstance(node, Context):
        raise Unsayable("an expression that only GitHub works out")
    root, *rest = node.path
    find = _CONTEXTS.get(root)
    if find is None:
        raise Unsayable(".".join(node.path))
    return find(tuple(rest), around)


def _github(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    if rest == ("workspace",):
        return "variable", "ZENFLOW_ROOT"
    if rest == ("token",):
        around.passes("GITHUB_TOKEN", secret=True)
        return "variable", "GITHUB_TOKEN"
    if rest[:2] == ("event", "inputs"):
        return _inputs(rest[2:], around)
    return "variable", of_github(rest)


def _secrets(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    name = _single("secrets", rest)
    around.passes(name, secret=True)
    return "variable", name


def _vars(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    name = _single("vars", rest)
    around.passes(name, secret=False)
    return "variable", name


def _env(rest: tuple[str, ...], _around: Around) -> tuple[str, str]:
    return "variable", _single("env", rest)


def _single(root: str, rest: tuple[str, ...]) -> str:
    if len(rest) != 1 or not is_variable(rest[0]):
        raise Unsayable(".".join((root, *rest)))
    return rest[0]


def _matrix(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    if len(rest) != 1 or rest[0] not in around.axes:
        raise Unsayable(".".join(("matrix", *rest)))
    return "variable", matrix_variable(rest[0])


def _inputs(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    made = around.input(rest[0]) if len(rest) == 1 else ""
    if not made:
        raise Unsayable(".".join(("inputs", *rest)))
    return "variable", variable_of(made)


def _runner(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    if rest == ("os",):
        return "literal", "Linux"
    if rest == ("temp",):
        around.keys.setdefault("env", {})["RUNNER_TEMP"] = "${RUNNER_TEMP:-/tmp}"
        return "variable", "RUNNER_TEMP"
    raise Unsayable(".".join(("runner", *rest)))


def _needs(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    if len(rest) != 3 or rest[1] != "outputs":
        raise Unsayable(".".join(("needs", *rest)))
    job, output = around.need(rest[0], rest[2]), rest[2]
    name = as_variable(f"{rest[0]}_{output}").upper()
    around.keys.setdefault("env", {})[name] = {"from": f"{job}.{output}"}
    return "variable", name


def _steps(rest: tuple[str, ...], around: Around) -> tuple[str, str]:
    """An output of an earlier step: the file that steps write theirs to is there to be read."""
    if len(rest) != 3 or rest[1] != "outputs" or rest[0] not in around.written:
        raise Unsayable(".".join(("steps", *rest)))
    if not _OUTPUT.fullmatch(rest[2]):
        raise Unsayable(rest[2])
    return "command", f"sed -n 's/^{rest[2]}=//p' \"$ZF_OUTPUT\" | tail -n 1"


_CONTEXTS: Mapping[str, Callable[[tuple[str, ...], Around], tuple[str, str]]] = {
    "env": _env,
    "github": _github,
    "inputs": _inputs,
    "matrix": _matrix,
    "needs": _needs,
    "runner": _runner,
    "secrets": _secrets,
    "steps": _steps,
    "vars": _vars,
}
