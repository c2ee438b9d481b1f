"""Verbs for what others read: report writes a run down, usage what a language model has used, and
notify sends messages about runs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zf.cli.display import streams
from zf.cli.options import RUN, AsJson, Directory, as_typers, complete_run, gathering, one_of
from zf.cli.project import find_run, is_archive, open_project, path_shown, program
from zf.errors import Exit, ZfError, printable
from zf.model import NOTHING
from zf.options import Option
from zf.report.formats import FORMATS, PAGE, Format
from zf.report.words import count, moment
from zf.typed import file_named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zf.notify.channels import Channel
    from zf.notify.outbox import Letter, Outbox
    from zf.report.formats.recorded import RecordedRun
    from zf.report.html.comparison import Against


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(_with_formats(report))
    app.command()(usage)
    app.command()(notify)


# The options of the verb that name a file, made from the table of formats.
_FILES: Mapping[str, Option[str]] = {
    form.name: Option[str](
        *(("--output", "-o") if form is PAGE else (form.option,)),
        metavar="FILE",
        parse=file_named,
        help=f"Write {form.about} to FILE.",
        shown="RUN.html beside the run's folder, if no other file is asked for"
        if form is PAGE
        else "",
    )
    for form in FORMATS
}


def _with_formats(verb: Callable[..., int]) -> Callable[..., int]:
    annotated = {name: Annotated[str | None, as_typers(option)] for name, option in _FILES.items()}
    return gathering(verb, "files", annotated)


def report(
    run: Annotated[str, RUN] = "latest",
    files: Mapping[str, str | None] = NOTHING,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="RUN",
            help="Write the page of what differs from this earlier run, as RUN-after-EARLIER.html.",
            autocompletion=complete_run,
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="How large the page may be; the largest logs of tasks that succeeded are left out"
            " first. [default: 25MB]",
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser, too.")
    ] = False,
    _directory: Directory = None,
) -> int:
    """Write a run as one HTML page, or as a file for another program. Reads the proof alone."""
    from zf.cli.display.reports import in_repository, write

    recorded, page = _run_of(run)
    how: dict[Format, Mapping[str, Any]] = {}
    if compare is not None:
        earlier, _ = _run_of(compare)
        page = f"{page.removesuffix('.html')}-after-{os.path.basename(earlier.folder)}.html"
        how[PAGE] = {"against": _against(earlier, recorded)}
    asked = {
        form: _FILES[form.name].read(path)
        for form in FORMATS
        if (path := files.get(form.name)) is not None
    }
    if max_bytes is not None and compare is None:
        how[PAGE] = {"max_bytes": _bytes(max_bytes)}
    if not asked or (PAGE not in asked and (open_it or how)):
        asked[PAGE] = page
    if PAGE in asked and compare is None:
        recorded.expect_verification()
    recorded.page = in_repository(asked.get(PAGE))
    recorded.alive = not is_archive(run) and _is_alive(recorded)
    for form, path in asked.items():
        write(recorded, form, path, **how.get(form, {}))
        print(printable(path_shown(path)))
    if open_it:
        _open(asked[PAGE])
    return Exit.OK


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def _bytes(text: str) -> int:
    """A size as it is typed: 25000000, 25MB, 800 kB."""
    number, unit = text[: len(text.rstrip("BbKkMmGg "))], text.lstrip("0123456789. ").upper()
    try:
        return int(float(number) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise ZfError(
            f"--max-bytes is {text!r}, but must be a size, such as 25MB", code="ZF110"
        ) from None


def _against(earlier: RecordedRun, run: RecordedRun) -> Against:
    from zf.audit.compare import compare
    from zf.report.html.comparison import Against

    return Against(earlier, compare(earlier.folder, run.folder).as_json())


def _run_of(run: str) -> tuple[RecordedRun, str]:
    """The run that is named, by its archive too, and where its page belongs: beside it."""
    from zf.cli.display.reports import recorded

    folder = os.path.abspath(find_run(run))
    found = recorded(folder)
    if is_archive(run):
        return found, f"{os.path.abspath(run).removesuffix('.tar')}.html"
    return found, f"{folder}.html"


def _is_alive(run: RecordedRun) -> bool:
    if run.facts.exit_code is not None:
        return False
    from zf.run.host.lock import has_runner

    return has_runner(*os.path.split(run.folder))


def _open(path: str) -> None:
    import webbrowser
    from pathlib import Path

    if not webbrowser.open(Path(path).as_uri()):
        raise ZfError(
            f"no browser could be started for {printable(path_shown(path))}",
            code="ZF661",
            hint="open the file by hand",
        )


# An answer is text for people: of more, something else was given.
_MAX_BYTES = 64 * 1024 * 1024
_SOURCES = {
    "claude": "claude -p --output-format json, or an answer of Anthropic's API",
    "codex": "codex exec --json",
    "openai": "an answer of OpenAI's API",
}


def usage(
    source: Annotated[str, one_of("What the answer comes from.", _SOURCES, argument="SOURCE")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The answer; - is standard input.")],
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model, where the answer names none."),
    ] = None,
    _directory: Directory = None,
) -> int:
    """Print what a language model used, as lines for $ZF_METRICS: tokens, requests and cost."""
    from zf.metrics.usage import UsageError, lines

    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ZfError(f"cannot read {printable(file)}: {error.strerror}", code="ZF670") from None
    if len(data) > _MAX_BYTES:
        raise ZfError(f"{printable(file)} is larger than 64 MiB", code="ZF671")
    try:
        sys.stdout.write(lines(source, data, model))
    except UsageError as error:
        raise ZfError(
            f"{printable(file)} is no answer of {source}",
            code="ZF672",
            hint=f"it takes {error}",
        ) from None
    return Exit.OK


def notify(
    what: Annotated[
        Literal["list", "send", "test", "drop"],
        typer.Argument(
            metavar="[list|send|test|drop]",
            help="List what waits, send what is due, try a channel, or drop a message.",
            show_default=False,
        ),
    ] = "list",
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="A message by its id, to send or drop; a channel, to test."
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Show the messages about runs that wait to be sent, send them, or try a channel."""
    from zf.notify.channels import channels
    from zf.notify.outbox import Outbox

    flow = open_project(quiet=True)
    known = {channel.name: channel for channel in channels(flow.project.notify)}
    outbox = Outbox(flow.proofs)
    if (name is None) is (what in {"test", "drop"}) and not (what == "send" and name):
        raise ZfError(f"notify {what} takes {'a' if name is None else 'no'} NAME")
    if what == "list":
        _list_letters(outbox.letters(), as_json=as_json)
        return Exit.OK
    if what == "drop":
        outbox.remove(_letter(outbox, name))
        return Exit.OK
    if what == "test":
        return _test_channel(name or "", known, os.path.basename(flow.root))
    return _send_letters(outbox, known, None if name is None else _letter(outbox, name))


