"""What is wrong with a file's form, in words: pydantic's findings -> problems with a place.

Every kind of finding is worded here and nowhere else. Only bad files come this far, so this is
written for clarity, not speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from zf.lean.records import Struct, replace
from zf.plan.files import patterns
from zf.plan.files.forms import within
from zf.plan.inputs.form import INPUT_NAME
from zf.plan.matrix.keys import COUNTED, MATRIX, TAKEN
from zf.plan.outputs.form import OUTPUT, OUTPUT_OF
from zf.plan.suggest import nearest
from zf.plan.yaml.elsewhere import answer, stands_for
from zf.plan.yaml.position import marks_inside
from zf.plan.yaml.yaml12 import KEY, is_nothing, is_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from zf.errors import Problem
    from zf.plan.form import Form, Key
    from zf.plan.yaml.source import Source
    from zf.plan.yaml.yaml12 import Document

_Loc = tuple[int | str, ...]
MERGE_KEY = "<<"
# More keys than a hint can list.
_MANY = 16
# A guess compares with every key there is; a file full of wrong keys gets no more than these.
_MOST_GUESSES = 50


class _Found(Struct, frozen=True):
    """One finding of pydantic's, and where it points; `is_key`: at the key of an entry."""

    loc: _Loc
    facts: Mapping[str, Any]
    node: Node
    form: Form
    is_key: bool
    # For an entry's key: what stands behind it.
    value: Node
    may_guess: bool = True

    @property
    def subject(self) -> str:
        """`'run' in entry 2 of 'commands'`, for ("commands", 1, "run")."""
        parts = [f"'{p}'" if isinstance(p, str) else f"entry {p + 1}" for p in self.loc]
        if not parts:
            return f"the {self.form.title}"
        words = parts[-1]
        for part, inner in zip(parts[-2::-1], self.loc[:0:-1], strict=True):
            words += f" of {part}" if isinstance(inner, int) else f" in {part}"
        return words

    @property
    def around(self) -> _Found:
        """The mapping it is in."""
        return replace(self, loc=self.loc[:-1])

    @property
    def text(self) -> str:
        """What is written there; empty for anything but a scalar."""
        return self.node.value if isinstance(self.node, ScalarNode) else ""


def explain(
    source: Source, document: Document, form: Form, errors: list[ErrorDetails]
) -> list[Problem]:
    """What pydantic found in this document, as problems of the file."""
    problems: list[Problem] = []
    for raw in errors:
        kind, loc = raw["type"], raw["loc"]
        is_key = kind == "extra_forbidden" or loc[-1:] == (KEY,)
        named = loc[:-1] if loc[-1:] == (KEY,) else loc
        if MERGE_KEY in (named[:-1] if is_key else named):
            continue  # the key itself is reported
        node = document.node_at((*named, KEY) if is_key else named)
        inner, inside = within(form, named) if named else (form, named)
        value, may_guess = document.node_at(named), len(problems) < _MOST_GUESSES
        found = _Found(inside, raw.get("ctx", {}), node, inner, is_key, value, may_guess)
        if kind == "missing" and _is_said_elsewhere(found):
            continue  # by a word of another system, which is told
        code, message, hint = (_merge_key if MERGE_KEY in named else _WORDS[kind])(found)
        start, end = node.start_mark, node.end_mark
        if kind == "missing":
            end = None  # a mapping that lacks something is wrong as a whole: point at its start
        elif kind == "condition":
            facts = found.facts
            start, end = marks_inside(source, node, facts["at"], facts["length"])
        problems.append(source.problem(code, message, start, end, hint=hint))
    return problems


_Wording = tuple[str, str, str | None]


def _missing(found: _Found) -> _Wording:
    key = str(found.loc[-1])
    example = _keys_around(found)[key].example
    return "ZF221", f"{found.around.subject} lacks the key '{key}'", f"add `{example}`"


def _is_said_elsewhere(found: _Found) -> bool:
    known = _keys_around(found)
    said = found.value.value if isinstance(found.value, MappingNode) else []
    return any(stands_for(str(key.value), known, str(found.loc[-1])) for key, _ in said)


