"""The `schedules`, `webhooks` and `reconcile` of a valid zf.yaml as values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any

from zf.lean.records import Struct, convert, field
from zf.model import Flow
from zf.proof.canonical import canonical
from zf.server.queue.items import Item, Source, Wanted, to_json

GITHUB, GITEA, GITLAB, STANDARD, BEARER = "github", "gitea", "gitlab", "standard", "bearer"
NONE, LATEST, ALL = "none", "latest", "all"
DEFAULT_EVERY_MIN = 10.0


class Taken(Struct, frozen=True):
    """A value that comes out of a delivery: where in it."""

    path: str = field(name="from")


class What(Wanted, frozen=True, kw_only=True, omit_defaults=True):
    """What a trigger queues; the inputs as texts, or as what is taken from its delivery."""

    def item(
        self,
        name: str,
        source: Source,
        flow: Flow,
        inputs: Mapping[str, str] | None = None,
        key: str = "",
    ) -> Item:
        """The item, with these inputs where not all are texts already."""
        own = {one: text(value) for one, value in self.inputs.items()}
        said: dict[str, Any] = {each: getattr(self, each) for each in Wanted.__struct_fields__}
        said |= {"inputs": own if inputs is None else inputs, "key": key or self.key}
        protected = is_protected(flow, self.phases, self.tasks)
        return Item(item=name, source=source, protected=protected, **said)


class Schedule(What, frozen=True, kw_only=True, omit_defaults=True):
    """Five fields of cron in a time zone; what becomes of times at which no server ran, which are
    too old after `window_sec`.
    """

    cron: str
    tz: str = "UTC"
    catchup: str = NONE
    window_sec: float = 24 * 3600.0


class Webhook(What, frozen=True, kw_only=True, omit_defaults=True):
    """How its deliveries prove where they come from, with which secret, and which of them count."""

    verify: str
    secret_env: str
    condition: str = field(default="", name="if")
    # A text, or where it is taken from.
    key: Any = ""


class Reconcile(What, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked every so many minutes which keys there are: a command that prints them, or a
    git ref, of this repository or of a remote one.
    """

    every_min: float = DEFAULT_EVERY_MIN
    command: str = ""
    git_ref: str = ""
    remote: str = ""
    input: str = ""


def text(value: object) -> str:
    """A value of a file as an input has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_protected(flow: Flow, phases: Collection[str], tasks: Collection[str]) -> bool:
    """Whether one of the phases that it runs is."""
    named = {*phases, *(flow.tasks[task].phase for task in tasks if task in flow.tasks)}
    said = flow.project.phases
    return any(name in said and said[name].protected for name in named)


def digest(declared: What) -> str:
    """What tells one declaration of a name from another."""
    return sha256(canonical(to_json(declared))).hexdigest()


def schedules(flow: Flow) -> dict[str, Schedule]:
    return _all(flow.project.schedules, Schedule)


def webhooks(flow: Flow) -> dict[str, Webhook]:
    return _all(flow.project.webhooks, Webhook)


def reconciled(flow: Flow) -> dict[str, Reconcile]:
    return _all(flow.project.reconcile, Reconcile)


def _all(said: Mapping[str, Any], kind: Callable[..., Any]) -> dict[str, Any]:
    return {name: convert(one, kind) for name, one in said.items()}
