"""The lines of a recipe -> steps, with variables in place of `{{...}}`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Protocol

from zf.adopt.importers.just.parsing import Recipe
from zf.adopt.importers.just.values import Param, Unknown, Value, evaluate
from zf.adopt.importers.model import Import, Job, Step
from zf.adopt.importers.names import as_variable
from zf.adopt.importers.scripts import Meant, Unsayable, is_plain, put
from zf.variables import is_allowed

# `{{{{` stands for two braces.
_TEMPLATE = re.compile(
    r"\{\{\{\{|\{\{(?!\{)((?:'[^']*'|\"[^\"]*\"|`[^`]*`|[^}'\"`]|\}(?!\}))*)\}\}"
)


class Importer(Protocol):
    """What a body has to know of the file around it."""

    source: Import
    folder: str

    def passes(self, value: Value) -> None:
        """Let steps see the variables that a value names."""


class Body:
    """The lines of a recipe as steps, each with a shell of its own; or all as one script."""

    def __init__(
        self, importer: Importer, job: Job, recipe: Recipe, names: dict[str, str | Param]
    ) -> None:
        self._importer, self._job, self._recipe, self._names = importer, job, recipe, names

    def write(self) -> None:
        """Add the steps to the task."""
        body = self._recipe.body
        first = next((line for _, line in body if line.strip()), "")
        if first.startswith("#!"):
            at = next(n for n, (_, line) in enumerate(body) if line.strip())
            self._script(shlex_words(first[2:]), body[at + 1 :])
        elif self._recipe.has("script"):
            said = next(said for name, said in self._recipe.attributes if name == "script")
            words = [said, *()] if said and "'" not in said else shlex_words(said) or ["sh", "-eu"]
            self._script(words, body)
        else:
            for number, line in _joined(body):
                self._line(number, line)

    def _script(self, interpreter: list[str], body: list[tuple[int, str]]) -> None:
        words = _interpreter(interpreter)
        text = "\n".join(line for _, line in body).strip("\n")
        if not text.strip():
            return
        is_shell = words[0].rsplit("/", 1)[-1] in {"sh", "bash", "zsh", "dash", "ksh"}
        said = self._put(text, self._recipe.line, is_shell=is_shell)
        if said is not None:
            self._job.steps.append(
                Step(f"{said}\n" if "\n" in said else said, keys={"shell": words})
            )
            self._importer.source.exact(f"#!{' '.join(interpreter)}", job=self._job)

    def _line(self, number: int, line: str) -> None:
        text = line.strip("\n")
        sigils = re.match(r"[@\-?]*", text.lstrip())
        assert sigils is not None  # it matches nothing, too
        text = text.lstrip()[sigils.end() :]
        if not text.strip() or text.lstrip().startswith("#"):
            return
        said = self._put(text, number, is_shell=True)
        if said is None:
            return
        step = Step(said)
        if "-" in sigils[0]:
            step.keys["continue_on_error"] = True
            self._importer.source.exact(f"-{text}", line=number, job=self._job)
        self._job.steps.append(step)

    def _put(self, text: str, number: int, *, is_shell: bool) -> str | None:
        """The text with variables for its `{{...}}`; None if a guard stands for it."""
        if not _TEMPLATE.search(text):
            return text
        try:
            if is_shell:
                return put(text, _TEMPLATE, self._meant)
            return _TEMPLATE.sub(self._literal, text)
        except (Unknown, Unsayable) as error:
            why = f"{error}" if isinstance(error, Unknown) else "no variable can stand there"
            remedy = f"write the line as a step without templates ({why})"
            self._importer.source.manual(text, remedy, line=number, job=self._job)
            return None

    def _literal(self, found: re.Match[str]) -> str:
        if found[0] == "{{{{":
            return "{{"
        value = evaluate(found[1], self._names, self._importer.folder)
        if value.literal is None:
            raise Unsayable(found[0])
        return value.literal

    def _meant(self, found: re.Match[str]) -> Meant:
        if found[0] == "{{{{":
            return "literal", "{{"
        value = evaluate(found[1], self._names, self._importer.folder, commands=True)
        if value.command:
            return "command", value.command
        if value.alone == "@":
            return "words", "@"
        if value.alone:
            return "variable", value.alone
        name = found[1].strip()
        is_name = re.fullmatch("[A-Za-z_][A-Za-z0-9_-]*", name) is not None
        if value.literal is not None and not (is_name and is_plain(value.literal)):
            return "literal", value.literal
        variable = as_variable(name if is_name else "VALUE")
        env = self._job.keys.setdefault("env", {})
        while env.get(variable, value.env) != value.env or is_allowed(variable):
            variable += "_"
        env[variable] = value.env
        self._importer.passes(value)
        return "variable", variable


def _interpreter(words: list[str]) -> list[str]:
    """What a `#!` line calls, as zf has it."""
    if words and words[0].endswith("/env"):
        words = [word for word in words[1:] if word != "-S"]
    named = [
        words[0].rsplit("/", 1)[-1] if words[0].startswith(("/bin/", "/usr/bin/")) else words[0]
    ]
    return [*named, *words[1:]] if words else ["sh"]


def shlex_words(said: str) -> list[str]:
    """The words of a command line, however its quotes are."""
    try:
        return shlex.split(said.replace(",", " ")) or ["sh"]
    except ValueError:
        return said.split() or ["sh"]


def _joined(body: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines of a recipe, those that end in a backslash with what follows."""
    held = ""
    start = 0
    for number, line in body:
        start = start if held else number
        held += line
        if line.endswith("\\"):
            held += "\n"
            continue
        if held.strip():
            yield start, held
        held = ""
    if held.strip():
        yield start, held.rstrip("\\\n")
