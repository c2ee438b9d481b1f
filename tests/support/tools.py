"""Programs of others that judge what zf writes, and skipping the tests that need one where it is
missing: `.ci/run` installs them all.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NPM = Path(__file__).resolve().parents[1] / "tools" / "node_modules"


def program(*names: str) -> str:
    """The first of these programs that is here; the test is skipped where none is."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"{names[0]} is not installed here")


def from_npm(path: str) -> Path:
    """A file of a package from npm."""
    found = NPM / path
    if not found.exists():
        pytest.skip(f"{found.relative_to(NPM.parents[2])} is missing: npm ci --prefix tests/tools")
    return found


def html_errors(page: Path) -> tuple[int, str]:
    """The exit code of the HTML checker of the W3C, and the errors that it finds in a page."""
    vnu = from_npm("vnu-jar/build/dist/vnu.jar")
    command = [program("java"), "-jar", str(vnu), "--errors-only", str(page)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr
