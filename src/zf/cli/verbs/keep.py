"""Verbs that say which runs stay: prune, hold, release."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from zf.cli.display import streams
from zf.cli.display.progress import style_of
from zf.cli.options import AsJson, Directory, complete_phase, complete_run
from zf.cli.project import path_shown, program, proofs_folder
from zf.errors import Exit, ZfError, printable
from zf.proof.layout import RETENTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zf.run.retention.choice import Rule
    from zf.run.retention.prune import Done, Prepared

# A reason is a sentence.
_MOST_REASON = 500
# So many runs that stay for the same reason are named, the rest is counted.
_FEW = 5

Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why, for those who ask later. It is recorded."),
]
Own = typer.Argument(
    metavar="RUN",
    help="A run's id or the beginning of it, or 'latest'.",
    autocompletion=complete_run,
)


def register(app: typer.Typer) -> None:
    """Add this family's verbs."""
    app.command()(prune)
    app.command()(hold)
    app.command()(release)


def prune(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Just these runs, whatever their age: an id or the beginning of one.",
            autocompletion=complete_run,
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="Keep the newest N runs.")
    ] = None,
    older: Annotated[
        str | None,
        typer.Option(
            "--older",
            metavar="AGE",
            help="Keep the runs that ended less than AGE ago: 90s, 15m, 12h, 30d. With --keep, a"
            " run goes that neither of the two keeps.",
        ),
    ] = None,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep the runs that did not succeed, too.")
    ] = False,
    phase: Annotated[
        str | None,
        typer.Option(
            "--phase",
            metavar="PHASE",
            help="Only runs that had this phase.",
            autocompletion=complete_phase,
        ),
    ] = None,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="Only runs of this branch.")
    ] = None,
    reason: Reason = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before anything is removed.")
    ] = False,
    log: Annotated[
        bool,
        typer.Option(
            "--log", help="List what was pruned and held until now, and check that list's chain."
        ),
    ] = False,
    head: Annotated[
        str | None,
        typer.Option(
            "--head",
            metavar="SHA256",
            help="With --log: expect this line in it, whose hash zf prune printed.",
        ),
    ] = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Remove whole runs that are not needed any more; a line for each stays."""
    from zf.run.retention import prune as pruning

    proofs = proofs_folder()
    if log or head is not None:
        return _log(proofs, head, as_json=as_json)
    rule = _rule(proofs, runs or [], keep, older, phase, branch, keep_failed=keep_failed)
    _checked(reason)
    prepared = pruning.prepare(proofs, rule, time.time())
    if dry_run:
        _show(prepared, as_json=as_json)
        return Exit.OK
    if prepared.choice.go and not yes and not _agreed(prepared):
        return Exit.FAILED
    done = pruning.carry_out(proofs, prepared, reason or "")
    if as_json:
        print(json.dumps(_as_json(prepared, done)))
    else:
        print("\n".join(_told(prepared, done)))
    refused = bool(rule.named and len(done.gone) < len(set(rule.named)))
    return Exit.FAILED if done.left or refused else Exit.OK


def _rule(
    proofs: str,
    runs: list[str],
    keep: int | None,
    older: str | None,
    phase: str | None,
    branch: str | None,
    *,
    keep_failed: bool,
) -> Rule:
    from zf.audit.policy import age_s
    from zf.run.retention.choice import Rule

    limits = keep is not None or older is not None
    if runs:
        if limits or keep_failed or phase or branch:
            raise ZfError("prune takes the names of runs, or options that choose some")
        return Rule(named=tuple(_own(proofs, run) for run in runs))
    if not limits:
        raise ZfError(
            "prune has to be told which runs may go",
            code="ZF616",
            hint="zf prune --keep 20 --older 30d --dry-run shows those that are beyond the newest"
            " 20 and older than 30 days",
        )
    try:
        older_s = None if older is None else age_s(older)
    except ValueError as error:
        raise ZfError(f"--older {printable(older or '')}: {error}") from None
    return Rule(keep, older_s, keep_failed, phase, branch, older=older or "")


def _own(proofs: str, run: str) -> str:
    """The id of a run of this project. Not held for this command, as `find_run` does."""
    from zf.proof.read import find_run
    from zf.run.retention.ledger import refuse_pruned

    try:
        return os.path.basename(find_run(proofs, run))
    except ZfError:
        refuse_pruned(proofs, run)
        raise


def _checked(reason: str | None) -> None:
    if reason is not None and not 0 < len(reason) <= _MOST_REASON:
        raise ZfError(f"--reason is a text of 1 to {_MOST_REASON} characters")


def _agreed(prepared: Prepared) -> bool:
    """Ask, after what would go was shown."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise ZfError(
            "prune asks before it removes anything, and there is no terminal to ask on",
            code="ZF616",
            hint="add --yes to remove, or --dry-run to see what would be",
        )
    streams.say(sys.stderr, "\n".join(_shown(prepared, "To be removed")) + "\n")
    streams.say(sys.stderr, f"Remove {_runs(len(prepared.choice.go))}? [y/N] ")
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    streams.say(sys.stderr, "nothing was removed\n")
    return False


