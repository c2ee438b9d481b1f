"""The key of a task that makes it a monitor, and what it becomes in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.model.repeat import DEFAULT_INTERVAL_S, DEFAULT_PROBE_TIMEOUT_S, SUCCESS, Repeat
from zf.plan.files.patterns import NOT_BLANK
from zf.plan.form import Key, checked, is_condition, list_of, mapping, number, text, whole
from zf.typed import MAX_SECONDS

MAX_PROBES = 10_000
_COUNT = whole(1, MAX_PROBES)
_OF_NEEDS = "it is asked of a probe: the `condition` of the task is asked of its needs"
_NOT_OF_PROBES = dict.fromkeys(("success", "failure", "always", "cancelled", "status"), _OF_NEEDS)


def _is_until(said: str) -> str:
    return said if said == SUCCESS else is_condition(said, _NOT_OF_PROBES)


REPEAT: Mapping[str, Key] = {
    "until": Key(
        checked(text(NOT_BLANK), _is_until),
        "What makes a probe good: `success` of its steps, or a condition that is then asked, which"
        " knows `outputs.NAME` of the probe.",
        default=SUCCESS,
    ),
    "interval_sec": Key(
        number(least=0, most=MAX_SECONDS),
        "Seconds between the end of a probe and the start of the next.",
        default=DEFAULT_INTERVAL_S,
    ),
    "limit": Key(
        _COUNT,
        "How many probes there are at most; without `for_sec` it has to be said.",
    ),
    "for_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds for which it has to stay good: a watch. Without it the first good probe ends the"
        " task.",
    ),
    "fail_after": Key(
        _COUNT,
        "How many bad probes in a row fail the task. Default: 1 for a watch, else no number.",
    ),
    "inconclusive": Key(
        list_of(whole(1, 255), min_length=1),
        "Exit codes by which a probe says that it could not measure: it is neither good nor bad.",
    ),
    "inconclusive_limit": Key(
        _COUNT,
        "How many such probes in a row fail the task; with `inconclusive` it has to be said.",
    ),
    "probe_timeout_sec": Key(
        number(above=0, most=MAX_SECONDS),
        "Seconds that the steps of one probe may take; one that takes longer is bad.",
        default=DEFAULT_PROBE_TIMEOUT_S,
    ),
}

GATES: Mapping[str, Key] = {
    "repeat": Key(
        mapping(REPEAT),
        "The steps are run again and again, as probes, until one is good, or to see that all stay"
        " good.",
        keys=REPEAT,
    ),
}
_FILLED_IN = {
    "until": SUCCESS,
    "interval_sec": DEFAULT_INTERVAL_S,
    "probe_timeout_sec": DEFAULT_PROBE_TIMEOUT_S,
}
# What all of it may take where its file does not say, and no slot is free at once.
_SLACK = 2


def converted(form: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that come of its `repeat`: with its defaults filled in, and how long the
    whole may take where the file says nothing of it.
    """
    said = {**_FILLED_IN, **form["repeat"]}
    if "for_sec" in said:
        said.setdefault("fail_after", 1)
    held: dict[str, Any] = {"repeat": said}
    if "timeout_sec" not in form:
        longest_s = _SLACK * Repeat.of(said).longest_s
        held["timeout_s"] = min(float(MAX_SECONDS), max(300.0, longest_s))
    return held
