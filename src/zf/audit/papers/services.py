"""Services: what the journal says of them, against itself, status.json and their logs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zf.lean.records import Struct, field
from zf.proof import layout

STARTED, ENDED = "service_started", "service_ended"
# What the end of a service and status.json both say.
_SAID_TWICE = ("ports", "exit_code", "signal", "cause", "detail", "ready_s", "log")
# What its start and status.json do, where it is an image.
_OF_IMAGES = ("image", "digest")

Event = Mapping[str, Any]


class ServiceAccount(Struct):
    """The services of one attempt, or of a phase: those that go on, and how the others ended."""

    going: dict[str, Event] = field(default_factory=dict)
    ended: dict[str, Event] = field(default_factory=dict)
    # What each was made of.
    images: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def forget(self, data: Event) -> None:
        """Another runner may start it again."""
        if data.get("type") == STARTED:
            for told in (self.going, self.ended):
                told.pop(str(data.get("name")), None)

    def feed(self, data: Event) -> str:
        """Take the next line about one of them; what is wrong with it, if anything."""
        name = data.get("name")
        if type(name) is not str:
            return "names no service"
        if data.get("type") == STARTED:
            if name in self.going or name in self.ended:
                return "a service starts twice"
            self.going[name] = data
            self.images[name] = tuple(data.get(key, "") for key in _OF_IMAGES)
            return ""
        started = self.going.pop(name, None)
        self.ended[name] = data
        if started is None:
            return "a service ends that was not going on"
        for key in ("ports", "phase"):
            if started.get(key) != data.get(key):
                return f"a service ends with another value of {key}"
        return ""


def of_tree(
    account: ServiceAccount, status: Mapping[str, Any], digests: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """What contradicts what in the tree of an attempt whose services these are: a path in it, and
    in words. `digests` are those of its files.
    """
    said = status.get("services")
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    logs = set()
    for name, event in account.ended.items():
        log = layout.service_log(name)
        logs.add(log)
        here = told.get(name)
        if event.get("log") != log or event.get("log_sha256") != digests.get(log, ""):
            yield log, "is not the log that the end of the service names"
        if not isinstance(here, dict) or any(here.get(k) != event.get(k) for k in _SAID_TWICE):
            yield layout.STATUS, f"says of service {name!r:.80} what the journal does not"
        elif tuple(here.get(key, "") for key in _OF_IMAGES) != account.images.get(name, ("", "")):
            yield layout.STATUS, f"says of service {name!r:.80} another image than the journal"
    for name in account.going:
        yield layout.STATUS, f"of service {name!r:.80} the journal tells no end"
    for path in digests:
        if layout.is_service_log(path) and path not in logs:
            yield path, "is the log of a service of which the journal tells no end"
