"""The examination: every look, in order. None keeps the next from being taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zf.doctor import clock, containing, extras, limits, programs, project, storage
from zf.doctor.finding import PROBLEM, Finding, refused
from zf.doctor.here import Here, look_around
from zf.errors import Exit, ZfError, error_text

# Each look with the area it is of, which its own findings name, too.
_LOOKS: tuple[tuple[str, Callable[[Here], Iterator[Finding]]], ...] = (
    ("python", programs.python),
    ("bash", programs.bash),
    ("git", programs.git),
    ("processes", containing.processes),
    ("cgroup", containing.own_cgroup),
    ("shield", containing.shield),
    ("sandbox", containing.sandboxes),
    ("containers", containing.containers),
    ("files", limits.files),
    ("processors", limits.processors),
    ("memory", limits.memory),
    ("folder", storage.working_directory),
    ("proofs", storage.proofs),
    ("clock", clock.clock),
    ("ssh-keygen", programs.ssh_keygen),
    ("openssl", programs.openssl),
    ("signing", project.signing),
    ("ci", limits.ci_system),
    ("terminal", extras.terminal),
    ("extras", extras.extras),
    ("project", project.project),
    ("run", project.run),
)


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Everything that was found; nothing is changed but for files that are made and removed."""
    here = look_around(environ)
    return [finding for area, look in _LOOKS for finding in _heard(area, look, here)]


def _heard(area: str, look: Callable[[Here], Iterator[Finding]], here: Here) -> Iterator[Finding]:
    """What a look finds, also where it ends early."""
    try:
        yield from look(here)
    except ZfError as error:
        yield from refused(area, error, "mend that, then look again")
    except OSError as error:
        remedy = "see that there is permission for it, and room"
        yield Finding(area, PROBLEM, f"it cannot be looked at: {error_text(error)}", remedy)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The examination for programs."""
    return {
        "schema": "zf/doctor/v1",
        "stands_in_the_way": any(one.state == PROBLEM for one in findings),
        "findings": [one.as_json() for one in findings],
    }


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when nothing stands in the way of a run."""
    return Exit.FAILED if any(one.state == PROBLEM for one in findings) else Exit.OK
