"""The container of one attempt: begun before its first step, which is run in it as every other is,
so that what one step installs the next one finds; and removed with all that is in it at the end.

Nothing in it but a program that waits is its own. Of Podman the container is a descendant of the
worker like any other process, of Docker it is not; `supervise/inside.py` sees what is in it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from zf.lean.records import Struct
from zf.proof.files import remove_tree
from zf.work.walls import engine
from zf.work.walls.engine import PODMAN, Engine, EngineError
from zf.work.walls.sandbox import FIXED, loose, parents

# What the engine's own command line goes by: no step's variable may stand in for these.
CLIENTS = frozenset(
    {
        *("HOME", "PATH", "TMPDIR", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"),
        *("CONTAINER_CONNECTION", "CONTAINER_HOST", "CONTAINER_SSHKEY", "CONTAINERS_CONF"),
        *("CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "REGISTRY_AUTH_FILE"),
        *("STORAGE_DRIVER", "STORAGE_OPTS", "DOCKER_API_VERSION", "DOCKER_CERT_PATH"),
        *("DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY"),
        *("GODEBUG", "GOTRACEBACK"),
    }
)
# A program that waits and reaps, wherever the engines put theirs; it needs nothing of the image.
_WAITING = ("/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit", "/usr/bin/catatonit")
_PLACE = "/run/zf-init"
# Without it: a shell of the image, waiting for what never comes on its input.
_READING = ("-c", "while read -r _; do :; done")
_SHELLS = ("sh", "bash")
_NOT_THERE = "executable file not found"


class Mounts(Struct, frozen=True):
    """What is where in a container. `root` has no links, and is there also `as_given`. Of the
    proofs there is `cover`, an empty folder with the places of what is `written` and `shown`, each
    by where it is in the container with where it is outside; it is `made_at` where this process can
    write to it.
    """

    root: str
    as_given: str
    proofs: str
    cover: str
    made_at: str
    written: Mapping[str, str]
    shown: Mapping[str, str]


class Container:
    """The container of one attempt; `said` is the task's `container`."""

    def __init__(
        self,
        made_by: Engine,
        said: Mapping[str, Any],
        name: str,
        labels: Mapping[str, str],
        mounts: Mounts,
        environ: Mapping[str, str],
    ) -> None:
        self.engine = made_by
        self.name = name
        self._said = said
        self._labels = labels
        self._mounts = mounts
        self._environ = environ
        self._loose = loose(mounts.root)

    def start(self) -> int:
        """Start it; the number of its first process. Raises EngineError."""
        lay_out(self._mounts)
        problem = EngineError(f"image {self._said['image']} has no shell to keep a container by")
        for entry in _entries():
            words = self._run_words(*entry)
            try:
                self.engine.ask(words, self._environ)
            except EngineError as error:
                problem = error
                self.engine.remove([self.name], self._environ)
                if _NOT_THERE in str(error):
                    continue
                break
            told = self.engine.ask(
                ("inspect", "--format", "{{.State.Pid}}", self.name), self._environ
            )
            if told.isdigit() and int(told) and os.path.isdir(f"/proc/{told}"):
                return int(told)
            self.engine.remove([self.name], self._environ)
            raise EngineError("its first process is not on this machine, or is gone")
        raise problem

    def words(
        self, workdir: str, env: Mapping[str, str], hidden: Iterable[str], *, on: bool
    ) -> tuple[str, ...]:
        """The command line that a step's own is put behind, for one that starts in this folder with
        these variables, the values of the `hidden` ones in no command line; `on` a terminal. The
        first word is the program.
        """
        options = ("--interactive", "--tty") if on else ()
        told = tuple(self._variables(env, frozenset(hidden)))
        first, *rest = self.engine.words
        return (first, first, *rest, "exec", *options, "--workdir", workdir, *told, self.name)

    def _variables(self, env: Mapping[str, str], hidden: frozenset[str]) -> Iterator[str]:
        for name, value in env.items():
            is_clients = name in CLIENTS and name not in hidden
            yield "--env"
            yield f"{name}={value}" if is_clients else name

    def client_env(self, env: Mapping[str, str], hidden: Iterable[str]) -> dict[str, str]:
        """The environment of that command line, from which it takes the values."""
        own = frozenset(CLIENTS) - frozenset(hidden)
        return {**self._environ, **{name: env[name] for name in env if name not in own}}

    def remove(self) -> None:
        """End it, and all that is in it. Raises EngineError."""
        self.engine.remove([self.name], self._environ)
        remove_tree(self._mounts.made_at)

    def signal(self, name: str) -> None:
        """Have all in it but its first process get a signal, by a shell of the image, where it is
        not ours to send.
        """
        kill = ("exec", self.name, "sh", "-c", f"kill -s {name} -1")
        with suppress(EngineError):
            self.engine.ask(kill, self._environ)

    def listed(self) -> list[int]:
        """The numbers of all processes in it, for a user who may not see them otherwise."""
        try:
            told = self.engine.ask(("top", self.name, "-eo", "pid"), self._environ)
        except EngineError:
            return []
        return [int(word) for word in told.split() if word.isdigit()]

    def put_there(self) -> list[str]:
        """What is read-only in it, and was put in its place since this one was made."""
        now = loose(self._mounts.root)
        return [path for path, was in now.items() if was != self._loose[path]]

    def _run_words(self, options: Sequence[str], command: Sequence[str]) -> tuple[str, ...]:
        return (
            *("run", "--detach", "--pull", "never", "--name", self.name),
            *engine.labels(self._labels),
            # It is removed when all that counts has ended.
            *("--stop-signal", "KILL"),
            # Where SELinux is, files of the project keep the labels that they have.
            *("--security-opt", "label=disable"),
            *limits(self.engine.kind),
            *_asked(self._said, self._mounts.root),
            *mount_words(self._mounts),
            *options,
            self._said["id"],
            *command,
        )