def _is_cut_off(found: _Found) -> bool:
    """Whether the key is what follows a comma in a text, as `b` in `{run: a, b}`: it has no `:`."""
    if not isinstance(found.value, ScalarNode) or found.value.value or found.value.style:
        return False
    return bool(found.value.start_mark.index == found.node.end_mark.index)


def _unknown_key(found: _Found) -> _Wording:
    key = str(found.loc[-1])
    known = _keys_around(found)
    guess = nearest(key, known) if found.may_guess else None
    listed = f"known keys: {', '.join(known)}" if len(known) < _MANY else "`zf schema` lists all"
    deeper = next((name for name, one in known.items() if key in one.keys), None)
    elsewhere = answer(key, known, found.value)
    if _is_cut_off(found):
        hint = "inside of { } a text ends at a comma: put the whole text in quotes"
    elif elsewhere:
        hint = elsewhere
    elif guess:
        hint = f"did you mean '{guess}'?"
    else:
        hint = f"it is a key inside of '{deeper}'" if deeper else listed
    return "ZF220", f"unknown key '{key}' in {found.around.subject}", hint


def _merge_key(_found: _Found) -> _Wording:
    return (
        "ZF220",
        "the merge key '<<' is not part of YAML 1.2",
        "write the keys out; plain aliases (*name) work",
    )


def _keys_around(found: _Found) -> Mapping[str, Key]:
    """The keys that the mapping around the found one may hold."""
    keys = found.form.keys
    for part in found.loc[:-1]:
        if part in keys:
            keys = keys[str(part)].keys or keys
        elif keys is MATRIX:  # an axis, whose name can be any
            keys = {**COUNTED, **TAKEN}
    return keys


def _wrong_type(wanted: str, hint: Callable[[_Found], str | None]) -> Callable[[_Found], _Wording]:
    def words(found: _Found) -> _Wording:
        verb = "be" if found.loc else "hold"
        message = f"{found.subject} must {verb} {wanted}, found {_shown(found.node)}"
        return "ZF222", message, hint(found)

    return words


def _shown(node: Node) -> str:
    """What was found, as the reader sees it in the file."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    text = _clipped(node.value)
    return f"the text '{text}'" if is_text(node) else text or "nothing"


def _clipped(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _quote(found: _Found) -> str | None:
    if not isinstance(found.node, ScalarNode):
        is_script = found.loc[-1] == "run"
        if len(found.loc) == 2 and found.loc[0] in {"commands", "cleanup"}:
            return "a step is a text, or a mapping, such as `- run: make test`"
        if not is_script:
            return None
        if isinstance(found.node, SequenceNode) and not isinstance(found.loc[-2:][0], int):
            return "a list of steps stands below `commands:`"
        return "write the commands below `run: |`, one per line"
    if is_nothing(found.node):
        return 'write "" for an empty text' if "env" in found.loc[:-1] else "write a text"
    return f'write "{_clipped(found.text)}", in quotes'


_DURATION = re.compile(r"([0-9]+) ?(s|sec|m|min|h|hours?)")
_CLOCK = re.compile(r"([0-9]+):([0-5]?[0-9])(?::([0-5]?[0-9]))?")
_UNITS = {"s": 1, "m": 60, "h": 3600}


def _plain_number(found: _Found) -> str:
    """The number the writer must have meant."""
    text = found.text
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) and is_text(found.node):
        return f"write {text} without quotes"
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        return "some programs read it as octal: write it without the leading 0"
    if re.fullmatch(r"[0-9][0-9_]*[0-9]", text):
        return f"write {text.replace('_', '')}"
    if match := _DURATION.fullmatch(text):
        return f"write seconds: {int(match[1]) * _UNITS[match[2][0]]}"
    if match := _CLOCK.fullmatch(text):
        parts = [int(part) for part in match.groups() if part]
        seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
        return f"write seconds: {seconds}"
    return "write seconds, such as 300" if _is_time(found) else "write a whole number, such as 4"


def _is_time(found: _Found) -> bool:
    return str(found.loc[-1]).endswith("_sec")


_YES = frozenset({"yes", "on", "y", "true", "1"})
_NO = frozenset({"no", "off", "n", "false", "0"})


def _true_or_false(found: _Found) -> str | None:
    text = found.text.lower()
    if found.loc == ("allow_failure",) and text.isdigit():
        return f"write {{exit_codes: [{text}]}}"
    is_quoted = isinstance(found.node, ScalarNode) and found.node.style
    quotes = ", without quotes" if is_quoted else ""
    if text in _YES:
        return f"write true{quotes}"
    return f"write false{quotes}" if text in _NO else None


def _as_list(found: _Found) -> str | None:
    if found.loc[-1] == "commands":
        return "write a list of steps, such as `- run: make test`"
    if found.loc[-1] == "artifacts" and isinstance(found.node, MappingNode):
        return "write the paths alone: artifacts: [report/*.xml]"
    if is_nothing(found.node):
        return "write [], or remove the key"
    one_line = found.text and "\n" not in found.text
    return f"write [{_clipped(found.text)}]" if one_line else None


def _as_mapping(found: _Found) -> str | None:
    if found.loc[:1] == ("tasks",) and len(found.loc) == 2:
        return "write a script, a list of steps, or keys such as `run: make test`"
    if found.loc == ("env",):
        return "write `NAME: value`, one per line, without `-` and `=`"
    return None


def _pattern(found: _Found) -> _Wording:
    if not found.is_key and not found.text.strip():
        return "ZF223", f"{found.subject} is empty", "write something"
    rule = PATTERNS[found.facts["pattern"]]
    if found.is_key:
        return rule.code, f"{found.subject} {rule.complaint}", rule.hint(found.text)
    message = f"{found.subject} is '{_clipped(found.text)}', which {rule.complaint}"
    return rule.code, message, rule.hint(found.text)


class _Rule(Struct, frozen=True):
    """How a text that does not match one of schema's patterns is reported."""

    code: str
    complaint: str
    hint: Callable[[str], str]


