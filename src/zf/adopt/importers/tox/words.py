"""Command lines of tox -> scripts: tox runs words without a shell, so here they are quoted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from typing import Any

from zf.adopt.importers.scripts import Unsayable
from zf.adopt.importers.tox.settings import Settings, chosen
from zf.variables import is_allowed

_BRACES = re.compile(r"\{([^{}]*)\}")
# Private characters around what is no text: a variable, or the words that a call is given.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARKED = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_MOST_DEPTH = 12


class Words:
    """What `{...}` means for one environment."""

    def __init__(self, settings: Settings, env: str, folder: str, venv: str) -> None:
        self._settings, self._env, self._folder, self._venv = settings, env, folder, venv
        self.passed: list[str] = []

    def put(self, said: str, depth: int = 0) -> str:
        """A value with what its braces mean: text, or marks. Raises Unsayable."""
        if depth > _MOST_DEPTH:
            raise Unsayable("references go round in a circle")
        said = said.replace("\\{", "\ue002").replace("\\}", "\ue003")
        for _ in range(_MOST_DEPTH):
            new = _BRACES.sub(lambda found: self._meant(found[1], depth), said)
            if new == said:
                break
            said = new
        return said.replace("\ue002", "{").replace("\ue003", "}")

    def _meant(self, name: str, depth: int) -> str:
        word, _, rest = name.partition(":")
        if _OPEN in name:
            raise Unsayable("{" + _MARKED.sub("{...}", name) + "}")
        if word.startswith("["):
            section, _, key = word[1:].partition("]")
            return self._section(section, key, depth)
        if word == "posargs":
            return f"{_OPEN}@{rest}{_CLOSE}"
        if word == "env":
            variable, _, default = rest.partition(":")
            if not re.fullmatch(r"[A-Za-z_]\w*", variable):
                raise Unsayable(name)
            if not is_allowed(variable) and variable not in self.passed:
                self.passed.append(variable)
            return f"{_OPEN}{variable}:-{default}{_CLOSE}"
        if name == "":
            return "{" + "\ue003"
        known: dict[str, Callable[[], str]] = {
            "/": lambda: "/",
            ":": lambda: ":",
            "tox_root": self._root,
            "toxinidir": self._root,
            "envname": lambda: self._env,
            "env_name": lambda: self._env,
            "envpython": lambda: "python",
            "env_python": lambda: "python",
            "basepython": lambda: "python",
            "envdir": self._dir,
            "env_dir": self._dir,
            "envbindir": lambda: f"{self._dir()}/bin",
            "env_bin_dir": lambda: f"{self._dir()}/bin",
            "envtmpdir": partial(self._below, "tmp"),
            "env_tmp_dir": partial(self._below, "tmp"),
            "envlogdir": partial(self._below, "log"),
            "toxworkdir": lambda: f"{self._root()}/.venvs",
            "work_dir": lambda: f"{self._root()}/.venvs",
            "tox_work_dir": lambda: f"{self._root()}/.venvs",
        }
        if name not in known:
            raise Unsayable("{" + name + "}")
        return known[name]()

    def _root(self) -> str:
        return f"{_OPEN}ZENFLOW_ROOT{_CLOSE}{f'/{self._folder}' if self._folder else ''}"

    def _dir(self) -> str:
        return f"{self._root()}/{self._venv}"

    def _below(self, name: str) -> str:
        return f"{self._dir()}/{name}"

    def _section(self, section: str, key: str, depth: int) -> str:
        prefix = {"testenv": "base", "tox": "tox"}.get(section)
        if prefix is None:
            name = section.removeprefix("testenv:")
            prefix = f"env:{name}" if name != section else f"[{section}]"
        found = self._settings.sections.get(prefix, {}).get(key)
        if not isinstance(found, str):
            raise Unsayable("{[" + section + "]" + key + "}")
        return self.put(chosen(found, self._env), depth + 1).strip()

    def script(self, line: Any) -> str:
        """A command as a shell has it. Raises Unsayable."""
        if isinstance(line, list):
            return " ".join(filter(None, (self._item(one) for one in line)))
        try:
            words = shlex.split(self.put(str(line)), posix=True)
        except ValueError as error:
            raise Unsayable(str(error)) from None
        return " ".join(self._word(word) for word in words)

    def _item(self, one: Any) -> str:
        """A word of a command in TOML."""
        if isinstance(one, str):
            return self._word(self.put(one))
        if isinstance(one, dict) and one.get("replace") == "posargs":
            default = " ".join(map(str, one.get("default", [])))
            return self._word(f"{_OPEN}@{default}{_CLOSE}")
        raise Unsayable(str(one))

    @staticmethod
    def _word(word: str) -> str:
        """A word in quotes where it needs them, with its variables looked at."""
        if match := _MARKED.fullmatch(word):
            # What a variable holds is split into words there, too.
            return _words(match[1][1:]) if match[1][:1] == "@" else f"${{{match[1]}}}"
        if not _MARKED.search(word):
            return shlex.quote(word)
        out = []
        for number, part in enumerate(_MARKED.split(word)):
            if number % 2 == 0:
                out.append(re.sub(r'(["\\$`])', r"\\\1", part))
            elif part.startswith("@"):
                out.append("$*")
            else:
                out.append(f"${{{part}}}")
        return f'"{"".join(out)}"'

    def value(self, said: str) -> str:
        """A value of `env`. Raises Unsayable."""
        out = []
        for number, part in enumerate(_MARKED.split(self.put(said))):
            if number % 2 == 0:
                out.append(part.replace("${", "$${"))
            elif part.startswith("@") or "{" in part:
                raise Unsayable(said)
            else:
                out.append(f"${{{part}}}")
        return "".join(out)

    def text(self, said: str) -> str:
        """A text in which nothing is only known later. Raises Unsayable."""
        found = self.put(said).replace(f"{self._root()}/", "")
        if _MARKED.search(found):
            raise Unsayable(said)
        return found

    def path(self, said: str) -> str:
        """A path below the folder of the file. Raises Unsayable."""
        root = self._root()
        found = self.put(said)
        if found == root:
            return "."
        return self.text(said) if not found.startswith(f"{root}/") else found[len(root) + 1 :]


def _words(default: str) -> str:
    """All words that a call is given, or these."""
    if not default.strip():
        return '"$@"'
    if re.search(r"[}\"'\\$`*?]", default) or _OPEN in default:
        raise Unsayable("{posargs:" + default + "}")
    return f"${{@:-{default.strip()}}}"
