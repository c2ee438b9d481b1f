"""What the program itself knows of its command line, written down: the tables of docs/reference, the
manual pages in docs/man and the text of `zf --help`.

`./dev python -m tests.support.reference` writes them; a test compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

import zf.cli
from zf.cli import options
from zf.cli.groups import GROUPS, OR
from zf.cli.main import program
from zf.errors import Exit
from zf.options import EVERY_RUN, PHASE, TASK
from zf.settings import OPTIONS
from zf.typed import SHIELD_MODES

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "reference"
MANUAL = DOCS / "man"
HELP = Path(zf.cli.__file__).parent / "help.txt"
COMPLETION = Path(zf.cli.__file__).parent / "completion.json"
APP = program()
PROGRAM: Any = typer.main.get_command(APP)
PARSER = "from zf.cli.main import run; run(['--help'])"


class Row(NamedTuple):
    """An argument or option: as it is typed, what it is, and what holds without it."""

    typed: str
    text: str
    default: str


def pages() -> dict[Path, str]:
    """Each file as it should be: its own text, with the tables as the program has them."""
    codes = REFERENCE / "exit-codes.md"
    return {
        codes: with_table(codes.read_text(), "code", exit_code_table()),
        REFERENCE / "cli.md": commands_page(),
        HELP: help_text(),
        COMPLETION: completion_table(),
        **manual_pages(),
    }


# --- the tables of docs/reference ---


def with_table(text: str, first_heading: str, table: str) -> str:
    """The text with its first table of that kind replaced."""
    found = re.search(rf"(?m)^\| {first_heading} \|.*\n(?:^\|.*\n)+", text)
    assert found, f"no table that begins with {first_heading!r}"
    return text[: found.start()] + table + text[found.end() :]


def table(*rows: Iterable[str]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows]
    return "\n".join([lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]]) + "\n"


def exit_code_table() -> str:
    """Every exit code and what it means."""
    rows = [
        (str(code.value), f"`{code.name}`", code.run, _same(code.run_task, code.run), code.verify)
        for code in Exit
    ]
    return table(
        ("code", "name", "`zf run`, `zf run-phase`", "`zf run-task`", "`zf verify`"), *rows
    )


def _same(text: str, other: str) -> str:
    return "the same" if text and text == other else text


def commands_page() -> str:
    """docs/reference/cli.md with the options of every verb, and the variables of the settings."""
    head, *sections = re.split(r"(?m)^(?=## zf )", (REFERENCE / "cli.md").read_text())
    done = [with_table(head, "option", option_table("", PROGRAM))]
    for section in sections:
        verb = section.split()[2]
        new = section
        if "\n| option |" in section:
            new = with_table(section, "option", option_table(verb, PROGRAM.commands[verb]))
        if "\n| flag |" in section:
            new = with_table(new, "flag", variable_table())
        done.append(new)
    return "".join(done)


def option_table(verb: str, command: Any) -> str:
    """The options of a verb; of what it shares with run-phase it says so."""
    rows = [row for row in rows_of(command)["Options"] if row.typed != "-h, --help" or not verb]
    of_phase = (
        rows_of(PROGRAM.commands[PHASE])["Options"] if verb in EVERY_RUN and verb != PHASE else []
    )
    shared = {row[:2] for row in of_phase}
    told = [
        (
            ", ".join(f"`{word}`" for word in words_of(row)),
            _code(row.default),
            f"As for `zf {PHASE}`." if row[:2] in shared else _code(row.text),
        )
        for row in rows
    ]
    if not any(default for _, default, _ in told):
        return table(("option", "what"), *((name, what) for name, _, what in told))
    return table(("option", "default", "what"), *told)


def _code(text: str) -> str:
    """Flags, keys, files and variables in a sentence, marked as such."""
    word = r"--?[a-z][\w-]*|=\w+|\w+_\w+|[\w-]+\.(?:yaml|json|log)|[\w-]+\[\w+\]"
    return re.sub(rf"(?<![\w`-])(?:{word})(?![\w`-])", r"`\g<0>`", text)


def variable_table() -> str:
    """Which variables and which key of zf.yaml set what an option sets."""
    rows = [
        (
            f"`{option.flags[0]}`",
            ", ".join(f"`{name}`" for name in option.variables),
            f"`{option.key}`" if option.key else "",
        )
        for option in OPTIONS.values()
        if option.is_setting
    ]
    return table(("flag", "variables, first wins", "key in `zf.yaml`"), *rows)


def rows_of(command: Any) -> dict[str, list[Row]]:
    """The arguments and the options of a verb, as its help page has them."""
    context = _context(command)
    found: dict[str, list[Row]] = {}
    for kind, rows in command.help_rows(context).items():
        found[kind] = []
        for typed, text in rows:
            what, default = re.fullmatch(
                r"(.*?)(?: +\[(?:default: (.*)|required)\])?", " ".join(text.split())
            ).groups()
            found[kind].append(Row(typed, what, default or ""))
    return found


def _context(command: Any) -> Any:
    return command.context_class(
        command, info_name=command.name, help_option_names=["-h", "--help"]
    )


def words_of(row: Row) -> list[str]:
    """Each way to type an option, with its value: `-j N`, `--max-jobs N`."""
    *others, last = re.split(r", | / ", row.typed)
    flag, value = re.fullmatch(r"(--?[\w-]+)(.*)", last).groups()
    # What there is to choose from is in its text.
    value = "" if "|" in value else value
    return [f"{name}{value}" for name in (*others, flag)]


# --- `zf --help` ---


def help_text() -> str:
    """What the parser says to `zf --help` on 80 columns."""
    env = {**os.environ, "COLUMNS": "80"}
    command = (sys.executable, "-c", PARSER)
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


# --- what completion knows of the verbs ---

# A word of the project: by what the parser would ask for it, or by its name in the help.
_ASKED = {
    options.complete_phase: "phase",
    options.complete_task: "task",
    options.complete_named: "named",
    options.complete_run: "run",
}
_NAMED = {"EXPR": "expression", "NAME=VALUE": "input", "AXIS=VALUE": "axis", "DIR": "folder"}
_NAMED["MODE"] = "=" + "|".join(SHIELD_MODES)


def completion_table() -> str:
    """Of zf, and of each verb: its options, with what each takes and what it is, and its arguments.

    What a word stands for is one of the names in `cli/complete.py`, `=a|b` for one of these, or
    `file` for anything else.
    """
    rows = {"": _completed("", PROGRAM, {})}
    for info in APP.registered_commands:
        verb = info.name or info.callback.__name__.replace("_", "-")
        asked = typer.main.get_params_from_function(info.callback)
        rows[verb] = _completed(verb, PROGRAM.commands[verb], asked)
    lines = [f"{json.dumps(verb)}: {json.dumps(row)}" for verb, row in rows.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _completed(verb: str, command: Any, asked: dict[str, Any]) -> dict[str, Any]:
    rows = [item for rows in GROUPS.values() for item in rows.items()]
    lines = {name: line for names, line in rows for name in names.split(OR)}
    row: dict[str, Any] = {"about": lines.get(verb, ""), "options": {}, "arguments": []}
    row["many"] = False
    for param in command.get_params(_context(command)):
        default = asked[param.name].default if param.name in asked else None
        kind = _kind(param, getattr(default, "autocompletion", None))
        if param.param_type_name == "argument":
            row["arguments"].append(kind)
            row["many"] = param.nargs == -1
            continue
        about = (param.help or "").split(". ")[0].split(" [default")[0].rstrip(".")
        for flag in sorted(param.opts + param.secondary_opts):
            row["options"][flag] = [kind, about]
    return row


def _kind(param: Any, asked: Any) -> str:
    metavar = getattr(param, "metavar", None) or ""
    if param.param_type_name == "option" and (param.is_flag or metavar.startswith("[=")):
        return ""
    if metavar in _NAMED:
        return _NAMED[metavar]
    if asked is not None:
        return _ASKED.get(asked) or "=" + "|".join(asked(""))
    choices = getattr(param.type_descriptor, "choices", None)
    return "=" + "|".join(choices) if choices else "file"


# --- the manual pages ---


def manual_pages() -> dict[Path, str]:
    """A page for zf and one for each verb, for `man`."""
    pages = {MANUAL / "zf.1": _manual_of_zf()}
    for verb, command in PROGRAM.commands.items():
        pages[MANUAL / f"zf-{verb}.1"] = _manual_of(verb, command)
    return pages


def _manual_of_zf() -> str:
    commands = PROGRAM.commands.items()
    return "".join(
        [
            _head("zf", PROGRAM.help),
            _section("SYNOPSIS", "\\fBzf\\fR [\\-C DIR] COMMAND [OPTIONS] [ARGS]...\n"),
            _section("COMMANDS", *_groups()),
            *_rows(PROGRAM),
            _section("EXIT STATUS", *_exit_codes()),
            _section("ENVIRONMENT", *_variables(EVERY_RUN)),
            _section("SEE ALSO", ",\n".join(f"\\fBzf\\-{_plain(v)}\\fR(1)" for v, _ in commands)),
        ]
    )


def _groups() -> Iterator[str]:
    for group, rows in PROGRAM.grouped():
        yield f".SS {_plain(group)}\n"
        yield from (_item(f"zf {verb}", line) for verb, line in rows)


def _manual_of(verb: str, command: Any) -> str:
    context = _context(command)
    usage = " ".join(command.collect_usage_pieces(context))
    variables = list(_variables((verb,)))
    return "".join(
        [
            _head(f"zf-{verb}", command.get_short_help_str()),
            _section("SYNOPSIS", f"\\fBzf {_plain(verb)}\\fR {_plain(usage)}\n"),
            *_rows(command),
            _section("ENVIRONMENT", *variables) if variables else "",
            _section("SEE ALSO", "\\fBzf\\fR(1)\n"),
        ]
    )


def _head(name: str, about: str) -> str:
    return (
        f'.TH {_plain(name.upper())} 1 "" zf "zf manual"\n'
        + _section("NAME", f"{_plain(name)} \\- {_plain(about[0].lower() + about[1:].rstrip('.'))}\n")
    )  # fmt: skip


def _rows(command: Any) -> Iterator[str]:
    for kind, rows in rows_of(command).items():
        if rows:
            items = [_item(row.typed, row.text, row.default) for row in rows]
            yield _section(kind.upper(), *items)


def _exit_codes() -> Iterator[str]:
    for code in Exit:
        told = [code.run, code.run_task if code.run_task != code.run else "", code.verify]
        names = ["a run", f"zf {TASK}", "zf verify"]
        text = "; ".join(f"{name}: {what}" for name, what in zip(names, told, strict=True) if what)
        yield _item(str(code.value), text.replace("`", "") + ".")


def _variables(verbs: Iterable[str]) -> Iterator[str]:
    for option in OPTIONS.values():
        if option.variables and set(verbs) & set(option.verbs):
            yield _item(", ".join(option.variables), f"As {option.flags[0]}; the first one wins.")


def _section(title: str, *parts: str) -> str:
    return f".SH {title}\n" + "".join(
        part if part.endswith("\n") else f"{part}\n" for part in parts
    )


def _item(term: str, text: str, default: str = "") -> str:
    told = f"{text} Default: {default}." if default else text
    return f".TP\n\\fB{_plain(term)}\\fR\n{_plain(told)}\n"


def _plain(text: str) -> str:
    """Text as roff takes it: every character stands for itself."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", text)


if __name__ == "__main__":
    MANUAL.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)
