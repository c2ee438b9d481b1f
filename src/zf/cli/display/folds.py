"""How the log of a CI job is folded: what each task printed under one line, and unable to give
commands to the CI system.

GitHub: "Workflow commands" in its documentation, and `ActionCommand.cs` of its runner, which reads
them. GitLab: "Custom collapsible sections" in "CI/CD job logs".
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

from zf.lean.records import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Fold(Struct, frozen=True):
    """What a task printed, to be folded under `title`: a name that no other fold of the job has,
    when it began and ended (seconds since 1970), and whether it is shown open.
    """

    title: str
    name: str
    began_s: int
    ended_s: int
    is_open: bool


class Folds(Protocol):
    """One system's way; lines go in and come out without their ends."""

    def folded(self, fold: Fold, lines: Iterable[str]) -> Iterator[str]:
        """The fold with these lines in it; its title alone where there are none."""

    def streamed(self, lines: Iterable[str]) -> Iterator[str]:
        """What tasks print while they run, which is not folded."""

    def closing(self) -> list[str]:
        """What ends whatever is still open; to be written when the run is over."""


class GitHub:
    """Groups. Commands are stopped while anything is written that a task printed, under a token
    that no task knows.
    """

    def __init__(self) -> None:
        self._token = token_hex(16)
        self._stopped = False
        self._grouped = False

    def folded(self, fold: Fold, lines: Iterable[str]) -> Iterator[str]:
        """A group. GitHub has none that are open: of a failure, the summary shows the reason."""
        rest = iter(lines)
        first = next(rest, None)
        if first is None:
            yield fold.title
            return
        self._grouped = True
        yield github_command("group", fold.title)
        yield from self._stop()
        yield first
        yield from rest
        yield from self.closing()

    def streamed(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines themselves: commands stay stopped until the run is over."""
        for line in lines:
            yield from self._stop()
            yield line

    def closing(self) -> list[str]:
        """The token, and the end of the group."""
        lines = [f"::{self._token}::"] * self._stopped + ["::endgroup::"] * self._grouped
        self._stopped = self._grouped = False
        return lines

    def _stop(self) -> list[str]:
        stopped, self._stopped = self._stopped, True
        return [] if stopped else [f"::stop-commands::{self._token}"]


class GitLab:
    """Sections, collapsed but for those that are to be open; each shows how long its task took."""

    def __init__(self) -> None:
        self._end = ""

    def folded(self, fold: Fold, lines: Iterable[str]) -> Iterator[str]:
        """A section. Its marks are escape sequences, and lines of tasks hold none any more."""
        rest = iter(lines)
        first = next(rest, None)
        if first is None:
            yield fold.title
            return
        # What of a name may stand in a mark.
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", fold.name)
        collapsed = "" if fold.is_open else "[collapsed=true]"
        self._end = f"\x1b[0Ksection_end:{fold.ended_s}:{name}\r\x1b[0K"
        yield f"\x1b[0Ksection_start:{fold.began_s}:{name}{collapsed}\r\x1b[0K{fold.title}"
        yield first
        yield from rest
        yield from self.closing()

    def streamed(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines themselves."""
        yield from lines

    def closing(self) -> list[str]:
        """The end of the section."""
        end, self._end = self._end, ""
        return [end] if end else []


# The systems by the names that `--ci` has for them.
SYSTEMS: Mapping[str, Callable[[], Folds]] = {"github": GitHub, "gitlab": GitLab}


def github_command(name: str, message: str, **properties: object) -> str:
    """A workflow command, its values encoded so that they end neither it nor each other."""
    said = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    return f"::{name}{' ' if said else ''}{said}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