# What is told.


def _show(prepared: Prepared, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(prepared, None)))
    else:
        print("\n".join(_shown(prepared, "Would be removed")))


def _shown(prepared: Prepared, heading: str) -> Iterator[str]:
    """Each run that goes with what it came to, and why others stay."""
    from zf.report.words import size, whole

    now = time.time()
    go = prepared.choice.go
    if go:
        yield f"{heading}: {_runs(len(go))}, {size(prepared.bytes_of(one.run for one in go))}"
    width = max((len(one.run) for one in go), default=0)
    style = style_of(sys.stdout)
    for one in go:
        ago = f"{whole(now - one.ended)} ago"
        word = f"{one.result:<10}"
        yield (
            f"  {printable(one.run):<{width}}  {style.paint(word, one.result)}  {ago:>10}"
            f"  {size(prepared.judged[one.run].bytes):>8}"
        )
    yield from _staying(prepared, {})


def _told(prepared: Prepared, done: Done) -> Iterator[str]:
    """What was removed, why others stayed, and what to note of the tombstones."""
    from zf.report.words import count, size

    if done.gone:
        yield f"removed {_runs(len(done.gone))}, {size(prepared.bytes_of(done.gone))}"
    else:
        yield "nothing was removed"
    yield from _staying(prepared, done.stayed)
    for path in done.left:
        yield f"  could not be removed wholly: {printable(path_shown(path))}"
    if done.gone:
        where = printable(path_shown(f"{proofs_folder()}/{RETENTION}"))
        yield f"tombstones: {where}, {count(done.lines, 'line')}, head {done.head}"


def _staying(prepared: Prepared, meanwhile: Mapping[str, str]) -> Iterator[str]:
    """Those that stay though they were to go, each with the reason; then the others, counted."""
    choice = prepared.choice
    stay = {**choice.stay, **meanwhile}
    common: dict[str, int] = {}
    for why in choice.common.values():
        common[why] = common.get(why, 0) + 1
    if not (stay or common):
        yield "there are no other runs" if choice.go else "there are no runs"
        return
    yield f"kept {_runs(len(stay) + len(choice.common))}"
    width = max(map(len, stay), default=0)
    seen: dict[str, int] = {}
    for run, why in stay.items():
        seen[why] = seen.get(why, 0) + 1
        if seen[why] <= _FEW:
            yield f"  {printable(run):<{width}}  {why}"
    for why, number in seen.items():
        if number > _FEW:
            yield f"  {number - _FEW} more: {why}"
    for why, number in common.items():
        yield f"  {number} {why}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _as_json(prepared: Prepared, done: Done | None) -> dict[str, object]:
    choice = prepared.choice
    gone = choice.go if done is None else [one for one in choice.go if one.run in done.gone]
    stayed = done.stayed if done is not None else {}
    return {
        "dry_run": done is None,
        "removed": [
            {"run": one.run, "result": one.result, "bytes": prepared.judged[one.run].bytes}
            for one in gone
        ],
        "kept": {**choice.common, **choice.stay, **stayed},
        "left": list(done.left) if done is not None else [],
        "head": done.head if done is not None else None,
    }


