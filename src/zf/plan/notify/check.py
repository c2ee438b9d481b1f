"""What is wrong with the channels of `notify`, beyond the form of their keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zf.errors import Problem
from zf.plan.notify.keys import OF_TYPE, WANTED
from zf.plan.suggest import phase_hint
from zf.plan.yaml.yaml12 import KEY

if TYPE_CHECKING:
    from zf.plan.files.written import Written


def check(
    file: Written, channels: Mapping[str, Mapping[str, Any]], phases: Collection[str]
) -> Iterator[Problem]:
    """All problems; `phases` are those that the project has."""
    for name, said in channels.items():
        at = ("notify", name)
        kind = said["type"]
        for key in said.keys() - OF_TYPE[kind]:
            fitting = " and ".join(one for one, keys in OF_TYPE.items() if key in keys)
            why = f"`{key}` means nothing for the type {kind}"
            yield file.problem((*at, key, KEY), "ZF861", why, f"it is for {fitting}")
        for wanted in WANTED[kind]:
            given = [key for key in wanted if key in said]
            if len(given) != 1:
                why = f"the type {kind} takes {'one of ' if len(wanted) > 1 else ''}"
                why += " and ".join(f"`{key}`" for key in wanted)
                yield file.problem((*at, KEY), "ZF862", why, f"write {wanted[0]}")
        for number, phase in enumerate(said.get("phases", ())):
            if phase not in phases:
                why = f"there is no phase {phase!r}"
                hint = phase_hint(phase, sorted(phases))
                yield file.problem((*at, "phases", number), "ZF863", why, hint)
