"""An input of a run: what is declared of it, what its value is as text, and how a proof keeps it.

Pure. What makes a value of what was given, and finds what is wrong with that, is `plan/inputs/`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from zf.lean.encoder import encoder
from zf.lean.records import Struct

TYPES = ("string", "int", "number", "bool", "choice", "list")
# Where a value may have come from.
SOURCES = ("flag", "file", "variable", "default")
# What begins the names of the variables that steps see, and of those that give a value to zf.
PREFIX, GIVEN_PREFIX = "INPUT_", "ZF_INPUT_"

# What stands for a hidden value.
HIDDEN = "(hidden)"
# Of a value, in a line for people.
_SHOWN_CHARS = 200

Value = str | int | float | bool | tuple[str, ...]


class Input(Struct, frozen=True):
    """One entry of `inputs:`. `least` and `most` are its `min` and `max`; a `default` of None is
    none.
    """

    type: str = "string"
    options: tuple[str, ...] = ()
    default: Value | None = None
    pattern: str = ""
    least: float | None = None
    most: float | None = None
    required: bool = False
    # None where its file does not say.
    secret: bool | None = None
    description: str = ""

    @property
    def may_be_shown(self) -> bool:
        """Whether it is no secret, whatever it is called."""
        return self.secret is False or self.type != "string"

    @property
    def empty(self) -> Value:
        """What it is where it is not given and has no default."""
        if self.type == "list":
            return ()
        return False if self.type == "bool" else ""


class Given(Struct, frozen=True):
    """The value of an input in one run. It is known to the tasks of these `phases`, or to all.

    One that is `hidden` stands nowhere: the proof has a digest of it, made with the `salt`. One
    that `may_be_shown` is no secret, whatever it is called.
    """

    value: Value
    source: str = "default"
    phases: tuple[str, ...] = ()
    hidden: bool = False
    salt: str = ""
    may_be_shown: bool = False

    def __repr__(self) -> str:
        return f"Given({'***' if self.hidden else repr(self.value)}, {self.source!r})"

    def as_json(self) -> dict[str, Any]:
        """What run.json has of it."""
        if self.hidden:
            digest = salted(self.value, self.salt)
            return {"salted_sha256": digest, "salt": self.salt, "source": self.source}
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"value": value, "source": self.source}


Inputs = Mapping[str, Given]


class Words(Struct, frozen=True):
    """What a command line has for inputs: `NAME=VALUE` words, and the path of a file of them."""

    flags: Sequence[str] = ()
    file: str | None = None

    def __bool__(self) -> bool:
        return bool(self.flags or self.file)


NO_WORDS = Words()


def variable(name: str, prefix: str = PREFIX) -> str:
    """The variable of an input: `dry-run` is INPUT_DRY_RUN."""
    return prefix + name.upper().replace("-", "_")


def text_of(value: object) -> str:
    """A value as steps have it: `true` or `false`, a number in plain digits, the entries of a list
    one a line.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        from decimal import Decimal  # noqa: PLC0415 - 2 ms, and few inputs are fractions

        return format(Decimal(repr(value)), "f")
    if isinstance(value, tuple | list):
        return "\n".join(map(str, value))
    return str(value)


def known_to(inputs: Inputs, phase: str) -> dict[str, Given]:
    """Those that the tasks of a phase know of."""
    return {
        name: given for name, given in inputs.items() if not given.phases or phase in given.phases
    }


def salted(value: Value, salt: str) -> str:
    """The digest a proof has of a value it does not show: SHA-256, in hex, over the UTF-8 bytes of
    the salt and of the value's text behind it.
    """
    return sha256(f"{salt}{text_of(value)}".encode(errors="surrogateescape")).hexdigest()


def entries(text: str) -> list[str]:
    """The entries of a list that is given as one text: parted by commas, or a list in JSON.

    Raises ValueError.
    """
    if text.startswith("["):
        import json  # noqa: PLC0415 - 2 ms that few runs pay

        found = json.loads(text)
        if not all(isinstance(entry, str) for entry in found):
            raise ValueError("its entries must be texts")
        return list(found)
    return text.split(",") if text else []


def pairs(words: Iterable[str]) -> dict[str, list[str]]:
    """`NAME=VALUE` words: each name with all that it is said to be. Raises ValueError, with the
    word that is none.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ValueError(word)
        found.setdefault(name, []).append(value)
    return found


def without_values(words: Iterable[str], inputs: Inputs) -> list[str]:
    """The words of a command line without the values of hidden inputs that they give."""
    shown = list(words)
    for name, given in inputs.items():
        if given.hidden and (value := text_of(given.value)):
            shown = [word.replace(f"{name}={value}", f"{name}=***") for word in shown]
    return shown


# What a proof says.


def is_hidden(recorded: object) -> bool:
    """Whether it has a digest of the value in place of that."""
    return isinstance(recorded, Mapping) and "value" not in recorded


def differs(recorded: object, wanted: Collection[str]) -> str | None:
    """How what a run.json says of an input differs from what is `wanted`: a text, or the entries
    of a list; None where it does not. What is hidden is not told.
    """
    if not isinstance(recorded, Mapping):
        return "no such input"
    texts = list(wanted)
    if is_hidden(recorded):
        salt, digest = recorded.get("salt"), recorded.get("salted_sha256")
        same = isinstance(salt, str) and len(texts) == 1 and salted(texts[0], salt) == digest
        return None if same else "another, which is hidden"
    value = recorded["value"]
    if isinstance(value, list):
        if len(texts) == 1:
            try:
                texts = entries(texts[0])
            except ValueError:
                return f"{value!r:.200}"
        return None if texts == value else f"{value!r:.200}"
    if len(texts) == 1 and (text_of(value) == texts[0] or _same_number(value, texts[0])):
        return None
    return f"{text_of(value)!r:.200}"


def _same_number(value: object, text: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return float(text) == value
    except ValueError:
        return False


def told(run: Mapping[str, Any], *, every: bool = False) -> tuple[str, ...]:
    """What a run.json says that the run was given, in at most two lines; with `every` input, those
    too that have their defaults.
    """
    inputs, arguments = run.get("inputs"), run.get("arguments")
    named = [
        f"{name}={_short(shown(one))}"
        for name, one in (inputs if isinstance(inputs, Mapping) else {}).items()
        if every or not isinstance(one, Mapping) or one.get("source") != "default"
    ]
    lines = [f"inputs: {', '.join(named)}"] if named else []
    if isinstance(arguments, list) and arguments:
        lines.append(f"arguments: {_short(' '.join(map(_word, arguments)))}")
    return tuple(lines)


def _word(argument: object) -> str:
    from shlex import quote  # noqa: PLC0415 - few runs have arguments

    return quote(str(argument))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."


def shown(recorded: object) -> str:
    """What a run.json says of an input, for people."""
    if not isinstance(recorded, Mapping):
        return "-"
    if is_hidden(recorded):
        return HIDDEN
    value = recorded["value"]
    return _in_one_line(value) if isinstance(value, list) else text_of(value)


_in_one_line = encoder(", ", ": ")
