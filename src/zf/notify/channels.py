"""A channel of `notify` in zf.yaml, and which messages it wants. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from zf.lean.records import Struct
from zf.plan.notify.keys import BY_DEFAULT, FAILURE

DEFAULT_TIMEOUT_S = 10.0
DEFAULT_SERVER = "localhost"


class Channel(Struct, frozen=True):
    """Where messages go, by the keys of zf.yaml. `on` is what it tells; `phases` are those whose
    runs it tells of, empty for all; secrets are named, by their variables.
    """

    name: str
    type: str
    on: tuple[str, ...] = BY_DEFAULT
    every: bool = False
    phases: tuple[str, ...] = ()
    log_lines: int = 0
    link: str = ""
    url: str = ""
    url_env: str = ""
    secret_env: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    server: str = DEFAULT_SERVER
    tls: str = "none"
    user_env: str = ""
    password_env: str = ""
    run: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S

    def wants(self, about: str, phases: Collection[str], *, first: bool) -> bool:
        """Whether it is to tell this of a run of these phases; `first` as the run before was well.
        What is about no run has no phases, and is told to all.
        """
        if about not in self.on or (about == FAILURE and not (first or self.every)):
            return False
        return not self.phases or not phases or not set(phases).isdisjoint(self.phases)


_FIELDS = {"from": "sender", "timeout_sec": "timeout_s"}


def channels(said: Mapping[str, Mapping[str, Any]]) -> tuple[Channel, ...]:
    """The channels of a valid project file."""
    return tuple(_channel(name, one) for name, one in said.items())


def _channel(name: str, said: Mapping[str, Any]) -> Channel:
    fields: dict[str, Any] = {
        _FIELDS.get(key, key): tuple(value) if isinstance(value, list) else value
        for key, value in said.items()
    }
    return Channel(name, **fields)


def secret_variables(of: Iterable[Channel]) -> frozenset[str]:
    """The variables whose values no message may hold."""
    names = (n for c in of for n in (c.url_env, c.secret_env, c.user_env, c.password_env))
    return frozenset(filter(None, names))
