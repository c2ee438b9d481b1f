"""When a job of GitLab runs (`rules`, `only`, `except`) -> a condition of zf."""

from __future__ import annotations

import re
from typing import Any

from zf.adopt.importers.reading import Map, as_list, as_text
from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.tokens import Tokens
from zf.lean.records import Struct
from zf.plan.conditions.condition import ConditionError, parse

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<variable>\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*))
    | (?P<text>'[^']*'|"[^"]*")
    | (?P<pattern>/(?:[^/\\]|\\.)+/[a-z]*)
    | (?P<null>null\b)
    | (?P<sign>\&\&|\|\||==|!=|=~|!~|[()!])
    )""",
    re.VERBOSE,
)
_SOURCES = {
    "api": "api",
    "chat": "chat",
    "external": "external",
    "merge_requests": "merge_request_event",
    "pipelines": "pipeline",
    "pushes": "push",
    "schedules": "schedule",
    "triggers": "trigger",
    "web": "web",
}
_MOST_DEPTH = 30


class When(Struct):
    """When a job runs: its condition, and `when` as GitLab has it; what of a rule is left out."""

    condition: str = ""
    when: str = "on_success"
    allow_failure: Any = None


def checked(condition: str) -> str:
    """The condition, if zf takes it. Raises Unsayable."""
    try:
        parse(condition)
    except ConditionError:
        raise Unsayable(condition) from None
    return condition


def of_rules(rules: Any, usual: str) -> When:
    """The first rule that matches decides; none: the job does not run. Raises Unsayable."""
    found = When(condition="false")
    whens: set[str] = set()
    for rule in reversed(as_list(rules)):
        if not isinstance(rule, Map) or not {*rule} <= {"if", "when", "allow_failure"}:
            odd = ", ".join({*rule} - {"if", "when"}) if isinstance(rule, Map) else str(rule)
            raise Unsayable(f"a rule with {odd}")
        when = as_text(rule.get("when")) or usual
        if when != "never":
            whens.add(when)
        if "allow_failure" in rule:
            found.allow_failure = rule["allow_failure"]
        text = of_if(as_text(rule["if"]) or "") if "if" in rule else "true"
        found.condition = _chosen(text, when != "never", found.condition)
    if len(whens) > 1:
        raise Unsayable(f"rules that differ in `when`: {', '.join(sorted(whens))}")
    found.when = (whens or {"never"}).pop()
    found.condition = "" if found.condition == "true" else checked(found.condition)
    return found


def _chosen(test: str, runs: bool, rest: str) -> str:
    """If the test, then this, else what the rules below say."""
    if test == "true":
        return "true" if runs else "false"
    if runs:
        if rest in {"true", "false"}:
            return "true" if rest == "true" else test
        return f"{test} || {_grouped(rest, '&&')}" if "&&" in rest else f"{test} || {rest}"
    if rest == "false":
        return "false"
    opposite = f"!({test})"
    return opposite if rest == "true" else f"{opposite} && {_grouped(rest, '||')}"


def _grouped(text: str, sign: str) -> str:
    return f"({text})" if sign in text else text


def of_refs(said: Any) -> str:
    """What `only` or `except` names. Raises Unsayable."""
    parts: list[str] = []
    refs = said.get("refs") if isinstance(said, Map) else said
    if isinstance(said, Map) and not {*said} <= {"refs", "variables"}:
        raise Unsayable(", ".join({*said} - {"refs", "variables"}))
    if refs is not None:
        parts.append(_any([_of_ref(as_text(one) or "") for one in as_list(refs)]))
    if isinstance(said, Map) and "variables" in said:
        tests = [of_if(as_text(one) or "") for one in as_list(said["variables"])]
        parts.append(_any(tests))
    return " && ".join(_grouped(part, "||") for part in parts) if len(parts) > 1 else parts[0]


def _any(parts: list[str]) -> str:
    if not parts:
        raise Unsayable("an empty list")
    return " || ".join(dict.fromkeys(parts))


def _of_ref(ref: str) -> str:
    if ref == "branches":
        return "${CI_COMMIT_BRANCH:-} != ''"
    if ref == "tags":
        return "${CI_COMMIT_TAG:-} != ''"
    if ref in _SOURCES:
        return f"${{CI_PIPELINE_SOURCE:-}} == '{_SOURCES[ref]}'"
    if ref.startswith("/"):
        return f"${{CI_COMMIT_REF_NAME:-}} =~ {_pattern(ref)}"
    if "@" in ref or "'" in ref or not ref:
        raise Unsayable(ref)
    return f"${{CI_COMMIT_REF_NAME:-}} == '{ref}'"


def _pattern(said: str) -> str:
    """A pattern between slashes, as a text of a condition. Raises Unsayable."""
    body, _, flags = said[1:].rpartition("/")
    body = body.replace("\\/", "/")
    if flags or ("'" in body and '"' in body):
        raise Unsayable(said)
    return f'"{body}"' if "'" in body else f"'{body}'"


def of_if(said: str) -> str:
    """The expression of an `if`. Raises Unsayable."""
    parser = _Parser(said)
    found = parser.either(0)
    if parser.tokens:
        raise Unsayable(said)
    return checked(found)


class _Parser(Tokens):
    """Variables, texts and patterns, `&&` before `||`."""

    def __init__(self, said: str) -> None:
        super().__init__(said, _TOKEN)

    def either(self, depth: int) -> str:
        """Parts of which one is enough."""
        if depth > _MOST_DEPTH:
            raise Unsayable(self._said)
        found = self._both(depth)
        while self._takes("||"):
            found = f"{found} || {self._both(depth)}"
        return found

    def _both(self, depth: int) -> str:
        found = self._test(depth)
        while self._takes("&&"):
            found = f"{found} && {self._test(depth)}"
        return found

    def _test(self, depth: int) -> str:
        if self._takes("("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise Unsayable(self._said)
            return f"({inner})"
        if self._takes("!"):
            if depth > _MOST_DEPTH:
                raise Unsayable(self._said)
            return f"!({self._test(depth + 1)})"
        left = self._value()
        operator = self._takes("==", "!=", "=~", "!~")
        if not operator:
            return f"{left} != ''"
        if operator in {"=~", "!~"}:
            if not self.tokens or self.tokens[0][0] != "pattern":
                raise Unsayable(self._said)
            test = f"{left} =~ {_pattern(self.tokens.pop(0)[1])}"
            return test if operator == "=~" else f"!({test})"
        return f"{left} {operator} {self._value()}"

    def _value(self) -> str:
        if not self.tokens:
            raise Unsayable(self._said)
        kind, said = self.tokens.pop(0)
        if kind == "variable":
            return f"${{{said.strip('${}')}:-}}"
        if kind == "text":
            return said
        if kind == "null":
            return "''"
        raise Unsayable(self._said)
