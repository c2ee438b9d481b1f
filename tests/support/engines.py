"""Podman as tests have it: with a storage of its own, the runtime and options that this machine lets
containers have, and images that are made of local folders, as no registry is asked.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# With the machine's own programs, which are mounted; and with a few of its own.
HOST, SMALL = "localhost/zf-host:1", "localhost/zf-small:1"
# Mounted, it gives an image the programs of the machine, and the Python which runs the tests, which
# may lie where root alone can read it.
SYSTEM = ["/usr:/usr:ro", "/etc:/etc:ro"]
PROGRAMS = [*SYSTEM]
if not Path(sys.base_prefix).resolve().is_relative_to("/usr"):
    PROGRAMS.append(":".join([str(Path(sys.base_prefix).resolve())] * 2) + ":ro")
_SMALL = ("bash", "cat", "id", "ls", "sleep", "env", "sh", "mkdir", "rm", "touch", "sort", "grep")
_CONF = """\
[containers]
cgroups = "{cgroups}"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "{runtime}"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/net"
"""
_STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{folder}/root"
runroot = "{folder}/run"
"""
_KINDS = [*itertools.product(("overlay", "vfs"), ("crun", "runc"), ("enabled", "disabled"))]


class Engine:
    """Podman with what works here; `why_not` says why nothing does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # What stands before the command lines of podman and zf, and whose they are then.
        self.prefix: tuple[str, ...] = ()
        self.env: dict[str, str] = {}
        self.programs = PROGRAMS
        self.why_not = ""
        self._prepare()

    def _prepare(self) -> None:
        """Find what works."""
        folder = self.folder
        if shutil.which("podman") is None:
            self.why_not = "podman is not installed"
            return
        tried = []
        for driver, runtime, cgroups in _KINDS:
            if shutil.which(runtime) is None and shutil.which(runtime, path="/usr/sbin") is None:
                tried.append(f"{runtime} is not installed")
                continue
            here = folder / f"{driver}-{runtime}-{cgroups}"
            if why := self._try(here, {"driver": driver, "runtime": runtime, "cgroups": cgroups}):
                tried.append(f"{driver}, {runtime}, cgroups {cgroups}: {why}")
                continue
            return
        self.why_not = "; ".join(dict.fromkeys(tried))

    def run(self, *words: str, check: bool = True, env: Mapping[str, str] = {}) -> str:
        ended = subprocess.run(
            [*self.prefix, "podman", *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=120,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.env, **env},
            cwd="/",
        )
        if check and ended.returncode:
            raise AssertionError(ended.stderr)
        return ended.stdout.strip()

    def containers(self) -> list[str]:
        """The names of all that there are, running or not."""
        return self.run("ps", "--all", "--format", "{{.Names}}").split()

    def hand_over(self, folder: Path) -> None:
        """Have these files be of the user whose containers they are for."""

    def close(self) -> None:
        if self.why_not:
            return
        self.run("rm", "--all", "--force", check=False)
        self.run("rmi", "--all", "--force", check=False)
        for mount in re.findall(rf"{self.folder}\S*", Path("/proc/mounts").read_text()):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)

    def _try(self, here: Path, kind: Mapping[str, str]) -> str:
        """Why it does not work like this; empty where it does, with the images made."""
        for name in ("root", "run", "tmp", "net"):
            (here / name).mkdir(parents=True)
        (here / "containers.conf").write_text(_CONF.format(folder=here, **kind))
        (here / "storage.conf").write_text(_STORAGE.format(folder=here, **kind))
        self.hand_over(here)
        self.env |= {
            "CONTAINERS_CONF": str(here / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(here / "storage.conf"),
        }
        try:
            self._make(HOST, here / "host", of_the_host)
            self.hand_over(here)
            limits = ("--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000")
            mounts = [word for one in self.programs for word in ("--volume", one)]
            words = ("run", "--rm", "--network", "none", "--pull", "never", *limits, *mounts)
            told = self.run(*words, HOST, "bash", "-c", "echo works")
            if told != "works":
                return f"it prints {told!r}"
            self._make(SMALL, here / "small", small)
        except AssertionError as error:
            lines = str(error).strip().splitlines()
            return lines[-1].removeprefix("Error: ") if lines else "it fails without a word"
        return ""

    def _make(self, name: str, folder: Path, fill) -> None:
        fill(folder)
        subprocess.run(["tar", "-C", folder, "-cf", f"{folder}.tar", "."], check=True)
        Path(f"{folder}.tar").chmod(0o644)
        self.run("import", "--change", "ENV PATH=/usr/bin:/bin", f"{folder}.tar", name)


class Rootless(Engine):
    """Podman of a user who is not root, with user ids of its own for what is in a container. These
    are in /etc/subuid, over which another file is mounted, for that process and what it starts.
    """

    _USER = "65534"
    # Of no user that a system has by itself.
    _IDS = f"{_USER}:1878982656:65536\n"

    def _prepare(self) -> None:
        tools = ("podman", "newuidmap", "newgidmap", "setpriv", "unshare")
        if missing := [name for name in tools if shutil.which(name) is None]:
            self.why_not = f"without root it takes {', '.join(missing)}"
        elif os.geteuid():
            self.why_not = "it takes root to become another user"
        else:
            self._become()
            super()._prepare()

    def _become(self) -> None:
        self.folder.chmod(0o755)
        ids = self.folder / "ids"
        ids.write_text(self._IDS)
        self.programs = SYSTEM
        mounts = (f"mount --bind {ids} {path}" for path in ("/etc/subuid", "/etc/subgid"))
        user = f"--reuid={self._USER}", f"--regid={self._USER}", "--clear-groups"
        script = f'{" && ".join(mounts)} && exec "$@"'
        self.prefix = ("unshare", "--mount", "sh", "-c", script, "sh", "setpriv", *user)

    def _try(self, here: Path, kind: Mapping[str, str]) -> str:
        # Each with a home of its own: podman remembers there which storage it was used with, and
        # says so in every log where it is asked for another.
        home = here / "home"
        (home / "run").mkdir(parents=True, mode=0o700)
        self.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
        return super()._try(here, kind)

    def hand_over(self, folder: Path) -> None:
        subprocess.run(["chown", "-R", f"{self._USER}:{self._USER}", folder], check=True)

    def close(self) -> None:
        super().close()
        if self.prefix:  # what keeps its namespaces
            self.run("system", "migrate", check=False)


def of_the_host(root: Path) -> None:
    """A root folder that is empty but for the ways into /usr."""
    for name in ("usr", "etc", "proc", "dev", "sys", "run", "tmp", "root"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    (root / "tmp").chmod(0o1777)


def small(root: Path) -> None:
    """A root folder with a few programs, and the libraries that they want."""
    for name in ("bin", "usr", "etc", "proc", "dev", "sys", "run", "tmp", "root"):
        (root / name).mkdir(parents=True)
    (root / "usr/bin").symlink_to("../bin")
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\nsomebody:x:1000:1000::/tmp:\n"
    )
    for name in _SMALL:
        program = Path(shutil.which(name) or "/none").resolve()
        shutil.copy(program, root / "bin" / name)
        for library in _libraries(program):
            place = root / library[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists():
                shutil.copy(library, place)


def _libraries(program: Path) -> Iterator[str]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    yield from re.findall(r"(/\S+) \(0x", told)
