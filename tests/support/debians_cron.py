"""Debian's cron(8) itself, on a night of the past or the future: under faketime, which lets time go
sixty times as fast, and with a crontab that says when each of its jobs began.

The folders that it reads are laid over those of the machine in a mount namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

SPEED = 60
# `faketime` names what its children share by its own process number, which is that of this shell.
_SCRIPT = r"""
set -euo pipefail
sed -i "s|@@|$$|g" spool/root
mount --bind spool /var/spool/cron/crontabs
mount --bind empty /etc/cron.d
mount --bind crontab /etc/crontab
mount -t tmpfs none /run
exec faketime -f "$FAKE" cron -f
"""


def _library() -> str:
    """The library of faketime; skips the test that asks where cron cannot be run so."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("cron", "faketime", "unshare"))):
        pytest.skip("takes root, and Debian's cron and faketime")
    found = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not found:
        pytest.skip("there is no libfaketime")
    return str(found[0])


@dataclass
class Night:
    """A cron that believes it is there, then, with these jobs; told to go on until `ends`."""

    folder: Path
    zone: str
    begins: datetime
    jobs: Sequence[str]

    def begin(self) -> None:
        """Start it."""
        fake = f"@{self.begins:%Y-%m-%d %H:%M:%S} x{SPEED}"
        for name in ("spool", "empty"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "crontab").touch()
        (self.folder / "said").touch()
        lines = [
            f"LD_PRELOAD={_library()}",
            f"FAKETIME={fake}",
            "FAKETIME_SHARED=/faketime_sem_@@ /faketime_shm_@@",
            "FAKETIME_DONT_RESET=1",
            f"TZ={self.zone}",
            *(
                rf'{job} date +"{number} \%s" >> {self.folder}/said'
                for number, job in enumerate(self.jobs)
            ),
        ]
        crontab = self.folder / "spool/root"
        crontab.write_text("".join(f"{line}\n" for line in lines))
        crontab.chmod(0o600)
        environ = {**os.environ, "TZ": self.zone, "FAKE": fake, "FAKETIME_DONT_RESET": "1"}
        self._process = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", _SCRIPT],
            cwd=self.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def began(self) -> list[tuple[int, int]]:
        """Which jobs began so far, each with the moment in seconds since the epoch."""
        lines = (self.folder / "said").read_text().splitlines()
        return [(int(number), int(at)) for number, at in map(str.split, lines)]

    def end(self) -> None:
        """It and what it has started."""
        assert self._process.poll() is None, "cron has ended by itself"
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for path in Path("/dev/shm").glob(f"*faketime_s*_{self._process.pid}"):
            path.unlink()