def _entries() -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """What may keep a container, as options and as its command, the best first."""
    for place in _WAITING:
        if os.access(place, os.X_OK):
            mount = _bind(os.path.realpath(place), _PLACE, read_only=True)
            yield (*mount, "--entrypoint", _PLACE), ("-P",)
            break
    for shell in _SHELLS:
        yield ("--interactive", "--entrypoint", shell), _READING


def limits(kind: str) -> Iterator[str]:
    """The limits that steps have outside: Podman's own defaults may be more than it is allowed.
    Docker has its daemon's.
    """
    if kind != PODMAN:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY not in {soft, hard}:
        yield from ("--ulimit", f"nofile={soft}:{hard}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if resource.RLIM_INFINITY not in {soft, hard}:
        with open("/proc/sys/kernel/pid_max") as file:
            most = int(file.read())  # Podman lowers its own limit to that
        yield from ("--ulimit", f"nproc={min(soft, most)}:{min(hard, most)}")


def _asked(said: Mapping[str, Any], root: str) -> Iterator[str]:
    """The options that come of a task's own words."""
    network = said.get("network", True)
    if network is not True:
        yield from ("--network", network or "none")
    for option in ("user", "memory", "cpus"):
        if (value := said.get(option)) is not None:
            yield from (f"--{option}", f"{value:g}" if option == "cpus" else value)
    for volume in said.get("volumes", ()):
        source, _, rest = volume.partition(":")
        if "/" in source or source.startswith("."):
            source = os.path.normpath(os.path.join(root, source))
        yield from ("--volume", f"{source}:{rest}")


def mount_words(mounts: Mounts) -> Iterator[str]:
    """The options by which everything is where it is to be; what lies deeper comes later."""
    root, proofs = mounts.root, mounts.proofs
    rows: dict[str, tuple[str, bool]] = {root: (root, False)}
    # A mount cannot be moved away, and so nothing in it.
    for path in parents((*FIXED, os.path.relpath(proofs, root))):
        if os.path.isdir(f"{root}/{path}"):
            rows[f"{root}/{path}"] = (f"{root}/{path}", False)
    for path in FIXED:
        place = os.path.realpath(f"{root}/{path}")
        if os.path.exists(place) and place.startswith(f"{root}/"):
            rows[place] = (place, True)
    rows[proofs] = (mounts.cover, True)
    rows |= {target: (source, False) for target, source in mounts.written.items()}
    rows |= {target: (source, True) for target, source in mounts.shown.items()}
    if mounts.as_given != root:
        again = {
            f"{mounts.as_given}{target.removeprefix(root)}": row
            for target, row in rows.items()
            if target == root or target.startswith(f"{root}/")
        }
        rows |= again
    for target, (source, read_only) in sorted(rows.items()):
        yield from _bind(source, target, read_only=read_only)


def lay_out(mounts: Mounts) -> None:
    """Make the cover: what stands in the place of the proofs, which only can be read, so that what
    is mounted there has its place in it before.
    """
    remove_tree(mounts.made_at)
    os.makedirs(mounts.made_at, 0o755)
    for target, source in {**mounts.written, **mounts.shown}.items():
        if not target.startswith(f"{mounts.proofs}/"):
            continue
        place = f"{mounts.made_at}{target.removeprefix(mounts.proofs)}"
        if os.path.isdir(source):
            os.makedirs(place, 0o755, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
            with open(place, "a"):
                pass


def _bind(source: str, target: str, *, read_only: bool) -> tuple[str, str]:
    fields = [f"source={source}", f"target={target}", *(["readonly"] if read_only else [])]
    return "--mount", ",".join(["type=bind", *map(_csv, fields)])


def _csv(field: str) -> str:
    """A field of the line of CSV that both engines take a mount for."""
    quoted = field.replace('"', '""')
    return f'"{quoted}"' if set(field) & set(',"\n') else field
