"""tox.ini, or the same in pyproject.toml -> what each environment says, its factors chosen."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from zf.adopt.importers import reading
from zf.adopt.importers.model import Origin
from zf.errors import ZfError
from zf.lean.records import Struct

_MOST_ENVIRONMENTS = 500
_FACTORS = re.compile(
    r"((?:!?[\w.]+(?:-!?[\w.]+)*)(?:\s*,\s*!?[\w.]+(?:-!?[\w.]+)*)*|[\w.,{}!-]+):\s+(.*)"
)
# Keys that have two names.
_OLD = {
    "allowlist_externals": "allowlist_externals",
    "basepython": "base_python",
    "changedir": "change_dir",
    "envlist": "env_list",
    "passenv": "pass_env",
    "setenv": "set_env",
    "usedevelop": "use_develop",
    "whitelist_externals": "allowlist_externals",
}


class Settings(Struct):
    """All sections: `tox` is about tox itself, `base` what all environments have."""

    sections: dict[str, dict[str, Any]]
    lines: dict[str, int]
    is_toml: bool = False

    def envs(self) -> list[str]:
        """The environments that tox runs when it is told none."""
        said = self.sections.get("tox", {}).get("env_list", "")
        if isinstance(said, list):
            return [one for one in said if isinstance(one, str)][:_MOST_ENVIRONMENTS]
        found = [name for part in _parts(said) for name in expanded(part)]
        return list(dict.fromkeys(found))[:_MOST_ENVIRONMENTS]

    def others(self) -> list[str]:
        """Environments that have a section of their own and are not among those."""
        usual = self.envs()
        names = (one.removeprefix("env:") for one in self.sections if one.startswith("env:"))
        named = [env for name in names for env in expanded(name)]
        return [one for one in dict.fromkeys(named) if one not in usual and one != ".pkg"]

    def of(self, env: str) -> dict[str, Any]:
        """What an environment says, and what it has from all."""
        found = dict(self.sections.get("base", {}))
        for name, section in self.sections.items():
            if name.startswith("env:") and env in expanded(name[4:]):
                found |= section
        return found


def read(origin: Origin) -> Settings:
    """The settings in a file. Raises ZfError."""
    text = reading.text(origin.path, origin.file)
    if not origin.file.endswith(".toml"):
        return _of_ini(text, origin.file, "testenv")
    try:
        said = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ZfError(f"{origin.file} is not TOML: {error}", code="ZF680") from None
    tox = said.get("tool", {}) if origin.file.endswith("pyproject.toml") else {"tox": said}
    tox = tox.get("tox", {}) if isinstance(tox, dict) else {}
    if not isinstance(tox, dict) or not tox:
        raise ZfError(f"{origin.file} has no [tool.tox]", code="ZF680", hint="name another file")
    legacy = tox.get("legacy_tox_ini")
    if isinstance(legacy, str):
        return _of_ini(legacy, origin.file, "testenv")
    return _of_toml(tox)


def _of_toml(said: Mapping[str, Any]) -> Settings:
    sections = {"tox": {k: v for k, v in said.items() if k not in {"env", "env_run_base"}}}
    base, envs = said.get("env_run_base", {}), said.get("env", {})
    sections["base"] = dict(base) if isinstance(base, dict) else {}
    for name, one in envs.items() if isinstance(envs, dict) else ():
        sections[f"env:{name}"] = dict(one) if isinstance(one, dict) else {}
    return Settings(sections, {}, is_toml=True)


def _of_ini(text: str, file: str, prefix: str) -> Settings:
    parser = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=("#", ";"), allow_no_value=True
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys as they are written
    try:
        parser.read_string(text, file)
    except configparser.Error as error:
        why = str(error).splitlines()[0]
        raise ZfError(f"{file} is no file of tox: {why}", code="ZF680") from None
    sections: dict[str, dict[str, Any]] = {"tox": {}, "base": {}}
    for name in parser.sections():
        inside = {_OLD.get(key, key): value or "" for key, value in parser.items(name, raw=True)}
        if name in {"tox", "tox:tox"}:
            sections["tox"] = inside
        elif name == prefix:
            sections["base"] = inside
        elif name.startswith(f"{prefix}:"):
            sections[f"env:{name.removeprefix(f'{prefix}:')}"] = inside
        else:
            sections[f"[{name}]"] = inside
    lines = {
        match[1]: number
        for number, line in enumerate(text.split("\n"), start=1)
        if (match := re.match(r"\[(.+)\]\s*$", line))
    }
    named = {
        "base" if name == prefix else f"env:{name[len(prefix) + 1 :]}": line
        for name, line in lines.items()
        if name.startswith(prefix)
    }
    return Settings(sections, {**lines, **named})


def _parts(said: str) -> Iterator[str]:
    """What commas and line breaks separate outside of braces."""
    depth, word = 0, ""
    for char in f"{said}\n":
        depth += (char == "{") - (char == "}")
        if char in ",\n" and depth <= 0:
            yield from filter(None, [word.split("#", maxsplit=1)[0].strip()])
            word = ""
        elif char != "\n":
            word += char


def expanded(said: str) -> list[str]:
    """`py{310,311}-{a,b}` written out."""
    parts = re.split(r"\{([^{}]*)\}", said)
    choices = [
        [one.strip() for one in _ranged(part)] if number % 2 else [part]
        for number, part in enumerate(parts)
    ]
    many = 1
    for one in choices:
        many *= len(one)
    if many > _MOST_ENVIRONMENTS:
        return [said]
    return ["".join(one) for one in product(*choices)]


def _ranged(part: str) -> list[str]:
    match = re.fullmatch(r"(\d{1,4})-(\d{1,4})", part)
    if match and int(match[1]) <= int(match[2]):
        return [str(one) for one in range(int(match[1]), int(match[2]) + 1)]
    return part.split(",")


def chosen(said: str, env: str) -> str:
    """The lines of a value for an environment: `factor: text` is for those that have it."""
    factors = set(env.split("-"))
    kept: list[str] = []
    for line in said.split("\n"):
        match = _FACTORS.fullmatch(line.strip())
        if match is None or not _are_factors(match[1]):
            kept.append(line)
        elif any(_has(one.strip(), factors) for word in [match[1]] for one in _named(word)):
            kept.append(match[2])
    return "\n".join(kept)


def _named(said: str) -> list[str]:
    return [name for part in _parts(said) for name in expanded(part)]


def _are_factors(said: str) -> bool:
    return re.fullmatch(r"[\w.,{}! -]+", said) is not None


def _has(condition: str, factors: set[str]) -> bool:
    return all(
        (one[1:] not in factors) if one.startswith("!") else one in factors
        for one in condition.split("-")
    )