def _id_hint(text: str) -> str:
    if len(text) > 128:
        return "at most 128 characters"
    return "start with a letter or digit; letters, digits, '.', '_' and '-' may follow"


def _glob_hint(text: str) -> str:
    if "=" in text:
        return "this passes variables on; set values in `env`"
    if text.startswith("$"):
        return "write the name without $"
    return "write a variable's name, or a glob such as AWS_*"


def _inside_hint(text: str) -> str:
    if text.startswith("/"):
        return "write it relative to the project root"
    return "write a path from the project root, without '..'"


def _url_hint(text: str) -> str:
    if "://" in text:
        return "http and https are what it can be sent with"
    return "begin it with https://"


# What is said of a text which does not match a pattern of its key.
PATTERNS = {
    patterns.ID: _Rule("ZF216", "is not a valid name", _id_hint),
    patterns.ENV_NAME: _Rule(
        "ZF226",
        "is not a valid name for a variable",
        lambda _: "letters, digits and '_', and no digit first",
    ),
    OUTPUT: _Rule(
        "ZF280",
        "is not a valid name for an output",
        lambda _: "letters, digits, '_' and '-', at most 64 of them, and no digit or '-' first",
    ),
    OUTPUT_OF: _Rule(
        "ZF281",
        "names no output",
        lambda _: "write the task, a dot and the output, such as build.version",
    ),
    patterns.METRIC_NAME: _Rule(
        "ZF233",
        "is not a valid name for a metric",
        lambda _: "letters, digits, '_' and ':', and no digit first",
    ),
    INPUT_NAME: _Rule(
        "ZF273",
        "is not a valid name for an input",
        lambda _: "letters, digits, '_' and '-', at most 64, and no digit first",
    ),
    patterns.IMAGE: _Rule(
        "ZF707", "is no name of an image", lambda _: "write it as the engine takes it: debian:12"
    ),
    patterns.NETWORK: _Rule(
        "ZF707", "is no network", lambda _: "write true, false, host, or the name of a network"
    ),
    patterns.USER: _Rule("ZF707", "is no user", lambda _: "write a name or number: 1000:1000"),
    patterns.MEMORY: _Rule(
        "ZF707", "is no amount of memory", lambda _: "write a number with its unit: 512m, 2g"
    ),
    patterns.ENGINE: _Rule(
        "ZF707",
        "is no container engine",
        lambda _: "write podman, docker, or a command line that begins with one of them",
    ),
    patterns.APPROVER: _Rule(
        "ZF730",
        "is no name of someone who approves",
        lambda _: "write it as `allowed_signers` has it, or the name of a token of the server",
    ),
    patterns.URL: _Rule("ZF864", "is no address of the web", _url_hint),
    patterns.ADDRESS: _Rule(
        "ZF864", "is no address of a mailbox", lambda _: "write one, such as team@example.org"
    ),
    patterns.SERVER: _Rule(
        "ZF864", "is no mail server", lambda _: "write HOST or HOST:PORT, without a scheme"
    ),
    patterns.ENV_GLOB: _Rule("ZF229", "names no variable", _glob_hint),
    patterns.INSIDE: _Rule("ZF227", "does not stay inside the project", _inside_hint),
    patterns.GLOB: _Rule("ZF227", "does not stay inside the project", _inside_hint),
}


