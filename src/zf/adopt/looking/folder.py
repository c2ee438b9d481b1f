"""A folder of a project as it is looked at: files that may be anything, read with care."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

# A manifest that is larger tells nothing that is looked for.
_MOST_BYTES = 1 << 20
# Folders with files of others, or made by tools.
_NOT_OURS = {"node_modules", "vendor", "build", "dist", "target", "venv", "env", "site-packages"}
_MOST_FOLDERS = 500
_DEPTH = 5


# What keeps rustup and Corepack from fetching what they stand for.
_OFFLINE = {"RUSTUP_AUTO_INSTALL": "0", "COREPACK_ENABLE_NETWORK": "0"}
_PATIENCE_S = 30


def _is_inside(path: str, root: str) -> bool:
    """Whether a program is a file of the project, of which nothing is to be run."""
    return f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(root)}/")


class Folder:
    """Where something is looked for; `prefix` tells the tasks of a part from those of others."""

    def __init__(self, root: str, environ: Mapping[str, str], part: str = "") -> None:
        self.root = root
        self.environ = environ
        self.part = part
        # The files that said something, for people.
        self.looked: list[str] = []

    @property
    def prefix(self) -> str:
        return f"{self.part}-" if self.part else ""

    def inside(self, name: str) -> Folder:
        return Folder(self.root, self.environ, name)

    def path(self, name: str) -> str:
        return os.path.join(self.root, self.part, name)

    def from_root(self, name: str) -> str:
        """The file as task files name it."""
        return os.path.join(self.part, name)

    def has(self, name: str) -> bool:
        return name in self._names or ("/" in name and os.path.exists(self.path(name)))

    def first(self, *names: str) -> str:
        """The first of these that is there, or nothing."""
        return next(filter(self.has, names), "")

    def names(self) -> list[str]:
        return sorted(self._names)

    def is_link(self, name: str) -> bool:
        return os.path.islink(self.path(name))

    @cached_property
    def _names(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self.path("")))
        except OSError:
            return frozenset()

    def text(self, name: str) -> str:
        """What a file says; nothing if it is none, or too large."""
        try:
            fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except (OSError, ValueError):
            return ""
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
            os.close(fd)
            return ""
        with os.fdopen(fd, "rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
        if "/" not in name and name not in self.looked:
            self.looked.append(name)
        return text

    def toml(self, name: str) -> Table:
        try:
            return Table(tomllib.loads(self.text(name)))
        except (ValueError, RecursionError):
            return Table({})

    def json(self, name: str) -> Table:
        try:
            return Table(json.loads(self.text(name) or "{}"))
        except (ValueError, RecursionError):
            return Table({})

    def installed(self, program: str) -> bool:
        """Whether a program can be run here: one that only stands for others, as version managers
        have them, may have none to call.
        """
        return self.answer(program, "version" if program == "go" else "--version") is not None

    def answer(self, program: str, *words: str) -> str | None:
        """What a program prints, started in this folder; None if it cannot be, or fails. Nothing
        is downloaded for it.
        """
        path = shutil.which(program, path=self.environ.get("PATH"))
        if path is None or _is_inside(path, self.root):
            return None
        try:
            done = subprocess.run(
                [path, *words],
                cwd=self.path(""),
                env={**self.environ, **_OFFLINE},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=_PATIENCE_S,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode(errors="replace") if done.returncode == 0 else None

    def files(self) -> Iterator[str]:
        """The files below, by their paths from here; not those of others, nor hidden ones."""
        waiting = [("", 0)]
        for seen, (folder, depth) in enumerate(waiting):  # grows while it is read
            if seen == _MOST_FOLDERS:
                return
            try:
                entries = sorted(os.scandir(self.path(folder)), key=lambda entry: entry.name)
            except OSError:
                continue
            for entry in entries:
                path = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    if entry.name[0] != "." and entry.name not in _NOT_OURS and depth < _DEPTH:
                        waiting.append((path, depth + 1))
                elif entry.is_file():
                    yield path


class Table:
    """A mapping of a stranger's file: whatever is not as expected is not there."""

    def __init__(self, value: Any) -> None:
        self._value: dict[Any, Any] = value if isinstance(value, dict) else {}

    def __bool__(self) -> bool:
        return bool(self._value)

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._value if isinstance(key, str))

    def __contains__(self, key: str) -> bool:
        return key in self._value

    def table(self, *keys: str) -> Table:
        found = self
        for key in keys:
            found = Table(found._value.get(key))
        return found

    def text(self, key: str) -> str:
        found = self._value.get(key)
        return found if isinstance(found, str) else ""

    def texts(self, key: str) -> list[str]:
        found = self._value.get(key)
        return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []

    def listed(self, key: str) -> list[Any]:
        found = self._value.get(key)
        return found if isinstance(found, list) else []