def _log(proofs: str, head: str | None, *, as_json: bool) -> int:
    """The lines so far; that their chain holds, and that one of them is the one expected."""
    from zf.report.words import count, moment
    from zf.run.retention.ledger import PRUNED, Ledger

    ledger = Ledger.read(proofs)
    if as_json:
        lines = [dict(entry.said) for entry in ledger.entries]
        print(json.dumps({"head": ledger.head, "damage": ledger.damage, "lines": lines}))
    else:
        width = max((len(entry.run) for entry in ledger.entries), default=0)
        for entry in ledger.entries:
            word = entry.kind.removeprefix("run_")
            came_to = f" {entry.text('result')}" if entry.kind == PRUNED else ""
            why = entry.text("reason") or entry.text("why")
            told = f"{entry.by}{came_to}{f': {why}' if why else ''}"
            print(f"{moment(entry.wall)}  {word:<8}  {printable(entry.run):<{width}}  {told}")
    ledger.refuse_damaged()
    if not as_json:
        print(f"{count(len(ledger.entries), 'line')}, whose chain holds, head {ledger.head}")
    if head is not None and head not in ledger.heads:
        raise ZfError(
            f"no line of {printable(path_shown(f'{proofs}/{RETENTION}'))} has the hash"
            f" {printable(head)}: the file was replaced, or its end is missing",
            exit_code=Exit.UNTRUSTED,
            code="ZF614",
        )
    return Exit.OK


# Holds.


def hold(
    run: Annotated[str | None, Own] = None,
    reason: Reason = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Keep a run from being pruned, until it is released; without RUN, list the runs that are."""
    from zf.report.words import moment
    from zf.run.retention.ledger import HELD, Ledger, opened

    proofs = proofs_folder()
    _checked(reason)
    if run is None:
        held = Ledger.read(proofs)
        held.refuse_damaged()
        if as_json:
            print(json.dumps([dict(entry.said) for entry in held.held.values()]))
            return Exit.OK
        for entry in held.held.values():
            why = entry.text("reason")
            told = f"{printable(entry.run)}  {moment(entry.wall)}  {entry.by}"
            print(f"{told}{f'  {why}' if why else ''}")
        if not held.held:
            print("no run is held")
        return Exit.OK
    name = _own(proofs, run)  # before a file is made for a run that is not there
    with opened(proofs) as ledger, ledger.locked():
        _own(proofs, name)  # another zf may have pruned it meanwhile
        entry = ledger.append(HELD, name, {"reason": reason} if reason else {})
    if as_json:
        print(json.dumps(dict(entry.said)))
    else:
        print(f"{printable(name)} is held; {program()} release {printable(name)} lets it go")
    return Exit.OK


def release(
    run: Annotated[str, Own],
    reason: Reason = None,
    as_json: AsJson = False,
    _directory: Directory = None,
) -> int:
    """Let a run that is held be pruned again."""
    from zf.run.retention.ledger import RELEASED, opened

    proofs = proofs_folder()
    _checked(reason)
    name = _own(proofs, run)
    entry = None
    with opened(proofs) as ledger, ledger.locked():
        if name in ledger.held:
            entry = ledger.append(RELEASED, name, {"reason": reason} if reason else {})
    if as_json:
        print(json.dumps(entry and dict(entry.said)))
    else:
        print(f"{printable(name)} is {'released' if entry else 'not held'}")
    return Exit.OK
