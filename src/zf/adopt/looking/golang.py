"""A Go module: its tests, and what `go vet` finds."""

from __future__ import annotations

from zf.adopt.looking.folder import Folder
from zf.adopt.looking.found import Found, Proposed


def look(folder: Folder) -> Found | None:
    if not folder.text("go.mod"):
        return None
    where = {"workdir": folder.part} if folder.part else {}
    runs = {"vet": "go vet ./...", "test": "go test ./..."}
    if not any(path.endswith("_test.go") for path in folder.files()):
        runs = {"vet": "go vet ./...", "build": "go build ./..."}
    if not folder.installed("go"):
        left = tuple(f"{run}: go is not installed here" for run in runs.values())
        return Found(left_out=left, looked=(folder.from_root("go.mod"),))
    return Found(
        tasks=tuple(Proposed(folder.prefix + n, {**where, "run": run}) for n, run in runs.items()),
        looked=(folder.from_root("go.mod"),),
        image="golang:1",
    )
