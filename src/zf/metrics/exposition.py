"""Metrics as text: what a step appended to `$ZF_METRICS` -> series -> OpenMetrics text. Pure.

A line is a sample of OpenMetrics text (name, labels, value), one of its `# TYPE` and `# UNIT`
lines, or a JSON object with `name`, `value` and perhaps `unit`, `labels` and `type`. Each command
of a step may append what it has itself counted, so equal counters add up; of a gauge the last value
counts. The text format: https://prometheus.io/docs/specs/om/open_metrics_spec/.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from zf.lean import lazy
from zf.lean.records import Struct, field, replace

MAX_SERIES = 1000
MAX_BYTES = 256 * 1024
# Of the lines that could not be read so many are quoted, each so far.
MOST_QUOTED, _QUOTED_CHARS = 5, 80
_MAX_LABELS = 32
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]{0,99})="((?:[^"\\]|\\.)*)"'
_SAMPLE = lazy.pattern(
    rf"({_NAME})(?:\{{(.*)\}})?[ \t]+([^\s{{}}]+)(?:[ \t]+[^\s#]+)?(?:[ \t]+#.*)?"
)
_LABELS = lazy.pattern(rf"[ \t]*{_LABEL}[ \t]*(?:,|$)")
_IS_NAME, _IS_LABEL = lazy.pattern(_NAME), lazy.pattern("[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_COMMENT = lazy.pattern(r"#[ \t]+(TYPE|UNIT)[ \t]+(\S+)[ \t]+(\S+)[ \t]*")
_UNESCAPED = {"n": "\n", '"': '"', "\\": "\\"}
_KEYS = {"name", "value", "unit", "labels", "type"}
# What the samples of these types end in, all of them counts.
_COUNTED = ("_total", "_count", "_sum", "_bucket")
_COUNTING_TYPES = {"counter", "histogram", "summary"}

Kind = Literal["counter", "gauge"]


class Series(Struct, frozen=True):
    """One series: of a metric, that with these labels. `labels` are sorted by name."""

    name: str
    labels: tuple[tuple[str, str], ...]
    type: Kind
    value: float
    unit: str = ""

    def as_json(self) -> dict[str, Any]:
        """As status.json and the events have it."""
        return {
            "name": self.name,
            "type": self.type,
            "unit": self.unit,
            "labels": dict(self.labels),
            "value": self.value,
        }

    @property
    def sample(self) -> str:
        """Name and labels, as a sample of the text format begins."""
        if not self.labels:
            return self.name
        return f"{self.name}{{{','.join(map(_label_text, self.labels))}}}"


_Key = tuple[str, tuple[tuple[str, str], ...]]


class Metrics(Struct):
    """Series by name and labels. `bad` counts the lines that could not be read, `quoted` holds the
    first of them with what is wrong; `is_cut`: there were more series or bytes than are kept.
    """

    series: dict[_Key, Series] = field(default_factory=dict)
    bad: int = 0
    quoted: list[str] = field(default_factory=list)
    is_cut: bool = False

    def add(self, one: Series) -> None:
        """Take in another value of a series: counters add up, of a gauge the last one counts."""
        key = one.name, one.labels
        before = self.series.get(key)
        if before is None and len(self.series) >= MAX_SERIES:
            self.is_cut = True
        elif before is not None and one.type == before.type == "counter":
            total = min(before.value + one.value, sys.float_info.max)
            self.series[key] = replace(one, value=total)
        else:
            self.series[key] = one

    def as_json(self) -> list[dict[str, Any]]:
        """All series, by name and labels."""
        return [self.series[key].as_json() for key in sorted(self.series)]

    def refuse(self, line: str, reason: str) -> None:
        """A line could not be read."""
        self.bad += 1
        if len(self.quoted) < MOST_QUOTED:
            shown = line if len(line) <= _QUOTED_CHARS else f"{line[:_QUOTED_CHARS]}..."
            self.quoted.append(f"{shown!r} {reason}")


class _LineError(ValueError):
    """A line cannot be read; the message says why."""


def read(data: bytes) -> Metrics:
    """What a step appended; never raises, bad lines are counted and quoted."""
    metrics = Metrics(is_cut=len(data) > MAX_BYTES)
    if metrics.is_cut:  # the last line is not whole
        data = data[:MAX_BYTES].rpartition(b"\n")[0]
    types: dict[str, str] = {}
    units: dict[str, str] = {}
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.decode("utf-8", "backslashreplace").strip(" \t\r")
        if not line:
            continue
        try:
            if line.startswith("#"):
                _take_comment(line, types, units)
            else:
                metrics.add(_of_json(line) if line.startswith("{") else _sample(line, types, units))
        except _LineError as error:
            metrics.refuse(line, f"(line {number}): {error}")
    return metrics


def summed(lists: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The series of several attempts or tasks, as their events have them, as one list."""
    total = Metrics()
    for one in lists:
        for series in one:
            total.add(from_json(series))
    return total.as_json()


