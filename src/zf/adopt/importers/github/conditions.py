"""An `if` of GitHub Actions -> a condition of zf, where that can say it."""

from __future__ import annotations

import json
import re

from zf.adopt.importers.github.expressions import Binary, Call, Context, Node, Not, Text, condition
from zf.adopt.importers.github.values import Around, of_github
from zf.adopt.importers.names import is_variable
from zf.adopt.importers.scripts import Unsayable
from zf.plan.conditions.condition import ConditionError
from zf.plan.conditions.condition import parse as parse_condition

_STATUS = ("success", "failure", "always", "cancelled")
_SPECIAL = re.compile(r"([.+*?()\[\]{}^$|\\])")
_OPPOSITE = {"==": "!=", "!=": "=="}
# What GitHub calls the end of a job, and zf the end of a task.
_RESULTS = {"success", "failure", "cancelled", "skipped"}


def said(text: str, around: Around, *, of_step: bool) -> str:
    """The condition of a task, or of a step. Raises Unsayable."""
    made = _Condition(around, of_step=of_step).truth(condition(text))
    made = made[1:-1] if _is_one(made) else made
    try:
        parse_condition(made)
    except ConditionError:
        raise Unsayable(text) from None
    return made


def _is_one(made: str) -> bool:
    """Whether parentheses are around the whole."""
    if not made.startswith("("):
        return False
    depth = 0
    for at, char in enumerate(made):
        depth += (char == "(") - (char == ")")
        if not depth:
            return at == len(made) - 1 and "'" not in made and '"' not in made
    return False


