"""What holds the processes of a task together, and keeps their hands off the proof: found out in
processes of their own, as these are ways into which a process can only go.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from zf.doctor.finding import NOTE, OK, PROBLEM, Finding
from zf.doctor.here import Here
from zf.run.host import lock, machine
from zf.run.opening import unshielded
from zf.typed import ALWAYS, AUTO, NEVER
from zf.work.supervise import cgroup
from zf.work.supervise.processes import become_subreaper
from zf.work.walls import engine, sandbox
from zf.work.walls.shield import Grounds, why_not

_NAME = "zf-doctor-{0}"


def processes(_here: Here) -> Iterator[Finding]:
    """Whether the processes of a task are found however they hide."""
    said = _apart(lambda: "yes" if become_subreaper() else "no")
    if said == "yes":
        found = "every process of a task is found, and proven gone when it ends (subreaper)"
        yield Finding("processes", OK, found)
    elif sys.platform == "linux":
        why = f": {said}" if said != "no" else ""
        found = f"the kernel makes zf no subreaper{why}: what leaves a task's process group is lost"
        yield Finding("processes", PROBLEM, found, "allow prctl(PR_SET_CHILD_SUBREAPER) to zf")
    else:
        found = "only the process group of a step is ended; what leaves it goes on"
        yield Finding("processes", NOTE, found, "run zf on Linux where tasks start daemons")


def own_cgroup(_here: Here) -> Iterator[Finding]:
    """Whether they are also in a cgroup of their own, which the kernel kills as one."""
    if sys.platform != "linux":
        return
    why = _apart(lambda: cgroup.Cgroup.why_not(_NAME.format(os.getpid())))
    if not why:
        yield Finding("cgroup", OK, "each worker has a cgroup of its own, which is killed as one")
        return
    found = f"no cgroup for tasks, as {why}: their processes are ended one by one, which is enough"
    remedy = "to have one: systemd-run --user --scope -p Delegate=yes zf ..., or a container with"
    yield Finding("cgroup", NOTE, found, f"{remedy} a writable cgroup v2")


def _apart(ask: Callable[[], str]) -> str:
    """What this says in a process of its own. Raises ZfError where none can be started."""
    read, write = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(read)
        os.close(write)
        raise machine.no_process(error) from None
    if pid == 0:
        said = "it cannot be found out"
        try:
            said = ask()
        except OSError as error:
            said = error.strerror or said
        finally:
            os.write(write, said.encode("utf-8", "replace"))
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(pid, 0)
    with suppress(OSError):  # without /proc there was none
        if (parent := cgroup.own_folder()) is not None:
            cgroup.remove(parent, _NAME.format(pid))
    return said


def shield(here: Here) -> Iterator[Finding]:
    """Whether steps can be kept from their proof while they run."""
    setting = here.settings.shield if here.settings else None
    mode = setting.value if setting else AUTO
    if setting is not None and mode == NEVER:
        remedy = "to have it where it can be had: --shield auto"
        yield Finding("shield", NOTE, f"switched off by {setting.source}", remedy)
        return
    proofs = here.proofs or here.folder or "/"
    grounds = Grounds(mode, proofs, lock.folder(proofs), "", (), tuple)
    try:
        why = why_not(grounds)
    except OSError as error:
        raise machine.no_process(error) from None
    if not why:
        yield Finding("shield", OK, "steps find the proofs read-only while they run")
    elif setting is not None and mode == ALWAYS:
        raise unshielded(setting.source, why)
    else:
        found = f"steps could write to the proofs while they run: {why}"
        remedy = "to have it: zf as root, or where users may make mount namespaces"
        yield Finding("shield", NOTE, found, remedy)


def sandboxes(here: Here) -> Iterator[Finding]:
    """Whether a task can have a sandbox."""
    if sys.platform != "linux":
        return
    program, why = sandbox.found_on(here.environ.get("PATH", os.defpath))
    if not why:
        yield Finding("sandbox", OK, f"a task can have a sandbox, which {program} makes")
    elif program is None:
        remedy = "install bubblewrap: apt-get, apk or dnf install bubblewrap"
        yield Finding("sandbox", NOTE, f"no task can have a sandbox: {why}", remedy)
    else:
        remedy = "let this user make namespaces; in a container, start that with --privileged"
        yield Finding("sandbox", NOTE, f"no task can have a sandbox: {why}", remedy)


def containers(here: Here) -> Iterator[Finding]:
    """Whether a task can have a container, and what makes it."""
    setting = here.settings.container_engine.value if here.settings else AUTO
    found = engine.found(setting, here.environ.get("PATH", os.defpath))
    remedy = "install podman: apt-get, apk or dnf install podman"
    if found is None or sys.platform != "linux":
        why = engine.why_none(setting)
        yield Finding("containers", NOTE, f"no task can have a container: {why}", remedy)
        return
    if why := found.why_not(here.environ):
        remedy = "start its daemon, or let this user talk to it"
        yield Finding("containers", NOTE, f"no task can have a container: {why}", remedy)
    else:
        told = f"a task can have a container, which {found.words[0]} makes"
        yield Finding("containers", OK, told)
