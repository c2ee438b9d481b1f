"""Marks of containers, beside the locks of the runs: one is there before its container, and gone
after it, so that the next zf removes what a zf left that was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from zf.lean.encoder import decoder, encoder
from zf.proof.layout import CONTAINERS, LOCKS
from zf.work.walls.engine import DOCKER, PODMAN, Engine, EngineError

_encode, _decode = encoder(), decoder()
# No mark is longer.
_MOST_BYTES = 16_384


def folder(proofs: str) -> str:
    """Where the marks of a project's runs are."""
    return f"{proofs}/{LOCKS}/{CONTAINERS}"


def mark(proofs: str, name: str, run: str, key: str, engine: Engine) -> None:
    """Say that there will be a container of this name. Raises OSError."""
    os.makedirs(folder(proofs), exist_ok=True)
    said = {"run": run, "key": key, "engine": engine.words, "kind": engine.kind}
    with open(f"{folder(proofs)}/{name}", "w", encoding="utf-8") as file:
        file.write(_encode(said))


def unmark(proofs: str, name: str) -> None:
    """Say that it is gone."""
    with suppress(OSError):
        os.unlink(f"{folder(proofs)}/{name}")


def clear(proofs: str, is_dead: Callable[[str], bool], environ: Mapping[str, str]) -> list[str]:
    """Remove the containers of runs that are dead, by their names and their labels; what went
    wrong. A mark whose containers could not be removed stays.
    """
    problems: dict[str, None] = {}
    try:
        names = sorted(os.listdir(folder(proofs)))
    except OSError:
        return []
    for name in names:
        try:
            run, key, engine = _read(f"{folder(proofs)}/{name}")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # gone meanwhile, or no mark of ours
        if not is_dead(run):
            continue
        try:
            engine.remove([name, *engine.labelled(key, environ)], environ)
        except EngineError as error:
            problems[f"containers of run {run} could not be removed: {error}"] = None
        else:
            unmark(proofs, name)
    with suppress(OSError):
        os.rmdir(folder(proofs))
    return [*problems]


def _read(path: str) -> tuple[str, str, Engine]:
    with open(path, encoding="utf-8") as file:
        said = _decode(file.read(_MOST_BYTES))
    words = tuple(map(str, said["engine"]))
    if said["kind"] not in {PODMAN, DOCKER} or not words:
        raise ValueError(path)
    return str(said["run"]), str(said["key"]), Engine(words, said["kind"])
