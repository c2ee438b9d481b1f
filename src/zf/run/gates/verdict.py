"""What a series of probes comes to, of how each ended, and when. Pure.

*wait* (without `for_sec`): the first good probe ends it well. *watch*: it ends well with the first
good probe that ends `for_sec` or more after the first began, and `fail_after` bad ones in a row end
it badly. A probe that could not measure is neither: it breaks no row of bad ones and ends nothing
well; `inconclusive_limit` of them in a row end it badly. So does the probe that is number `limit`,
unless it ends it well. What is said first here decides, where several do.
"""

from __future__ import annotations

from collections.abc import Iterable

from zf.events import Cause, Probed
from zf.lean.records import Struct, replace
from zf.model.repeat import Repeat


class Series(Struct, frozen=True):
    """The probes so far, as far as it matters; `began` is when the first one did."""

    began: float
    number: int = 0
    bad: int = 0  # in a row
    inconclusive: int = 0  # in a row


class Again(Struct, frozen=True):
    """There is to be another probe, at this moment or as soon as it can be."""

    at: float


class Good(Struct, frozen=True):
    """It ended well."""


class Failed(Struct, frozen=True):
    """It ended badly, for this cause."""

    cause: Cause
    detail: str


Verdict = Again | Good | Failed


def judged(repeat: Repeat, series: Series, result: Probed, ended: float) -> tuple[Series, Verdict]:
    """The series with one more probe, which ended at this moment, and what follows."""
    series = _with(series, result)
    return series, _verdict(repeat, series, result, ended)


def verdict(repeat: Repeat, began: float, probes: Iterable[tuple[Probed, float]]) -> Verdict:
    """What comes of these probes, each with when it ended; those after the end do not count."""
    series = Series(began)
    found: Verdict = Again(began)
    for result, ended in probes:
        if not isinstance(found, Again):
            break
        series, found = judged(repeat, series, result, ended)
    return found


def _with(series: Series, result: Probed) -> Series:
    number = series.number + 1
    match result:
        case Probed.GOOD:
            return replace(series, number=number, bad=0, inconclusive=0)
        case Probed.BAD:
            return replace(series, number=number, bad=series.bad + 1, inconclusive=0)
        case Probed.INCONCLUSIVE:
            return replace(series, number=number, inconclusive=series.inconclusive + 1)


def _verdict(repeat: Repeat, series: Series, result: Probed, ended: float) -> Verdict:
    until = series.began + (repeat.for_s or 0.0)
    if result is Probed.GOOD and (repeat.for_s is None or ended >= until):
        return Good()
    if repeat.fail_after is not None and series.bad >= repeat.fail_after:
        return Failed(Cause.BAD_PROBES, _told(series.bad, "bad", in_a_row=series.bad > 1))
    if repeat.inconclusive_limit is not None and series.inconclusive >= repeat.inconclusive_limit:
        count = series.inconclusive
        return Failed(Cause.INCONCLUSIVE, _told(count, "inconclusive", in_a_row=count > 1))
    if repeat.limit is not None and series.number >= repeat.limit:
        wanted = "good" if repeat.for_s is None else f"good for {repeat.for_s:g} s"
        return Failed(Cause.REPEAT_LIMIT, f"not {wanted} after {_probes(series.number)}")
    at = ended + repeat.interval_s
    # A watch has a probe at its end, whatever the interval.
    return Again(min(at, until) if ended < until else at)


def _probes(count: int) -> str:
    return "1 probe" if count == 1 else f"{count} probes"


def _told(count: int, what: str, *, in_a_row: bool) -> str:
    return f"{_probes(count)} {'were' if count > 1 else 'was'} {what}{' in a row' * in_a_row}"