def _list_letters(letters: Sequence[Letter], *, as_json: bool) -> None:
    from zf.events import timestamp

    if as_json:
        rows = [
            {
                "id": one.id,
                "channel": one.channel,
                "subject": one.message.get("subject", ""),
                "written_at": timestamp(one.written_at),
                "due_at": None if one.due_at is None else timestamp(one.due_at),
                "attempts": one.attempts,
                "failed": one.failed,
            }
            for one in letters
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in letters:
        state = "dead" if one.due_at is None else f"next {moment(timestamp(one.due_at))}"
        print(printable(f"{one.id}  {one.channel}  {one.message.get('subject', '')}"))
        why = f": {one.failed}" if one.failed else ""
        print(printable(f"    {state}, {count(one.attempts, 'attempt')}{why}"))
    if not letters:
        print("no message waits to be sent")


def _letter(outbox: Outbox, name: str | None) -> Letter:
    for one in outbox.letters():
        if one.id == name:
            return one
    raise ZfError(
        f"no message {printable(name or '')!r} waits", hint=f"{program()} notify lists them"
    )


def _test_channel(name: str, known: Mapping[str, Channel], project: str) -> int:
    from zf.notify.outbox import Letter
    from zf.notify.senders import NotSentError, send
    from zf.plan.suggest import nearest

    if name not in known:
        guess = nearest(name, known)
        hint = f"did you mean {guess!r}?" if guess else "`notify` in zf.yaml has them"
        raise ZfError(f"there is no channel {printable(name)!r}", hint=hint)
    text = "This is a message of zf notify test: the channel works."
    message = {"type": "test", "project": project, "subject": f"{project}: a test", "text": text}
    now = time.time()
    try:
        send(
            Letter(f"msg_{os.urandom(16).hex()}", name, now, now, message),
            known[name],
            os.environ,
            now,
        )
    except NotSentError as error:
        streams.say(sys.stderr, printable(f"{name}: not sent: {error}") + "\n")
        return Exit.FAILED
    print(f"{name}: sent")
    return Exit.OK


def _send_letters(outbox: Outbox, known: Mapping[str, Channel], one: Letter | None) -> int:
    from zf.notify.delivery import send_due

    wanted = None if one is None else lambda letter: letter.id == one.id
    made = send_due(outbox, known, os.environ, time.time, wanted=wanted)
    for attempt in made:
        told = f"not sent: {attempt.failed}" if attempt.failed else "sent"
        print(printable(f"{attempt.letter.id}  {attempt.letter.channel}: {told}"))
    return Exit.FAILED if any(attempt.failed for attempt in made) else Exit.OK
