"""Verbs on a run that is there: resume, rerun, cancel, and approve or reject what waits in it."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from zf.cli.begin import begin_rerun, words_of
from zf.cli.display import progress, streams
from zf.cli.options import RUN, Directory, complete_task, takes_run_options
from zf.cli.project import (
    adopt_suspended,
    as_typed,
    facts_of,
    find_run,
    hide_in_commands,
    open_project,
    proofs_folder,
)
from zf.cli.signing import conclude, signer_of_run, trust_of
from zf.errors import Exit, ZfError
from zf.lean.records import replace
from zf.settings import RunOptions


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(resume)
    app.command()(rerun)
    app.command()(cancel)
    app.command()(approve)
    app.command()(reject)


@takes_run_options
def resume(run: Annotated[str, RUN], options: RunOptions, _directory: Directory = None) -> int:
    """Finish a run whose zf was killed, or left it to wait for approval: keep what was finished,
    run the rest, seal the proof.
    """
    from zf.run.launch import resume as go_on
    from zf.run.request import recorded_request

    streams.display()
    run_dir = find_run(adopt_suspended(run), own=True)
    flow = open_project(quiet=True)
    watcher = progress.Watcher(options, flow.proofs)
    request = recorded_request(
        flow,
        run_dir,
        os.environ,
        watch=watcher.watch,
        look_s=watcher.look_s,
        output_fd=watcher.output_fd,
        words=words_of(options),
    )
    if options.on_approval is not None:
        limits = replace(request.limits, on_approval=options.on_approval)
        request = replace(request, limits=limits)
    hide = request.redactor.text
    hide_in_commands(hide)
    if flow.project.notify:
        from zf.cli.display.notices import with_waiting

        request = replace(request, watch=with_waiting(request.watch, flow, hide))
    sign = request.settings.sign.value if options.sign is None else options.sign
    with signer_of_run(sign=sign, key=options.key) as chosen, ExitStack() as opened:
        if chosen is not None and request.settings.cached.value:
            request = replace(request, trust=trust_of(chosen, opened))
        return conclude(go_on(request), watcher, chosen, hide, options, flow)


@takes_run_options
def rerun(
    options: RunOptions, run: Annotated[str, RUN] = "latest", _directory: Directory = None
) -> int:
    """Run a part of an earlier run again, as a new run; the rest is taken from its proof."""
    return begin_rerun(run, options)


def cancel(
    run: Annotated[str, RUN],
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Only this task.", autocompletion=complete_task),
    ] = None,
    _directory: Directory = None,
) -> None:
    """End a run that another zf is running, or one task of it; once more: end it now."""
    from zf.report.task_facts import named
    from zf.run.host.lock import cancel as ask_to_cancel

    run_dir = find_run(run, own=True)
    run = os.path.basename(run_dir)
    for each in (None,) if task is None else named(facts_of(run_dir), task):
        ask_to_cancel(proofs_folder(), run, each)
    streams.say(sys.stderr, f"asked {run} to cancel {task or 'everything'}\n")


WAITING_TASK = typer.Argument(metavar="TASK", help="The task.", autocompletion=complete_task)
Comment = Annotated[
    str,
    typer.Option("--comment", "-m", metavar="TEXT", help="Why, for those who read the proof."),
]
Called = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="NAME",
        help="The name to decide in. [default: that of the key in the list of allowed signers]",
    ),
]
SigningKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="The SSH key that signs. [default: ZF_SIGNING_KEY, or git's signing key]",
    ),
]


def approve(
    run: Annotated[str, RUN],
    task: Annotated[str, WAITING_TASK],
    comment: Comment = "",
    key: SigningKey = None,
    called: Called = "",
    _directory: Directory = None,
) -> int:
    """Approve a task that waits for it, signed with your SSH key, or by the token in ZF_TOKEN."""
    return _decide(run, task, "approve", comment, key, called)


def reject(
    run: Annotated[str, RUN],
    task: Annotated[str, WAITING_TASK],
    comment: Comment = "",
    key: SigningKey = None,
    called: Called = "",
    _directory: Directory = None,
) -> int:
    """Say no to a task that waits for approval: it ends as blocked."""
    return _decide(run, task, "reject", comment, key, called)


def _decide(run: str, task: str, decision: str, comment: str, key: str | None, called: str) -> int:
    from zf.cli.signing import decider
    from zf.plan.places import find_root
    from zf.proof.source.provenance import user_name
    from zf.report.task_facts import named
    from zf.run.gates.decide import decide

    run_dir = find_run(run, own=True)
    root = find_root(os.getcwd())[0]
    facts = facts_of(run_dir)
    names = named(facts, task)
    waiting = [name for name in names if facts.tasks[name].unanswered is not None]
    source = f"{user_name()}@{os.uname().nodename}"
    with ExitStack() as opened:
        chosen = decider(key, called, root, opened)
        told = [
            decide(run_dir, root, name, decision, chosen, source=source, comment=comment)
            for name in waiting or names[:1]
        ]
    for one in told:
        refused = one.exit_code != Exit.OK
        streams.say(sys.stderr if refused else sys.stdout, as_typed(f"{one.text}\n"))
    return max(one.exit_code for one in told)


def finish_owed(run_dir: str) -> None:
    """Run the handlers that a killed run still owes, before it is sealed as it is. Where they
    cannot be run, as the project is not here or is another by now, that is told.
    """
    from zf.run.launch import finish_owed as finish
    from zf.run.request import recorded_request

    owed = _owed(run_dir)
    if not owed:
        return
    streams.display()
    try:
        flow = open_project(quiet=True)
        watcher = progress.Watcher(RunOptions(), flow.proofs)
        request = recorded_request(
            flow,
            run_dir,
            os.environ,
            watch=watcher.watch,
            look_s=watcher.look_s,
            output_fd=watcher.output_fd,
        )
        hide_in_commands(request.redactor.text)
        finish(request)
    except ZfError as error:
        told = f"not run: {', '.join(owed)}, as {error}"
        streams.say(sys.stderr, f"zf: handlers of the run were {told}\n")


def _owed(run_dir: str) -> list[str]:
    """The handlers of a run without an end that no runner has claimed."""
    from zf.events import HandlerClaimed, RunEnded, TaskNotRun
    from zf.proof import read

    handlers = [row["id"] for row in read.plan_json(run_dir)["tasks"] if "on_end" in row]
    if not handlers:
        return []
    events = read.journal(run_dir).events
    if any(isinstance(event, RunEnded) for event in events):
        return []
    past = {e.task for e in events if isinstance(e, HandlerClaimed | TaskNotRun)}
    return [name for name in handlers if name not in past]
