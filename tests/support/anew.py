"""A proof whose journal was changed, with every digest made anew: what only its papers belie."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any


def with_journal(proof: Path, events: Iterable[dict[str, Any]]) -> None:
    """Give a sealed, unsigned proof these events, chained, and a manifest that has them."""
    prev, lines = "0" * 64, []
    for number, event in enumerate(events):
        line = json.dumps(event | {"seq": number, "prev": prev}, separators=(",", ":"))
        prev = sha256(line.encode()).hexdigest()
        lines.append(f"{line}\n")
    (proof / "events.jsonl").write_text("".join(lines))
    manifest = proof / "MANIFEST.sha256"
    files = sorted(path for path in proof.rglob("*") if path.is_file() and path != manifest)
    rows = sorted((str(path.relative_to(proof)), sha256(path.read_bytes())) for path in files)
    manifest.write_text("".join(f"{digest.hexdigest()}  {path}\n" for path, digest in rows))
