"""A package.json: its lock file tells the package manager, and its scripts what there is to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zf.adopt.looking.folder import Folder, Table
from zf.adopt.looking.found import Found, Proposed
from zf.lean.records import Struct


class _Manager(Struct, frozen=True):
    """A package manager: its lock files, how it installs what those say, and where it is from."""

    program: str
    locks: tuple[str, ...]
    install: str
    remedy: str


_MANAGERS = (
    _Manager("npm", ("package-lock.json", "npm-shrinkwrap.json"), "npm ci", "install Node.js"),
    _Manager("pnpm", ("pnpm-lock.yaml",), "pnpm install --frozen-lockfile", "corepack enable pnpm"),
    _Manager("yarn", ("yarn.lock",), "yarn install --frozen-lockfile", "corepack enable yarn"),
    _Manager("bun", ("bun.lock", "bun.lockb"), "bun install --frozen-lockfile", "install Bun"),
)
_WITHOUT_LOCK = _Manager("npm", (), "npm install --no-package-lock", "install Node.js")

# The scripts that check something and end, in the order in which they are proposed; and what one
# script of another name is called as a task.
_CHECKS = (
    "lint",
    "typecheck",
    "type-check",
    "check-types",
    "check",
    "format:check",
    "build",
    "test",
)
# What npm writes into a new package.json.
_NO_TEST = "no test specified"
# What starts a browser or does not end: not installed by the lock file, or nothing for a run.
_ELSEWHERE = ("playwright", "cypress", "karma", "puppeteer", "wdio", "selenium", "webdriver")
_ENDLESS = ("--watch", "-w ", "nodemon", " serve", "storybook")


def look(folder: Folder) -> Found | None:
    package = folder.json("package.json")
    if not package:
        return None
    manager = next((m for m in _MANAGERS if folder.first(*m.locks)), _WITHOUT_LOCK)
    lock = folder.first(*manager.locks)
    looked = tuple(folder.from_root(name) for name in ("package.json", lock) if name)
    scripts = package.table("scripts")
    names = [name for name in _CHECKS if scripts.text(name)]
    left = [f"{name}: {why}" for name in names if (why := _why_not(scripts.text(name)))]
    names = [name for name in names if not _why_not(scripts.text(name))]
    if not folder.installed(manager.program):
        why = f"{manager.program} is not installed here ({manager.remedy})"
        return Found(left_out=(*left, *(f"{name}: {why}" for name in names)), looked=looked)
    if not names:
        return Found(left_out=tuple(left), looked=looked)
    tasks = [*_set_up(folder, package, manager, lock)]
    needs = {"needs": [task.name for task in tasks]} if tasks else {}
    for name in names:
        run = f"{manager.program} test" if name == "test" else f"{manager.program} run {name}"
        keys = {**needs, **_where(folder), "run": run}
        tasks.append(Proposed(folder.prefix + name.replace(":", "-"), keys))
    return Found(tuple(tasks), tuple(left), looked, "node:22")


def _why_not(script: str) -> str:
    if _NO_TEST in script:
        return "package.json has only npm's placeholder"
    if any(word in script for word in _ELSEWHERE):
        return f"`{script}` needs a browser"
    return f"`{script}` does not end" if any(word in script for word in _ENDLESS) else ""


def _where(folder: Folder) -> Mapping[str, Any]:
    return {"workdir": folder.part} if folder.part else {}


def _set_up(folder: Folder, package: Table, manager: _Manager, lock: str) -> list[Proposed]:
    """What installs the packages, if there are any."""
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    if not lock and not any(package.table(kind) for kind in kinds):
        return []
    sources = [folder.from_root(name) for name in ("package.json", lock) if name]
    modules = folder.from_root("node_modules")
    keys = {
        "sources": sources,
        "generates": [modules, f"!{modules}/.cache"],  # there many tools keep what they like
        "cache": True,
        **_where(folder),
        "run": manager.install,
    }
    if names := [n for n in folder.environ if n.lower().startswith("npm_config_")]:
        keys = {"pass_env": sorted(names), **keys, "cache": {"env": sorted(names)}}
    return [Proposed(f"{folder.prefix}install", keys)]
