"""How an option is declared: one object from which the command line, with and without its parser,
completion, variables, the reference page and the manual pages are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar, overload

from zf.lean.records import Struct

T = TypeVar("T")

# The verbs that run something.
RUN, PHASE, TASK, RERUN, RESUME = "run", "run-phase", "run-task", "rerun", "resume"
NEW_RUN = (RUN, PHASE, TASK, RERUN)
EVERY_RUN = (*NEW_RUN, RESUME)
# Runs the same tasks over and over.
WATCH = "watch"


class Setting(Struct, Generic[T], frozen=True):
    """A value and its source: ``--max-jobs``, ``ZF_MAX_JOBS``, ``zf.yaml`` or ``default``."""

    value: T
    source: str

    @property
    def given(self) -> bool:
        """Whether a flag or a variable set it, which then beats the project file."""
        return self.source not in {"default", "zf.yaml"}


class Options:
    """What was typed for a verb that runs something: the value of each option that a subclass
    declares; a setting is None where nothing was typed.

    `typed` has the words by the option's name. Raises ZfError (exit 2) naming the flag whose value
    is no good.
    """

    __slots__ = ("values",)
    # Each option by its name, in the order of the help pages.
    table: ClassVar[dict[str, Option[Any]]]

    def __init_subclass__(cls, more: Mapping[str, Option[Any]] | None = None) -> None:
        """`more` are options made from a table, each by its name."""
        for name, option in (more or {}).items():
            setattr(cls, name, option)
            option.__set_name__(cls, name)
        cls.table = {name: one for name, one in vars(cls).items() if isinstance(one, Option)}

    def __init__(self, verb: str = "", typed: Mapping[str, Any] | None = None) -> None:
        self.values = {name: option.untyped(verb) for name, option in self.table.items()}
        for name, words in (typed or {}).items():
            if words is not None:
                self.values[name] = self.table[name].read(words)


class Option(Generic[T]):
    """One option of these verbs, declared as a field of `Options`.

    It is typed as one of `flags`, of which messages name the first. What has neither `metavar` nor
    `choices` is a switch, which is off by default; `off` says its contrary. `alone` is the value of
    a flag to which none is joined with `=`: it takes no other word. `parse` makes the value from
    what was typed and the flag or variable that says it, and raises ZfError (exit 2).

    An option with `variables`, or a `key` in zf.yaml, is a setting: a field of `Settings` with the
    same name, which knows the `default`. `shown` is the default in words where that says more.
    `default_of` and `shown_of` are those of single verbs.
    """

    def __init__(
        self,
        *flags: str,
        help: str,  # noqa: A002 - as every parser calls it
        metavar: str = "",
        verbs: Sequence[str] = EVERY_RUN,
        off: str = "",
        choices: Sequence[str] = (),
        many: bool = False,
        alone: str = "",
        parse: Callable[[Any, str], T] | None = None,
        variables: Sequence[str] = (),
        key: str = "",
        default: Any = None,
        default_of: Mapping[str, Any] | None = None,
        shown: str = "",
        shown_of: Mapping[str, str] | None = None,
    ) -> None:
        self.flags, self.off, self.alone, self.help, self.metavar = flags, off, alone, help, metavar
        self.verbs, self.choices, self.many, self._parse = verbs, choices, many, parse
        self.variables, self.key = variables, key
        if self.is_switch and not off:
            default = False
        self.default, self._default_of = default, default_of or {}
        self._shown, self._shown_of = shown, shown_of or {}

    def __set_name__(self, _owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, options: None, _owner: type) -> Option[T]: ...
    @overload
    def __get__(self, options: Options, _owner: type) -> T: ...
    def __get__(self, options: Options | None, _owner: type) -> Any:
        return self if options is None else options.values[self.name]

    @property
    def is_switch(self) -> bool:
        return not (self.metavar or self.choices)

    @property
    def is_rest(self) -> bool:
        """Whether it is `--`, which takes all words that follow."""
        return self.flags == ("--",)

    @property
    def is_setting(self) -> bool:
        return bool(self.variables or self.key)

    def read(self, typed: Any, source: str = "") -> T:
        """The value of what was typed, or of what the variable `source` says."""
        return typed if self._parse is None else self._parse(typed, source or self.flags[0])

    def untyped(self, verb: str) -> Any:
        """What it is when it is not typed."""
        return None if self.is_setting else self._default_of.get(verb, self.default)

    def help_of(self, verb: str) -> str:
        """Its whole help text for a verb."""
        default = self._shown_of.get(verb, self._shown)
        default = default or self._default_of.get(verb, self.default)
        if default is None or isinstance(default, (bool, tuple, dict)):
            return self.help
        shown = f"{default:g}" if isinstance(default, float) else default
        return f"{self.help} [default: {shown}]"

    def setting(self, value: Any, environ: Mapping[str, str], project: object) -> Setting[Any]:
        """What it comes to, given what was typed (None: nothing) and what zf.yaml says."""
        if value is not None:
            return Setting(value, self.off if value is False else self.flags[0])
        for name in self.variables:
            if environ.get(name):
                return Setting(self.read(environ[name], name), name)
        in_file = getattr(project, self.name, None) if self.key else None
        if in_file is not None:
            return Setting(in_file, "zf.yaml")
        return Setting(self.default, "default")
