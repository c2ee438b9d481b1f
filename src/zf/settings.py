"""How a run is to be run, each value resolved once: flag > variables > project file > default.

Every value keeps where it came from, and run.json records both. Nothing else in zf reads these
variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from zf.errors import ZfError
from zf.lean.record import record

T = TypeVar("T")

DEFAULT_MAX_JOBS = 4
DEFAULT_PHASE_TIMEOUT_S = 3600.0
DEFAULT_POLL_INTERVAL_S = 1.0
DEFAULT_GRACE_S = 5.0
SHIELD_MODES = AUTO, ALWAYS, NEVER = "auto", "always", "never"

# No further back is looked for the reason of a failure.
MAX_TAIL_LINES = 400
# More slots than any machine can use; catches `-j 100000000` before it forks.
MAX_JOBS_LIMIT = 10_000
# Ten years: longer is a typing error, and still far from overflowing any clock.
MAX_SECONDS = 315_360_000

RUN_ID_VARIABLES = ("ZF_RUN_ID", "ZENFLOW_RUN_ID", "RUN_ID")
MAX_JOBS_VARIABLES = ("ZF_MAX_JOBS", "ZENFLOW_MAX_JOBS", "MAX_JOBS")
PHASE_TIMEOUT_VARIABLES = (
    "ZF_PHASE_TIMEOUT_SEC",
    "ZENFLOW_PHASE_TIMEOUT_SEC",
    "PHASE_TIMEOUT_SEC",
)
POLL_INTERVAL_VARIABLES = (
    "ZF_POLL_INTERVAL_SEC",
    "ZENFLOW_POLL_INTERVAL_SEC",
    "POLL_INTERVAL_SEC",
)
SHIELD_VARIABLES = ("ZF_SHIELD",)


@record
class Setting(Generic[T]):
    """A value and its source: ``--max-jobs``, ``ZF_MAX_JOBS``, ``zf.yaml`` or ``default``."""

    value: T
    source: str

    @property
    def given(self) -> bool:
        """Whether a flag or a variable set it, which then beats the project file."""
        return self.source not in {"default", "zf.yaml"}


@record
class Settings:
    """The settings of one run; times in seconds."""

    run_id: Setting[str]
    max_jobs: Setting[int]
    phase_timeout_s: Setting[float]
    poll_interval_s: Setting[float]
    grace_s: Setting[float]
    sign: Setting[bool] = Setting(False, "default")
    # A run of 0.1 that is resumed had none.
    shield: Setting[str] = Setting(AUTO, "default")

    def as_json(self) -> dict[str, dict[str, Any]]:
        settings = {name: getattr(self, name) for name in self.__match_args__}
        return {name: {"value": s.value, "source": s.source} for name, s in settings.items()}


def resolve(
    environ: Mapping[str, str],
    *,
    default_run_id: str,
    run_id: str | None = None,
    max_jobs: str | None = None,
    phase_timeout: str | None = None,
    poll_interval: str | None = None,
    grace: str | None = None,
    sign: bool | None = None,
    shield: str | None = None,
    project_max_jobs: int | None = None,
    project_grace_s: float | None = None,
    project_sign: bool | None = None,
    project_shield: str | None = None,
) -> Settings:
    """The settings from flags (as typed), the environment and the project file.

    Raises ZfError (exit 2) naming the flag or variable whose value is no good. An empty variable
    counts as unset, as CI systems pass unset inputs as empty ones.
    """

    def pick(
        flag: str,
        typed: str | None,
        variables: tuple[str, ...],
        parse: Callable[[str, str], T],
        otherwise: Setting[T],
    ) -> Setting[T]:
        if typed is not None:
            return Setting(parse(typed, flag), flag)
        for name in variables:
            if environ.get(name):
                return Setting(parse(environ[name], name), name)
        return otherwise

    inherited = _run_around(environ)

    def not_inherited(text: str, _source: str) -> str:
        return default_run_id if text == inherited else text

    return Settings(
        run_id=pick(
            "--run-id",
            run_id,
            RUN_ID_VARIABLES,
            not_inherited,
            Setting(default_run_id, "default"),
        ),
        max_jobs=pick(
            "--max-jobs",
            max_jobs,
            MAX_JOBS_VARIABLES,
            _jobs,
            _fallback(project_max_jobs, DEFAULT_MAX_JOBS),
        ),
        phase_timeout_s=pick(
            "--phase-timeout",
            phase_timeout,
            PHASE_TIMEOUT_VARIABLES,
            positive_seconds,
            Setting(DEFAULT_PHASE_TIMEOUT_S, "default"),
        ),
        poll_interval_s=pick(
            "--poll-interval",
            poll_interval,
            POLL_INTERVAL_VARIABLES,
            positive_seconds,
            Setting(DEFAULT_POLL_INTERVAL_S, "default"),
        ),
        grace_s=pick("--grace", grace, (), _seconds, _fallback(project_grace_s, DEFAULT_GRACE_S)),
        sign=_fallback(project_sign, False)
        if sign is None
        else Setting(sign, "--sign" if sign else "--no-sign"),
        shield=pick("--shield", shield, SHIELD_VARIABLES, _shield, _fallback(project_shield, AUTO)),
    )


def _run_around(environ: Mapping[str, str]) -> str | None:
    """The run that zf was started in, by a step: it sees the variables that zf sets for steps."""
    proof = environ.get("PROOF_DIR", "").rstrip("/")
    if "ZF_COOKIE" not in environ or not proof:
        return None
    return proof.split("/")[-2] if "/" in proof else None


def _fallback(project_value: T | None, default: T) -> Setting[T]:
    if project_value is None:
        return Setting(default, "default")
    return Setting(project_value, "zf.yaml")


def _shield(text: str, source: str) -> str:
    if text in SHIELD_MODES:
        return text
    raise _bad(source, text, "auto, always or never")


def _jobs(text: str, source: str) -> int:
    # int() alone would take "4_0", " 4" and Arabic digits, which nobody means.
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_JOBS_LIMIT:
        return int(text)
    raise _bad(source, text, f"a whole number from 1 to {MAX_JOBS_LIMIT}")


def _seconds(text: str, source: str) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if 0 <= value <= MAX_SECONDS:
        return value
    raise _bad(source, text, "a number of seconds, such as 90 or 0.5")


def positive_seconds(text: str, source: str) -> float:
    """A number of seconds above 0 as typed; ZfError (exit 2) naming the flag or variable."""
    value = _seconds(text, source)
    if value > 0:
        return value
    raise _bad(source, text, "a number of seconds above 0")


def lines(text: str, source: str) -> int:
    """A number of lines as typed; ZfError (exit 2) naming the flag."""
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_TAIL_LINES:
        return int(text)
    raise _bad(source, text, f"a whole number from 1 to {MAX_TAIL_LINES}")


def amounts(typed: Sequence[str], source: str) -> dict[str, int]:
    """`NAME=N` as typed, N a whole number; ZfError (exit 2) naming the flag."""
    found = {}
    for text in typed:
        name, _, amount = text.partition("=")
        if not name or not (amount.isascii() and amount.isdigit()):
            raise _bad(source, text, "NAME=N, such as db=1")
        found[name] = int(amount[:9])
    return found


def _bad(source: str, text: str, wanted: str) -> ZfError:
    return ZfError(f"{source} is {text!r}, but must be {wanted}", code="ZF110")