def _literal(found: _Found) -> _Wording:
    words = [word.strip("'") for word in re.findall(r"'[^']*'", found.facts["expected"])]
    guess = nearest(found.text, words)
    hint = f"did you mean '{guess}'?" if guess else None
    if found.loc[-1] == "shell":
        hint = f"write a command line as a list: [{_clipped(found.text) or 'node'}]"
    message = f"{found.subject} must be {' or '.join(words)}, found {_shown(found.node)}"
    return "ZF230", message, hint


def _too_short(found: _Found) -> _Wording:
    if found.loc == ("commands",):
        return (
            "ZF224",
            f"{found.subject} is empty: the task would do nothing and succeed",
            "add a step, such as `- run: make test`",
        )
    return "ZF223", f"{found.subject} is empty", "write something, or leave the key out"


def _number(relation: str, fact: str) -> Callable[[_Found], _Wording]:
    def words(found: _Found) -> _Wording:
        limit = found.facts[fact]
        limit = int(limit) if limit == int(limit) else limit
        hint = "it is in seconds" if _is_time(found) else None
        message = f"{found.subject} must be {relation} {limit}, found {_clipped(found.node.value)}"
        return "ZF225", message, hint

    return words


_WORDS: Mapping[str, Callable[[_Found], _Wording]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "string_type": _wrong_type("text", _quote),
    "bool_type": _wrong_type("true or false", _true_or_false),
    "float_type": _wrong_type("a number", _plain_number),
    "int_type": _wrong_type("a whole number", _plain_number),
    "list_type": _wrong_type("a list", _as_list),
    "dict_type": _wrong_type("a mapping (`key: value`)", _as_mapping),
    "string_pattern_mismatch": _pattern,
    "string_too_long": lambda found: (
        "ZF730",
        f"{found.subject} has more than {found.facts['max_length']} characters",
        PATTERNS[patterns.APPROVER].hint(found.text),
    ),
    "literal_error": _literal,
    "scalar_type": _wrong_type("a text, a number or a boolean", _quote),
    "too_short": _too_short,
    "condition": lambda found: ("ZF231", found.facts["message"], found.facts["hint"]),
    "placeholder": lambda found: (
        "ZF772",
        found.facts["message"],
        "a brace in a command is none of zf's: say the word in a script that `start` names",
    ),
    "executor_local": lambda _: (
        "ZF773",
        "an executor cannot be called 'local', which is what tasks call this machine",
        "choose another name",
    ),
    "env_reserved": lambda found: (
        "ZF228",
        f"'{found.loc[-1]}' is set by zf itself",
        "choose another name",
    ),
    "finite_number": lambda found: (
        "ZF225",
        f"{found.subject} must be a finite number, found {found.node.value}",
        "leave the key out for the default",
    ),
    "greater_than": _number("greater than", "gt"),
    "greater_than_equal": _number("at least", "ge"),
    "less_than_equal": _number("at most", "le"),
}
