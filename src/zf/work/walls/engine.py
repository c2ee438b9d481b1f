"""The command line of Podman or Docker: which of them is here, what it says of an image, and what
starts, enters and removes a container. What is in a container is `container.py`'s.

The commands and options are those that both have (podman-run(1), docker-container-run(1)).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from zf.lean.records import Struct
from zf.typed import AUTO, engine_words
from zf.work.shell import which

PODMAN, DOCKER = "podman", "docker"
# Labels of every container that zf makes: whose it is, for people and for what clears up.
PROJECT, RUN, TASK, KEY = "zf.project", "zf.run", "zf.task", "zf.key"
# How long each may take that fetches nothing.
LIMIT_S = 60.0
# An image may be large, and the network slow.
_PULL_S = 3600.0
_FEW = 300
_ERROR = re.compile(r"^(docker: )?Error( response from daemon)?: ")
# How they say that an image or a container is not there.
_MISSING = "no such image", "no such container", "image not known", "no container with name"


class EngineError(Exception):
    """The engine cannot do what it was asked for; the message says why."""


class Image(Struct, frozen=True):
    """What the name of an image stands for here: its id, which is a digest over all that is in it;
    the digest by which a registry has it, or its id where none has; and who runs in it, where it
    says so.
    """

    id: str
    digest: str
    user: str = ""


class Engine(Struct, frozen=True):
    """A container engine: the words that its command lines begin with, the first a path."""

    words: tuple[str, ...]
    kind: str

    def ask(
        self, words: Iterable[str], environ: Mapping[str, str], limit_s: float = LIMIT_S
    ) -> str:
        """What it prints. Raises EngineError."""
        argv = [*self.words, *words]
        try:
            ended = subprocess.run(
                argv,
                env=with_sbin(environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"{self.kind} {argv[len(self.words)]} took over {limit_s:g} s"
            ) from None
        except OSError as error:
            raise EngineError(f"{self.words[0]} cannot be run: {error.strerror}") from None
        if ended.returncode:
            raise EngineError(_told(ended.stderr) or f"exit code {ended.returncode}")
        return ended.stdout.decode("utf-8", "replace").strip()

    def why_not(self, environ: Mapping[str, str]) -> str:
        """Why it can make no container here; empty when it answers."""
        try:
            self.ask(("version", "--format", "{{.Client.Version}}"), environ)
            if self.kind == DOCKER:
                self.ask(("version", "--format", "{{.Server.Version}}"), environ)
        except EngineError as error:
            return str(error)
        return ""

    def image(self, name: str, environ: Mapping[str, str]) -> Image | None:
        """What the name of an image stands for here; None where it is not. Raises EngineError where
        the engine does not answer.
        """
        try:
            told = self.ask(("image", "inspect", name), environ)
        except EngineError as error:
            if _is_missing(str(error)):
                return None
            raise
        try:
            [found, *_] = json.loads(told)
            return _image(found, name)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise EngineError(f"{self.kind} says nothing of image {name} that is known") from None

    def pull(self, name: str, environ: Mapping[str, str]) -> None:
        """Fetch an image. Raises EngineError."""
        self.ask(("pull", "--quiet", name), environ, _PULL_S)

    def remove(self, containers: Sequence[str], environ: Mapping[str, str]) -> None:
        """End these containers and all that is in them; one that is gone is no error. Raises
        EngineError.
        """
        if not containers:
            return
        try:
            self.ask(("rm", "--force", "--volumes", *containers), environ)
        except EngineError as error:
            if not _is_missing(str(error)):
                raise

    def labelled(self, key: str, environ: Mapping[str, str]) -> list[str]:
        """The ids of the containers of the run with this key. Raises EngineError."""
        wanted = ("--filter", f"label={KEY}={key}", "--quiet", "--no-trunc")
        return self.ask(("ps", "--all", *wanted), environ).split()


def found(setting: str, path: str) -> Engine | None:
    """The engine that this setting names, or the first of both that is on this PATH."""
    words = engine_words(setting)
    if words != [AUTO]:
        program = words[0] if "/" in words[0] else which(words[0], path)
        if program is None:
            return None
        kind = DOCKER if DOCKER in os.path.basename(words[0]) else PODMAN
        return Engine((program, *words[1:]), kind)
    for name in (PODMAN, DOCKER):
        if (program := which(name, path)) is not None:
            return Engine((program,), name)
    return None


def why_none(setting: str) -> str:
    """Why no engine was found for this setting."""
    if sys.platform != "linux":
        return "containers take Linux: elsewhere they are in a machine of their own"
    if setting == AUTO:
        return "neither podman nor docker is on the PATH"
    return f"{engine_words(setting)[0]} is no program that is here"


def key(run_dir: str) -> str:
    """What the containers of a run are known by: run ids are unique in a project only."""
    return sha256(os.fsencode(os.path.realpath(run_dir))).hexdigest()[:16]


def labels(values: Mapping[str, str]) -> Iterator[str]:
    """The options that label a container."""
    for name, value in values.items():
        yield from ("--label", f"{name}={value}")


def _image(found: Mapping[str, Any], name: str) -> Image:
    its = str(found["Id"])
    its = its if ":" in its else f"sha256:{its}"
    digests = [str(one).rpartition("@")[2] for one in found.get("RepoDigests") or ()]
    user = str((found.get("Config") or {}).get("User") or "")
    asked = name.rpartition("@")[2]
    if asked in digests:
        return Image(its, asked, user)
    told = str(found.get("Digest") or "")
    return Image(its, told if told.startswith("sha256:") else (digests or [its])[0], user)


def _is_missing(said: str) -> bool:
    return any(word in said.casefold() for word in _MISSING)


def with_sbin(environ: Mapping[str, str]) -> Mapping[str, str]:
    """With the folders in which an engine that runs as root finds what sets up networks: they are
    not on the PATH of every shell, and then it says no more than that iptables is missing.
    """
    return {**environ, "PATH": f"{environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def _told(said: bytes) -> str:
    """The line of an engine's errors that says what went wrong: others warn, or advise."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    line = next((one for one in lines if _ERROR.match(one)), lines[-1] if lines else "")
    return _ERROR.sub("", line)[:_FEW]