def from_json(data: Mapping[str, Any]) -> Series:
    """A series as an event has it."""
    labels = tuple(sorted(data["labels"].items()))
    return Series(data["name"], labels, data["type"], data["value"], data["unit"])


def text(series: Iterable[Series]) -> str:
    """OpenMetrics text, by name; the empty text for no series."""
    lines = []
    family = None
    for one in sorted(series, key=lambda one: (_family(one), one.name, one.labels)):
        if family != _family(one):
            family = _family(one)
            lines.append(f"# TYPE {family} {one.type}")
            if one.unit and family.endswith(f"_{one.unit}"):
                lines.append(f"# UNIT {family} {one.unit}")
        lines.append(f"{one.sample} {number(one.value)}")
    return "".join(f"{line}\n" for line in [*lines, "# EOF"]) if lines else ""


def number(value: float) -> str:
    """A value as the text format has it: whole ones without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _family(one: Series) -> str:
    return one.name.removesuffix("_total") if one.type == "counter" else one.name


def _label_text(label: tuple[str, str]) -> str:
    name, value = label
    value = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{name}="{value}"'


def _take_comment(line: str, types: dict[str, str], units: dict[str, str]) -> None:
    """A comment that says something of a metric; all others are passed over."""
    found = _COMMENT.fullmatch(line)
    if found is not None:
        (types if found[1] == "TYPE" else units)[found[2]] = found[3]


def _sample(line: str, types: Mapping[str, str], units: Mapping[str, str]) -> Series:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise _LineError('is not NAME VALUE, NAME{LABEL="TEXT"} VALUE or a JSON object')
    name = found[1]
    family = next((name.removesuffix(end) for end in _COUNTED if name.endswith(end)), name)
    stated = types.get(name) or types.get(family)
    unit = units.get(name) or units.get(family, "")
    return _series(name, _labels(found[2] or ""), found[3], unit, stated)


def _labels(inside: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    at = 0
    while at < len(inside):
        found = _LABELS.match(inside, at)
        if found is None:
            raise _LineError('has labels that are not NAME="TEXT", separated by commas')
        if found[1] in labels:
            raise _LineError(f"has the label {found[1]} twice")
        labels[found[1]] = re.sub(r"\\(.)", _unescaped, found[2])
        at = found.end()
    return labels


def _unescaped(escape: re.Match[str]) -> str:
    return _UNESCAPED.get(escape[1], escape[0])


def _of_json(line: str) -> Series:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise _LineError("is no JSON object") from None
    unknown = sorted(data.keys() - _KEYS)
    if unknown:
        raise _LineError(f"has the unknown key {unknown[0]}")
    name, labels, unit, kind = (data.get(key) for key in ("name", "labels", "unit", "type"))
    if not isinstance(name, str) or _IS_NAME.fullmatch(name) is None:
        raise _LineError("has no name of letters, digits, _ and :")
    if not isinstance(unit or "", str) or not isinstance(kind or "", str):
        raise _LineError("has a unit or a type that is no text")
    if not isinstance(labels or {}, dict):
        raise _LineError("has labels that are no object")
    told = {}
    for label, value in (labels or {}).items():
        if _IS_LABEL.fullmatch(label) is None or not isinstance(value, str):
            raise _LineError("has a label that is no name with a text")
        told[label] = value
    value = data.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _LineError("has no number as its value")
    return _series(name, told, value, unit or "", kind or None)


def _series(
    name: str, labels: Mapping[str, str], value: str | float, unit: str, stated: str | None
) -> Series:
    try:
        amount = float(value)
    except (ValueError, OverflowError):
        raise _LineError("has no number as its value") from None
    if not math.isfinite(amount) or "_" in str(value):
        raise _LineError("has a value that is not finite")
    try:
        "".join(labels.values()).encode()
    except UnicodeEncodeError:
        raise _LineError("has a label that is no Unicode text") from None
    if len(labels) > _MAX_LABELS:
        raise _LineError(f"has more than {_MAX_LABELS} labels")
    counts = name.endswith("_total") if stated is None else stated in _COUNTING_TYPES
    if counts and amount < 0:
        raise _LineError("is a counter with a negative value")
    return Series(
        name, tuple(sorted(labels.items())), "counter" if counts else "gauge", amount, unit
    )
