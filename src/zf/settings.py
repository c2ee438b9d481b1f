"""How a run is to be run: every option of the verbs that run something, declared once, and the
settings that come of it: flag > variables > project file > default.

Every setting keeps where its value came from, and run.json records both. Nothing else in zf reads
these variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

from zf import typed
from zf.lean.records import Struct, replace
from zf.options import (
    EVERY_RUN,
    NEW_RUN,
    PHASE,
    RERUN,
    RESUME,
    RUN,
    TASK,
    WATCH,
    Option,
    Options,
    Setting,
)
from zf.report.formats import FORMATS

DEFAULT_PHASE_TIMEOUT_S = 3600.0
DEFAULT_GRACE_S = 5.0

# No further back is looked for the reason of a failure.
MAX_TAIL_LINES = 400
# More slots than any machine can use; catches `-j 100000000` before it forks.
MAX_JOBS_LIMIT = 10_000
# Of one matrix: more are hardly meant, and each is a task with a proof.
MAX_INSTANCES = 256

# How task output, and progress, is shown while a run goes on.
Output = Literal["group", "prefix", "quiet"]
Progress = Literal["auto", "live", "plain", "json"]
# What a run does that can only wait for approval.
OnApproval = Literal["wait", "exit"]
# Whose job this is, which is told in its own ways, too.
Ci = Literal["auto", "none", "github", "gitlab"]

# Written when the run is over: the options are made from the table of formats.
REPORTS = {
    form.name: Option[str | None](
        form.option,
        metavar="FILE",
        parse=typed.file_named,
        help=f"When the run is over, write {form.about} to FILE.",
    )
    for form in FORMATS
}


class RunOptions(Options, more=REPORTS):
    """Every option of the verbs that run something."""

    __slots__ = ()

    with_needs: Option[bool] = Option(
        "--with-needs", verbs=(TASK,), help="Run everything it needs first."
    )
    failed: Option[bool] = Option(
        "--failed",
        verbs=(RERUN,),
        help="Every task that did not succeed, which is also what is meant if no part is named.",
    )
    first: Option[str | None] = Option(
        "--from",
        metavar="TASK",
        verbs=(RERUN,),
        help="TASK, and whatever depends on it and did not succeed.",
    )
    downstream: Option[bool] = Option(
        "--downstream",
        verbs=(RERUN,),
        help="With --from: everything that depends on TASK.",
    )
    only: Option[str | None] = Option(
        "--only",
        metavar="EXPR",
        verbs=(RUN, PHASE, RERUN),
        help="Just the tasks that EXPR selects, such as a task's id, tag(x) or changed(main).",
    )
    skip: Option[str | None] = Option(
        "--skip",
        metavar="EXPR",
        verbs=(RUN, PHASE, RERUN),
        help="Leave out the tasks that EXPR selects. What needs one of them is refused.",
    )
    tty: Option[bool] = Option(
        "--tty",
        verbs=(RUN, TASK),
        help="Give the one task that is named the terminal, for a debugger. What it needs runs"
        " before, without. The proof says that a person could type.",
    )
    inputs: Option[Sequence[str]] = Option(
        "--input",
        "-i",
        metavar="NAME=VALUE",
        many=True,
        parse=typed.named_values,
        default=(),
        verbs=(*EVERY_RUN, WATCH),
        help="What an input is, of those that zf.yaml declares. Can be given again. A list is a,b.",
    )
    inputs_file: Option[str | None] = Option(
        "--inputs",
        metavar="FILE",
        parse=typed.file_named,
        verbs=(*EVERY_RUN, WATCH),
        help="What inputs are, in YAML or JSON. A flag comes before it, ZF_INPUT_NAME after it.",
    )
    run_id: Option[str | None] = Option(
        "--run-id",
        metavar="ID",
        verbs=NEW_RUN,
        variables=("ZF_RUN_ID", "ZENFLOW_RUN_ID", "RUN_ID"),
        shown="the time and zf's pid",
        help="Name of the run and of its proof folder. One that exists is refused.",
    )
    max_jobs: Option[int | None] = Option(
        "--max-jobs",
        "-j",
        metavar="N",
        verbs=(*NEW_RUN, WATCH),
        parse=typed.up_to(MAX_JOBS_LIMIT),
        variables=("ZF_MAX_JOBS", "ZENFLOW_MAX_JOBS", "MAX_JOBS"),
        key="max_jobs",
        default=4,
        help="How many tasks run at once, at most.",
    )
    phase_timeout_s: Option[float | None] = Option(
        "--phase-timeout",
        metavar="SECONDS",
        verbs=(*NEW_RUN, WATCH),
        parse=typed.positive_seconds,
        variables=("ZF_PHASE_TIMEOUT_SEC", "ZENFLOW_PHASE_TIMEOUT_SEC", "PHASE_TIMEOUT_SEC"),
        default=DEFAULT_PHASE_TIMEOUT_S,
        help="Limit of each phase. It wins over the timeout_sec of a phase in zf.yaml.",
    )
    poll_interval_s: Option[float | None] = Option(
        "--poll-interval",
        metavar="SECONDS",
        verbs=NEW_RUN,
        parse=typed.positive_seconds,
        variables=("ZF_POLL_INTERVAL_SEC", "ZENFLOW_POLL_INTERVAL_SEC", "POLL_INTERVAL_SEC"),
        default=1.0,
        help="Longest time between two looks at clocks and load. Exits are noticed at once.",
    )
    grace_s: Option[float | None] = Option(
        "--grace",
        metavar="SECONDS",
        verbs=(*NEW_RUN, WATCH),
        parse=typed.seconds,
        key="grace_sec",
        default=DEFAULT_GRACE_S,
        help="Time between TERM and KILL when a task is ended.",
    )
    shield: Option[str | None] = Option(
        "--shield",
        metavar="MODE",
        verbs=(*NEW_RUN, WATCH),
        parse=typed.shield,
        variables=("ZF_SHIELD",),
        key="shield",
        default=typed.AUTO,
        help="Keep the proof out of reach of the steps while they run: auto (where the system can,"
        " without any effect on steps), always (or nothing is run) or never.",
    )
    container_engine: Option[str | None] = Option(
        "--container-engine",
        metavar="COMMAND",
        verbs=(*NEW_RUN, WATCH),
        parse=typed.engine,
        variables=("ZF_CONTAINER_ENGINE",),
        key="container_engine",
        default=typed.AUTO,
        shown="podman where it is there, else docker",
        help="What makes the containers of tasks: podman, docker, or a command line that begins"
        " with one of them, such as 'podman --runtime runc'.",
    )
    sign: Option[bool | None] = Option(
        "--sign",
        off="--no-sign",
        key="sign",
        default=False,
        shown="sign in zf.yaml",
        shown_of={RESUME: "that of the run"},
        verbs=(*EVERY_RUN, WATCH),
        help="Sign the proof when the run is over, or do not. Without a key nothing is run.",
    )
    cached: Option[bool | None] = Option(
        "--cached",
        off="--no-cached",
        verbs=(*NEW_RUN, WATCH),
        key="cached",
        default=False,
        shown="cached in zf.yaml",
        help="Let the success of an earlier run count for tasks that say cache, where nothing that"
        " they depend on has changed, or do not.",
    )
    why: Option[bool] = Option(
        "--why",
        verbs=NEW_RUN,
        help="With --cached: for each task that says cache, print whose result counts for it, or"
        " what changed.",
    )
    key: Option[str | None] = Option(
        "--key",
        metavar="KEY",
        shown="ZF_SIGNING_KEY, or git's signing key",
        verbs=(*EVERY_RUN, WATCH),
        help="With --sign: the key. An SSH key (private, or public when the agent has the private"
        " one) makes an SSH signature, an Ed25519 private key in PEM makes DSSE envelopes.",
    )
    executor: Option[str | None] = Option(
        "--executor",
        metavar="NAME",
        verbs=(*NEW_RUN, WATCH),
        variables=("ZF_EXECUTOR",),
        shown="this machine",
        help="Where tasks run that name no executor and no labels: one of the executors of zf.yaml,"
        " local, or a pool of Dask workers: dask://HOST:PORT, or dask://local to start one here.",
    )
    fail_fast: Option[Literal["now"] | bool | None] = Option(
        "--fail-fast",
        metavar="[=now]",
        verbs=(RUN, PHASE, RERUN, WATCH),
        choices=("on", "now", "off"),
        alone="on",
        parse=typed.fails_fast,
        shown_of={RERUN: "as the run had it; =off for one that had it"},
        help="Start nothing more after the first failure; with =now end what runs, too: TERM, then"
        " KILL after the grace, as an interrupt does.",
    )
    keep_going: Option[bool] = Option(
        "--keep-going",
        verbs=(RUN, PHASE, RERUN, WATCH),
        help="After a phase that failed, run those that do not need it, as needs of phases in"
        " zf.yaml says. Where it says that of none, each needs the one before it.",
    )
    no_retries: Option[bool] = Option(
        "--no-retries",
        verbs=(*NEW_RUN, WATCH),
        help="Try every task once, whatever its file says.",
    )
    resources: Option[Mapping[str, int]] = Option(
        "--resource",
        metavar="NAME=N",
        verbs=(RUN, PHASE, WATCH),
        many=True,
        parse=typed.amounts,
        default={},
        help="How much there is of what tasks ask for in resources. Can be given again.",
    )
    matrix: Option[Mapping[str, Sequence[str]]] = Option(
        "--matrix",
        metavar="AXIS=VALUE",
        verbs=(*NEW_RUN, WATCH),
        many=True,
        parse=typed.axes,
        default={},
        help="Of tasks with a matrix, run only the instances with this value. Can be given again:"
        " for another value, or another axis.",
    )
    on_approval: Option[OnApproval | None] = Option(
        "--on-approval",
        choices=get_args(OnApproval),
        shown="wait",
        shown_of={RESUME: "as the run had it", RERUN: "wait"},
        verbs=EVERY_RUN,
        help="What to do once only an approval can let the run go on: wait for it, or exit with 6"
        " and leave the run to zf resume.",
    )
    deadline_s: Option[float | None] = Option(
        "--deadline",
        metavar="SECONDS",
        verbs=(RUN, PHASE),
        parse=typed.positive_seconds,
        help="Limit of the whole run. What has not ended by then is ended, and the run fails.",
    )
    upstream: Option[Sequence[str]] = Option(
        "--upstream",
        metavar="RUN",
        verbs=(PHASE, RERUN),
        many=True,
        default=(),
        help="A run whose successes meet needs in phases that are not run now; its proof is"
        " verified before it counts. 'latest' is the newest of this commit; FILE.tar, an archive,"
        " becomes a run of this project. Can be given again.",
    )
    dry_run: Option[bool] = Option(
        "--dry-run",
        verbs=(RUN, PHASE),
        help="Show the plan and run nothing. With --json, the plan as JSON.",
    )
    quiet: Option[bool] = Option(
        "--quiet", "-q", help="Print the failures and one line, and nothing before the end."
    )
    verbose: Option[bool] = Option(
        "--verbose",
        "-v",
        verbs=(*EVERY_RUN, WATCH),
        help="Print a line when a task starts, is blocked or cancelled, too.",
    )
    tail: Option[int | None] = Option(
        "--tail",
        metavar="N",
        parse=typed.up_to(MAX_TAIL_LINES),
        shown="log_tail in the task file, or 10",
        verbs=(*EVERY_RUN, WATCH),
        help=f"How many lines of a failed step's log are shown, at most {MAX_TAIL_LINES}.",
    )
    otlp: Option[str | None] = Option(
        "--otlp",
        metavar="[=URL]",
        alone="env",
        parse=typed.collector,
        help="When the run is over, send it as OpenTelemetry's spans, over OTLP/HTTP, to the"
        " collector at URL; alone, to OTEL_EXPORTER_OTLP_ENDPOINT or http://localhost:4318. That"
        " variable does the same without the option. Needs OpenTelemetry's packages.",
    )
    output: Option[Output | None] = Option(
        "--output",
        choices=get_args(Output),
        default_of={TASK: "prefix"},
        shown="quiet; with --ci github or gitlab: group",
        shown_of={
            RUN: "quiet; prefix for one task; with --ci github or gitlab: group",
            TASK: "prefix",
        },
        verbs=(*EVERY_RUN, WATCH),
        help="How task output is shown while running. quiet: not at all. prefix: each line as it"
        " comes, after its task's name. group: each task's output when it ends.",
    )
    ci: Option[Ci] = Option(
        "--ci",
        choices=get_args(Ci),
        default="auto",
        help="The CI system whose job this is: its log is folded, and it is told what came of the"
        " run. auto: the one whose variables are set (GITHUB_ACTIONS, GITLAB_CI), but none in a"
        " step of another zf.",
    )
    progress: Option[Progress] = Option(
        "--progress",
        choices=get_args(Progress),
        default="auto",
        verbs=(*EVERY_RUN, WATCH),
        help="How progress is shown on stderr. live: a board at the foot of the terminal. plain:"
        " lines. json: each event as one JSON line. auto: live on a terminal outside CI, else"
        " plain.",
    )
    as_json: Option[bool] = Option(
        "--json",
        help="Print the result as JSON on stdout in place of the summary.",
    )
    arguments: Option[Sequence[str]] = Option(
        "--",
        metavar="ARGUMENT...",
        verbs=(RUN, PHASE, TASK),
        many=True,
        parse=typed.words,
        default=(),
        help='What follows goes to the commands of the tasks that are named, as "$@".',
    )


OPTIONS = RunOptions.table


class Settings(Struct, frozen=True):
    """The settings of one run; times in seconds."""

    run_id: Setting[str]
    max_jobs: Setting[int]
    phase_timeout_s: Setting[float]
    poll_interval_s: Setting[float]
    grace_s: Setting[float]
    sign: Setting[bool] = Setting(False, "default")
    # A run of 0.1 that is resumed had none.
    shield: Setting[str] = Setting(typed.AUTO, "default")
    cached: Setting[bool] = Setting(False, "default")
    container_engine: Setting[str] = Setting(typed.AUTO, "default")
    executor: Setting[str | None] = Setting(None, "default")

    def as_json(self) -> dict[str, dict[str, Any]]:
        settings = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: {"value": s.value, "source": s.source} for name, s in settings.items()}

    @classmethod
    def from_json(cls, recorded: Mapping[str, Mapping[str, Any]]) -> Self:
        """The settings that a run.json has."""
        return cls(**{name: Setting(s["value"], s["source"]) for name, s in recorded.items()})


def resolve(
    environ: Mapping[str, str],
    options: RunOptions | None = None,
    *,
    default_run_id: str,
    project: object = None,
) -> Settings:
    """The settings from what was typed, the environment and the project file (a `model.Project`).

    Raises ZfError (exit 2) naming the variable whose value is no good. An empty variable counts as
    unset, as CI systems pass unset inputs as empty ones.
    """
    typed = (options or RunOptions()).values
    found = Settings(
        **{
            name: OPTIONS[name].setting(typed[name], environ, project)
            for name in Settings.__struct_fields__
        }
    )
    if found.run_id.value in {None, _run_around(environ)}:
        return replace(found, run_id=replace(found.run_id, value=default_run_id))
    return found


def _run_around(environ: Mapping[str, str]) -> str | None:
    """The run that zf was started in, by a step: it sees the variables that zf sets for steps."""
    proof = environ.get("PROOF_DIR", "").rstrip("/")
    if "ZF_COOKIE" not in environ or not proof:
        return None
    return proof.split("/")[-2] if "/" in proof else None
