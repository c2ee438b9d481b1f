"""A task that is a monitor: what its `repeat` says, every key filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from zf.lean.records import Struct

# What ends it well, where no condition does: that its steps succeeded.
SUCCESS = "success"
DEFAULT_INTERVAL_S = 10.0
DEFAULT_PROBE_TIMEOUT_S = 60.0


class Repeat(Struct, frozen=True):
    """How often the steps of a task are run, as probes, and what ends it. Times in seconds.

    Without `for_s` the first good probe ends it; with it, it has to stay good for so long. The
    others are None where nothing limits it that way.
    """

    until: str = SUCCESS
    interval_s: float = DEFAULT_INTERVAL_S
    limit: int | None = None
    for_s: float | None = None
    fail_after: int | None = None
    inconclusive: tuple[int, ...] = ()
    inconclusive_limit: int | None = None
    probe_timeout_s: float = DEFAULT_PROBE_TIMEOUT_S

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """The same of the keys of a task file."""
        values = {_FIELDS[key]: value for key, value in said.items()}
        values["inconclusive"] = tuple(values.get("inconclusive", ()))
        if "for_s" in values:
            values.setdefault("fail_after", 1)
        return cls(**values)

    @property
    def condition(self) -> str:
        """What is asked of a probe whose steps succeeded; empty where nothing is."""
        return "" if self.until == SUCCESS else self.until

    @property
    def longest_s(self) -> float:
        """How long it can take if every probe takes all its time and gets a slot at once."""
        number: float = self.limit or 0
        if self.for_s is not None:
            in_time = self.for_s / max(self.interval_s, 1.0) + (self.fail_after or 1)
            number = min(self.limit or in_time, in_time) + (self.inconclusive_limit or 0) + 1
        return (self.for_s or 0.0) + number * (self.interval_s + self.probe_timeout_s)


def _key(field: str) -> str:
    return f"{field}ec" if field.endswith("_s") else field


_FIELDS = {_key(name): name for name in Repeat.__struct_fields__}
