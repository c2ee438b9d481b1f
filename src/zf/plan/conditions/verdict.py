"""What a condition comes to: evaluated, and explained with its operands' values. Pure.

Nothing is converted in silence: a variable is read as what it is compared with, everything else
must have the same type, and whatever cannot be answered is an error, never `false`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import NoReturn

from zf.lean.records import Struct, field
from zf.plan.conditions.condition import (
    Among,
    Call,
    Chain,
    Compare,
    Condition,
    Constant,
    Fact,
    Field,
    Matches,
    Node,
    Not,
    Scalar,
    Variable,
    show,
)
from zf.plan.conditions.pattern import MAX_TEXT, Pattern


class ConditionContext(Struct, frozen=True):
    """What a condition may refer to, but for statuses: variables and facts by name, and what the
    project names itself by the keys of `Field`. `hidden` names variables, and such keys, whose
    values are used but not shown; whatever else is shown passes through `hide`.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    hide: Callable[[str], str] = str
    fields: Mapping[str, Scalar] = field(default_factory=dict)


class Needs(Struct, frozen=True):
    """What the status functions answer for one task; `statuses` has its direct needs."""

    success: bool = True
    failure: bool = False
    cancelled: bool = False
    statuses: Mapping[str, str] = field(default_factory=dict)


class Verdict(Struct, frozen=True):
    """The answer, None when there is none and `error` says why; `operands` holds what was looked
    at, as written, and its value then.
    """

    value: bool | None
    operands: Mapping[str, Scalar]
    error: str = ""

    def explain(self, text: str) -> str:
        """One line for people: the answer, the condition and what its operands were."""
        if self.value is None:
            return f"condition cannot be evaluated: {self.error}"
        answer = "true" if self.value else "false"
        seen = ", ".join(f"{name} = {_told(value)}" for name, value in self.operands.items())
        return f"condition is {answer}: {text}" + (f" ({seen})" if seen else "")


def evaluate(condition: Condition, context: ConditionContext, needs: Needs) -> Verdict:
    """The verdict; the same values give the same one."""
    evaluation = _Evaluation(context, needs)
    try:
        value = evaluation.truth(condition.tree)
    except _UnanswerableError as error:
        return Verdict(None, evaluation.seen, str(error))
    return Verdict(value, evaluation.seen)


class _UnanswerableError(Exception):
    pass


