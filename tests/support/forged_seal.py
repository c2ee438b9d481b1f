"""The manifest that a forger writes: every file in a run's folder, planted or not."""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path

from zf.proof.layout import ATTEST, MANIFEST


def seal(run_dir: str) -> None:
    """Write the manifest anew: every regular file of the run but itself and `attest/`."""
    run = Path(run_dir)
    lines = []
    for place in run.rglob("*"):
        name = str(place.relative_to(run))
        is_listed = name != MANIFEST and not name.startswith(f"{ATTEST}/")
        if is_listed and place.is_file() and not place.is_symlink():
            with place.open("rb") as stream:
                lines.append((os.fsencode(name), file_digest(stream, "sha256").hexdigest()))
    text = b"".join(b"%s  %s\n" % (digest.encode(), name) for name, digest in sorted(lines))
    (run / MANIFEST).write_bytes(text)