class _Condition:
    def __init__(self, around: Around, *, of_step: bool) -> None:
        self._around, self._of_step = around, of_step

    def truth(self, node: Node) -> str:
        """The node as something that is true or false."""
        if isinstance(node, Not):
            return self._negated(node)
        if isinstance(node, Binary):
            if node.operator in {"&&", "||"}:
                parts = [self._part(one, node.operator) for one in (node.left, node.right)]
                return f" {node.operator} ".join(parts)
            return self._compared(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Text):
            if node.kind == "word":
                return "true" if node.value == "true" else "false"
            return "true" if node.value not in {"", "0"} else "false"
        if self._is_bool(node):
            return self._value(node)
        return f"{self._value(node)} != ''"

    def _part(self, node: Node, operator: str) -> str:
        made = self.truth(node)
        own = node.operator if isinstance(node, Binary) else operator
        return f"({made})" if own in {"&&", "||"} and own != operator else made

    def _negated(self, node: Not) -> str:
        inner = node.inner
        if isinstance(inner, Call) and inner.name == "cancelled" and self._of_step:
            return "always()"  # no step starts once its task is cancelled
        if isinstance(inner, Context) and not self._is_bool(inner):
            return f"{self._value(inner)} == ''"
        if isinstance(inner, Binary) and inner.operator in _OPPOSITE:
            return self._compared(Binary(_OPPOSITE[inner.operator], inner.left, inner.right))
        made = self.truth(inner)
        is_atom = isinstance(inner, Call) and " " not in made
        return f"!{made}" if is_atom or made in {"true", "false"} else f"!({made})"

    def _is_bool(self, node: Node) -> bool:
        return isinstance(node, Context) and self._around.is_bool(node.path)

    def _compared(self, node: Binary) -> str:
        left, right = node.left, node.right
        if isinstance(left, Text) and not isinstance(right, Text) and node.operator in _OPPOSITE:
            left, right = right, left
        if isinstance(left, Context) and isinstance(right, Text):
            if made := self._special(left, node.operator, right):
                return made
            if right.kind == "word" and right.value in {"true", "false"}:
                literal = right.value if self._is_bool(left) else f"'{right.value}'"
                return f"{self._value(left)} {node.operator} {literal}"
            if self._is_bool(left) and right.value in {"true", "false"}:
                return f"{self._value(left)} {node.operator} {right.value}"
        return f"{self._value(left)} {node.operator} {self._value(right)}"

    def _special(self, left: Context, operator: str, right: Text) -> str:
        """What is compared with words that zf has other ones for."""
        path, value = tuple(one.lower() for one in left.path), right.value
        if operator not in _OPPOSITE:
            return ""
        if path == ("github", "ref"):
            for prefix, fact in (("refs/heads/", "run.branch"), ("refs/tags/", "run.tag")):
                if value.startswith(prefix):
                    return f"{fact} {operator} {_quoted(value.removeprefix(prefix))}"
            raise Unsayable(value)
        if path == ("github", "ref_type"):
            is_tag = (value == "tag") == (operator == "==")
            return f"run.tag {'!=' if is_tag else '=='} ''"
        if path[0] == "needs" and path[2:] == ("result",):
            if value not in _RESULTS:
                raise Unsayable(value)
            return f"status('{self._around.need(left.path[1])}') {operator} '{value}'"
        if right.kind == "word" and value == "null":
            return f"{self._value(left)} {operator} ''"
        return ""

    def _call(self, node: Call) -> str:
        name, given = node.name, node.arguments
        if name in _STATUS and not given:
            if name == "cancelled" and self._of_step:
                raise Unsayable("cancelled()")
            return f"{name}()"
        if name == "contains" and len(given) == 2:
            return self._contains(*given)
        if name in {"startswith", "endswith"} and len(given) == 2:
            return self._edge(name, *given)
        raise Unsayable(f"{name}()")

    def _contains(self, whole: Node, part: Node) -> str:
        if isinstance(whole, Context) and whole.path[1:] == ("*", "result"):
            is_sayable = whole.path[0] == "needs" and not self._of_step
            if is_sayable and isinstance(part, Text) and part.value in {"failure", "cancelled"}:
                return f"{part.value}()"
            raise Unsayable("needs.*.result")
        if isinstance(whole, Call) and whole.name == "fromjson" and len(whole.arguments) == 1:
            return self._among(whole.arguments[0], part)
        if isinstance(whole, Context) and tuple(whole.path) == ("github", "ref"):
            if isinstance(part, Text) and part.value.rstrip("/") == "refs/tags":
                return "run.tag != ''"
            raise Unsayable("github.ref")
        return f"{self._value(part)} in {self._value(whole)}"

    def _among(self, listed: Node, one: Node) -> str:
        try:
            found = json.loads(listed.value) if isinstance(listed, Text) else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise Unsayable("fromJSON()")
        return f"{self._value(one)} in ({', '.join(map(_quoted, found))})"

    def _edge(self, name: str, whole: Node, part: Node) -> str:
        if not isinstance(part, Text):
            raise Unsayable(f"{name}()")
        value, fact = part.value, ""
        if isinstance(whole, Context) and tuple(whole.path) == ("github", "ref"):
            for prefix, one in (("refs/heads/", "run.branch"), ("refs/tags/", "run.tag")):
                if name == "startswith" and f"{value.rstrip('/')}/".startswith(prefix):
                    value, fact = value.rstrip("/")[len(prefix) :], one
                    if part.value.endswith("/") and value:
                        value += "/"
            if not fact:
                raise Unsayable("github.ref")
            if not value:
                return f"{fact} != ''"
        escaped = _SPECIAL.sub(r"\\\1", value)
        pattern = f"^{escaped}" if name == "startswith" else f"{escaped}$"
        return f"{fact or self._value(whole)} =~ {_quoted(pattern)}"

    def _value(self, node: Node) -> str:
        """The node as something that is compared."""
        if isinstance(node, Text):
            return node.value if node.kind == "number" else _quoted(node.value)
        if not isinstance(node, Context):
            raise Unsayable("a function in a comparison")
        return self._context(node)

    def _context(self, node: Context) -> str:
        root, *rest = node.path
        name = rest[0] if rest else ""
        if root == "github":
            return self._github(tuple(rest))
        if len(rest) == 1 and root in {"env", "vars", "secrets"} and is_variable(name):
            return f"${{{name}:-}}"
        if root == "matrix" and len(rest) == 1 and name in self._around.axes:
            return f"matrix.{name}"
        if root == "inputs" and len(rest) == 1 and (made := self._around.input(name)):
            return f"input.{made}"
        if (root, name) == ("runner", "os"):
            return "${RUNNER_OS:-Linux}"
        if root == "needs" and len(rest) == 3 and rest[1] == "outputs":
            return f"needs['{self._around.need(name, rest[2])}'].{rest[2]}"
        raise Unsayable(".".join(node.path))

    def _github(self, rest: tuple[str, ...]) -> str:
        facts = {
            ("event_name",): "run.event",
            ("actor",): "run.actor",
            ("triggering_actor",): "run.actor",
            ("sha",): "run.commit",
            ("ref_name",): "run.branch",
        }
        if rest in facts:
            return facts[rest]
        is_input = rest[:2] == ("event", "inputs") and len(rest) == 3
        if is_input and (made := self._around.input(rest[2])):
            return f"input.{made}"
        return f"${{{of_github(rest)}:-}}"


def _quoted(text: str) -> str:
    if "\n" in text or ("'" in text and '"' in text):
        raise Unsayable(text)
    return f'"{text}"' if "'" in text else f"'{text}'"
