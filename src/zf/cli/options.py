"""The options as the command-line parser takes them, and the names that shell completion offers."""

from __future__ import annotations

from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.project import go_to
from zf.errors import ZfError
from zf.settings import OPTIONS, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zf.options import Option


def _change_directory(directory: str | None) -> str | None:
    if directory is not None:
        try:
            go_to(directory)
        except OSError as error:
            raise ZfError(
                f"-C {directory}: {error.strerror}", hint="name an existing folder"
            ) from None
    return directory


Directory = Annotated[
    str | None,
    typer.Option(
        "-C",
        metavar="DIR",
        callback=_change_directory,
        is_eager=True,
        help="Work as if started in DIR.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


# What a word stands for, by which `complete` knows what to offer. The parser itself asks these only
# for shells that it answers.


def complete_phase(incomplete: str) -> list[str]:
    """Phases of the project at hand."""
    return _offered("phase", incomplete)


def complete_task(incomplete: str) -> list[str]:
    """Tasks of the project at hand, and those with a matrix, which stand for all its instances."""
    return _offered("task", incomplete)


def complete_named(incomplete: str) -> list[str]:
    """Phases and tasks of the project at hand."""
    return _offered("named", incomplete)


def complete_run(incomplete: str) -> list[str]:
    """Runs of the project at hand, newest first."""
    return _offered("run", incomplete)


def _offered(kind: str, incomplete: str) -> list[str]:
    from zf.cli.complete import values

    return [one.value for one in values(kind, incomplete) if one.value.startswith(incomplete)]


RUN = typer.Argument(
    metavar="RUN",
    help="A run's id or the beginning of it, 'latest', the path of a run's folder, or the archive"
    " that zf export wrote.",
    autocompletion=complete_run,
)
TASK = typer.Argument(metavar="TASK", help="A task's id.", autocompletion=complete_task)


# What an option takes is completed by its name in the help.
_COMPLETED = {"TASK": complete_task, "EXPR": complete_task, "RUN": complete_run}


def one_of(about: str, named: Mapping[str, str], *, argument: str = "") -> Any:
    """What takes one of these, each with what it is: the option --format, or an `argument` that is
    called so.
    """

    def completed(incomplete: str) -> list[str]:
        return [name for name in named if name.startswith(incomplete)]

    def checked(name: str) -> str:
        if name in named:
            return name
        known = ", ".join(map(repr, named))
        raise typer.BadParameter(f"{name!r} is not one of {known}.")

    told = " ".join([about, *(f"{name}: {what}." for name, what in named.items())])
    if argument:
        return typer.Argument(
            metavar=argument, callback=checked, autocompletion=completed, help=told
        )
    return typer.Option(
        "--format",
        metavar="|".join(named),
        callback=checked,
        autocompletion=completed,
        help=told,
    )


def as_typers(option: Option[Any], verb: str = "") -> Any:
    """What typer calls an option, for a verb that takes this one."""
    names = (f"{option.flags[0]}/{option.off}",) if option.off else option.flags
    return typer.Option(
        *names,
        metavar=option.metavar or None,
        help=option.help_of(verb),
        autocompletion=_COMPLETED.get(option.metavar),
        show_default=False,
    )


def _annotation(option: Option[Any], verb: str) -> Any:
    kind: Any = bool if option.is_switch else str
    if option.choices:
        kind = Literal[tuple(option.choices)]
    return Annotated[(list[kind] if option.many else kind) | None, as_typers(option, verb)]


def gathering(
    command: Callable[..., int],
    name: str,
    annotated: Mapping[str, Any],
    make: Callable[[dict[str, Any]], Any] = dict,
) -> Callable[..., int]:
    """The verb with an optional parameter for each of `annotated` in place of its parameter `name`,
    which is what `make` makes of their values.
    """

    @wraps(command)
    def carried_out(**given: Any) -> int:
        values = {each: given.pop(each) for each in annotated}
        return command(**given, **{name: make(values)})

    parameters: list[Parameter] = []
    for own in signature(command, eval_str=True).parameters.values():
        if own.name != name:
            parameters.append(own)
            continue
        parameters += [
            Parameter(each, own.kind, default=None, annotation=annotation)
            for each, annotation in annotated.items()
        ]
    carried_out.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    return carried_out


def takes_run_options(command: Callable[..., int]) -> Callable[..., int]:
    """The verb with all run options of its name in place of its parameter `options`."""
    verb = command.__name__.replace("_", "-")
    annotated = {
        name: typer.Context if option.is_rest else _annotation(option, verb)
        for name, option in OPTIONS.items()
        if verb in option.verbs
    }

    def made(typed: dict[str, Any]) -> RunOptions:
        # Of what follows `--` the parser gives its context, in which the words are.
        read = {n: v.meta[n] if OPTIONS[n].is_rest else v for n, v in typed.items()}
        return RunOptions(verb, read)

    return gathering(command, "options", annotated, made)
