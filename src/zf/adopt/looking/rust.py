"""A Cargo package or workspace: its tests, and how it is formatted if it says so."""

from __future__ import annotations

from zf.adopt.looking import ci
from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposed


def look(folder: Folder) -> Found | None:
    if not folder.text("Cargo.toml"):
        return None
    looked = (folder.from_root("Cargo.toml"),)
    locked = " --locked" if folder.has("Cargo.lock") else ""
    runs = {"test": f"cargo test{locked}"}
    if folder.has("rustfmt.toml") or folder.has(".rustfmt.toml") or ci.says(folder, "cargo fmt"):
        runs = {"fmt": "cargo fmt --check", **runs}
    where = {"workdir": folder.part} if folder.part else {}
    if not folder.installed("cargo"):
        left = tuple(f"{run}: cargo is not installed here" for run in runs.values())
        return Found(left_out=left, looked=looked)
    tasks = tuple(Proposed(folder.prefix + n, {**where, "run": run}) for n, run in runs.items())
    return Found(tasks=tasks, looked=looked, image="rust:1")