_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_ORDER: Mapping[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_Kind = type[str] | type[float] | type[bool]
_HIDDEN = "(hidden)"
_TELL_AT_MOST = 200


class _Operand(Struct, frozen=True):
    """A value and how to speak of it; a `loose` one came as text and may be read otherwise."""

    name: str
    value: Scalar
    told: str
    loose: bool = False


class _Evaluation:
    def __init__(self, context: ConditionContext, needs: Needs) -> None:
        self._context = context
        self._needs = needs
        self.seen: dict[str, Scalar] = {}

    def truth(self, node: Node) -> bool:
        match node:
            case Chain(operator, parts):
                decisive = operator == "||"
                return decisive if decisive in map(self.truth, parts) else not decisive
            case Not(operand):
                return not self.truth(operand)
            case Compare(operator, left, right):
                return self._compare(operator, self._operand(left), self._operand(right))
            case Among(left, items):
                sought = self._operand(left)
                return any(self._compare("==", sought, self._operand(item)) for item in items)
            case Matches(left, _, pattern):
                return self._search(pattern, self._operand(left))
        value = self._operand(node)
        truth = _read_as(value, bool)
        if truth is None:
            _give_up(f"{value.name} is {value.told}, which is neither true nor false")
        return bool(truth)

    def _operand(self, node: Node) -> _Operand:
        match node:
            case Constant(value, text):
                return _Operand(text, value, text)
            case Variable():
                return self._variable(node)
            case Fact(name):
                if name not in self._context.facts:
                    _give_up(f"{name} is not known here")
                return self._noted(name, self._context.facts[name])
            case Field():
                return self._field(node)
            case Call():
                return self._noted(show(node), self._call(node))
        value = self.truth(node)
        return _Operand(show(node), value, _told(value))

    def _variable(self, node: Variable) -> _Operand:
        value = self._context.variables.get(node.name)
        if not value and node.default is not None:
            return self._noted(show(node), node.default, loose=True)
        if value is None:
            self.seen[show(node)] = "(not set)"
            _give_up(f"{show(node)} is not set; ${{{node.name}:-}} would stand for nothing")
        return self._noted(show(node), value, loose=True, hidden=node.name in self._context.hidden)

    def _field(self, node: Field) -> _Operand:
        key = node.key
        value = self._context.fields.get(key)
        if value is None:
            need, output = node.path if node.kind == "needs" else ("", "")
            why = f"not set: '{need}' handed on no output '{output}'" if need else "not known here"
            _give_up(f"{key} is {why}")
        loose = isinstance(value, str)
        return self._noted(key, value, loose=loose, hidden=key in self._context.hidden)

    def _call(self, call: Call) -> Scalar:
        match call.name:
            case "always":
                return True
            case "success":
                return self._needs.success
            case "failure":
                return self._needs.failure
            case "cancelled":
                return self._needs.cancelled
        status = self._needs.statuses.get(call.task or "")
        if status is None:
            _give_up(f"{show(call)}: '{call.task}' is not one of the task's needs")
        return status

    def _noted(
        self, name: str, value: Scalar, *, loose: bool = False, hidden: bool = False
    ) -> _Operand:
        short = value
        if isinstance(value, str) and len(value) > _TELL_AT_MOST:
            short = f"{value[:_TELL_AT_MOST]}... ({len(value)} characters)"
        self.seen[name] = _HIDDEN if hidden else short
        return _Operand(name, value, _HIDDEN if hidden else _told(short), loose)

    def _compare(self, operator: str, left: _Operand, right: _Operand) -> bool:
        if operator in _ORDER:
            return _ORDER[operator](_number(operator, left), _number(operator, right))
        if operator == "in":
            if not (isinstance(left.value, str) and isinstance(right.value, str)):
                wrong = right if isinstance(left.value, str) else left
                _give_up(f"'in' looks for a text in a text, but {wrong.name} is {wrong.told}")
            return left.value in right.value
        same = _equal(left, right)
        return same if operator == "==" else not same

    def _search(self, pattern: Pattern, operand: _Operand) -> bool:
        if not isinstance(operand.value, str):
            _give_up(f"=~ looks at a text, but {operand.name} is {operand.told}")
        if len(operand.value) > MAX_TEXT:
            _give_up(f"{operand.name} is longer than the {MAX_TEXT} characters =~ looks at")
        return pattern.search(operand.value)


def _equal(left: _Operand, right: _Operand) -> bool:
    kind = _kind(left) if right.loose else _kind(right)
    a, b = _read_as(left, kind), _read_as(right, kind)
    if a is None or b is None:
        _give_up(
            f"{left.name} is {left.told} and {right.name} is {right.told}: "
            "they are not of the same kind"
        )
    return a == b


def _number(operator: str, operand: _Operand) -> float:
    value = _read_as(operand, float)
    if value is None:
        _give_up(f"{operator} compares numbers, but {operand.name} is {operand.told}")
    return float(value)


def _kind(operand: _Operand) -> _Kind:
    if isinstance(operand.value, str):
        return str
    return bool if isinstance(operand.value, bool) else float


def _read_as(operand: _Operand, kind: _Kind) -> Scalar | None:
    """The operand's value as this kind, None if it is of another."""
    value = operand.value
    if _kind(operand) is kind:
        return value
    if not operand.loose:
        return None
    text = str(value)
    if kind is bool:
        return {"true": True, "false": False}.get(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def _told(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _give_up(message: str) -> NoReturn:
    raise _UnanswerableError(message)
